use std::borrow::Cow;

use a6_codec::json::{Document, Edit, Root, splice};

use crate::{Description, Shaping};

/// A body with `messages` that is an array or an object.
pub(crate) fn detects(document: &Document, text: &[u8]) -> bool {
    document.get(text, "messages").is_some_and(|raw| matches!(raw.first(), Some(b'[' | b'{')))
}

/// The tools that a request offers and the user it names.
pub(crate) fn describe(document: &Document, text: &[u8]) -> Description {
    let tools = document.get(text, "tools").and_then(|raw| Document::scan(raw).ok());
    let tool_count = match tools.map(|tools| tools.root) {
        Some(Root::Array { items }) => u32::try_from(items).unwrap_or(u32::MAX),
        _ => 0,
    };
    let end_user = document.get_str(text, "safety_identifier").or_else(|| document.get_str(text, "user"));
    Description { tool_count, end_user: end_user.map(Cow::into_owned) }
}

/// What has to be changed in a request so that its answer can be accounted for.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// The new `stream_options`, if it has to change.
    pub(crate) stream_options: Option<Vec<u8>>,
    /// Whether the client did not ask for the usage event that will come.
    pub(crate) hides_usage: bool,
}

/// A stream tells its usage only when asked with `stream_options.include_usage`. The client's other stream options stay.
pub(crate) fn prepare(document: &Document, text: &[u8], shaping: &Shaping) -> Prepared {
    let streams = match shaping.option("stream") {
        Some(raw) => raw == b"true",
        None => document.is_true(text, "stream"),
    };
    if !streams || shaping.option("stream_options").is_some() {
        return Prepared::default();
    }
    let present = document.get(text, "stream_options");
    let inner = present
        .and_then(|raw| Document::scan(raw).ok().map(|inner| (raw, inner)))
        .filter(|(_, inner)| inner.root == Root::Object);
    let Some((raw, inner)) = inner else {
        return Prepared { stream_options: Some(br#"{"include_usage":true}"#.to_vec()), hides_usage: true };
    };
    if inner.is_true(raw, "include_usage") {
        return Prepared::default();
    }
    let asked = splice(raw, &inner, &[Edit::Set("include_usage", Cow::Borrowed(b"true"))]);
    Prepared { stream_options: Some(asked), hides_usage: true }
}
