use serde_json::Value;

/// The text that an event of a streamed answer adds, whichever protocol it is of: `choices[0].delta.content` of OpenAI
/// chat, `delta.text` of Anthropic Messages and Bedrock Converse, `delta` of OpenAI Responses.
pub fn event_text(event: &Value) -> Option<&str> {
    let delta = match event.get("delta") {
        None => return event.pointer("/choices/0/delta/content")?.as_str(),
        Some(delta) => delta,
    };
    match delta {
        // Other events have a text here too, such as a tool's arguments.
        Value::String(text) => (event["type"] == "response.output_text.delta").then_some(text.as_str()),
        delta => delta.get("text")?.as_str(),
    }
}

/// The text of a plain answer, whichever protocol it is of; none where it has none.
pub fn answer_text(answer: &Value) -> Option<String> {
    if let Some(choices) = answer.get("choices").and_then(Value::as_array) {
        let said = choices.iter().filter_map(|choice| choice.pointer("/message/content")?.as_str());
        let texts: Vec<&str> = said.collect();
        return (!texts.is_empty()).then(|| texts.join(" "));
    }
    // The parts of Anthropic Messages, of Bedrock Converse and of OpenAI Responses.
    let own = answer.get("content").or_else(|| answer.pointer("/output/message/content"));
    let items = answer.get("output").and_then(Value::as_array).into_iter().flatten();
    let lists = own.into_iter().chain(items.filter_map(|item| item.get("content")));
    let parts = lists.filter_map(Value::as_array).flatten();
    let texts: Vec<&str> = parts.filter_map(|part| part.get("text")?.as_str()).collect();
    (!texts.is_empty()).then(|| texts.join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_of_every_protocol() {
        let events = [
            (json!({"choices": [{"delta": {"content": "a"}}]}), Some("a")),
            (json!({"choices": [{"delta": {"content": null}}]}), None),
            (json!({"choices": []}), None),
            (json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}), Some("a")),
            (json!({"delta": {"partial_json": "{"}}), None),
            (json!({"type": "response.output_text.delta", "delta": "a"}), Some("a")),
            (json!({"type": "response.function_call_arguments.delta", "delta": "a"}), None),
            (json!({"contentBlockIndex": 0, "delta": {"text": "a"}}), Some("a")),
            (json!(7), None),
        ];
        for (event, expected) in events {
            assert_eq!(event_text(&event), expected, "{event}");
        }
        let answers = [
            (json!({"choices": [{"message": {"content": "a b"}}]}), Some("a b")),
            (json!({"choices": [{"message": {"content": null}}]}), None),
            (json!({"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}), Some("a b")),
            (json!({"content": [{"text": "a"}, {"type": "tool_use"}, {"text": "b"}]}), Some("a b")),
            (json!({"output": {"message": {"content": [{"text": "a b"}]}}}), Some("a b")),
            (json!({"output": [{"type": "reasoning"}, {"content": [{"text": "a b"}]}]}), Some("a b")),
            (json!({"error": {"message": "no"}}), None),
            (json!([]), None),
        ];
        for (answer, expected) in answers {
            assert_eq!(answer_text(&answer).as_deref(), expected, "{answer}");
        }
    }
}
