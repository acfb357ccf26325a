//! Amazon Bedrock Converse, of which nobody but a provider is spoken to.
//!
//! - `write_request.rs`: requests.
//! - `stream.rs`: streamed replies.
//! - this file: plain replies.

mod stream;
mod write_request;

pub(super) use stream::Reader;
pub(super) use write_request::write as write_request;

use super::dropped::Dropped;
use super::errors;
use super::json::{Members, Text};
use super::model::{Arguments, Part, Reply, StopReason, Tokens, Unread};
use crate::Usage;

fn stop_reason(word: Text<'_>) -> StopReason {
    match word.0 {
        "max_tokens" | "model_context_window_exceeded" => StopReason::Length,
        "stop_sequence" => StopReason::StopSequence,
        "tool_use" => StopReason::ToolUse,
        "guardrail_intervened" | "content_filtered" => StopReason::Filtered,
        _ => StopReason::End,
    }
}

fn usage(told: &Members<'_>) -> Usage {
    Usage {
        prompt: told.number("inputTokens"),
        completion: told.number("outputTokens"),
        total: told.number("totalTokens"),
        cache_read: told.number("cacheReadInputTokens"),
        cache_creation: told.number("cacheWriteInputTokens"),
        reasoning: None,
    }
    .summed()
}

/// Reads a reply.
pub(super) fn read_reply<'a>(body: &Members<'a>, dropped: &mut Dropped) -> Result<Reply<'a>, Unread<'a>> {
    let Some(message) = body.object("output").and_then(|output| output.object("message")) else {
        let is_error = body.text("message").or_else(|| body.text("Message")).is_some();
        return Err(match is_error {
            true => Unread::Error(errors::of(body)),
            false => Unread::Invalid("no output in response"),
        });
    };
    let mut parts = Vec::new();
    for raw in message.items("content") {
        let block = raw.members();
        match block.as_ref().and_then(part) {
            Some(part) => parts.push(part),
            None => {
                let kind = block.as_ref().and_then(|block| block.iter().next().map(|(kind, _)| kind));
                dropped.inner("content", kind.unwrap_or("block"));
            }
        }
    }
    let told = body.object("usage").as_ref().map(usage).unwrap_or_default();
    Ok(Reply {
        id: None,
        model: None,
        parts,
        stop: body.text("stopReason").map(stop_reason),
        tokens: Tokens::of(told),
        usage: told,
    })
}

fn part<'a>(block: &Members<'a>) -> Option<Part<'a>> {
    if let Some(text) = block.text("text") {
        return Some(Part::Text(text));
    }
    if let Some(call) = block.object("toolUse") {
        return Some(Part::ToolCall {
            id: call.text("toolUseId")?,
            name: call.text("name")?,
            arguments: call.get("input").map_or(Arguments::Encoded(Text("{}")), Arguments::Object),
        });
    }
    let reasoning = block.object("reasoningContent")?.object("reasoningText")?;
    reasoning.text("text").map(Part::Thinking)
}
