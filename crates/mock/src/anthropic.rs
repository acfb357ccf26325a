//! Anthropic messages, plain and streamed.

use serde_json::{Value, json};

use crate::content::{Answer, last_said, prompt_tokens, seed, text_of};
use crate::knobs::Knobs;
use crate::reply::{Facts, Reply, anthropic_error};
use crate::request::Request;
use crate::tokens;

/// `POST …/v1/messages`.
pub(crate) fn messages(request: &Request, knobs: &Knobs) -> Reply {
    let body: Value = match serde_json::from_slice(&request.body) {
        Ok(body) => body,
        Err(error) => return refusal(&format!("The request body is not valid JSON: {error}")),
    };
    let Some(messages) = body["messages"].as_array() else { return refusal("messages: Field required") };
    if messages.is_empty() {
        return refusal("messages: at least one message is required");
    }
    if body["model"] == "no-such-model" {
        return anthropic_error(404, "not_found_error", "model: no-such-model");
    }
    let (said, is_last) = last_said(messages);
    let answer = match tool_to_call(&body, is_last && said.contains("call the tool")) {
        Some(name) => Answer::ToolCall(name),
        None => Answer::to(&said, 0, false, knobs),
    };
    let mut message = Message {
        id: seed(&request.body),
        model: body["model"].as_str().unwrap_or("mock-model").to_owned(),
        prompt_tokens: tokens::count(&text_of(&body["system"])) + prompt_tokens(messages),
        answer,
    };
    if body["stream"].as_bool().unwrap_or(false) {
        return Reply::events(message.events(knobs)).with(message.facts());
    }
    let mut plain = message.plain(knobs);
    if let Some(missing) = knobs.body_bytes.and_then(|wanted| wanted.checked_sub(plain.to_string().len())) {
        message.answer.pad(missing);
        plain = message.plain(knobs);
    }
    Reply::json(200, &plain).with(message.facts())
}

fn refusal(message: &str) -> Reply {
    anthropic_error(400, "invalid_request_error", message)
}

struct Message {
    id: u64,
    model: String,
    prompt_tokens: u64,
    answer: Answer,
}

impl Message {
    fn facts(&self) -> Facts {
        Facts {
            content: self.answer.text(),
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.answer.tokens(),
        }
    }

    /// The message object with this content and end.
    fn object(&self, content: Value, stop_reason: Value, usage: Option<Value>) -> Value {
        let mut object = json!({
            "id": format!("msg_{:016x}", self.id),
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": null,
        });
        if let Some(usage) = usage {
            object["usage"] = usage;
        }
        object
    }

    fn usage(&self, output_tokens: u64, knobs: &Knobs) -> Option<Value> {
        (!knobs.no_usage).then(|| {
            json!({
                "input_tokens": self.prompt_tokens,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": output_tokens,
            })
        })
    }

    fn stop_reason(&self, knobs: &Knobs) -> Value {
        match self.answer {
            _ if knobs.no_finish => Value::Null,
            Answer::Text { .. } => json!("end_turn"),
            Answer::ToolCall(_) => json!("tool_use"),
        }
    }

    /// The one content block; of a stream its beginning, where the text is still empty.
    fn block(&self, text: &str) -> Value {
        match &self.answer {
            Answer::Text { .. } => json!({"type": "text", "text": text}),
            Answer::ToolCall(name) => {
                json!({"type": "tool_use", "id": format!("toolu_{:016x}", self.id), "name": name, "input": {}})
            }
        }
    }

    fn plain(&self, knobs: &Knobs) -> Value {
        let content = json!([self.block(&self.answer.text())]);
        self.object(content, self.stop_reason(knobs), self.usage(self.answer.tokens(), knobs))
    }

    fn events(&self, knobs: &Knobs) -> Vec<String> {
        let start = self.object(json!([]), Value::Null, self.usage(1, knobs));
        let mut events = vec![
            event(&json!({"type": "message_start", "message": start})),
            event(&json!({"type": "content_block_start", "index": 0, "content_block": self.block("")})),
            event(&json!({"type": "ping"})),
        ];
        let deltas: Vec<Value> = match &self.answer {
            Answer::Text { pieces, .. } => {
                pieces.iter().map(|piece| json!({"type": "text_delta", "text": piece})).collect()
            }
            Answer::ToolCall(_) => vec![json!({"type": "input_json_delta", "partial_json": "{}"})],
        };
        for delta in deltas {
            events.push(event(&json!({"type": "content_block_delta", "index": 0, "delta": delta})));
        }
        events.push(event(&json!({"type": "content_block_stop", "index": 0})));
        let end = json!({"stop_reason": self.stop_reason(knobs), "stop_sequence": null});
        let mut last = json!({"type": "message_delta", "delta": end});
        if !knobs.no_usage {
            last["usage"] = json!({"output_tokens": self.answer.tokens()});
        }
        events.push(event(&last));
        if !knobs.no_done {
            events.push(event(&json!({"type": "message_stop"})));
        }
        events
    }
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or("message"))
}

/// The tool to call: the named one, or the first, when `tool_choice` forces a call or the user asked for one.
fn tool_to_call(body: &Value, asked: bool) -> Option<String> {
    let first = body["tools"].as_array()?.first()?["name"].as_str()?;
    let choice = &body["tool_choice"];
    if choice["type"] == "none" {
        return None;
    }
    let named = choice["name"].as_str();
    (asked || choice["type"] == "any" || named.is_some()).then(|| named.unwrap_or(first).to_owned())
}
