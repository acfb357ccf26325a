//! OpenAI embeddings to Vertex AI predict.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::dropped::Dropped;
use super::json::{List, Members, Object, Raw, Text, asks_nothing, put, put_string};
use super::model::Unread;
use super::recall::{Envelope, Recall};
use super::{Converted, Unconvertible};

/// Writes a request of that length. The model stands in the path at Vertex AI.
pub(super) fn request(body: &Members<'_>, length: usize) -> Result<Converted, Unconvertible> {
    let mut dropped = Dropped::default();
    let input = body.get("input").ok_or_else(|| Unconvertible::new("`input` is required for embeddings"))?;
    let mut recall = Recall::default();
    for (name, raw) in body.iter() {
        match name {
            "input" | "model" | "dimensions" => {}
            "encoding_format" => recall.base64 = raw.get() == "\"base64\"",
            _ if asks_nothing(raw) => {}
            _ => dropped.name(name),
        }
    }
    let mut out = Vec::with_capacity(length + 64);
    let mut object = Object::begin(&mut out);
    let mut instances = List::begin(object.key("instances"));
    match (Text::of(input), input.items()) {
        (Some(text), _) => put_instance(&mut instances, text),
        (None, Some(inputs)) => {
            for (at, input) in inputs.into_iter().enumerate() {
                put_item(&mut instances, input).ok_or_else(|| {
                    Unconvertible::new(format!("unsupported input type at index {}", at + 1))
                })?;
            }
        }
        (None, None) => return Err(Unconvertible::new("`input` must be string or array")),
    }
    instances.end();
    if let Some(dimensions) = body.get("dimensions") {
        let mut parameters = Object::begin(object.key("parameters"));
        parameters.raw("outputDimensionality", Some(dimensions));
        parameters.end();
    }
    object.end();
    let model = body.text("model").and_then(Text::decoded).map(|model| model.into_owned());
    Ok(Converted { body: out, dropped: dropped.0, model, recall })
}

fn put_instance(instances: &mut List<'_>, text: Text<'_>) {
    let mut instance = Object::begin(instances.item());
    instance.text("content", Some(text));
    instance.end();
}

/// A text, or a list of tokens, which become words.
fn put_item(instances: &mut List<'_>, input: Raw<'_>) -> Option<()> {
    if let Some(text) = Text::of(input) {
        put_instance(instances, text);
        return Some(());
    }
    let words: Vec<&str> = input
        .items()?
        .into_iter()
        .map(|word| match Text::of(word) {
            Some(text) => Some(text.0),
            None => word.get().parse::<f64>().is_ok().then_some(word.get()),
        })
        .collect::<Option<_>>()?;
    put_instance(instances, Text(&words.join(" ")));
    Some(())
}

/// Writes a reply.
pub(super) fn reply<'a>(
    body: &Members<'a>,
    recall: &Recall,
    envelope: &Envelope<'_>,
) -> Result<Vec<u8>, Unread<'a>> {
    if body.get("error").is_some() {
        return Err(Unread::Error(super::errors::of(body)));
    }
    let predictions = body.get("predictions").and_then(|raw| raw.items());
    let predictions = predictions.ok_or(Unread::Invalid("vertex response missing predictions"))?;
    let mut total = 0_u64;
    let mut out = Vec::with_capacity(1024);
    let mut object = Object::begin(&mut out);
    object.json("object", "\"list\"");
    let mut data = List::begin(object.key("data"));
    for (index, raw) in (0_u64..).zip(predictions) {
        let embeddings = raw.members().and_then(|prediction| prediction.object("embeddings"));
        let invalid = || Unread::Embedding(index + 1);
        let embeddings = embeddings.ok_or_else(invalid)?;
        let counted = embeddings.object("statistics").and_then(|counts| tokens(counts.get("token_count")?));
        total = total.saturating_add(counted.unwrap_or(0));
        let values = embeddings.get("values").filter(|raw| raw.get().starts_with('['));
        let values = values.ok_or_else(invalid)?;
        let mut item = Object::begin(data.item());
        item.json("object", "\"embedding\"");
        item.number("index", index);
        if recall.base64 {
            let numbers = serde_json::from_str::<Vec<f32>>(values.get());
            let numbers = numbers.map_err(|_| invalid())?;
            let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
            put_string(item.key("embedding"), &STANDARD.encode(bytes));
        } else {
            item.raw("embedding", Some(values));
        }
        item.end();
    }
    data.end();
    put_string(object.key("model"), envelope.model.unwrap_or_default());
    put(object.key("usage"), &format!("{{\"prompt_tokens\":{total},\"total_tokens\":{total}}}"));
    object.end();
    Ok(out)
}

/// Vertex AI counts in whole numbers, and may write them with a fraction of zero.
fn tokens(raw: Raw<'_>) -> Option<u64> {
    raw.get().parse().ok().or_else(|| raw.get().strip_suffix(".0")?.parse().ok())
}
