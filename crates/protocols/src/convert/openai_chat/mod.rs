//! OpenAI chat completions.
//!
//! - `read_request.rs`, `write_request.rs`: requests.
//! - `reply.rs`: plain replies, both ways.
//! - `stream.rs`: streamed replies, both ways.
//! - this file: the words and objects that both have.

mod read_request;
mod reply;
mod stream;
mod write_request;

pub(super) use read_request::read as read_request;
pub(super) use reply::{read as read_reply, write as write_reply};
pub(super) use stream::{Reader, Writer};
pub(super) use write_request::write as write_request;

use super::json::{Members, Object, Text};
use super::model::{StopReason, Tokens};
use crate::Usage;

/// A finish reason; none where it is empty, as some providers have it in every chunk.
fn stop_reason(word: Text<'_>) -> Option<StopReason> {
    match word.0.trim() {
        "" | "null" => None,
        "length" => Some(StopReason::Length),
        "tool_calls" | "function_call" => Some(StopReason::ToolUse),
        "content_filter" => Some(StopReason::Filtered),
        _ => Some(StopReason::End),
    }
}

fn stop_word(reason: StopReason) -> &'static str {
    match reason {
        StopReason::End | StopReason::StopSequence => "stop",
        StopReason::Length => "length",
        StopReason::ToolUse => "tool_calls",
        StopReason::Refusal | StopReason::Filtered => "content_filter",
    }
}

fn usage(told: &Members<'_>) -> Usage {
    let prompt = told.object("prompt_tokens_details");
    let completion = told.object("completion_tokens_details");
    let cached = prompt.as_ref().and_then(|details| details.number("cached_tokens"));
    Usage {
        prompt: told.number("prompt_tokens"),
        completion: told.number("completion_tokens"),
        total: told.number("total_tokens"),
        cache_read: cached.or_else(|| told.number("prompt_cache_hit_tokens")),
        cache_creation: prompt.and_then(|details| details.number("cache_creation_input_tokens")),
        reasoning: completion.and_then(|details| details.number("reasoning_tokens")),
    }
    .summed()
}

/// OpenAI counts cached tokens among the prompt's, the others beside them.
fn tokens(usage: Usage) -> Tokens {
    let input = usage.prompt.map(|all| all.saturating_sub(usage.cache_read.unwrap_or(0)));
    Tokens { input, ..Tokens::of(usage) }
}

fn put_usage(out: &mut Vec<u8>, tokens: Tokens) {
    let cached = tokens.cache_read.unwrap_or(0).saturating_add(tokens.cache_creation.unwrap_or(0));
    let prompt = tokens.input.unwrap_or(0).saturating_add(cached);
    let completion = tokens.output.unwrap_or(0);
    let mut usage = Object::begin(out);
    usage.number("prompt_tokens", prompt);
    usage.number("completion_tokens", completion);
    usage.number("total_tokens", prompt.saturating_add(completion));
    if tokens.cache_read.is_some() || tokens.cache_creation.is_some() {
        let mut details = Object::begin(usage.key("prompt_tokens_details"));
        details.number("cached_tokens", tokens.cache_read.unwrap_or(0));
        if let Some(created) = tokens.cache_creation {
            details.number("cache_creation_input_tokens", created);
        }
        details.end();
    }
    if let Some(reasoning) = tokens.reasoning {
        let mut details = Object::begin(usage.key("completion_tokens_details"));
        details.number("reasoning_tokens", reasoning);
        details.end();
    }
    usage.end();
}
