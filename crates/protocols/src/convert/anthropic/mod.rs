//! Anthropic Messages.
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

fn stop_reason(word: Text<'_>) -> StopReason {
    match word.0 {
        "max_tokens" | "model_context_window_exceeded" => StopReason::Length,
        "stop_sequence" => StopReason::StopSequence,
        "tool_use" => StopReason::ToolUse,
        "refusal" => StopReason::Refusal,
        _ => StopReason::End,
    }
}

fn stop_word(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Length => "max_tokens",
        StopReason::StopSequence => "stop_sequence",
        StopReason::ToolUse => "tool_use",
        StopReason::Refusal => "refusal",
        // OpenAI's filter cuts an answer; what came is not a refusal of the model's. APISIX says the same.
        StopReason::End | StopReason::Filtered => "end_turn",
    }
}

fn usage(told: &Members<'_>) -> Usage {
    Usage {
        prompt: told.number("input_tokens"),
        completion: told.number("output_tokens"),
        cache_read: told.number("cache_read_input_tokens"),
        cache_creation: told.number("cache_creation_input_tokens"),
        ..Usage::default()
    }
    .summed()
}

/// Anthropic's SDKs cannot do without both numbers: what is unknown is 0 here, and unknown in the record.
fn put_usage(out: &mut Vec<u8>, tokens: Tokens) {
    let mut usage = Object::begin(out);
    usage.number("input_tokens", tokens.input.unwrap_or(0));
    usage.number("output_tokens", tokens.output.unwrap_or(0));
    if let Some(read) = tokens.cache_read.filter(|read| *read > 0) {
        usage.number("cache_read_input_tokens", read);
    }
    if let Some(created) = tokens.cache_creation {
        usage.number("cache_creation_input_tokens", created);
    }
    usage.end();
}
