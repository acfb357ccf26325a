use a6_resources::StrictValue;
use axum::body::Body;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::answer::Answer;

/// The largest body, in bytes; APISIX's own limit.
const MAX: u64 = 1_572_864;

/// So much of a body that is too large is read and thrown away, in bytes: a client that is cut off while it sends sees a
/// broken connection and never the answer.
const DISCARD: u64 = 64 << 20;

/// Reads the body; what is past [`MAX`] is never kept.
pub(crate) async fn read(headers: &HeaderMap, mut body: Body) -> Result<Vec<u8>, Answer> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
        .unwrap_or(0);
    if declared > MAX && headers.contains_key(header::EXPECT) {
        return Err(too_large(declared));
    }
    let mut kept = Vec::new();
    let mut total: u64 = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Answer::refused(format!("invalid request body: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        total += data.len() as u64;
        if declared <= MAX && total <= MAX {
            kept.extend_from_slice(&data);
            continue;
        }
        kept = Vec::new();
        if total > DISCARD {
            break;
        }
    }
    let size = declared.max(total);
    if size > MAX { Err(too_large(size)) } else { Ok(kept) }
}

fn too_large(size: u64) -> Answer {
    Answer::refused(format!(
        "invalid request body: request size {size} is greater than the maximum size {MAX} allowed"
    ))
}

/// Parses the body as JSON whatever its content type; an empty one is none.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Value>, Answer> {
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(bytes).map(|StrictValue(value)| Some(value)).map_err(|error| {
        let body = json!({
            "error_msg": format!("invalid request body: {error}"),
            "req_body": String::from_utf8_lossy(bytes),
        });
        Answer::json(StatusCode::BAD_REQUEST, &body)
    })
}
