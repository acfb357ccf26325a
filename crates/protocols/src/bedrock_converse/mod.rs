//! Amazon Bedrock Converse (`/model/«model»/converse`).
//!
//! - `request.rs`: detection, and what a request says.
//! - `start.rs`: what stands before the first word of a streamed answer.
//! - `stream.rs`: the state machine of a streamed answer, fed with the frames of an AWS event stream.
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
use serde::de::IgnoredAny;
use serde_json::json;

use crate::Usage;
use crate::usage::Count;
use crate::wire::{Wire, never_quick};

pub(crate) use request::{model_at, streams_at};
pub(crate) use stream::ConverseStream;

/// Its row.
pub(crate) static WIRE: Wire = Wire {
    name: "bedrock-converse",
    detects: request::detects,
    streams: true,
    describe: request::describe,
    prepare: request::prepare,
    usage,
    // The arguments of a tool call are JSON, and may have a member of that name.
    quick_usage: never_quick,
    calls_tool,
    start: start::start,
    error_body,
};

/// What a `usage` object says.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConverseUsage {
    input_tokens: Count,
    output_tokens: Count,
    total_tokens: Count,
    cache_read_input_tokens: Count,
    cache_write_input_tokens: Count,
}

impl From<ConverseUsage> for Usage {
    fn from(told: ConverseUsage) -> Self {
        Self {
            prompt: told.input_tokens.0,
            completion: told.output_tokens.0,
            total: told.total_tokens.0,
            cache_read: told.cache_read_input_tokens.0,
            cache_creation: told.cache_write_input_tokens.0,
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
    serde_json::from_slice::<ConverseUsage>(raw).map(Usage::from).unwrap_or_default()
}

fn calls_tool(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Output {
        message: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        content: Vec<Block>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Block {
        tool_use: Option<IgnoredAny>,
    }
    let Ok(document) = Document::scan(text) else { return false };
    let output = document.get(text, "output").map(serde_json::from_slice::<Output>);
    matches!(output, Some(Ok(output)) if output.message.content.iter().any(|block| block.tool_use.is_some()))
}

/// The error body of Bedrock's runtime, whose SDKs read `message`.
fn error_body(fault: &Fault) -> Bytes {
    Bytes::from(json!({"message": fault.text, "type": fault.kind.as_str()}).to_string())
}
