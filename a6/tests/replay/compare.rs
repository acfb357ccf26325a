//! What happened against what was recorded. The rows named here are those of `docs/compatibility.md`: differences that a6
//! decided on, the same for every case. What differs in single cases stands in `deviations.json`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::case::{Case, from_hex, pairs};
use super::upstream::{Received, sorted_target};
use super::value::{body_differences, cut, differences, same_text};
use crate::support::Answer;

/// Headers that were not recorded.
const LEFT_OUT: [&str; 7] =
    ["connection", "content-length", "date", "etag", "keep-alive", "last-modified", "transfer-encoding"];

/// Where an answer differs from what a step expects.
pub(crate) fn answer(case: &Case, step: &Value, answer: &Answer) -> Vec<String> {
    let expect = &step["expect"];
    if is_told_truly(expect, answer) {
        return Vec::new();
    }
    let mut found = Vec::new();
    if expect["status"] != answer.status {
        found.push(format!("status: expected {}, got {}", expect["status"], answer.status));
    }
    let is_page = is_page(expect);
    found.extend(headers(step, answer, is_page));
    if !is_page {
        found.extend(body(case, step, answer));
    }
    found
}

/// An HTML page of the original's own; its text is nobody's promise.
fn is_page(expect: &Value) -> bool {
    let body = expect["body"].as_str().unwrap_or_default();
    media_type(expect) == "text/html"
        && expect["status"].as_u64().is_some_and(|status| status >= 300)
        && (body.is_empty() || body.starts_with("<html>\r\n<head><title>"))
}

fn media_type(expect: &Value) -> &str {
    let value = expect["headers"]["content-type"].as_str().unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// Row 4: where the upstream cannot be reached or breaks before an answer, the original shows an HTML page with 500, 502
/// or 504; a6 answers 502 or 504 with JSON that names the cause.
fn is_told_truly(expect: &Value, answer: &Answer) -> bool {
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    is_page(expect)
        && matches!(expect["status"].as_u64(), Some(500 | 502 | 504))
        && matches!(answer.status, 502 | 504)
        && told["error"]["type"].as_str().is_some_and(|kind| kind.starts_with("upstream_"))
}

fn grouped(pairs: Vec<(String, String)>) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in pairs {
        groups.entry(name.to_ascii_lowercase()).or_default().push(value);
    }
    groups.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
    groups
}

fn headers(step: &Value, answer: &Answer, is_page: bool) -> Vec<String> {
    let expect = &step["expect"];
    let expected = grouped(pairs(&expect["headers"]));
    let actual = grouped(answer.head.headers.clone());
    let mut found = Vec::new();
    for (name, values) in &expected {
        if is_dropped(step, name, values, &actual)
            || (is_page && matches!(name.as_str(), "content-type" | "server"))
        {
            continue;
        }
        let got = actual.get(name).map(Vec::as_slice).unwrap_or_default();
        let is_same = got.len() == values.len()
            && values.iter().zip(got).all(|(wanted, value)| same_text(wanted, value));
        if !is_same {
            found.push(format!("header {name}: expected {values:?}, got {got:?}"));
        }
    }
    for (name, values) in actual.iter().filter(|(name, _)| !is_page && !expected.contains_key(*name)) {
        if !is_passed_on(name, values, expect) {
            found.push(format!("header {name}: not expected, got {values:?}"));
        }
    }
    found
}

/// Headers that a6 does not send, by decision.
fn is_dropped(step: &Value, name: &str, values: &[String], actual: &BTreeMap<String, Vec<String>>) -> bool {
    // Row "CORS of the Admin API": off unless `enable_admin_cors` asks for it, and then never with credentials.
    let has_cors = actual.contains_key("access-control-allow-origin");
    let is_cors = name.starts_with("access-control-");
    let is_admin_cors =
        step["on"] == "admin" && is_cors && (!has_cors || name == "access-control-allow-credentials");
    // The web server beneath the original names itself where the gateway has no part in the answer.
    let is_beneath = name == "server" && values == ["openresty"];
    is_admin_cors || is_beneath
}

