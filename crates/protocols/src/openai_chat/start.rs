use a6_codec::sse::Event;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::start::{Start, StartError, is_empty_but};

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    finish_reason: Option<Value>,
    #[serde(default)]
    delta: Option<Map<String, Value>>,
    /// What completions have in place of a delta.
    #[serde(default)]
    text: Option<String>,
}

impl Choice {
    /// It names the role at most.
    fn is_scaffolding(&self) -> bool {
        self.finish_reason.is_none()
            && self.text.as_ref().is_none_or(String::is_empty)
            && self.delta.as_ref().is_none_or(|delta| is_empty_but(delta, &["role"]))
    }
}

/// What an event at the beginning is. The first chunk names the role, and Azure sends one without choices before it.
pub(super) fn start(event: &Event<'_>) -> Start {
    let data = event.data.as_deref().unwrap_or_default().trim_ascii();
    if data.is_empty() {
        return Start::Scaffolding;
    }
    // `[DONE]` is no JSON either.
    let Ok(chunk) = serde_json::from_slice::<Chunk>(data) else { return Start::Content };
    if let Some(error) = &chunk.error {
        return Start::Error(StartError::of(error));
    }
    match chunk.choices {
        Some(choices) if choices.is_empty() && chunk.usage.is_none() => Start::Scaffolding,
        Some(choices) if !choices.is_empty() && choices.iter().all(Choice::is_scaffolding) => {
            Start::Scaffolding
        }
        _ => Start::Content,
    }
}
