use std::time::Duration;

use a6_snapshot::Record;
use serde_json::{Map, Value, json};

/// What the entry of a request in a logger has beside its own members, where the route's `logging` asks for it:
/// `llm_summary`, `llm_request` and `llm_response_text`. It is added whatever the logger's format.
pub fn model_entry(record: &Record) -> Map<String, Value> {
    let members = [
        ("llm_summary", summary(record)),
        ("llm_request", request(record)),
        ("llm_response_text", response_text(record)),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))).collect()
}

/// `logging.summaries`: the LLM variables in one object. A count that nobody told is left out where a model answered,
/// and 0 where none did.
pub(crate) fn summary(record: &Record) -> Option<Value> {
    record.model_log.as_ref().filter(|log| log.summary)?;
    let usage = record.usage;
    let count = |count: Option<u64>| match count {
        Some(count) => Some(Value::from(count)),
        None if record.lacks_usage() => None,
        None => Some(Value::from(0)),
    };
    let last = record.attempts.last().and_then(|attempt| attempt.duration);
    let flag = |is_set: bool| Value::from(if is_set { "true" } else { "false" });
    let members = [
        ("request_model", Some(json!(record.request_model.as_deref().unwrap_or_default()))),
        ("model", Some(json!(record.model.as_deref().unwrap_or_default()))),
        ("duration", Some(millis(record.ttft))),
        ("prompt_tokens", count(usage.prompt)),
        ("completion_tokens", count(usage.completion)),
        ("total_tokens", count(usage.total)),
        ("cache_read_input_tokens", count(usage.cache_read)),
        ("cache_creation_input_tokens", count(usage.cache_creation)),
        ("reasoning_tokens", count(usage.reasoning)),
        ("upstream_response_time", Some(millis(last))),
        ("stream", Some(flag(record.stream))),
        ("tool_count", Some(json!(record.tool_count))),
        ("has_tool_calls", Some(flag(record.has_tool_calls))),
        ("end_user_id", Some(json!(record.end_user.as_deref().unwrap_or_default()))),
        ("content_risk_level", Some(json!(""))),
    ];
    Some(members.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))).collect())
}

/// `logging.payloads`: what was asked.
pub(crate) fn request(record: &Record) -> Option<Value> {
    let payload = record.model_log.as_ref()?.payload.as_ref()?;
    let mut members = Map::new();
    if let Some(messages) = &payload.messages {
        members.insert("messages".to_string(), messages.clone());
    }
    members.insert("stream".to_string(), Value::from(record.stream));
    Some(Value::Object(members))
}

/// `logging.payloads`: what was said.
pub(crate) fn response_text(record: &Record) -> Option<Value> {
    let payload = record.model_log.as_ref()?.payload.as_ref()?;
    Some(json!({"content": payload.response}))
}

fn millis(duration: Option<Duration>) -> Value {
    Value::from(duration.map_or(0, |duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use a6_snapshot::{ModelLog, Payload};
    use http::Method;

    use super::*;

    #[test]
    fn only_what_was_asked_for_is_told() {
        let mut record = Record::begin(Method::POST, 0);
        record.protocol = Some(a6_protocols::Protocol::OpenaiChat);
        record.set_model(Some("gpt-a"));
        record.usage.prompt = Some(5);
        record.usage.cache_creation = Some(7);
        assert!(model_entry(&record).is_empty());

        record.model_log = Some(Box::new(ModelLog { summary: true, payload: None }));
        let entry = model_entry(&record);
        assert_eq!(entry.keys().collect::<Vec<_>>(), ["llm_summary"]);
        let summary = &entry["llm_summary"];
        assert_eq!(summary["model"], "gpt-a");
        assert_eq!((&summary["prompt_tokens"], &summary["reasoning_tokens"]), (&json!(5), &json!(0)));
        assert_eq!(summary["cache_creation_input_tokens"], 7);
        assert_eq!((&summary["stream"], &summary["duration"]), (&json!("false"), &json!(0)));

        let mut payload = Payload::of(Some(br#"["hi"]"#));
        payload.hear("ho");
        record.model_log = Some(Box::new(ModelLog { summary: false, payload: Some(payload) }));
        let expected = json!({
            "llm_request": {"messages": ["hi"], "stream": false},
            "llm_response_text": {"content": "ho"},
        });
        assert_eq!(Value::Object(model_entry(&record)), expected);
    }
}
