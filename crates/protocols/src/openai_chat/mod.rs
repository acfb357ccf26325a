//! OpenAI chat completions (`/v1/chat/completions`).
//!
//! - `request.rs`: detection, and the edit that makes a stream tell its usage.
//! - `stream.rs`: the state machine of a streamed answer.
//! - this file: plain answers and errors.

mod request;
mod stream;
#[cfg(test)]
mod tests;

use a6_codec::json::Document;
use a6_core::Fault;
use bytes::Bytes;
use serde_json::json;

use crate::{Totals, Usage};

pub(crate) use request::{Prepared, detects, prepare};
pub(crate) use stream::ChatStream;

/// The usage that a plain answer tells.
pub(crate) fn usage(document: &Document, text: &[u8]) -> Usage {
    let raw = document.get(text, "usage").unwrap_or(b"null");
    serde_json::from_slice::<Option<Totals>>(raw).ok().flatten().map(Usage::from).unwrap_or_default()
}

/// OpenAI's error object, which its SDKs turn into exceptions.
pub(crate) fn error_body(fault: &Fault) -> Bytes {
    let error = json!({"error": {
        "message": fault.text,
        "type": fault.kind.as_str(),
        "param": null,
        "code": null,
    }});
    Bytes::from(error.to_string())
}

/// The same as an event; OpenAI's SDKs raise on it.
pub(crate) fn error_event(fault: &Fault) -> Bytes {
    Bytes::from([b"data: ", error_body(fault).as_ref(), b"\n\n"].concat())
}
