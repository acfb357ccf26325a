//! JSON and text by value, the way the recordings want to be read: key order is free, `{}` and `[]` are one thing, a
//! placeholder such as `<uuid>` stands for whatever changes from run to run.

use std::borrow::Cow;

use serde_json::Value;

/// What the recorder wrote in the place of something that changes, and what may stand there.
struct Volatile {
    name: &'static str,
    allows: fn(char) -> bool,
    least: usize,
    most: usize,
}

const VOLATILE: [Volatile; 11] = [
    Volatile { name: "<int>", allows: is_digit, least: 1, most: 20 },
    Volatile { name: "<num>", allows: is_number, least: 1, most: 24 },
    Volatile { name: "<version>", allows: is_number, least: 1, most: 20 },
    Volatile { name: "<id20>", allows: is_digit, least: 20, most: 20 },
    Volatile { name: "<uuid>", allows: is_hex_or_dash, least: 36, most: 36 },
    Volatile { name: "<hex32>", allows: is_hex_or_dash, least: 32, most: 32 },
    Volatile { name: "<hex64>", allows: is_hex_or_dash, least: 64, most: 64 },
    Volatile { name: "<amz-date>", allows: is_anything, least: 16, most: 16 },
    Volatile { name: "<date>", allows: is_anything, least: 8, most: 40 },
    Volatile { name: "<long>", allows: is_anything, least: 20, most: 4096 },
    Volatile { name: "<install>", allows: is_anything, least: 1, most: 256 },
];

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn is_number(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}

fn is_hex_or_dash(c: char) -> bool {
    c.is_ascii_hexdigit() || c == '-'
}

fn is_anything(_: char) -> bool {
    true
}

/// Whether a text is what a recorded text with placeholders describes.
fn fits(pattern: &str, text: &str) -> bool {
    let places = VOLATILE.iter().filter_map(|volatile| Some((pattern.find(volatile.name)?, volatile)));
    let Some((at, volatile)) = places.min_by_key(|(at, _)| *at) else { return pattern == text };
    let rest = &pattern[at + volatile.name.len()..];
    let Some(text) = text.strip_prefix(&pattern[..at]) else { return false };
    let mut taken = 0;
    for (place, c) in text.char_indices() {
        if taken >= volatile.least && fits(rest, &text[place..]) {
            return true;
        }
        if taken == volatile.most || !(volatile.allows)(c) {
            return false;
        }
        taken += 1;
    }
    taken >= volatile.least && fits(rest, "")
}

/// Whether a text says what the recorded one says.
pub(crate) fn same_text(expected: &str, actual: &str) -> bool {
    // A sealed secret never looks the same twice; the recording has the original's, in plain base64.
    if actual.starts_with("$a6$1$") {
        return expected.len().is_multiple_of(4) && !expected.contains(' ');
    }
    // What a parser says of bad JSON belongs to that parser; only what stands before it is the gateway's.
    if let Some((before, told)) = expected.split_once("Expected ")
        && told.contains(" but found ")
        && told.contains(" at character ")
    {
        return actual.starts_with(before);
    }
    fits(&sorted_alternatives(expected), &sorted_alternatives(actual))
}

/// The original lists `(supported: a, b)` in an arbitrary order.
fn sorted_alternatives(text: &str) -> Cow<'_, str> {
    let parts = text
        .split_once("(supported: ")
        .and_then(|(before, rest)| rest.split_once(')').map(|(names, after)| (before, names, after)));
    let Some((before, names, after)) = parts else { return Cow::Borrowed(text) };
    let mut names: Vec<&str> = names.split(", ").collect();
    names.sort_unstable();
    Cow::Owned(format!("{before}(supported: {}){after}", names.join(", ")))
}

/// Where a body differs from the recorded one: by value where both are JSON, else as text.
pub(crate) fn body_differences(expected: &str, actual: &[u8]) -> Vec<String> {
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    if let (Some(expected), Some(actual)) = (json(expected.as_bytes()), json(actual)) {
        return differences(&expected, &actual);
    }
    let actual = String::from_utf8_lossy(actual);
    if same_text(expected, &actual) {
        return Vec::new();
    }
    vec![format!(": expected {}, got {}", cut(&format!("{expected:?}")), cut(&format!("{actual:?}")))]
}

/// Where a value differs from the recorded one, each difference with the path to it.
pub(crate) fn differences(expected: &Value, actual: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(expected, actual, "", &mut found);
    found
}

