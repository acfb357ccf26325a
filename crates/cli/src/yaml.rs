//! YAML as Go's yaml.v3 lays it out, which is what the a6 tool prints: four columns a level, lists indented under their
//! key, the keys of a list's item two columns past its dash. serde-saphyr decides how keys and scalars are quoted; its own
//! layout puts what is nested in a list's item one level deeper, which tools that compare text would notice.

use serde_json::Value;

use crate::errors::{Failure, Result};
use crate::kinds::Object;

const STEP: usize = 4;

/// The value as one YAML document without a marker, ending with a line break.
pub(crate) fn render(value: &Value) -> Result<String> {
    let mut text = String::new();
    match value {
        Value::Object(object) if !object.is_empty() => mapping(&mut text, object, 0)?,
        Value::Array(items) if !items.is_empty() => sequence(&mut text, items, 0)?,
        scalar => leaf(&mut text, scalar, STEP)?,
    }
    Ok(text)
}

/// Writes the entries; the first one continues the line it finds itself on.
fn mapping(text: &mut String, object: &Object, indent: usize) -> Result<()> {
    for (position, (name, value)) in object.iter().enumerate() {
        if position > 0 {
            pad(text, indent);
        }
        text.push_str(&key(name)?);
        text.push(':');
        let deeper = next_level(indent);
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                text.push('\n');
                pad(text, deeper);
                mapping(text, inner, deeper)?;
            }
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                pad(text, deeper);
                sequence(text, items, deeper)?;
            }
            scalar => {
                text.push(' ');
                leaf(text, scalar, deeper)?;
            }
        }
    }
    Ok(())
}

fn sequence(text: &mut String, items: &[Value], indent: usize) -> Result<()> {
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            pad(text, indent);
        }
        text.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => mapping(text, inner, indent + 2)?,
            Value::Array(inner) if !inner.is_empty() => sequence(text, inner, indent + 2)?,
            scalar => leaf(text, scalar, next_level(indent))?,
        }
    }
    Ok(())
}

/// A scalar or an empty collection and the end of its line; `indent` is the column of a block of text.
fn leaf(text: &mut String, value: &Value, indent: usize) -> Result<()> {
    match value {
        Value::String(lines) if fits_a_block(lines) => block(text, lines, indent),
        Value::String(string) => text.push_str(quoted(string)?.trim_end_matches('\n')),
        // Null, booleans, numbers, {} and [] are written alike in JSON and YAML.
        other => text.push_str(&other.to_string()),
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(())
}

/// Text of several lines, such as a certificate, that reads back unchanged from a literal block.
fn fits_a_block(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\n'])
        && text
            .chars()
            .all(|c| c == '\n' || (!c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')))
}

fn block(text: &mut String, lines: &str, indent: usize) {
    text.push_str(match lines.strip_suffix('\n') {
        None => "|-",
        Some(rest) if rest.ends_with('\n') => "|+",
        Some(_) => "|",
    });
    text.push('\n');
    for line in lines.lines() {
        if !line.is_empty() {
            pad(text, indent);
            text.push_str(line);
        }
        text.push('\n');
    }
}

fn quoted(string: &str) -> Result<String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(&string, options).map_err(failed)
}

/// A key as serde-saphyr writes it in front of a value.
fn key(name: &str) -> Result<String> {
    let entry = Object::from_iter([(name.to_owned(), Value::Null)]);
    let line = serde_saphyr::to_string(&entry).map_err(failed)?;
    match line.strip_suffix(": null\n") {
        Some(key) if !key.starts_with("? ") => Ok(key.to_owned()),
        // Too long for an implicit key there; a JSON string is YAML too.
        _ => Ok(Value::from(name).to_string()),
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("failed to write YAML: {error}"))
}

fn next_level(indent: usize) -> usize {
    (indent + STEP) / STEP * STEP
}

fn pad(text: &mut String, columns: usize) {
    text.extend(std::iter::repeat_n(' ', columns));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_layout_is_that_of_yaml_v3() {
        let cases = [
            (json!([]), "[]\n"),
            (json!({}), "{}\n"),
            (
                json!({"a": {}, "b": [], "c": 1000000, "d": 0.5, "e": true}),
                "a: {}\nb: []\nc: 1000000\nd: 0.5\ne: true\n",
            ),
            (
                json!({"a": {"b": {"c": 1}}, "d": ["x", "y"]}),
                "a:\n    b:\n        c: 1\nd:\n    - x\n    - \"y\"\n",
            ),
            (
                json!([{"id": "1", "hosts": ["x"], "t": {"n": 1}}, {"id": "a"}]),
                "- id: \"1\"\n  hosts:\n    - x\n  t:\n    \"n\": 1\n- id: a\n",
            ),
            (
                json!({"contexts": [{"name": "local", "more": {"a": 1}}]}),
                "contexts:\n    - name: local\n      more:\n        a: 1\n",
            ),
            (json!({"vars": [["a", "has", 1]]}), "vars:\n    - - a\n      - has\n      - 1\n"),
            (
                json!({"cert": "one\ntwo\n", "key": "a\nb"}),
                "cert: |\n    one\n    two\nkey: |-\n    a\n    b\n",
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(render(&value).unwrap(), expected, "{value}");
        }
    }

    #[test]
    fn every_document_reads_back_unchanged() {
        let long = "word ".repeat(60);
        let cases = [
            json!({"on": "yes", "1": "007", "null": "~", "": "", "a: b": "c: d", "# k": "# v", "x": "- y", "q": "it's \"q\""}),
            json!({"long": long, "tabs": "a\tb\nc", "indented": "  a\nb", "tail": "a\nb\n\n", "crlf": "a\r\nb", "blank": "\n"}),
            json!({"127.0.0.1:80": 1, "n": [null, true, -1, u64::MAX, 1.5e300], "uri": "/x/*", "e": "a #b", "t": "a\nb\n"}),
            json!([["a", ["b", {"c": ["d"]}]], [{"e": [[1]]}]]),
        ];
        for value in cases {
            let text = render(&value).unwrap();
            assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), value, "{text}");
        }
    }
}
