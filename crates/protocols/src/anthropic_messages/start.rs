use a6_codec::sse::Event;
use serde_json::Value;

use crate::named::kind;
use crate::start::{Start, StartError, is_empty_but};

/// What an event at the beginning is. Before the first text come the message's and the block's openings, and pings.
pub(super) fn start(event: &Event<'_>) -> Start {
    let Some(data) = event.data.as_deref() else { return Start::Scaffolding };
    let member = |name: &str| match serde_json::from_slice::<Value>(data) {
        Ok(mut told) => told.get_mut(name).map(Value::take),
        Err(_) => None,
    };
    let is_scaffolding = match &*kind(event) {
        "message_start" | "ping" => true,
        // A tool has a name, so that its block is the model's word.
        "content_block_start" => says_nothing(member("content_block")),
        "content_block_delta" => says_nothing(member("delta")),
        "error" => {
            return Start::Error(member("error").as_ref().map(StartError::of).unwrap_or_default());
        }
        _ => false,
    };
    if is_scaffolding { Start::Scaffolding } else { Start::Content }
}

/// Whether a block or a piece of one has a type and nothing else.
fn says_nothing(told: Option<Value>) -> bool {
    matches!(told, Some(Value::Object(members)) if is_empty_but(&members, &["type"]))
}
