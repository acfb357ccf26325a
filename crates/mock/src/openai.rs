//! OpenAI chat completions, plain and streamed, and the list of models.

use serde_json::{Map, Value, json};

use crate::content::{Answer, last_said, prompt_tokens, seed};
use crate::knobs::Knobs;
use crate::reply::{Facts, Reply, openai_error, openai_refusal};
use crate::request::Request;

/// When everything was made: a fixed second, so that equal requests get equal bytes.
const CREATED: u64 = 1_755_000_000;
const MODELS: [&str; 4] = ["gpt-4o", "gpt-4o-mini", "mock-model", "text-embedding-3-small"];
/// The most choices one request gets.
const MAX_CHOICES: u64 = 128;

/// `POST …/chat/completions`.
pub(crate) fn chat(request: &Request, knobs: &Knobs) -> Reply {
    let body = match parsed(request) {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    let Some(messages) = body["messages"].as_array() else {
        let message = "Missing required parameter: 'messages'.";
        return openai_refusal(Some("messages"), Some("missing_required_parameter"), message);
    };
    if messages.is_empty() {
        let message = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty \
                       array instead.";
        return openai_refusal(Some("messages"), Some("empty_array"), message);
    }
    if let Some(refusal) = unknown_model(&body) {
        return refusal;
    }
    let mut chat = Chat::of(&body, messages, seed(&request.body), knobs);
    if body["stream"].as_bool().unwrap_or(false) {
        let include_usage = body["stream_options"]["include_usage"].as_bool().unwrap_or(false);
        return Reply::events(chat.events(knobs, include_usage)).with(chat.facts());
    }
    let mut plain = chat.plain(knobs);
    if let Some(missing) = knobs.body_bytes.and_then(|wanted| wanted.checked_sub(plain.to_string().len())) {
        if let Some(answer) = chat.answers.first_mut() {
            answer.pad(missing);
        }
        plain = chat.plain(knobs);
    }
    Reply::json(200, &plain).with(chat.facts())
}

/// `GET …/models`.
pub(crate) fn models() -> Reply {
    let list: Vec<Value> = MODELS
        .iter()
        .map(|id| json!({"id": id, "object": "model", "created": CREATED, "owned_by": "a6-mock"}))
        .collect();
    Reply::json(200, &json!({"object": "list", "data": list}))
}

/// The JSON body, or the refusal of what is none.
pub(crate) fn parsed(request: &Request) -> Result<Value, Box<Reply>> {
    serde_json::from_slice(&request.body).map_err(|error| {
        let message = format!("We could not parse the JSON body of your request: {error}.");
        Box::new(openai_refusal(None, None, &message))
    })
}

/// The refusal of the one model that the mock does not know.
pub(crate) fn unknown_model(body: &Value) -> Option<Reply> {
    (body["model"] == "no-such-model").then(|| {
        let message = "The model `no-such-model` does not exist or you do not have access to it.";
        openai_error(404, "invalid_request_error", None, Some("model_not_found"), message)
    })
}

struct Chat {
    id: u64,
    model: String,
    prompt_tokens: u64,
    answers: Vec<Answer>,
}

impl Chat {
    fn of(body: &Value, messages: &[Value], id: u64, knobs: &Knobs) -> Self {
        let (said, is_last) = last_said(messages);
        let json = body["response_format"]["type"] == "json_object";
        let tool = tool_to_call(body, is_last && said.contains("call the tool"));
        let choices = body["n"].as_u64().unwrap_or(1).clamp(1, MAX_CHOICES);
        let answer = |choice| match &tool {
            Some(name) => Answer::ToolCall(name.clone()),
            None => Answer::to(&said, choice, json, knobs),
        };
        Self {
            id,
            model: body["model"].as_str().unwrap_or("mock-model").to_owned(),
            prompt_tokens: prompt_tokens(messages),
            answers: (0..choices).map(answer).collect(),
        }
    }

    fn completion_tokens(&self) -> u64 {
        self.answers.iter().map(Answer::tokens).sum()
    }

    fn facts(&self) -> Facts {
        Facts {
            content: self.answers.iter().map(Answer::text).collect::<Vec<_>>().join("\n"),
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens(),
        }
    }

    fn usage(&self) -> Value {
        let completion = self.completion_tokens();
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        })
    }

    /// The members that the plain reply and every chunk begin with.
    fn head(&self, object: &str) -> Map<String, Value> {
        let mut head = Map::new();
        head.insert("id".to_owned(), json!(format!("chatcmpl-{:016x}", self.id)));
        head.insert("object".to_owned(), json!(object));
        head.insert("created".to_owned(), json!(CREATED));
        head.insert("model".to_owned(), json!(self.model));
        head
    }

    fn plain(&self, knobs: &Knobs) -> Value {
        let choice = |(index, answer): (usize, &Answer)| {
            let mut message = json!({"role": "assistant", "content": answer.text(), "refusal": null});
            if let Answer::ToolCall(name) = answer {
                message["content"] = Value::Null;
                message["tool_calls"] = json!([self.tool_call(name, "{}")]);
            }
            json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish(answer, knobs)})
        };
        let mut plain = self.head("chat.completion");
        plain.insert("choices".to_owned(), self.answers.iter().enumerate().map(choice).collect());
        if !knobs.no_usage {
            plain.insert("usage".to_owned(), self.usage());
        }
        Value::Object(plain)
    }

    fn tool_call(&self, name: &str, arguments: &str) -> Value {
        let function = json!({"name": name, "arguments": arguments});
        json!({"id": format!("call_{:016x}", self.id), "type": "function", "function": function})
    }

    fn events(&self, knobs: &Knobs, include_usage: bool) -> Vec<String> {
        let mut events = Vec::new();
        let mut push = |choices: Value, usage: Option<Value>| {
            let mut chunk = self.head("chat.completion.chunk");
            chunk.insert("choices".to_owned(), choices);
            if let Some(usage) = usage.or_else(|| knobs.usage_null.then_some(Value::Null)) {
                chunk.insert("usage".to_owned(), usage);
            }
            events.push(format!("data: {}\n\n", Value::Object(chunk)));
        };
        let delta = |index: usize, delta: Value| json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": null}]);

        for (index, answer) in self.answers.iter().enumerate() {
            let mut first = json!({"role": "assistant", "content": "", "refusal": null});
            if let Answer::ToolCall(name) = answer {
                first["content"] = Value::Null;
                let mut call = self.tool_call(name, "");
                call["index"] = json!(0);
                first["tool_calls"] = json!([call]);
            }
            push(delta(index, first), None);
        }
        let longest = self.answers.iter().map(chunk_count).max().unwrap_or(0);
        for number in 0..longest {
            for (index, answer) in self.answers.iter().enumerate() {
                if let Some(part) = chunk_delta(answer, number) {
                    push(delta(index, part), None);
                }
            }
        }
        if !knobs.no_finish {
            for (index, answer) in self.answers.iter().enumerate() {
                let last = json!({"index": index, "delta": {}, "logprobs": null, "finish_reason": finish(answer, knobs)});
                push(json!([last]), None);
            }
        }
        if include_usage && !knobs.no_usage {
            push(json!([]), Some(self.usage()));
        }
        if !knobs.no_done {
            events.push("data: [DONE]\n\n".to_owned());
        }
        events
    }
}

