//! All violations of a document, for who corrects a file and not one request.

use serde_json::{Map, Value};

use super::explain::first_violation;
use super::keywords::Patterns;
use super::wording::quoted;

/// Every violation, in the words of [`first_violation`]. What holds between members, such as `anyOf`, is told of an object
/// only where its members are right, since it may be they that make it fail.
pub(super) fn all(schema: &Value, value: &Value, patterns: &Patterns) -> Vec<String> {
    let Err(first) = first_violation(schema, value, patterns) else { return Vec::new() };
    let mut found = Vec::new();
    match (schema, value) {
        (Value::Object(rules), Value::Object(members)) => {
            below(rules, members, patterns, &mut found);
        }
        (Value::Object(rules), Value::Array(items)) => {
            if let Some(rule) = rules.get("items") {
                for (number, item) in (1..).zip(items) {
                    let own = all(rule, item, patterns).into_iter();
                    found.extend(own.map(|why| format!("failed to validate item {number}: {why}")));
                }
            }
        }
        _ => {}
    }
    if found.is_empty() {
        found.push(first);
    }
    found
}

fn below(
    rules: &Map<String, Value>,
    members: &Map<String, Value>,
    patterns: &Patterns,
    found: &mut Vec<String>,
) {
    let properties = rules.get("properties").and_then(Value::as_object);
    for (name, rule) in properties.into_iter().flatten() {
        let Some(member) = members.get(name) else { continue };
        let own = all(rule, member, patterns).into_iter();
        found.extend(own.map(|why| format!("property {} validation failed: {why}", quoted(name))));
    }
    let required = rules.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str).filter(|name| !members.contains_key(*name)) {
        found.push(format!("property {} is required", quoted(name)));
    }
    let additional = rules.get("additionalProperties");
    if rules.contains_key("patternProperties") || matches!(additional, None | Some(Value::Bool(true))) {
        return;
    }
    for (name, member) in members {
        if properties.is_some_and(|all| all.contains_key(name)) {
            continue;
        }
        match additional {
            Some(Value::Bool(false)) => found.push(format!("additional properties forbidden, found {name}")),
            Some(rule) => {
                let own = all(rule, member, patterns).into_iter();
                found.extend(own.map(|why| format!("failed to validate additional property {name}: {why}")));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Schema;

    #[test]
    fn every_violation_is_told_the_first_one_among_them() {
        let schema = Schema::compile(json!({
            "type": "object",
            "properties": {
                "a": {"type": "string"},
                "b": {"type": "array", "items": {"type": "integer"}},
                "c": {"type": "object", "additionalProperties": {"type": "integer", "maximum": 3}},
                "d": {"type": "string", "enum": ["x"]},
            },
            "required": ["d", "e"],
            "anyOf": [{"required": ["f"]}, {"required": ["b"]}],
            "additionalProperties": false,
        }))
        .unwrap();
        let cases = [
            (json!({"b": [], "d": "$env://D", "e": 1}), vec!["additional properties forbidden, found e"]),
            (json!(7), vec!["wrong type: expected object, got number"]),
            (
                json!({"a": 1, "b": [1, "2", "3"], "c": {"x": 1, "y": "2", "z": 9}, "g": 1}),
                vec![
                    "property \"a\" validation failed: wrong type: expected string, got number",
                    "property \"b\" validation failed: failed to validate item 2: \
                     wrong type: expected integer, got string",
                    "property \"b\" validation failed: failed to validate item 3: \
                     wrong type: expected integer, got string",
                    "property \"c\" validation failed: failed to validate additional property y: \
                     wrong type: expected integer, got string",
                    "property \"c\" validation failed: failed to validate additional property z: \
                     expected 9 to be at most 3",
                    "property \"d\" is required",
                    "property \"e\" is required",
                    "additional properties forbidden, found g",
                ],
            ),
        ];
        for (value, expected) in cases {
            let found = schema.violations(&value);
            assert_eq!(found, expected, "{value}");
            assert!(found.contains(&schema.check(&value).unwrap_err()), "{value}");
        }
        assert_eq!(schema.violations(&json!({})).len(), 2);
    }
}
