//! OpenAI Responses (`/v1/responses`).
//!
//! - `request.rs`: detection.
//! - `start.rs`: what stands before the first word of a streamed answer.
//! - `stream.rs`: the state machine of a streamed answer.
//! - this file: plain answers and usage. Errors are OpenAI's, see `openai_chat`.

mod request;
mod start;
mod stream;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use a6_codec::json::Document;
use serde::Deserialize;

use crate::Usage;
use crate::openai_chat;
use crate::usage::{Count, Details};
use crate::wire::{Wire, as_it_is, never_quick};

pub(crate) use stream::ResponseStream;

/// Its row.
pub(crate) static WIRE: Wire = Wire {
    name: "openai-responses",
    detects: request::detects,
    streams: true,
    describe: openai_chat::describe,
    prepare: as_it_is,
    usage,
    // Its metadata are the client's, and may have a member of that name.
    quick_usage: never_quick,
    calls_tool,
    start: start::start,
    error_body: openai_chat::error_body,
};

/// What a `usage` object says.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseUsage {
    input_tokens: Count,
    output_tokens: Count,
    total_tokens: Count,
    input_tokens_details: Details,
    output_tokens_details: Details,
}

impl From<ResponseUsage> for Usage {
    fn from(told: ResponseUsage) -> Self {
        Self {
            prompt: told.input_tokens.0,
            completion: told.output_tokens.0,
            total: told.total_tokens.0,
            cache_read: told.input_tokens_details.cached,
            reasoning: told.output_tokens_details.reasoning,
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
    serde_json::from_slice::<ResponseUsage>(raw).map(Usage::from).unwrap_or_default()
}

/// Whether a response calls a tool.
fn calls_tool(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Item<'a> {
        #[serde(borrow, rename = "type")]
        kind: Option<Cow<'a, str>>,
    }
    let Ok(document) = Document::scan(text) else { return false };
    let output = document.get(text, "output").map(serde_json::from_slice::<Vec<Item<'_>>>);
    matches!(output, Some(Ok(items)) if items.iter().any(|item| item.kind.as_deref() == Some("function_call")))
}
