use a6_codec::json::{Document, Root};

use crate::wire::{Asked, Prepared, count_items};
use crate::{Description, Shaping};

/// How the path ends at which AWS's own SDKs ask for a stream.
const STREAM: &str = "/converse-stream";
const PLAIN: &str = "/converse";

/// A body with a list of `messages` at a path that ends in `/converse`, or in `/converse-stream` as AWS's SDKs ask. Lua's
/// empty list and empty object are one.
pub(crate) fn detects(asked: &Asked<'_>) -> bool {
    let is_list = |raw: &[u8]| match Document::scan(raw).map(|messages| messages.root) {
        Ok(Root::Array { .. }) => true,
        Ok(Root::Object) => {
            raw.trim_ascii_end().strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii() == b"}")
        }
        _ => false,
    };
    let is_here = asked.path.ends_with(PLAIN) || asked.path.ends_with(STREAM);
    is_here && asked.document.get(asked.text, "messages").is_some_and(is_list)
}

/// Whether the path asks for a stream.
pub(crate) fn streams_at(path: &str) -> bool {
    path.ends_with(STREAM)
}

/// The model that the path names, as AWS's SDKs do: `/model/«model»/converse`.
pub(crate) fn model_at(path: &str) -> Option<&str> {
    let (_, behind) = path.split_once("/model/")?;
    let model = behind.strip_suffix(PLAIN).or_else(|| behind.strip_suffix(STREAM))?;
    (!model.is_empty()).then_some(model)
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
