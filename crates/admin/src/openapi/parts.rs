use a6_resources::{Catalogue, Kind, SECRET_MANAGERS, schema_of, schema_of_secret_manager};
use serde_json::{Map, Value, json};

use super::{answer, plugins, reference};

/// The name of the schema of what a client writes of a kind.
pub(super) fn written_name(kind: Kind) -> String {
    format!("{}_written", kind.spec().name)
}

/// What clients write of each kind, and what they are answered.
pub(super) fn schemas(catalogue: &dyn Catalogue) -> Value {
    let text = json!({"type": "string"});
    let entry = json!({
        "type": "object",
        "properties": {
            "key": text,
            "value": {"type": "object", "description": "What is stored: what was written, `id`, and times."},
            "createdIndex": {"type": "integer", "minimum": 1},
            "modifiedIndex": {"type": "integer", "minimum": 1},
        },
        "required": ["key", "value", "createdIndex", "modifiedIndex"],
    });
    let mut schemas = Map::new();
    for (name, schema) in [
        ("entry", entry),
        (
            "listing",
            object(&[
                ("total", json!({"type": "integer", "minimum": 0})),
                ("list", json!({"type": "array", "items": reference("schemas", "entry")})),
            ]),
        ),
        ("stored", object(&[("key", text.clone()), ("value", json!({"type": "object"}))])),
        ("deleted", object(&[("key", text.clone()), ("deleted", json!({"const": "1"}))])),
        ("error", object(&[("error_msg", text.clone())])),
        ("missing", object(&[("message", text.clone())])),
        ("unauthorized", object(&[("error_msg", text.clone()), ("description", text)])),
    ] {
        schemas.insert(name.to_string(), schema);
    }
    for spec in Kind::all() {
        schemas.insert(written_name(spec.kind), written(spec.kind));
    }
    plugins::add(catalogue, &mut schemas);
    Value::Object(schemas)
}

/// An object in which all of these members are required.
fn object(members: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> =
        members.iter().map(|(name, schema)| ((*name).to_string(), schema.clone())).collect();
    json!({"type": "object", "properties": properties, "required": names})
}

/// The answers that every operation may give.
pub(super) fn responses() -> Value {
    let error = reference("schemas", "error");
    let missing = json!({"anyOf": [reference("schemas", "missing"), error]});
    json!({
        "BadRequest": answer("The request is refused; `error_msg` says why.", &error),
        "Unauthorized": answer("The key is missing, wrong, or its role may not write.", &reference("schemas", "unauthorized")),
        "Forbidden": answer("The client's address is not in `allow_admin`, or the Host header is none of this listener's.", &error),
        "NotFound": answer("Nothing has that name.", &missing),
        "SlowBody": answer("The request's body did not come in time.", &error),
        "PreconditionFailed": answer("The resource is not as `If-Match` expects it.", &error),
        "Unavailable": answer("Nothing was written: the store failed or a6 is shutting down.", &error),
    })
}

/// The schema of what a client writes: as the kind's, without what a6 sets.
fn written(kind: Kind) -> Value {
    let mut schema = match kind {
        Kind::Secret => {
            let managers = SECRET_MANAGERS.iter().filter_map(|manager| schema_of_secret_manager(manager));
            let managers: Vec<Value> = managers.map(|schema| modern(schema.document())).collect();
            json!({"anyOf": managers})
        }
        _ => schema_of(kind).map_or_else(|| json!({"type": "object"}), |schema| modern(schema.document())),
    };
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| name != "id");
    }
    plugins::name(kind, &mut schema);
    schema
}

/// A draft 7 schema in the words of OpenAPI 3.1, without the times, which no client may set.
pub(super) fn modern(schema: &Value) -> Value {
    match schema {
        Value::Object(rules) => {
            let mut modern_rules = Map::new();
            for (name, rule) in rules {
                match (name.as_str(), rule) {
                    ("dependencies", Value::Object(rules)) => dependencies(rules, &mut modern_rules),
                    // Not of JSON Schema.
                    ("encrypt_fields", _) => {}
                    ("properties", Value::Object(properties)) => {
                        let kept = properties
                            .iter()
                            .filter(|(name, _)| !matches!(name.as_str(), "create_time" | "update_time"))
                            .map(|(name, rule)| (name.clone(), modern(rule)));
                        modern_rules.insert(name.clone(), Value::Object(kept.collect()));
                    }
                    ("default" | "enum" | "const", _) => {
                        modern_rules.insert(name.clone(), rule.clone());
                    }
                    _ => {
                        modern_rules.insert(name.clone(), modern(rule));
                    }
                }
            }
            Value::Object(modern_rules)
        }
        Value::Array(items) => items.iter().map(modern).collect(),
        other => other.clone(),
    }
}

/// Draft 7 has one keyword for what are two since.
fn dependencies(rules: &Map<String, Value>, target: &mut Map<String, Value>) {
    let (names, schemas): (Map<String, Value>, Map<String, Value>) =
        rules.iter().map(|(name, rule)| (name.clone(), modern(rule))).partition(|(_, rule)| rule.is_array());
    for (keyword, rules) in [("dependentRequired", names), ("dependentSchemas", schemas)] {
        if !rules.is_empty() {
            target.insert(keyword.to_string(), Value::Object(rules));
        }
    }
}
