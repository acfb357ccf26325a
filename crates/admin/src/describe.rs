use a6_resources::{Catalogue, Kind, PluginSpec, Schema, schema_of, schema_of_hash_key, schema_of_meta};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::query::Query;

/// `/plugins/...`: names of plugins, their schemas, or all of both.
pub(crate) fn plugins(catalogue: &dyn Catalogue, rest: &[String], query: &Query) -> Answer {
    match rest.first().map(String::as_str) {
        Some("list") => names(catalogue, query.get("subsystem")),
        None if query.get("all") == Some("true") => {
            let all = match query.get("subsystem") {
                Some("stream") => Map::new(),
                _ => table(catalogue),
            };
            Answer::json(StatusCode::OK, &all)
        }
        name => plugin(catalogue, name.unwrap_or_default(), query),
    }
}

/// `/schema/«kind»` and `/schema/plugins/«name»`.
pub(crate) fn schema(catalogue: &dyn Catalogue, rest: &[String], query: &Query) -> Answer {
    let object = rest.first().map_or("", String::as_str);
    if object == "plugins" {
        return plugin(catalogue, rest.get(1).map_or("", String::as_str), query);
    }
    let spec = Kind::all().iter().find(|spec| spec.name == object);
    match spec.and_then(|spec| schema_of(spec.kind)) {
        Some(schema) => Answer::json(StatusCode::OK, schema.document()),
        None => Answer::refused(format!("not found schema: {object}")),
    }
}

/// The schemas of all kinds and plugins, as the Control API has them.
pub(crate) fn everything(catalogue: &dyn Catalogue) -> Value {
    let mut main: Map<String, Value> = Kind::all()
        .iter()
        .filter_map(|spec| Some((spec.name.to_string(), schema_of(spec.kind)?.document().clone())))
        .collect();
    for (name, hash_on) in [("upstream_hash_header_schema", "header"), ("upstream_hash_vars_schema", "vars")]
    {
        main.extend(schema_of_hash_key(hash_on).map(|schema| (name.to_string(), schema.document().clone())));
    }
    json!({ "main": main, "plugins": table(catalogue), "stream_plugins": {} })
}

fn names(catalogue: &dyn Catalogue, subsystem: Option<&str>) -> Answer {
    let names: Vec<&str> = match subsystem {
        None | Some("http") => catalogue.specs().iter().map(|spec| spec.name).collect(),
        Some("stream") => Vec::new(),
        Some(_) => return Answer::text(StatusCode::BAD_REQUEST, "invalid subsystem passed"),
    };
    Answer::json(StatusCode::OK, &names)
}

fn plugin(catalogue: &dyn Catalogue, name: &str, query: &Query) -> Answer {
    let subsystem = query.get("subsystem").unwrap_or("http");
    let spec = match subsystem {
        "http" => catalogue.spec(name),
        "stream" => None,
        other => return Answer::refused(format!("unsupported subsystem: {other}")),
    };
    let Some(spec) = spec else {
        return Answer::error(StatusCode::NOT_FOUND, format!("plugin not found in subsystem {subsystem}"));
    };
    let schema = match query.get("schema_type") {
        Some("consumer") => spec.consumer_schema.as_ref().map(|schema| of_consumer(spec, schema)),
        Some("metadata") => spec.metadata_schema.as_ref().map(|schema| schema.document().clone()),
        _ => Some(of_route(spec)),
    };
    match schema {
        Some(schema) => Answer::json(StatusCode::OK, &schema),
        None => Answer::refused("not found schema"),
    }
}

/// The schema of a plugin's configuration with `_meta`, which no plugin knows of. APISIX marks that it was put in.
pub(crate) fn of_route(spec: &PluginSpec) -> Value {
    let mut document = spec.schema.document().clone();
    if spec.kind != Some("auth") {
        name_secrets(spec, &mut document);
    }
    if let Value::Object(members) = &mut document {
        let properties = members.entry("properties").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(properties) = properties {
            properties.insert("_meta".to_string(), schema_of_meta().document().clone());
        }
        members.insert("$comment".to_string(), Value::from("this is a mark for our injected plugin schema"));
    }
    document
}

/// The schema of an auth plugin's configuration in a consumer: there are its secrets.
pub(crate) fn of_consumer(spec: &PluginSpec, schema: &Schema) -> Value {
    let mut document = schema.document().clone();
    name_secrets(spec, &mut document);
    document
}

fn name_secrets(spec: &PluginSpec, document: &mut Value) {
    if let (Value::Object(members), false) = (document, spec.encrypt_fields.is_empty()) {
        members.insert("encrypt_fields".to_string(), json!(spec.encrypt_fields));
    }
}

fn table(catalogue: &dyn Catalogue) -> Map<String, Value> {
    catalogue.specs().iter().map(|spec| (spec.name.to_string(), row(spec))).collect()
}

fn row(spec: &PluginSpec) -> Value {
    let mut row = Map::new();
    // APISIX's versions are numbers.
    let version = spec.version.parse::<f64>().map_or_else(|_| Value::from(spec.version), Value::from);
    row.insert("version".to_string(), version);
    row.insert("priority".to_string(), Value::from(spec.priority));
    row.insert("schema".to_string(), of_route(spec));
    let of_consumer = spec.consumer_schema.as_ref().map(|schema| of_consumer(spec, schema));
    let of_metadata = spec.metadata_schema.as_ref().map(|schema| schema.document().clone());
    for (name, schema) in [("consumer_schema", of_consumer), ("metadata_schema", of_metadata)] {
        if let Some(schema) = schema {
            row.insert(name.to_string(), schema);
        }
    }
    if let Some(kind) = spec.kind {
        row.insert("type".to_string(), Value::from(kind));
    }
    Value::Object(row)
}
