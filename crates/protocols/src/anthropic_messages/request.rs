use std::borrow::Cow;

use a6_codec::json::{Document, Root};

use crate::Description;
use crate::wire::{Asked, count_items};

/// Any object or list at a path that ends in `/v1/messages`.
pub(crate) fn detects(asked: &Asked<'_>) -> bool {
    asked.path.ends_with("/v1/messages") && asked.document.root != Root::Scalar
}

/// The tools that a request offers and the user it names.
pub(crate) fn describe(document: &Document, text: &[u8]) -> Description {
    let metadata = document.get(text, "metadata").and_then(|raw| Some((raw, Document::scan(raw).ok()?)));
    let end_user = metadata.and_then(|(raw, inner)| inner.get_str(raw, "user_id").map(Cow::into_owned));
    Description { tool_count: count_items(document.get(text, "tools")), end_user }
}
