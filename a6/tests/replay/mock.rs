//! What the recorder's own upstream said where the recording does not tell: the cases that only count, those whose
//! exchange was not recorded, and requests that should not have been sent.

use serde_json::{Value, json};

use super::upstream::{Received, Reply};

/// The answer of `«name».echo`: who was asked for what.
pub(crate) fn echo(request: &Received, name: &str) -> Reply {
    let body = json!({"answered_by": name, "method": request.method, "target": request.target});
    Reply { status: status(request), headers: content_type("application/json"), body: text(&body) }
}

/// A chat completion of the model that was asked for, as a stream where one was asked for.
pub(crate) fn reply(request: &Received) -> Reply {
    let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let model = asked["model"].as_str().unwrap_or("gpt-mock");
    if asked["stream"] == true {
        let body = stream(request, model, asked["stream_options"]["include_usage"] == true);
        return Reply { status: status(request), headers: content_type("text/event-stream"), body };
    }
    let body = json!({
        "id": "chatcmpl-mock",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": "Hello from mock"},
            "finish_reason": "stop",
        }],
        "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14},
    });
    Reply { status: status(request), headers: content_type("application/json"), body: text(&body) }
}

fn stream(request: &Received, model: &str, with_usage: bool) -> Vec<u8> {
    let chunks: u64 = request.asks("chunks").and_then(|count| count.parse().ok()).unwrap_or(3);
    let event = |choices: Value, usage: Option<Value>| {
        let mut chunk = json!({
            "id": "chatcmpl-mock",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": model,
            "choices": choices,
        });
        if let Some(usage) = usage {
            chunk["usage"] = usage;
        }
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value, finish: Value| {
        event(json!([{"index": 0, "delta": delta, "finish_reason": finish}]), None)
    };
    let mut events = delta(json!({"role": "assistant", "content": ""}), Value::Null);
    for index in 0..chunks {
        events.push_str(&delta(json!({"content": format!("tok{index} ")}), Value::Null));
    }
    events.push_str(&delta(json!({}), json!("stop")));
    if with_usage {
        let usage = json!({"prompt_tokens": 10, "completion_tokens": chunks, "total_tokens": 10 + chunks});
        events.push_str(&event(json!([]), Some(usage)));
    }
    events.push_str("data: [DONE]\n\n");
    events.into_bytes()
}

fn status(request: &Received) -> u64 {
    request.asks("status").and_then(|status| status.parse().ok()).unwrap_or(200)
}

fn content_type(value: &str) -> Vec<(String, String)> {
    vec![("Content-Type".to_string(), value.to_string())]
}

fn text(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}
