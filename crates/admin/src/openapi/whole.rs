use a6_resources::Kind;
use serde_json::{Map, Value, json};

use super::others::operation;
use super::parts::written_name;
use super::{Operation, answer, bare_answer};

/// Adds the whole configuration.
pub(super) fn add(paths: &mut Map<String, Value>) {
    let path = json!({
        "get": get().into_value("configuration"),
        "head": head().into_value("configuration"),
        "put": put().into_value("configuration"),
    });
    paths.insert("/apisix/admin/configs".to_string(), path);
}

fn get() -> Operation {
    let shown = collections(&[
        ("X-Digest", json!({"type": "string"})),
        ("X-Last-Modified", json!({"type": "integer"})),
    ]);
    let mut shown = answer("Everything as it was put, without the keys of certificates.", &shown);
    shown["content"]["application/yaml"] = shown["content"]["application/json"].clone();
    let answers = vec![("200", marked(shown))];
    operation("get_configs", "Shows the whole configuration; as YAML where `Accept` says so", answers)
}

fn head() -> Operation {
    let answers = vec![("200", marked(bare_answer("Of which state it is.")))];
    operation("head_configs", "Shows which configuration is in force", answers)
}

fn put() -> Operation {
    let digest = json!({
        "name": "X-Digest",
        "in": "header",
        "required": true,
        "description": "The client's own word for this configuration.",
        "schema": {"type": "string"},
    });
    let answers = vec![
        ("202", marked(bare_answer("All of it is in force."))),
        ("204", bare_answer("The configuration with this digest is in force; nothing was looked at.")),
    ];
    Operation {
        parameters: vec![digest],
        body: Some(collections(&[])),
        takes_yaml: true,
        ..operation("put_configs", "Puts the whole configuration, all of it or nothing", answers)
    }
}

/// An answer with the headers that tell the state.
fn marked(mut answer: Value) -> Value {
    answer["headers"] = json!({
        "X-Digest": {"description": "What the client called this state.", "schema": {"type": "string"}},
        "X-Last-Modified": {"description": "Unix seconds of its PUT; 0 before the first.", "schema": {"type": "integer"}},
    });
    answer
}

/// The schema of a whole configuration, with more members.
fn collections(more: &[(&str, Value)]) -> Value {
    let mut properties = Map::new();
    let kinds = Kind::all().iter().filter(|spec| spec.kind != Kind::Credential);
    let lists = kinds.map(|spec| (spec.collection, items(spec.kind)));
    let others = [
        ("stream_routes", json!({"type": "array", "maxItems": 0, "description": "There are no streams."})),
        ("plugins", json!({"type": "array", "description": "Without effect."})),
    ];
    for (name, list) in lists.chain(others) {
        properties.insert(name.to_string(), list);
        let version = json!({
            "type": "number",
            "description": "Lower than the one held: refused; the same: what is held stays; greater, or none: replaced.",
        });
        properties.insert(format!("{name}_conf_version"), version);
    }
    properties.extend(more.iter().map(|(name, schema)| ((*name).to_string(), schema.clone())));
    json!({"type": "object", "properties": properties})
}

/// A list of resources. What each may have is checked as where one is put at a time.
fn items(kind: Kind) -> Value {
    let others = if kind == Kind::Consumer {
        "; with an id `«username»/credentials/«id»`, a credential"
    } else {
        ""
    };
    let name = written_name(kind);
    json!({
        "type": "array",
        "description": format!("Each as `#/components/schemas/{name}` says, with an `id`, perhaps a `modifiedIndex`{others}."),
        "items": {"type": "object"},
    })
}
