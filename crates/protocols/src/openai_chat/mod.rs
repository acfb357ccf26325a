//! OpenAI chat completions (`/v1/chat/completions`).
//!
//! - `request.rs`: detection, and the edit that makes a stream tell its usage.
//! - `start.rs`: what stands before the first word of a streamed answer.
//! - `stream.rs`: the state machine of a streamed answer.
//! - `template.rs`: chunks of a stream that differ in their text alone.
//! - this file: plain answers and errors.

mod request;
mod start;
mod stream;
mod template;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use a6_codec::json::Document;
use a6_core::Fault;
use bytes::Bytes;
use memchr::memmem::Finder;
use serde_json::json;

use crate::Usage;
use crate::usage::OpenaiUsage;
use crate::wire::Wire;

pub(crate) use request::describe;
pub(crate) use stream::ChatStream;
pub(crate) use template::Template;

/// Its row.
pub(crate) static WIRE: Wire = Wire {
    name: "openai-chat",
    detects: request::detects,
    streams: true,
    describe,
    prepare: request::prepare,
    usage,
    quick_usage: only_usage,
    calls_tool: has_tool_calls,
    start: start::start,
    error_body,
};

/// The usage that a plain answer tells.
fn usage(document: &Document, text: &[u8]) -> Usage {
    document.get(text, "usage").map(told_usage).unwrap_or_default()
}

/// Whether a plain answer calls a tool.
fn has_tool_calls(text: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Choice {
        message: Option<Message>,
    }
    #[derive(serde::Deserialize)]
    struct Message {
        tool_calls: Option<Vec<serde::de::IgnoredAny>>,
    }
    // Most answers call none, and say so by not having the name at all.
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"tool_calls\""));
    if NAME.find(text).is_none() {
        return false;
    }
    let Ok(document) = Document::scan(text) else { return false };
    let choices =
        document.get(text, "choices").and_then(|raw| serde_json::from_slice::<Vec<Choice>>(raw).ok());
    let calls = |choice: Choice| choice.message?.tool_calls;
    choices.into_iter().flatten().filter_map(calls).any(|calls| !calls.is_empty())
}

/// Reads a `usage` object; `null` and nonsense tell nothing.
pub(crate) fn told_usage(raw: &[u8]) -> Usage {
    serde_json::from_slice::<OpenaiUsage>(raw).map(Usage::from).unwrap_or_default()
}

/// The usage of a plain answer that names it once, without reading the rest of the answer.
fn only_usage(text: &[u8]) -> Option<Usage> {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));
    let mut places = NAME.find_iter(text);
    let place = places.next()?;
    if places.next().is_some() {
        return None;
    }
    let value = text[place + NAME.needle().len()..].trim_ascii_start().strip_prefix(b":")?;
    let mut values = serde_json::Deserializer::from_slice(value).into_iter::<OpenaiUsage>();
    values.next()?.ok().map(Usage::from)
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
fn error_event(fault: &Fault) -> Bytes {
    Bytes::from([b"data: ", error_body(fault).as_ref(), b"\n\n"].concat())
}
