use a6_codec::sse::Event;
use serde_json::Value;

use crate::named::kind;
use crate::start::{Start, StartError, is_empty_but};

/// What a frame at the beginning is. That of an exception has the name of its `:exception-type`, such as
/// `throttlingException`.
pub(super) fn start(event: &Event<'_>) -> Start {
    let data = event.data.as_deref().unwrap_or_default();
    let told = || serde_json::from_slice::<Value>(data).unwrap_or_default();
    match &*kind(event) {
        "messageStart" => Start::Scaffolding,
        "contentBlockStart" => match told()["start"].as_object() {
            // A tool that is called has a name.
            Some(start) if !is_empty_but(start, &[]) => Start::Content,
            _ => Start::Scaffolding,
        },
        name if name.ends_with("xception") => {
            Start::Error(StartError::named(name, told()["message"].as_str()))
        }
        _ => Start::Content,
    }
}