/// How many chunks carry an answer's content or arguments.
fn chunk_count(answer: &Answer) -> usize {
    match answer {
        Answer::Text { pieces, .. } => pieces.len(),
        Answer::ToolCall(_) => 1,
    }
}

/// The delta of one of them.
fn chunk_delta(answer: &Answer, number: usize) -> Option<Value> {
    match answer {
        Answer::Text { pieces, .. } => pieces.get(number).map(|piece| json!({"content": piece})),
        Answer::ToolCall(_) => {
            (number == 0).then(|| json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}))
        }
    }
}

fn finish(answer: &Answer, knobs: &Knobs) -> Value {
    match answer {
        _ if knobs.no_finish => Value::Null,
        Answer::Text { .. } => json!("stop"),
        Answer::ToolCall(_) => json!("tool_calls"),
    }
}

/// The tool to call: the named one, or the first, when `tool_choice` forces a call or the user asked for one.
fn tool_to_call(body: &Value, asked: bool) -> Option<String> {
    let first = body["tools"].as_array()?.first()?["function"]["name"].as_str()?;
    let choice = &body["tool_choice"];
    if choice == "none" {
        return None;
    }
    let named = choice["function"]["name"].as_str();
    (asked || choice == "required" || named.is_some()).then(|| named.unwrap_or(first).to_owned())
}
