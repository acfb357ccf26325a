//! OpenAI embeddings.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::content::seed;
use crate::openai::{parsed, unknown_model};
use crate::reply::{Facts, Reply, openai_refusal};
use crate::request::Request;
use crate::tokens;

/// Numbers in a vector when the request does not say how many.
const DIMENSIONS: u64 = 8;
const MAX_DIMENSIONS: u64 = 16_384;

/// `POST …/embeddings`. The vector depends on the text alone and has length 1.
pub(crate) fn embeddings(request: &Request) -> Reply {
    let body = match parsed(request) {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    if let Some(refusal) = unknown_model(&body) {
        return refusal;
    }
    let Some(inputs) = inputs(&body["input"]) else {
        let message =
            "Missing or wrong parameter: 'input' has to be a string, an array of strings or of tokens.";
        return openai_refusal(Some("input"), Some("missing_required_parameter"), message);
    };
    let dimensions = match &body["dimensions"] {
        Value::Null => DIMENSIONS,
        given => match given.as_u64() {
            Some(dimensions @ 1..=MAX_DIMENSIONS) => dimensions,
            _ => {
                let message =
                    format!("'dimensions' has to be a number from 1 to {MAX_DIMENSIONS}, found {given}.");
                return openai_refusal(Some("dimensions"), None, &message);
            }
        },
    };
    let base64 = body["encoding_format"] == "base64";
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, (text, _))| {
            json!({"object": "embedding", "index": index, "embedding": vector(text, dimensions, base64)})
        })
        .collect();
    let prompt_tokens = inputs.iter().map(|(_, tokens)| tokens).sum::<u64>();
    let model = body["model"].as_str().unwrap_or("text-embedding-3-small");
    let usage = json!({"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens});
    let reply = Reply::json(200, &json!({"object": "list", "data": data, "model": model, "usage": usage}));
    reply.with(Facts { prompt_tokens, ..Facts::default() })
}

/// Each input as text with its token count; an array of numbers is one input whose tokens are given.
fn inputs(input: &Value) -> Option<Vec<(String, u64)>> {
    let tokens_given = |tokens: &[Value]| (Value::from(tokens.to_vec()).to_string(), tokens.len() as u64);
    match input {
        Value::String(text) => Some(vec![(text.clone(), tokens::count(text))]),
        Value::Array(list) if list.is_empty() => None,
        Value::Array(list) if list.iter().all(Value::is_number) => Some(vec![tokens_given(list)]),
        Value::Array(list) => list
            .iter()
            .map(|item| match item {
                Value::String(text) => Some((text.clone(), tokens::count(text))),
                Value::Array(tokens) if tokens.iter().all(Value::is_number) => Some(tokens_given(tokens)),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn vector(text: &str, dimensions: u64, base64: bool) -> Value {
    let raw: Vec<f64> = (0..dimensions)
        .map(|at| {
            let number = seed(format!("{at} {text}").as_bytes()) % 2001;
            (number as f64 - 1000.0) / 1000.0
        })
        .collect();
    let length = raw.iter().map(|number| number * number).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    let numbers = raw.iter().map(|number| (number / length) as f32);
    if base64 {
        let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
        return Value::from(STANDARD.encode(bytes));
    }
    numbers.map(Value::from).collect()
}
