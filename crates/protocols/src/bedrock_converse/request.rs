use a6_codec::json::{Document, Root};

use crate::wire::{Asked, Prepared, count_items};
use crate::{Description, Shaping};

/// A body with a list of `messages` at a path that ends in `/converse`. Lua's empty list and empty object are one.
pub(crate) fn detects(asked: &Asked<'_>) -> bool {
    let is_list = |raw: &[u8]| match Document::scan(raw).map(|messages| messages.root) {
        Ok(Root::Array { .. }) => true,
        Ok(Root::Object) => {
            raw.trim_ascii_end().strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii() == b"}")
        }
        _ => false,
    };
    asked.path.ends_with("/converse") && asked.document.get(asked.text, "messages").is_some_and(is_list)
}

/// The tools that a request offers.
pub(crate) fn describe(document: &Document, text: &[u8]) -> Description {
    let tools = document.get(text, "toolConfig").and_then(|raw| Some((raw, Document::scan(raw).ok()?)));
    let tool_count = tools.map_or(0, |(raw, inner)| count_items(inner.get(raw, "tools")));
    Description { tool_count, end_user: None }
}

/// `stream` tells the gateway which path to ask; Bedrock refuses it in the body.
pub(crate) fn prepare(document: &Document, text: &[u8], shaping: &Shaping) -> Prepared {
    let is_there = document.get(text, "stream").is_some() || shaping.option("stream").is_some();
    Prepared { removes: is_there.then_some("stream"), ..Prepared::default() }
}
