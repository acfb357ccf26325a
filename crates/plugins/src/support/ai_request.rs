use std::borrow::Cow;

use a6_core::{Fault, FaultKind, Wording};
use a6_protocols::{Protocol, takes_bytes};
use a6_snapshot::{Exchange, Stop};
use http::StatusCode;
use http::header::CONTENT_TYPE;

/// Reads the request's body and finds its protocol; notes in the record what the client asked for. True where the body
/// is none that could be read, and passes as it is.
///
/// The order of the checks and their texts are APISIX's.
pub(crate) async fn read(exchange: &mut Exchange, max_body: u64) -> Result<(Protocol, bool), Stop> {
    let is_json = match check_content_type(exchange) {
        Err(stop) if !takes_bytes(exchange.request.original_path()) => return Err(stop),
        checked => checked.is_ok(),
    };
    let body = exchange.body.read(max_body).await.map_err(could_not_get_body)?;
    if !is_json || (body.is_empty() && takes_bytes(exchange.request.original_path())) {
        exchange.record.protocol = Some(Protocol::Passthrough);
        return Ok((Protocol::Passthrough, true));
    }
    if body.is_empty() {
        return Err(bad("could not get body: request body is empty".into(), Wording::Message));
    }
    let (text, document) = exchange
        .body
        .document()
        .await
        .map_err(|error| bad(format!("could not parse JSON request body: {error}"), Wording::Message))?;
    // The client speaks the protocol of the path that it asked for, wherever it is led.
    let path = exchange.request.original_path();
    let detected = Protocol::detect(path, document, &text);
    let stream = detected.is_some_and(|protocol| protocol.wants_stream(path, document, &text));
    let model = document.get_str(&text, "model");
    let model = model.or_else(|| detected?.model_at(path).map(Cow::Borrowed));
    exchange.record.set_request_model(model.as_deref());
    let Some(protocol) = detected else {
        return Err(bad("no matching AI protocol for the request".into(), Wording::Text));
    };
    exchange.record.protocol = Some(protocol);
    exchange.record.stream = stream;
    Ok((protocol, false))
}

fn check_content_type(exchange: &Exchange) -> Result<(), Stop> {
    let Some(value) = exchange.request.headers.get(CONTENT_TYPE) else { return Ok(()) };
    if value.as_bytes().starts_with(b"application/json") {
        return Ok(());
    }
    let found = String::from_utf8_lossy(value.as_bytes());
    Err(bad(format!("unsupported content-type: {found}, only application/json is supported"), Wording::Text))
}

/// What the body's reader says, in APISIX's words where the client sent too much.
fn could_not_get_body(fault: Fault) -> Stop {
    let text = format!("could not get body: {}", fault.text);
    Fault { text: text.into(), ..fault }.worded(Wording::Message).into()
}

fn bad(text: String, wording: Wording) -> Stop {
    Fault::client(FaultKind::BadRequest, StatusCode::BAD_REQUEST, text).worded(wording).into()
}