fn compare(expected: &Value, actual: &Value, path: &str, found: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(wanted), Value::Object(got)) => {
            for (name, value) in wanted {
                let path = format!("{path}.{name}");
                match got.get(name) {
                    Some(other) => compare(value, other, &path, found),
                    None => found.push(format!("{path}: missing, expected {}", shown(value))),
                }
            }
            for (name, value) in got.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
                found.push(format!("{path}.{name}: not expected, got {}", shown(value)));
            }
        }
        (Value::Array(wanted), Value::Array(got)) => {
            for (index, (value, other)) in wanted.iter().zip(got).enumerate() {
                compare(value, other, &format!("{path}[{index}]"), found);
            }
            for (index, value) in wanted.iter().enumerate().skip(got.len()) {
                found.push(format!("{path}[{index}]: missing, expected {}", shown(value)));
            }
            for (index, value) in got.iter().enumerate().skip(wanted.len()) {
                found.push(format!("{path}[{index}]: not expected, got {}", shown(value)));
            }
        }
        _ if is_same(expected, actual) => {}
        _ => found.push(format!("{path}: expected {}, got {}", shown(expected), shown(actual))),
    }
}

/// Whether two values that are not both objects or both lists are the same.
fn is_same(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        // An empty Lua table has no type.
        (Value::Array(items), Value::Object(members)) | (Value::Object(members), Value::Array(items)) => {
            items.is_empty() && members.is_empty()
        }
        (Value::Number(wanted), Value::Number(got)) => wanted == got || wanted.as_f64() == got.as_f64(),
        (Value::String(wanted), Value::Number(got)) => {
            wanted.starts_with('<') && fits(wanted, &got.to_string())
        }
        (Value::String(wanted), Value::String(got)) => same_text(wanted, got) || is_same_json(wanted, got),
        _ => expected == actual,
    }
}

/// Objects inside of strings, as the arguments of a tool call, have no key order either.
fn is_same_json(expected: &str, actual: &str) -> bool {
    let json = |text: &str| serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    json(expected).zip(json(actual)).is_some_and(|(wanted, got)| differences(&wanted, &got).is_empty())
}

fn shown(value: &Value) -> String {
    cut(&value.to_string())
}

/// The start of a text that may be long.
pub(crate) fn cut(text: &str) -> String {
    const LONGEST: usize = 400;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_fit_their_placeholders() {
        let uuid = "0b5c1f5e-7a8d-4f43-9a5e-2f0f2c7a1b3d";
        let framed = format!("a{uuid}b");
        for (expected, actual, same) in [
            ("APISIX/<version>", "APISIX/3.18.0", true),
            ("APISIX/<version>", "nginx", false),
            ("<uuid>", uuid, true),
            ("a<uuid>b", framed.as_str(), true),
            ("<uuid>", "0b5c", false),
            ("<num>", "59.9", true),
            ("<num>", "soon", false),
            ("t=<long>;Expires=<date>", "t=01234567890123456789;Expires=Wed, 21 Oct 2026 07:28:00 GMT", true),
            ("x (supported: a, b) y", "x (supported: b, a) y", true),
            ("bad: Expected value but found T_END at character 8", "bad: EOF while parsing", true),
            ("bad: Expected value but found T_END at character 8", "good", false),
            ("<b>", "<b>", true),
        ] {
            assert_eq!(same_text(expected, actual), same, "{expected:?} and {actual:?}");
        }
    }

    #[test]
    fn values_differ_where_they_differ() {
        for (expected, actual, found) in [
            (json!({"a": 1, "b": {}}), json!({"b": [], "a": 1.0}), vec![]),
            (json!({"t": "<int>"}), json!({"t": 1_700_000_000}), vec![]),
            (json!({"t": "12"}), json!({"t": 12}), vec![".t: expected \"12\", got 12"]),
            (
                json!({"a": {"b": 1}}),
                json!({"a": {"c": 1}}),
                vec![".a.b: missing, expected 1", ".a.c: not expected, got 1"],
            ),
            (json!([1, 2]), json!([1]), vec!["[1]: missing, expected 2"]),
            (json!({"s": "{\"a\":1,\"b\":2}"}), json!({"s": "{\"b\":2,\"a\":1}"}), vec![]),
            (json!([]), json!({"a": 1}), vec![": expected [], got {\"a\":1}"]),
        ] {
            assert_eq!(differences(&expected, &actual), found, "{expected} and {actual}");
        }
    }
}
