//! What the plugins that change prompts share: reading the request, and what their schemas have in common.

use a6_codec::json::Document;
use a6_core::{Fault, FaultKind, Wording};
use a6_snapshot::{RequestBody, Stop};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

/// The largest body that is read where the configuration sets none, in bytes.
const DEFAULT_MAX_BODY: u64 = 64 << 20;

/// Reads a body that has to be JSON. The texts of its errors are APISIX's; what is too large is a 400 to these plugins.
pub(crate) async fn read(body: &mut RequestBody, max: u64) -> Result<(Bytes, &Document), Stop> {
    let bytes = body.read(max).await.map_err(could_not_get_body)?;
    if bytes.is_empty() {
        return Err(bad("could not get body: request body is empty".to_string()));
    }
    body.document().await.map_err(|error| bad(format!("could not parse JSON request body: {error}")))
}

fn could_not_get_body(fault: Fault) -> Stop {
    let status = match fault.kind {
        FaultKind::TooLarge => StatusCode::BAD_REQUEST,
        _ => fault.status,
    };
    let text = format!("could not get body: {}", fault.text);
    Fault { status, text: text.into(), ..fault }.worded(Wording::Message).into()
}

/// A request that cannot be served as it is.
pub(crate) fn bad(text: String) -> Stop {
    let fault = Fault::client(FaultKind::BadRequest, StatusCode::BAD_REQUEST, text);
    fault.worded(Wording::Message).into()
}

/// The member `max_req_body_size`, in bytes.
pub(crate) fn max_body(conf: &Value) -> Result<u64, String> {
    match conf.get("max_req_body_size") {
        None => Ok(DEFAULT_MAX_BODY),
        Some(size) => size
            .as_u64()
            .ok_or_else(|| format!("max_req_body_size: {size} is no number of bytes; write a whole number")),
    }
}

/// The schema of `max_req_body_size`.
pub(crate) fn size_schema() -> Value {
    json!({"type": "integer", "minimum": 1, "default": DEFAULT_MAX_BODY})
}

/// The schema of a message.
pub(crate) fn message_schema() -> Value {
    json!({
        "properties": {
            "role": {"type": "string", "enum": ["system", "user", "assistant"]},
            "content": {"type": "string", "minLength": 1},
        },
        "required": ["role", "content"],
    })
}
