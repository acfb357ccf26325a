use a6_codec::json::Document;

use crate::wire::{Asked, Prepared, count_items};
use crate::{Description, Shaping};

/// A body with a list of `messages` at a path that ends in `/converse`.
pub(crate) fn detects(asked: &Asked<'_>) -> bool {
    asked.path.ends_with("/converse") && asked.begins("messages", b"[")
}

/// The tools that a request offers.
pub(crate) fn describe(document: &Document, text: &[u8]) -> Description {
    let tools = document.get(text, "toolConfig").and_then(|raw| Some((raw, Document::scan(raw).ok()?)));
    let tool_count = tools.map_or(0, |(raw, inner)| count_items(inner.get(raw, "tools")));
    Description { tool_count, end_user: None }
}

/// `stream` tells the gateway which path to ask; Bedrock refuses it in the body.
pub(crate) fn prepare(document: &Document, text: &[u8], _: &Shaping) -> Prepared {
    let removes = document.get(text, "stream").map(|_| "stream");
    Prepared { removes, ..Prepared::default() }
}