/// Row 5: the provider's request id, its limits and when to come back reach the client.
fn is_passed_on(name: &str, values: &[String], expect: &Value) -> bool {
    let is_useful =
        name.starts_with("retry-after") || name.ends_with("request-id") || name.contains("ratelimit-");
    let exchanges = expect["upstream"].as_array().into_iter().flatten();
    let mut told = exchanges.flat_map(|exchange| pairs(&exchange["response"]["headers"]));
    is_useful && told.any(|(n, value)| n.eq_ignore_ascii_case(name) && values == [value])
}

fn body(case: &Case, step: &Value, answer: &Answer) -> Vec<String> {
    let expect = &step["expect"];
    let text = expect["body"].as_str().unwrap_or_default();
    if media_type(expect) == "text/event-stream" {
        return stream(case, step, answer);
    }
    let mut found = if let Some(expected) = expect.get("json") {
        body_differences(&expected.to_string(), &answer.body)
    } else if let Some(hex) = expect["body_hex"].as_str() {
        bytes_differ(&from_hex(hex), &answer.body)
    } else {
        body_differences(text, &answer.body)
    };
    found.iter_mut().for_each(|difference| difference.insert_str(0, "body"));
    if !answer.clean_end && expect["truncated"] != true {
        found.push("the body ended early".to_string());
    }
    found
}

fn bytes_differ(expected: &[u8], actual: &[u8]) -> Vec<String> {
    if expected == actual {
        return Vec::new();
    }
    let shown = |bytes: &[u8]| cut(&format!("{:?}", String::from_utf8_lossy(bytes)));
    vec![format!(": expected the bytes {}, got {}", shown(expected), shown(actual))]
}

fn stream(case: &Case, step: &Value, answer: &Answer) -> Vec<String> {
    let expect = &step["expect"];
    let mut wanted = events(expect["body"].as_str().unwrap_or_default());
    let mut seen = events(&answer.text());
    let mut found = Vec::new();
    if !answer.clean_end {
        // Row 2: input that ends early is told by an error event and an aborted body; the original ends as if all were well.
        if seen.last().is_some_and(tells_of_a_fault) && !wanted.iter().any(|event| event["data"] == "[DONE]")
        {
            seen.pop();
        } else if expect["truncated"] != true {
            found.push("the stream ended early".to_string());
        }
    }
    let seen = Value::Array(seen);
    let mut differing = differences(&Value::Array(wanted.clone()), &seen);
    // Row 9: a usage event that the client did not ask for is counted and not passed on.
    if case.is_ai && !differing.is_empty() && !asks_for_usage(&step["body"]) {
        wanted.retain(|event| !is_usage(&event["data"]));
        differing = differences(&Value::Array(wanted), &seen);
    }
    found.extend(differing.into_iter().map(|difference| format!("events{difference}")));
    found
}

fn tells_of_a_fault(event: &Value) -> bool {
    let kind = event["data"]["error"]["type"].as_str().unwrap_or_default();
    kind.starts_with("upstream_") || kind == "limit_exceeded"
}

fn asks_for_usage(body: &Value) -> bool {
    let parsed = body.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    parsed.as_ref().unwrap_or(body)["stream_options"]["include_usage"] == true
}

fn is_usage(data: &Value) -> bool {
    data["usage"].is_object() && data["choices"].as_array().is_some_and(Vec::is_empty)
}

/// The events of a stream as objects of their fields; data that is JSON as JSON, a comment as a field without name.
fn events(text: &str) -> Vec<Value> {
    let text = text.replace("\r\n", "\n");
    text.split("\n\n").filter(|event| !event.trim().is_empty()).map(event).collect()
}

fn event(text: &str) -> Value {
    let mut fields: Map<String, Value> = Map::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        let joined = match fields.get(name).and_then(Value::as_str) {
            Some(before) => format!("{before}\n{value}"),
            None => value.to_string(),
        };
        fields.insert(name.to_string(), Value::from(joined));
    }
    let parsed = fields.get("data").and_then(Value::as_str).map(serde_json::from_str::<Value>);
    if let Some(Ok(data)) = parsed {
        fields.insert("data".to_string(), data);
    }
    Value::Object(fields)
}

