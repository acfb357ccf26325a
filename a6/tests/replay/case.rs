//! The recorded cases, and the placeholders in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

/// One line of a recording.
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) steps: Vec<Value>,
    /// A plugin that speaks to AI providers is part of it: the rules for providers hold.
    pub(crate) is_ai: bool,
    /// The body that the upstream got matters byte for byte.
    pub(crate) is_verbatim: bool,
    /// A data request of it needs a Redis.
    pub(crate) needs_redis: bool,
}

/// The cases of a file, in its order.
pub(crate) fn load(file: &Path) -> Vec<Case> {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let parse = |(number, line): (usize, &str)| {
        let value = serde_json::from_str(line);
        Case::of(value.unwrap_or_else(|e| panic!("{}:{}: {e}", file.display(), number + 1)), line)
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
}

impl Case {
    fn of(value: Value, line: &str) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_string();
        let steps = value["steps"].as_array().cloned().unwrap_or_default();
        Self {
            id: text("id"),
            is_ai: line.contains("\"ai-proxy"),
            is_verbatim: text("note").contains("original bytes"),
            needs_redis: line.contains("{{redis_port}}") && steps.iter().any(|step| step["on"] == "data"),
            steps,
        }
    }
}

/// What the placeholders of a case stand for.
pub(crate) struct Names(BTreeMap<String, String>);

/// Where one of these is a whole string, it becomes a number.
const NUMBERS: [&str; 2] = ["{{mock_port}}", "{{redis_port}}"];

impl Names {
    pub(crate) fn new<const N: usize>(names: [(&str, String); N]) -> Self {
        Self(names.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
    }

    /// Keeps a member of an answer; `path` is dotted.
    pub(crate) fn save(&mut self, name: &str, answer: &Value, path: &str) {
        let member = path.split('.').fold(answer, |value, part| &value[part]);
        let text = member.as_str().map_or_else(|| member.to_string(), str::to_string);
        self.0.insert(name.to_string(), text);
    }

    /// A value with its placeholders replaced, in names of members too.
    pub(crate) fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                let filled = self.fill_text(text);
                match filled.parse::<u64>() {
                    Ok(number) if NUMBERS.contains(&text.as_str()) => Value::from(number),
                    _ => Value::from(filled),
                }
            }
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(members) => {
                let filled: Map<String, Value> =
                    members.iter().map(|(name, member)| (self.fill_text(name), self.fill(member))).collect();
                Value::Object(filled)
            }
            _ => value.clone(),
        }
    }

    /// A name that means nothing stays as it is: prompt templates have braces of their own.
    fn fill_text(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            filled.push_str(before);
            let named = after.split_once("}}").and_then(|(name, behind)| Some((self.0.get(name)?, behind)));
            match named {
                Some((value, behind)) => {
                    filled.push_str(value);
                    rest = behind;
                }
                None => {
                    filled.push_str("{{");
                    rest = after;
                }
            }
        }
        filled.push_str(rest);
        filled
    }
}

/// Headers as they are recorded, an object or a list of pairs; a list as a value is a header that came repeatedly.
pub(crate) fn pairs(headers: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let mut pairs = Vec::new();
    match headers {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::Array(values) => {
                        pairs.extend(values.iter().map(|value| (name.clone(), text(value))));
                    }
                    _ => pairs.push((name.clone(), text(value))),
                }
            }
        }
        Value::Array(items) => pairs.extend(items.iter().map(|pair| (text(&pair[0]), text(&pair[1])))),
        _ => {}
    }
    pairs
}

/// Bytes that are recorded in hexadecimal.
pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let byte = |digits: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(digits), 16);
    let bytes: Result<Vec<u8>, _> = text.as_bytes().chunks(2).map(byte).collect();
    bytes.unwrap_or_else(|e| panic!("body_hex {text:?}: {e}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn placeholders_are_replaced_in_values_and_names() {
        let mut names = Names::new([("mock", "127.0.0.1:9".to_string()), ("mock_port", "9".to_string())]);
        names.save("pid", &json!({"value": {"id": "17"}}), "value.id");
        for (text, filled) in [
            (json!({"{{mock}}": 1}), json!({"127.0.0.1:9": 1})),
            (json!("{{mock_port}}"), json!(9)),
            (json!(["port {{mock_port}}"]), json!(["port 9"])),
            (json!("/services/{{pid}}?x={{y}}"), json!("/services/17?x={{y}}")),
            (json!("{{{mock}}} {{"), json!("{{{mock}}} {{")),
        ] {
            assert_eq!(names.fill(&text), filled);
        }
    }
}
