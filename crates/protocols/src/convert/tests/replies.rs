use serde_json::{Value, json};

use super::ENVELOPE;
use crate::convert::{Conversion, Recall, Unreadable};

fn reply(conversion: Conversion, recall: &Recall, text: &str) -> Result<(Value, Vec<String>), Unreadable> {
    let reply = conversion.reply(recall, &ENVELOPE, text.as_bytes())?;
    Ok((serde_json::from_slice(&reply.body).unwrap(), reply.dropped))
}

#[test]
fn an_error_in_a_list_is_an_error() {
    let body = br#"[{"error":{"code":400,"message":"bad key","status":"INVALID_ARGUMENT"}}]"#;
    let told: Value = serde_json::from_slice(&Conversion::MessagesToChat.error(400, body)).unwrap();
    let error = json!({"type": "invalid_request_error", "message": "bad key"});
    assert_eq!(told, json!({"type": "error", "error": error}));
}

#[test]
fn openais_replies_reach_anthropics_clients() {
    let converted = |message: Value, finish: Value, usage: Value| {
        let choice = json!({"index": 0, "message": message, "finish_reason": finish});
        let text = json!({"id": "c", "model": "told", "choices": [choice], "usage": usage}).to_string();
        let recall = Recall { names: vec![("sent".into(), "own".into())], ..Recall::default() };
        reply(Conversion::MessagesToChat, &recall, &text).unwrap().0
    };
    let expected = |content: Value, stop: &str, usage: Value| {
        json!({"id": "c", "type": "message", "role": "assistant", "model": "asked", "content": content,
            "stop_reason": stop, "usage": usage})
    };
    let text = |text: &str| json!([{"type": "text", "text": text}]);
    let zeros = json!({"input_tokens": 0, "output_tokens": 0});
    let call = |name: &str, arguments: &str| {
        json!({"content": null, "tool_calls": [{"id": "t", "type": "function",
            "function": {"name": name, "arguments": arguments}}]})
    };
    let tool =
        |name: &str, input: Value| json!([{"type": "tool_use", "id": "t", "name": name, "input": input}]);
    let cases = [
        (json!({"content": "hi"}), "stop", text("hi"), "end_turn"),
        (json!({"content": "hi"}), "length", text("hi"), "max_tokens"),
        (json!({"content": "hi"}), "content_filter", text("hi"), "end_turn"),
        (json!({"content": "hi"}), "new", text("hi"), "end_turn"),
        (json!({"content": null}), "stop", text(""), "end_turn"),
        (json!({}), "stop", text(""), "end_turn"),
        (json!({"content": [{"type": "text", "text": "a"}]}), "stop", text("a"), "end_turn"),
        (json!({"content": null, "refusal": "no"}), "stop", text("no"), "refusal"),
        (call("w", "{\"a\":\"\\n\"}"), "tool_calls", tool("w", json!({"a": "\n"})), "tool_use"),
        (call("sent", ""), "tool_calls", tool("own", json!({})), "tool_use"),
        (call("w", "not json"), "tool_calls", tool("w", json!({})), "tool_use"),
        (call("w", "[1]"), "tool_calls", tool("w", json!({})), "tool_use"),
        (
            json!({"reasoning": "hmm", "content": "a"}),
            "stop",
            json!([{"type": "thinking", "thinking": "hmm", "signature": ""}, {"type": "text", "text": "a"}]),
            "end_turn",
        ),
    ];
    for (message, finish, content, stop) in cases {
        let reply = converted(message.clone(), json!(finish), Value::Null);
        assert_eq!(reply, expected(content, stop, zeros.clone()), "{message}");
    }
    let told = json!({"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details":
        {"cached_tokens": 30, "cache_creation_input_tokens": 4}});
    let counted = json!({"input_tokens": 70, "output_tokens": 20, "cache_read_input_tokens": 30,
        "cache_creation_input_tokens": 4});
    let with_usage = converted(json!({"content": "hi"}), Value::Null, told);
    assert_eq!(with_usage, expected(text("hi"), "end_turn", counted));
}