/// Where the requests that the upstream got differ from the recorded ones.
pub(crate) fn exchanges(case: &Case, expected: &[Value], received: &[Received]) -> Vec<String> {
    let mut found = Vec::new();
    if expected.len() != received.len() {
        let got: Vec<String> =
            received.iter().map(|request| format!("{} {}", request.method, request.target)).collect();
        found.push(format!("upstream: {} requests expected, got {got:?}", expected.len()));
    }
    for (index, (exchange, request)) in expected.iter().zip(received).enumerate() {
        let differing = upstream_request(case, &exchange["request"], request);
        found.extend(differing.into_iter().map(|text| format!("upstream request {}: {text}", index + 1)));
    }
    found
}

fn upstream_request(case: &Case, expected: &Value, request: &Received) -> Vec<String> {
    let text = |name: &str| expected[name].as_str().unwrap_or_default();
    let mut found = Vec::new();
    if text("method") != request.method {
        found.push(format!("method: expected {}, got {}", text("method"), request.method));
    }
    if sorted_target(text("target")) != sorted_target(&request.target) {
        found.push(format!("target: expected {}, got {}", text("target"), request.target));
    }
    // These two are the test client's.
    let is_compared = |name: &str| !matches!(name, "user-agent" | "accept");
    let wanted = grouped(pairs(&expected["headers"]));
    let got = grouped(request.headers.clone());
    for (name, values) in wanted.iter().filter(|(name, _)| is_compared(name)) {
        // Row 6: a cookie never goes to an AI provider.
        if case.is_ai && name == "cookie" && !got.contains_key(name) {
            continue;
        }
        // The recorder joined a header that came repeatedly.
        let value = got.get(name).map(|values| values.join(", "));
        let is_same = value.as_ref().is_some_and(|value| same_text(&values.join(", "), value));
        if !is_same {
            found.push(format!("header {name}: expected {values:?}, got {value:?}"));
        }
    }
    for (name, values) in got.iter().filter(|(name, _)| is_compared(name) && !wanted.contains_key(*name)) {
        found.push(format!("header {name}: not expected, got {values:?}"));
    }
    // Row 1: edits are splices, the original writes the whole body anew with sorted keys. So by value, but for the cases
    // in which the original passes the client's bytes.
    let body = match (expected["body_hex"].as_str(), case.is_verbatim) {
        (Some(hex), _) => bytes_differ(&from_hex(hex), &request.body),
        (None, true) => bytes_differ(text("body").as_bytes(), &request.body),
        (None, false) => body_differences(text("body"), &request.body),
    };
    found.extend(body.into_iter().map(|difference| format!("body{difference}")));
    found
}

/// Where a tally of repeated answers differs: exact where only one value was seen, else within 4 standard deviations.
pub(crate) fn counts(expected: &Value, actual: &BTreeMap<String, u64>, times: u64) -> Vec<String> {
    let none = Map::new();
    let expected_counts = expected.as_object().unwrap_or(&none);
    let is_near = |name: &str| {
        let wanted = expected_counts.get(name).and_then(Value::as_u64).unwrap_or(0);
        let got = actual.get(name).copied().unwrap_or(0);
        if expected_counts.len() < 2 || wanted == 0 {
            return wanted == got;
        }
        let share = wanted as f64 / times as f64;
        wanted.abs_diff(got) as f64 <= 4.0 * (times as f64 * share * (1.0 - share)).sqrt()
    };
    let mut names = expected_counts.keys().chain(actual.keys());
    if names.all(|name| is_near(name)) {
        return Vec::new();
    }
    vec![format!("counts: expected about {expected}, got {}", json!(actual))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_into_events() {
        let text = ": hello\r\n\r\nevent: x\r\ndata: {\"a\":1}\r\n\r\ndata: [DONE]\n\n";
        let expected =
            [json!({"": "hello"}), json!({"event": "x", "data": {"a": 1}}), json!({"data": "[DONE]"})];
        assert_eq!(events(text), expected);
    }

    #[test]
    fn tallies_are_compared_with_a_tolerance() {
        let tally = |a, b| BTreeMap::from([("a".to_string(), a), ("b".to_string(), b)]);
        for (expected, actual, is_same) in [
            (json!({"a": 50, "b": 50}), tally(62, 38), true),
            (json!({"a": 50, "b": 50}), tally(80, 20), false),
            (json!({"a": 100}), tally(99, 1), false),
            (json!({"a": 90, "c": 10}), tally(90, 10), false),
        ] {
            assert_eq!(counts(&expected, &actual, 100).is_empty(), is_same, "{expected} and {actual:?}");
        }
    }
}
