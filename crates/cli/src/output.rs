//! Output formats, the default that depends on who reads, and JSON as the a6 tool prints it. Known fields come in the order of
//! their kind, all other keys sorted; nothing the server sent is dropped but members that say nothing.

use serde_json::Value;

use crate::errors::{Failure, Result};
use crate::kinds::{Object, Shape};
use crate::session::Session;
use crate::yaml;

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
    Yaml,
}

/// What `-o` asks for. `None` when it is absent or empty.
pub(crate) fn requested(session: &Session<'_>) -> Result<Option<Format>> {
    match session.flags.output.as_deref() {
        None | Some("") => Ok(None),
        Some("table") => Ok(Some(Format::Table)),
        Some("json") => Ok(Some(Format::Json)),
        Some("yaml") => Ok(Some(Format::Yaml)),
        Some(other) => Err(unsupported(other)),
    }
}

/// The format of a list: a table for a person, JSON for a program.
pub(crate) fn list_format(session: &Session<'_>) -> Result<Format> {
    let default = if session.output_is_terminal { Format::Table } else { Format::Json };
    Ok(requested(session)?.unwrap_or(default))
}

/// The format of one object: YAML for a person, JSON for a program.
pub(crate) fn object_format(session: &Session<'_>) -> Result<Format> {
    match requested(session)? {
        Some(Format::Table) => Err(unsupported("table")),
        Some(format) => Ok(format),
        None if session.output_is_terminal => Ok(Format::Yaml),
        None => Ok(Format::Json),
    }
}

/// The failure for a format that the command does not have.
pub(crate) fn unsupported(format: &str) -> Failure {
    Failure::new(format!("unsupported output format: {format}"))
}

/// A value as JSON or YAML text that ends with a line break.
pub(crate) fn render(value: &Value, format: Format) -> Result<String> {
    if format == Format::Yaml { yaml::render(value) } else { json(value) }
}

/// JSON with an indent of two and the characters escaped that Go escapes for HTML.
fn json(value: &Value) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(format!("failed to write JSON: {error}")))?;
    // Outside strings JSON knows none of these characters, so replacing them in the whole text is safe.
    for (character, escape) in [
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ] {
        if text.contains(character) {
            text = text.replace(character, escape);
        }
    }
    text.push('\n');
    Ok(text)
}

/// The object in the order in which its kind prints.
pub(crate) fn arrange(mut object: Object, shape: &Shape) -> Value {
    let mut arranged = Object::new();
    for &field in shape.fields {
        let Some(value) = object.shift_remove(field) else { continue };
        if says_nothing(field, &value) {
            continue;
        }
        let nested = shape.nested.iter().find(|(name, _)| *name == field);
        let value = match (nested, value) {
            (Some((_, shape)), Value::Object(inner)) => arrange(inner, shape),
            (_, other) => sorted(other),
        };
        arranged.insert(field.to_owned(), value);
    }
    object.sort_keys();
    arranged.extend(object.into_iter().map(|(key, value)| (key, sorted(value))));
    Value::Object(arranged)
}

fn sorted(mut value: Value) -> Value {
    value.sort_all_objects();
    value
}

/// Empty members are left out as in the a6 tool, except those that the server wants to see again on update.
fn says_nothing(field: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty() && field != "nodes",
        Value::Object(members) => members.is_empty() && !matches!(field, "nodes" | "plugins"),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds;

    fn arranged(command: &str, value: Value) -> Value {
        let Value::Object(object) = value else { panic!("not an object") };
        arrange(object, kinds::by_command(command).unwrap().shape)
    }

    #[test]
    fn fields_print_in_the_order_of_their_kind_and_none_is_lost() {
        let route = arranged(
            "route",
            json!({
                "update_time": 2, "vars": [["a", "==", "b"]], "plugins": {"b": {"y": 1, "x": {}}, "a": {}},
                "upstream": {"pass_host": "node", "timeout": {"read": 1, "connect": 2.5, "send": 3},
                    "nodes": [{"port": 1, "host": "h"}], "type": "roundrobin"},
                "desc": "", "hosts": [], "labels": {}, "id": 1000000, "uri": "/x", "filter_func": "f", "status": 0
            }),
        );
        assert_eq!(
            route.to_string(),
            concat!(
                r#"{"id":1000000,"uri":"/x","status":0,"plugins":{"a":{},"b":{"x":{},"y":1}},"#,
                r#""upstream":{"type":"roundrobin","nodes":[{"host":"h","port":1}],"#,
                r#""timeout":{"connect":2.5,"send":3,"read":1},"pass_host":"node"},"#,
                r#""update_time":2,"filter_func":"f","vars":[["a","==","b"]]}"#
            )
        );
        let upstream = arranged("upstream", json!({"nodes": {}, "type": "roundrobin", "name": null}));
        assert_eq!(upstream.to_string(), r#"{"type":"roundrobin","nodes":{}}"#);
    }

    #[test]
    fn json_has_its_exact_form() {
        let value =
            json!([{"id": "1", "uri": "/a?b<c&d", "plugins": {}, "hosts": ["x"], "t": {"n": 1000000}}]);
        assert_eq!(
            render(&value, Format::Json).unwrap(),
            "[\n  {\n    \"id\": \"1\",\n    \"uri\": \"/a?b\\u003cc\\u0026d\",\n    \"plugins\": {},\n    \
             \"hosts\": [\n      \"x\"\n    ],\n    \"t\": {\n      \"n\": 1000000\n    }\n  }\n]\n"
        );
        assert_eq!(render(&json!([]), Format::Json).unwrap(), "[]\n");
    }
}
