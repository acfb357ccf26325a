use a6_resources::{Catalogue, Kind, PluginSpec, schema_of};
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
    match Kind::all().iter().find(|spec| spec.singular == object) {
        Some(spec) => Answer::json(StatusCode::OK, schema_of(spec.kind).document()),
        None => Answer::refused(format!("not found schema: {object}")),
    }
}

/// The schemas of all kinds and plugins, as the Control API has them.
pub(crate) fn everything(catalogue: &dyn Catalogue) -> Value {
    let main: Map<String, Value> = Kind::all()
        .iter()
        .map(|spec| (spec.singular.to_string(), schema_of(spec.kind).document().clone()))
        .collect();
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
        Some("consumer") => spec.consumer_schema.as_ref(),
        Some("metadata") => spec.metadata_schema.as_ref(),
        _ => Some(&spec.schema),
    };
    match schema {
        Some(schema) => Answer::json(StatusCode::OK, schema.document()),
        None => Answer::refused("not found schema"),
    }
}

fn table(catalogue: &dyn Catalogue) -> Map<String, Value> {
    catalogue.specs().iter().map(|spec| (spec.name.to_string(), row(spec))).collect()
}

fn row(spec: &PluginSpec) -> Value {
    let mut row = Map::new();
    row.insert("version".to_string(), Value::from(spec.version));
    row.insert("priority".to_string(), Value::from(spec.priority));
    row.insert("schema".to_string(), spec.schema.document().clone());
    let more = [("consumer_schema", &spec.consumer_schema), ("metadata_schema", &spec.metadata_schema)];
    for (name, schema) in more {
        if let Some(schema) = schema {
            row.insert(name.to_string(), schema.document().clone());
        }
    }
    if let Some(kind) = spec.kind {
        row.insert("type".to_string(), Value::from(kind));
    }
    Value::Object(row)
}
