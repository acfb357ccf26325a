//! Amazon Bedrock Converse, plain.

use serde_json::{Value, json};

use crate::content::{Answer, last_said, prompt_tokens, text_of};
use crate::knobs::Knobs;
use crate::reply::{Facts, Reply};
use crate::request::Request;
use crate::tokens;

/// `POST …/converse`.
pub(crate) fn converse(request: &Request, knobs: &Knobs) -> Reply {
    let body: Value = match serde_json::from_slice(&request.body) {
        Ok(body) => body,
        Err(error) => return refusal(&format!("The request body is not valid JSON: {error}")),
    };
    let Some(messages) = body["messages"].as_array() else { return refusal("messages is required") };
    if body.get("model").is_some() || body.get("stream").is_some() {
        return refusal("extraneous key [model] or [stream] is not permitted");
    }
    let answer = Answer::to(&last_said(messages).0, 0, false, knobs);
    let prompt_tokens = tokens::count(&text_of(&body["system"])) + prompt_tokens(messages);
    let (text, completion_tokens) = (answer.text(), answer.tokens());
    let mut reply = json!({
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": "end_turn",
        "metrics": {"latencyMs": 1},
    });
    if !knobs.no_usage {
        let total = prompt_tokens + completion_tokens;
        reply["usage"] =
            json!({"inputTokens": prompt_tokens, "outputTokens": completion_tokens, "totalTokens": total});
    }
    Reply::json(200, &reply).with(Facts { content: text, prompt_tokens, completion_tokens })
}

fn refusal(message: &str) -> Reply {
    let mut reply = Reply::json(400, &json!({"message": message}));
    reply.add("x-amzn-errortype", "ValidationException");
    reply
}