#[test]
fn anthropics_replies_reach_openais_clients() {
    let converted = |content: Value, stop: &str, usage: Value| {
        let text = json!({"id": "msg", "type": "message", "model": "told", "content": content,
            "stop_reason": stop, "usage": usage})
        .to_string();
        reply(Conversion::ChatToMessages, &Recall::default(), &text).unwrap()
    };
    let expected = |message: Value, finish: &str| {
        json!({"id": "msg", "object": "chat.completion", "created": 1700, "model": "asked",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}})
    };
    let usage = json!({"input_tokens": 10, "output_tokens": 4});
    let hi = json!([{"type": "text", "text": "hi"}]);
    let said = json!({"role": "assistant", "content": "hi"});
    for (stop, finish) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
    ] {
        let (body, dropped) = converted(hi.clone(), stop, usage.clone());
        assert_eq!((body, dropped), (expected(said.clone(), finish), Vec::new()), "{stop}");
    }
    let blocks = json!([{"type": "thinking", "thinking": "hmm", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "a", "citations": [{}]}, {"type": "text", "text": "b"},
        {"type": "tool_use", "id": "t", "name": "w", "input": {"a": 1}}]);
    let (body, dropped) = converted(blocks, "tool_use", usage);
    let message = json!({"role": "assistant", "content": "ab", "reasoning_content": "hmm", "tool_calls":
        [{"id": "t", "type": "function", "function": {"name": "w", "arguments": "{\"a\":1}"}}]});
    assert_eq!(body, expected(message, "tool_calls"));
    assert_eq!(dropped, ["content.redacted_thinking", "content.citations"]);
    let silent = converted(hi, "end_turn", Value::Null).0;
    assert_eq!(silent.get("usage"), None, "unknown is not zero");
}

#[test]
fn bedrocks_replies_reach_openais_clients() {
    let text = json!({"output": {"message": {"role": "assistant", "content": [{"text": "hi"}, {"video": {}}]}},
        "stopReason": "guardrail_intervened",
        "usage": {"inputTokens": 10, "outputTokens": 4, "totalTokens": 20, "cacheReadInputTokens": 6}});
    let (body, dropped) = reply(Conversion::ChatToConverse, &Recall::default(), &text.to_string()).unwrap();
    assert_eq!(
        body,
        json!({"id": "req-1", "object": "chat.completion", "created": 1700, "model": "asked",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"},
                "finish_reason": "content_filter"}],
            "usage": {"prompt_tokens": 16, "completion_tokens": 4, "total_tokens": 20,
                "prompt_tokens_details": {"cached_tokens": 6}}})
    );
    assert_eq!(dropped, ["content.video"]);
}

#[test]
fn errors_come_in_the_clients_protocol() {
    let cases = [
        (429, r#"{"error":{"message":"m","type":"t","code":"c"}}"#, "t", "m"),
        (400, r#"{"error":{"message":"m","code":"c"}}"#, "c", "m"),
        (200, r#"{"error":"plain boom"}"#, "api_error", "plain boom"),
        (
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
            "overloaded_error",
            "m",
        ),
        (403, r#"{"message":"denied"}"#, "permission_error", "denied"),
        (400, r#"{"Message":"m"}"#, "invalid_request_error", "m"),
        (502, "<html>bad gateway</html>\n", "api_error", "<html>bad gateway</html>"),
        (429, "", "rate_limit_error", "the provider answered 429"),
        (500, "[1]", "api_error", "[1]"),
    ];
    for (status, text, kind, message) in cases {
        let value = |conversion: Conversion| -> Value {
            serde_json::from_slice(&conversion.error(status, text.as_bytes())).unwrap()
        };
        let anthropic = json!({"type": "error", "error": {"type": kind, "message": message}});
        let openai = json!({"error": {"message": message, "type": kind, "param": null, "code": null}});
        assert_eq!(value(Conversion::MessagesToChat), anthropic, "{text}");
        for conversion in
            [Conversion::ChatToMessages, Conversion::ChatToConverse, Conversion::EmbeddingsToPredict]
        {
            assert_eq!(value(conversion), openai, "{text}");
        }
    }
    let long = "é".repeat(5000);
    assert!(Conversion::MessagesToChat.error(500, long.as_bytes()).len() < 2048);
    let (body, _) =
        reply(Conversion::MessagesToChat, &Recall::default(), r#"{"error":"plain boom"}"#).unwrap();
    assert_eq!(body, json!({"type": "error", "error": {"type": "api_error", "message": "plain boom"}}));
}

#[test]
fn what_is_no_reply_is_told_apart() {
    let cases = [
        (Conversion::MessagesToChat, "<html>", Unreadable::NotJson),
        (Conversion::MessagesToChat, "", Unreadable::NotJson),
        (Conversion::MessagesToChat, "{\"a\":", Unreadable::NotJson),
        (Conversion::MessagesToChat, "null", Unreadable::Invalid("response body must be a table".into())),
        (Conversion::MessagesToChat, "[1,2]", Unreadable::Invalid("no choices in response".into())),
        (
            Conversion::MessagesToChat,
            r#"{"choices":[]}"#,
            Unreadable::Invalid("no choices in response".into()),
        ),
        (Conversion::ChatToMessages, "{}", Unreadable::Invalid("no content in response".into())),
        (Conversion::ChatToConverse, "{}", Unreadable::Invalid("no output in response".into())),
        (
            Conversion::EmbeddingsToPredict,
            "[]",
            Unreadable::Invalid("vertex response missing predictions".into()),
        ),
    ];
    for (conversion, text, expected) in cases {
        assert_eq!(reply(conversion, &Recall::default(), text), Err(expected), "{text}");
    }
    assert_eq!(Unreadable::NotJson.fault().status.as_u16(), 500);
}
