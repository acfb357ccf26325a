//! Reading of `text/event-stream` bodies.

use serde_json::Value;

/// The data of each event, in order; several `data` lines joined by a line feed. A tail that no empty line ends is given as
/// an event of its own, so that a test stumbles over it.
pub fn data(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body).replace("\r\n", "\n");
    text.split("\n\n").filter_map(event_data).collect()
}

fn event_data(event: &str) -> Option<String> {
    let mut lines = Vec::new();
    for line in event.lines().filter(|line| !line.is_empty() && !line.starts_with(':')) {
        match line.split_once(':') {
            Some(("data", value)) => lines.push(value.strip_prefix(' ').unwrap_or(value)),
            Some(("event" | "id" | "retry", _)) => {}
            _ => panic!("not a line of an event: {line:?}"),
        }
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The events as JSON, without the closing `[DONE]`.
pub fn json(body: &[u8]) -> Vec<Value> {
    let parse =
        |data: String| serde_json::from_str(&data).unwrap_or_else(|e| panic!("not JSON: {e}: {data:?}"));
    data(body).into_iter().filter(|data| data != "[DONE]").map(parse).collect()
}

/// True where the last event is `[DONE]`.
pub fn is_done(body: &[u8]) -> bool {
    data(body).last().is_some_and(|data| data == "[DONE]")
}

/// The assistant's text: the deltas of the first choice, joined.
pub fn content(body: &[u8]) -> String {
    let events = json(body);
    let deltas = events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str());
    deltas.collect()
}

/// The usage that the last event with one tells.
pub fn usage(body: &[u8]) -> Option<Value> {
    json(body).into_iter().rev().map(|event| event["usage"].clone()).find(Value::is_object)
}
