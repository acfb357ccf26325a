//! Amazon Bedrock Converse, plain and streamed.

use a6_codec::event_stream::{MEDIA_TYPE, Value as Header, encode};
use serde_json::{Value, json};

use crate::content::{Answer, last_said, prompt_tokens, text_of};
use crate::knobs::Knobs;
use crate::reply::{Body, Facts, Reply};
use crate::request::Request;
use crate::tokens;

/// `POST …/converse`.
pub(crate) fn converse(request: &Request, knobs: &Knobs) -> Reply {
    let conversation = match Conversation::of(request, knobs) {
        Ok(conversation) => conversation,
        Err(refusal) => return *refusal,
    };
    let mut reply = json!({
        "output": {"message": {"role": "assistant", "content": [{"text": conversation.answer.text()}]}},
        "stopReason": "end_turn",
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
        let prompt_tokens = tokens::count(&text_of(&body["system"])) + prompt_tokens(messages);
        Ok(Self { prompt_tokens, answer: Answer::to(&last_said(messages).0, 0, false, knobs) })
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
        if let Answer::Text { pieces, .. } = &self.answer {
            frames.extend(pieces.iter().map(|piece| {
                frame("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"text": piece}}))
            }));
        }
        frames.push(frame("contentBlockStop", &json!({"contentBlockIndex": 0})));
        if !knobs.no_finish {
            frames.push(frame("messageStop", &json!({"stopReason": "end_turn"})));
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
    let mut reply = Reply::json(400, &json!({"message": message}));
    reply.add("x-amzn-errortype", "ValidationException");
    Box::new(reply)
}
