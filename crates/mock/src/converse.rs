//! Amazon Bedrock Converse, plain and streamed.

use a6_codec::event_stream::{MEDIA_TYPE, Value as Header, encode};
use serde_json::{Value, json};

use crate::content::{Answer, last_said, prompt_tokens, seed, text_of};
use crate::knobs::Knobs;
use crate::reply::{Body, Facts, Reply, aws_error};
use crate::request::Request;
use crate::tokens;

/// `POST …/converse`.
pub(crate) fn converse(request: &Request, knobs: &Knobs) -> Reply {
    let conversation = match Conversation::of(request, knobs) {
        Ok(conversation) => conversation,
        Err(refusal) => return *refusal,
    };
    let mut reply = json!({
        "output": {"message": {"role": "assistant", "content": [conversation.block()]}},
        "stopReason": conversation.stop_reason(),
        "metrics": {"latencyMs": 1},
    });
    if !knobs.no_usage {
        reply["usage"] = conversation.usage();
    }
    Reply::json(200, &reply).with(conversation.facts())
}

/// `POST …/converse-stream`.
pub(crate) fn converse_stream(request: &Request, knobs: &Knobs) -> Reply {
    let conversation = match Conversation::of(request, knobs) {
        Ok(conversation) => conversation,
        Err(refusal) => return *refusal,
    };
    let mut reply = Reply::text(200, MEDIA_TYPE, String::new());
    reply.body = Body::Events(conversation.frames(knobs));
    reply.with(conversation.facts())
}

struct Conversation {
    id: u64,
    prompt_tokens: u64,
    answer: Answer,
}

impl Conversation {
    fn of(request: &Request, knobs: &Knobs) -> Result<Self, Box<Reply>> {
        let body: Value = serde_json::from_slice(&request.body)
            .map_err(|error| refusal(&format!("The request body is not valid JSON: {error}")))?;
        let messages = body["messages"].as_array().ok_or_else(|| refusal("messages is required"))?;
        if body.get("model").is_some() || body.get("stream").is_some() {
            return Err(refusal("extraneous key [model] or [stream] is not permitted"));
        }
        let (said, is_last) = last_said(messages);
        let answer = match tool_to_call(&body["toolConfig"], is_last && said.contains("call the tool")) {
            Some(name) => Answer::ToolCall(name),
            None => Answer::to(&said, 0, false, knobs),
        };
        Ok(Self {
            id: seed(&request.body),
            prompt_tokens: tokens::count(&text_of(&body["system"])) + prompt_tokens(messages),
            answer,
        })
    }

    /// The one content block.
    fn block(&self) -> Value {
        match &self.answer {
            Answer::Text { .. } => json!({"text": self.answer.text()}),
            Answer::ToolCall(name) => {
                json!({"toolUse": {"toolUseId": self.call_id(), "name": name, "input": {}}})
            }
        }
    }

    fn call_id(&self) -> String {
        format!("tooluse_{:016x}", self.id)
    }

    fn stop_reason(&self) -> &'static str {
        match self.answer {
            Answer::Text { .. } => "end_turn",
            Answer::ToolCall(_) => "tool_use",
        }
    }

    fn facts(&self) -> Facts {
        Facts {
            content: self.answer.text(),
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.answer.tokens(),
        }
    }

    fn usage(&self) -> Value {
        let (input, output) = (self.prompt_tokens, self.answer.tokens());
        json!({"inputTokens": input, "outputTokens": output, "totalTokens": input + output})
    }

    fn frames(&self, knobs: &Knobs) -> Vec<Vec<u8>> {
        let mut frames = vec![frame("messageStart", &json!({"role": "assistant"}))];
        let delta =
            |delta: Value| frame("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": delta}));
        match &self.answer {
            // Of a text Bedrock does not tell the beginning.
            Answer::Text { pieces, .. } => {
                frames.extend(pieces.iter().map(|piece| delta(json!({"text": piece}))));
            }
            Answer::ToolCall(name) => {
                let start = json!({"toolUse": {"toolUseId": self.call_id(), "name": name}});
                frames.push(frame("contentBlockStart", &json!({"contentBlockIndex": 0, "start": start})));
                frames.push(delta(json!({"toolUse": {"input": "{}"}})));
            }
        }
        frames.push(frame("contentBlockStop", &json!({"contentBlockIndex": 0})));
        if !knobs.no_finish {
            frames.push(frame("messageStop", &json!({"stopReason": self.stop_reason()})));
        }
        if !knobs.no_done {
            let mut metadata = json!({"metrics": {"latencyMs": 1}});
            if !knobs.no_usage {
                metadata["usage"] = self.usage();
            }
            frames.push(frame("metadata", &metadata));
        }
        frames
    }
}

fn frame(kind: &str, payload: &Value) -> Vec<u8> {
    let headers = [
        (":event-type", Header::Text(kind)),
        (":content-type", Header::Text("application/json")),
        (":message-type", Header::Text("event")),
    ];
    // A piece of the answer is never longer than a frame may be.
    encode(&headers, payload.to_string().as_bytes()).unwrap_or_default().to_vec()
}

fn refusal(message: &str) -> Box<Reply> {
    Box::new(aws_error(400, "ValidationException", message))
}

/// The tool to call: the named one, or the first, when `toolChoice` forces a call or the user asked for one.
fn tool_to_call(config: &Value, asked: bool) -> Option<String> {
    let first = config["tools"].as_array()?.first()?["toolSpec"]["name"].as_str()?;
    let choice = &config["toolChoice"];
    let named = choice["tool"]["name"].as_str();
    (asked || choice["any"].is_object() || named.is_some()).then(|| named.unwrap_or(first).to_owned())
}
