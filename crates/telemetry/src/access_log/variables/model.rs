use super::{Render, Source, number, text};
use crate::access_log::encode;
use crate::model_log;

/// The variables of a language model's answer, with APISIX's defaults for requests that go to none.
pub(super) static VARIABLES: &[(&str, Render)] = &[
    ("request_type", |source, out| text(out, source.record.request_type())),
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
    ("llm_stream", |source, out| text(out, flag(source.record.request_type() == "ai_stream"))),
    ("llm_has_tool_calls", |source, out| text(out, flag(source.record.has_tool_calls))),
    ("llm_tool_count", |source, out| number(out, source.record.tool_count.into())),
    ("llm_end_user_id", |source, out| text(out, source.record.end_user.as_deref().unwrap_or_default())),
    // No plugin of ours judges contents yet.
    ("llm_content_risk_level", |_, out| text(out, "")),
    ("a6_dropped", |source, out| text(out, &source.record.dropped.as_deref()?.join(","))),
    ("llm_summary", |source, out| told(out, model_log::summary(source.record)?)),
    ("llm_request", |source, out| told(out, model_log::request(source.record)?)),
    ("llm_response_text", |source, out| told(out, model_log::response_text(source.record)?)),
];

/// JSON as a field of a line.
fn told(out: &mut Vec<u8>, value: serde_json::Value) -> Option<()> {
    text(out, &value.to_string())
}

fn flag(is_set: bool) -> &'static str {
    if is_set { "true" } else { "false" }
}

/// A count of tokens: 0 where no model answered, and absent where one did and did not tell. APISIX prints 0 there too, so
/// that whoever adds up his log misses what he will be billed for.
fn tokens(source: &Source<'_>, out: &mut Vec<u8>, count: Option<u64>) -> Option<()> {
    if source.record.lacks_usage() { None } else { number(out, count.unwrap_or(0)) }
}
