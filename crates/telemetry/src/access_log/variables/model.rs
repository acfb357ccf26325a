use super::{Render, Source, number, text};
use crate::access_log::encode;

/// The variables of a language model's answer, with APISIX's defaults for requests that go to none.
pub(super) static VARIABLES: &[(&str, Render)] = &[
    ("request_type", |source, out| text(out, request_type(source))),
    ("request_llm_model", |source, out| {
        text(out, source.record.request_model.as_deref().unwrap_or_default())
    }),
    ("llm_model", |source, out| text(out, source.record.model.as_deref().unwrap_or_default())),
    ("llm_time_to_first_token", |source, out| number(out, source.record.ttft.map_or(0, encode::millis))),
    ("llm_prompt_tokens", |source, out| tokens(source, out, source.record.usage.prompt)),
    ("llm_completion_tokens", |source, out| tokens(source, out, source.record.usage.completion)),
    ("llm_total_tokens", |source, out| tokens(source, out, source.record.usage.total)),
    ("llm_cache_read_input_tokens", |source, out| tokens(source, out, source.record.usage.cache_read)),
    ("llm_cache_creation_input_tokens", |source, out| {
        tokens(source, out, source.record.usage.cache_creation)
    }),
    ("llm_reasoning_tokens", |source, out| tokens(source, out, source.record.usage.reasoning)),
    ("llm_stream", |source, out| text(out, flag(request_type(source) == "ai_stream"))),
    ("llm_has_tool_calls", |source, out| text(out, flag(source.record.has_tool_calls))),
    ("llm_tool_count", |source, out| number(out, source.record.tool_count.into())),
    ("llm_end_user_id", |source, out| text(out, source.record.end_user.as_deref().unwrap_or_default())),
];

fn request_type(source: &Source<'_>) -> &'static str {
    match (source.record.protocol, source.record.stream) {
        (None, _) => "traditional_http",
        (Some(_), false) => "ai_chat",
        (Some(_), true) => "ai_stream",
    }
}

fn flag(is_set: bool) -> &'static str {
    if is_set { "true" } else { "false" }
}

/// A count of tokens: 0 where no model answered, and absent where one did and did not tell. APISIX prints 0 there too, so
/// that whoever adds up his log misses what he will be billed for.
fn tokens(source: &Source<'_>, out: &mut Vec<u8>, count: Option<u64>) -> Option<()> {
    let record = source.record;
    let last = record.attempts.last().and_then(|attempt| attempt.status);
    let has_answer = record.protocol.is_some() && last.is_some_and(|status| status.is_success());
    if has_answer && !record.usage.is_known() {
        return None;
    }
    number(out, count.unwrap_or(0))
}
