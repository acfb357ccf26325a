use std::borrow::Cow;

use a6_codec::sse::Event;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The name of an event whose protocol repeats it as `type` in the data. Some servers leave one of the two out.
pub(crate) fn kind<'e>(event: &'e Event<'_>) -> Cow<'e, str> {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    if let Some(name) = event.name {
        return String::from_utf8_lossy(name);
    }
    let data = event.data.as_deref().unwrap_or_default();
    serde_json::from_slice::<Typed<'_>>(data).map(|typed| typed.kind).unwrap_or_default()
}

/// Whether an event's data has come whole: the last event of a stream may be cut and yet have its name.
pub(crate) fn is_json(data: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(data).is_ok()
}
