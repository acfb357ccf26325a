//! A stream that its client puts together is the plain reply.

use serde_json::{Map, Value, json};

use super::{ENVELOPE, data, run, run_frames};
use crate::convert::{Conversion, Recall};

/// Puts Anthropic's events together, as its SDKs do.
fn fold_anthropic(text: &str) -> Value {
    let mut message = Value::Null;
    let mut arguments = String::new();
    for event in data(text) {
        let index = usize::try_from(event["index"].as_u64().unwrap_or(0)).unwrap();
        match event["type"].as_str().unwrap() {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                arguments.clear();
                message["content"].as_array_mut().unwrap().push(event["content_block"].clone());
            }
            "content_block_delta" => {
                let block = &mut message["content"][index];
                for name in ["text", "thinking"] {
                    if let Some(more) = event["delta"][name].as_str() {
                        block[name] = json!(block[name].as_str().unwrap().to_string() + more);
                    }
                }
                if let Some(more) = event["delta"]["partial_json"].as_str() {
                    arguments.push_str(more);
                    block["input"] = serde_json::from_str(&arguments).unwrap_or(json!({}));
                }
            }
            "message_delta" => {
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                message["usage"] = event["usage"].clone();
            }
            _ => {}
        }
    }
    message
}

/// Puts OpenAI's chunks together, as its SDKs do.
fn fold_openai(text: &str) -> Value {
    let mut completion = Map::new();
    let mut message = json!({"role": "assistant"});
    let mut finish = Value::Null;
    for chunk in data(text).into_iter().filter(|chunk| chunk.is_object()) {
        for name in ["id", "created", "model", "usage"] {
            if let Some(value) = chunk.get(name) {
                completion.insert(name.to_string(), value.clone());
            }
        }
        let Some(choice) = chunk["choices"].get(0) else { continue };
        for name in ["content", "reasoning_content"] {
            if let Some(more) = choice["delta"][name].as_str() {
                message[name] = json!(message[name].as_str().unwrap_or_default().to_string() + more);
            }
        }
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            if message.get("tool_calls").is_none() {
                message["tool_calls"] = json!([]);
            }
            let calls = message["tool_calls"].as_array_mut().unwrap();
            if calls.len() == index {
                let mut call = call.clone();
                call.as_object_mut().unwrap().remove("index");
                calls.push(call);
            } else {
                let arguments = &mut calls[index]["function"]["arguments"];
                let more = call["function"]["arguments"].as_str().unwrap();
                *arguments = json!(arguments.as_str().unwrap().to_string() + more);
            }
        }
        if choice["finish_reason"].is_string() {
            finish = choice["finish_reason"].clone();
        }
    }
    completion.insert("object".to_string(), json!("chat.completion"));
    let choice = json!({"index": 0, "message": message, "finish_reason": finish});
    completion.insert("choices".to_string(), json!([choice]));
    Value::Object(completion)
}

fn plain(conversion: Conversion, reply: &Value) -> Value {
    let reply = conversion.reply(&Recall::default(), &ENVELOPE, reply.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&reply.body).unwrap()
}

