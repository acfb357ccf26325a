//! Anthropic Messages (`/v1/messages`).
//!
//! - `request.rs`: detection, and what a request says.
//! - `start.rs`: what stands before the first word of a streamed answer.
//! - `stream.rs`: the state machine of a streamed answer.
//! - this file: plain answers, usage and errors.

mod request;
mod start;
mod stream;
#[cfg(test)]
mod tests;

use a6_codec::json::Document;
use a6_core::Fault;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use crate::Usage;
use crate::usage::Count;
use crate::wire::{Wire, as_it_is, never_quick};

pub(crate) use stream::MessageStream;

/// Its row.
pub(crate) static WIRE: Wire = Wire {
    name: "anthropic-messages",
    detects: request::detects,
    streams: true,
    describe: request::describe,
    prepare: as_it_is,
    usage,
    // The arguments of a tool call are JSON, and may have a member of that name.
    quick_usage: never_quick,
    calls_tool,
    start: start::start,
    error_body,
};

/// What a `usage` object says. Tokens read from a cache or written to one are not among the input tokens.
#[derive(Default, Deserialize)]
#[serde(default)]
struct MessageUsage {
    input_tokens: Count,
    output_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
}

impl From<MessageUsage> for Usage {
    fn from(told: MessageUsage) -> Self {
        Self {
            prompt: told.input_tokens.0,
            completion: told.output_tokens.0,
            cache_read: told.cache_read_input_tokens.0,
            cache_creation: told.cache_creation_input_tokens.0,
            ..Self::default()
        }
        .summed()
    }
}

fn usage(document: &Document, text: &[u8]) -> Usage {
    document.get(text, "usage").map(told_usage).unwrap_or_default()
}

/// Reads a `usage` object; `null` and nonsense tell nothing.
fn told_usage(raw: &[u8]) -> Usage {
    serde_json::from_slice::<MessageUsage>(raw).map(Usage::from).unwrap_or_default()
}

/// Whether a content block calls a tool.
#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<std::borrow::Cow<'a, str>>,
}

impl Block<'_> {
    fn calls_tool(&self) -> bool {
        self.kind.as_deref() == Some("tool_use")
    }
}

fn calls_tool(text: &[u8]) -> bool {
    let Ok(document) = Document::scan(text) else { return false };
    let content = document.get(text, "content").map(serde_json::from_slice::<Vec<Block<'_>>>);
    matches!(content, Some(Ok(blocks)) if blocks.iter().any(Block::calls_tool))
}

/// Anthropic's error object, which its SDKs turn into exceptions.
fn error_body(fault: &Fault) -> Bytes {
    let error = json!({"type": "error", "error": {"type": fault.kind.as_str(), "message": fault.text}});
    Bytes::from(error.to_string())
}
