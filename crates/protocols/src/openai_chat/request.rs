use std::borrow::Cow;

use a6_codec::json::{Document, Edit, Root, splice};

use crate::wire::{Asked, Prepared, count_items};
use crate::{Description, Shaping};

/// A body with `messages` that is an array or an object; not what Anthropic's clients ask about messages, such as how many
/// tokens they have: nobody wants to pay for an answer then.
pub(crate) fn detects(asked: &Asked<'_>) -> bool {
    asked.begins("messages", b"[{") && !asked.path.contains("/v1/messages/")
}

/// The tools that a request offers and the user it names.
pub(crate) fn describe(document: &Document, text: &[u8]) -> Description {
    let end_user = document.get_str(text, "safety_identifier").or_else(|| document.get_str(text, "user"));
    Description {
        tool_count: count_items(document.get(text, "tools")),
        end_user: end_user.map(Cow::into_owned),
    }
}

/// A stream tells its usage only when asked with `stream_options.include_usage`. The client's other stream options stay.
pub(crate) fn prepare(document: &Document, text: &[u8], shaping: &Shaping) -> Prepared {
    // Some servers take `1` or `"true"` for an answer.
    let stream = shaping.option("stream").or_else(|| document.get(text, "stream"));
    let streams = stream.is_some_and(|raw| raw != b"false" && raw != b"null");
    if shaping.option("stream_options").is_some() {
        return Prepared::default();
    }
    if !streams {
        // Turned off by the route: providers refuse the options of a stream that is none.
        let are_stale = shaping.option("stream").is_some() && document.get(text, "stream_options").is_some();
        return Prepared { removes: are_stale.then_some("stream_options"), ..Prepared::default() };
    }
    let present = document.get(text, "stream_options");
    let inner = present
        .and_then(|raw| Document::scan(raw).ok().map(|inner| (raw, inner)))
        .filter(|(_, inner)| inner.root == Root::Object);
    let Some((raw, inner)) = inner else {
        let asked = br#"{"include_usage":true}"#.to_vec();
        return Prepared { stream_options: Some(asked), hides_usage: true, ..Prepared::default() };
    };
    if inner.is_true(raw, "include_usage") {
        return Prepared::default();
    }
    let asked = splice(raw, &inner, &[Edit::Set("include_usage", Cow::Borrowed(b"true"))]);
    Prepared { stream_options: Some(asked), hides_usage: true, ..Prepared::default() }
}
