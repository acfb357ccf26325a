//! OpenAI Responses, plain and streamed.

use serde_json::{Value, json};

use crate::content::{Answer, last_said, prompt_tokens, seed, text_of};
use crate::knobs::Knobs;
use crate::openai::{parsed, unknown_model};
use crate::reply::{Facts, Reply, openai_refusal};
use crate::request::Request;
use crate::tokens;

/// When everything was made, as for chat completions.
const CREATED: u64 = 1_755_000_000;

/// `POST …/responses`.
pub(crate) fn responses(request: &Request, knobs: &Knobs) -> Reply {
    let body = match parsed(request) {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    if let Some(refusal) = unknown_model(&body) {
        return refusal;
    }
    let (said, asked) = match &body["input"] {
        Value::String(text) => (text.clone(), tokens::count(text)),
        Value::Array(items) if !items.is_empty() => (last_said(items).0, prompt_tokens(items)),
        _ => {
            let message = "Missing required parameter: 'input'.";
            return openai_refusal(Some("input"), Some("missing_required_parameter"), message);
        }
    };
    let answer = match tool_to_call(&body, said.contains("call the tool")) {
        Some(name) => Answer::ToolCall(name),
        None => Answer::to(&said, 0, false, knobs),
    };
    let mut response = Response {
        id: seed(&request.body),
        model: body["model"].as_str().unwrap_or("mock-model").to_owned(),
        prompt_tokens: asked + tokens::count(&text_of(&body["instructions"])),
        answer,
    };
    if body["stream"].as_bool().unwrap_or(false) {
        return Reply::events(response.events(knobs)).with(response.facts());
    }
    let mut plain = response.object("completed", true, knobs);
    if let Some(missing) = knobs.body_bytes.and_then(|wanted| wanted.checked_sub(plain.to_string().len())) {
        response.answer.pad(missing);
        plain = response.object("completed", true, knobs);
    }
    Reply::json(200, &plain).with(response.facts())
}

struct Response {
    id: u64,
    model: String,
    prompt_tokens: u64,
    answer: Answer,
}

impl Response {
    fn facts(&self) -> Facts {
        Facts {
            content: self.answer.text(),
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.answer.tokens(),
        }
    }

    /// The response object with this status; its output and usage are there once it is over.
    fn object(&self, status: &str, is_over: bool, knobs: &Knobs) -> Value {
        let usage = (is_over && !knobs.no_usage).then(|| {
            json!({
                "input_tokens": self.prompt_tokens,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": self.answer.tokens(),
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": self.prompt_tokens + self.answer.tokens(),
            })
        });
        let output = if is_over { json!([self.item("completed", &self.answer.text())]) } else { json!([]) };
        json!({
            "id": format!("resp_{:016x}", self.id),
            "object": "response",
            "created_at": CREATED,
            "status": status,
            "error": null,
            "incomplete_details": null,
            "model": self.model,
            "output": output,
            "usage": usage,
        })
    }

    /// The one item of the output.
    fn item(&self, status: &str, text: &str) -> Value {
        match &self.answer {
            Answer::Text { .. } => {
                let content = json!([{"type": "output_text", "text": text, "annotations": []}]);
                let content = if status == "completed" { content } else { json!([]) };
                let id = format!("msg_{:016x}", self.id);
                json!({"type": "message", "id": id, "status": status, "role": "assistant", "content": content})
            }
            Answer::ToolCall(name) => {
                let (id, call) = (format!("fc_{:016x}", self.id), format!("call_{:016x}", self.id));
                let arguments = if status == "completed" { "{}" } else { "" };
                json!({"type": "function_call", "id": id, "call_id": call, "name": name, "arguments": arguments,
                    "status": status})
            }
        }
    }

    fn events(&self, knobs: &Knobs) -> Vec<String> {
        let item = self.item("in_progress", "");
        let place = |more: Value| {
            let mut place = json!({"item_id": item["id"], "output_index": 0});
            if let (Some(place), Value::Object(more)) = (place.as_object_mut(), more) {
                place.extend(more);
            }
            place
        };
        let begun = json!({"response": self.object("in_progress", false, knobs)});
        let mut events = vec![
            ("response.created", begun.clone()),
            ("response.in_progress", begun),
            ("response.output_item.added", json!({"output_index": 0, "item": item})),
        ];
        match &self.answer {
            Answer::Text { pieces, .. } => {
                let part = |text: &str| {
                    place(json!({
                        "content_index": 0,
                        "part": {"type": "output_text", "text": text, "annotations": []},
                    }))
                };
                events.push(("response.content_part.added", part("")));
                for piece in pieces {
                    let delta = place(json!({"content_index": 0, "delta": piece}));
                    events.push(("response.output_text.delta", delta));
                }
                let done = place(json!({"content_index": 0, "text": self.answer.text()}));
                events.push(("response.output_text.done", done));
                events.push(("response.content_part.done", part(&self.answer.text())));
            }
            Answer::ToolCall(_) => {
                let delta = place(json!({"delta": "{}"}));
                events.push(("response.function_call_arguments.delta", delta));
                let done = place(json!({"arguments": "{}"}));
                events.push(("response.function_call_arguments.done", done));
            }
        }
        let item = self.item("completed", &self.answer.text());
        events.push(("response.output_item.done", json!({"output_index": 0, "item": item})));
        if !knobs.no_done {
            events.push(("response.completed", json!({"response": self.object("completed", true, knobs)})));
        }
        events.into_iter().enumerate().map(|(number, (kind, data))| event(kind, number, data)).collect()
    }
}

fn event(kind: &str, number: usize, data: Value) -> String {
    let mut event = json!({"type": kind, "sequence_number": number});
    if let (Some(event), Value::Object(data)) = (event.as_object_mut(), data) {
        event.extend(data);
    }
    format!("event: {kind}\ndata: {event}\n\n")
}

/// The tool to call: the named one, or the first, when `tool_choice` forces a call or the user asked for one.
fn tool_to_call(body: &Value, asked: bool) -> Option<String> {
    let first = body["tools"].as_array()?.first()?["name"].as_str()?;
    let choice = &body["tool_choice"];
    if choice == "none" {
        return None;
    }
    let named = choice["name"].as_str();
    (asked || choice == "required" || named.is_some()).then(|| named.unwrap_or(first).to_owned())
}
