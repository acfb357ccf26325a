use a6_codec::sse::Event;
use serde_json::Value;

use crate::named::kind;
use crate::start::{Start, StartError};

/// What an event at the beginning is. Before the first text come the openings of the response, of its item and of the
/// item's part.
pub(super) fn start(event: &Event<'_>) -> Start {
    let Some(data) = event.data.as_deref() else { return Start::Scaffolding };
    let told = || serde_json::from_slice::<Value>(data).unwrap_or_default();
    match &*kind(event) {
        "response.created" | "response.in_progress" | "response.queued" | "keepalive" => Start::Scaffolding,
        "response.content_part.added" | "response.reasoning_summary_part.added" => Start::Scaffolding,
        "response.output_item.added" => match told()["item"]["type"].as_str() {
            Some("message" | "reasoning") => Start::Scaffolding,
            // A tool that is called has a name.
            _ => Start::Content,
        },
        "response.failed" => Start::Error(StartError::of(&told()["response"]["error"])),
        // The reference puts code and message at the top, the service within `error`.
        "error" => {
            let told = told();
            Start::Error(StartError::of(told.get("error").filter(|error| error.is_object()).unwrap_or(&told)))
        }
        _ => Start::Content,
    }
}
