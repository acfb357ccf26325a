//! OpenAI embeddings (`/v1/embeddings`). They have no stream.
//!
//! - this file: detection and plain answers. Errors are OpenAI's, see `openai_chat`.

#[cfg(test)]
mod tests;

use a6_codec::json::Document;

use crate::openai_chat::{error_body, told_usage};
use crate::passthrough::takes_bytes;
use crate::start::unknown;
use crate::wire::{Asked, Wire, as_it_is, never_quick};
use crate::{Description, Usage};

/// Its row.
pub(crate) static WIRE: Wire = Wire {
    name: "openai-embeddings",
    detects,
    streams: false,
    describe: |_, _| Description::default(),
    prepare: as_it_is,
    usage,
    quick_usage: never_quick,
    calls_tool: |_| false,
    start: unknown,
    error_body,
};

/// A body with `input`, whatever its value. What is to be spoken has one too.
fn detects(asked: &Asked<'_>) -> bool {
    asked.has("input") && !takes_bytes(asked.path)
}

/// There is no completion, so that its tokens are known to be none.
fn usage(document: &Document, text: &[u8]) -> Usage {
    let usage = document.get(text, "usage").map(told_usage).unwrap_or_default();
    Usage { completion: usage.completion.or(usage.is_known().then_some(0)), ..usage }
}