#[test]
fn openais_reply_is_the_same_plain_and_streamed() {
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 4});
    let call = json!({"id": "t1", "type": "function", "function": {"name": "w", "arguments": "{\"a\":[1]}"}});
    let messages = [
        (json!({"content": "hello"}), "stop"),
        (json!({"content": "hello"}), "length"),
        (json!({"reasoning_content": "hmm", "content": "é \"x\"\n"}), "content_filter"),
        (json!({"content": null, "tool_calls": [call]}), "tool_calls"),
        (json!({"content": "x", "tool_calls": [call, call]}), "tool_calls"),
        (json!({"content": null, "refusal": "no"}), "stop"),
    ];
    for (message, finish) in messages {
        let reply = json!({"id": "c", "model": "told", "usage": usage,
            "choices": [{"index": 0, "message": message, "finish_reason": finish}]});
        let mut delta = message.clone();
        for (index, call) in delta["tool_calls"].as_array_mut().into_iter().flatten().enumerate() {
            call["index"] = json!(index);
        }
        let chunk = |delta: &Value, finish: Value| {
            let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
            format!("data: {}\n\n", json!({"id": "c", "model": "told", "choices": [choice], "usage": null}))
        };
        let trailer = format!("data: {}\n\n", json!({"choices": [], "usage": usage}));
        let provider =
            chunk(&delta, Value::Null) + &chunk(&json!({}), json!(finish)) + &trailer + "data: [DONE]\n\n";
        let streamed = run(Conversion::MessagesToChat, &Recall::default(), [provider.as_bytes()], true);
        assert_eq!(fold_anthropic(&streamed.text), plain(Conversion::MessagesToChat, &reply), "{message}");
    }
}

#[test]
fn anthropics_reply_is_the_same_plain_and_streamed() {
    let usage = json!({"input_tokens": 10, "output_tokens": 4, "cache_creation_input_tokens": 3});
    let replies = [
        (json!([{"type": "text", "text": "hello"}]), "end_turn"),
        (json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "max_tokens"),
        (
            json!([{"type": "thinking", "thinking": "hmm", "signature": "s"}, {"type": "text", "text": "é"}]),
            "refusal",
        ),
        (
            json!([{"type": "tool_use", "id": "t", "name": "w", "input": {"a": "\"\n"}},
            {"type": "tool_use", "id": "u", "name": "now", "input": {}}]),
            "tool_use",
        ),
    ];
    for (content, stop) in replies {
        let reply = json!({"type": "message", "id": "msg", "model": "told", "content": content,
            "stop_reason": stop, "usage": usage});
        let mut events =
            vec![json!({"type": "message_start", "message": {"id": "msg", "model": "told", "usage": usage}})];
        for (index, block) in content.as_array().unwrap().iter().enumerate() {
            events.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
            events.push(json!({"type": "content_block_stop", "index": index}));
        }
        events.push(
            json!({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 4}}),
        );
        events.push(json!({"type": "message_stop"}));
        let provider: String = events.into_iter().map(|event| format!("data: {event}\n\n")).collect();
        let recall = Recall { include_usage: true, ..Recall::default() };
        let streamed = run(Conversion::ChatToMessages, &recall, [provider.as_bytes()], true);
        let mut expected = plain(Conversion::ChatToMessages, &reply);
        // A stream cannot say that there is no text: it begins with an empty one.
        if expected["choices"][0]["message"]["content"].is_null() {
            expected["choices"][0]["message"]["content"] = json!("");
        }
        assert_eq!(fold_openai(&streamed.text), expected, "{content}");
    }
}

#[test]
fn bedrocks_reply_is_the_same_plain_and_streamed() {
    let usage = json!({"inputTokens": 10, "outputTokens": 4, "totalTokens": 14});
    let reply = json!({"output": {"message": {"role": "assistant", "content": [
        {"reasoningContent": {"reasoningText": {"text": "hmm", "signature": "s"}}}, {"text": "é"},
        {"toolUse": {"toolUseId": "t", "name": "w", "input": {"a": 1}}}]}}, "stopReason": "tool_use", "usage": usage});
    let metadata = json!({"usage": usage}).to_string();
    let frames = [
        ("messageStart", r#"{"role":"assistant"}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hmm"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"text":"é"}}"#),
        ("contentBlockStart", r#"{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"t","name":"w"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"a\":1}"}}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":2}"#),
        ("messageStop", r#"{"stopReason":"tool_use"}"#),
        ("metadata", metadata.as_str()),
    ];
    let streamed = run_frames(&Recall { include_usage: true, ..Recall::default() }, &frames, true);
    assert_eq!(fold_openai(&streamed.text), plain(Conversion::ChatToConverse, &reply));
}
