use a6_resources::{Entry, Kind};
use http::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, key};
use crate::view::State;

/// Every resource that asks for health checks.
pub(super) fn list(state: &State) -> Answer {
    let owners = [Kind::Route, Kind::Service, Kind::Upstream];
    let checkers: Vec<Value> =
        owners.into_iter().flat_map(|kind| state.of_kind(kind)).filter_map(checker).collect();
    Answer::json(StatusCode::OK, &checkers)
}

/// The health checks of one resource.
pub(super) fn one(collection: &str, id: Option<&str>, state: &State) -> Answer {
    let not_found = |text: String| Answer::error(StatusCode::NOT_FOUND, text);
    let Some(id) = id else { return not_found(format!("missing src id for src type {collection}")) };
    let kind = match collection {
        "routes" => Kind::Route,
        "services" => Kind::Service,
        "upstreams" => Kind::Upstream,
        "stream_routes" => return not_found(format!("stream_routes[{id}] not found")),
        _ => return Answer::refused(format!("invalid src type {collection}")),
    };
    match state.get(kind, id).map(checker) {
        None => not_found(format!("{collection}[{id}] not found")),
        Some(None) => not_found(format!("no checker for {collection}[{id}]")),
        Some(Some(checker)) => Answer::json(StatusCode::OK, &checker),
    }
}

/// What is known of a resource's health checks; no node has been checked yet. None where it asks for none.
fn checker(entry: &Entry) -> Option<Value> {
    let upstream = entry.value.get("upstream").unwrap_or(&entry.value);
    let checks = upstream.get("checks")?;
    let kind = checks.pointer("/active/type").and_then(Value::as_str).unwrap_or("http");
    Some(json!({ "name": key(entry.kind, &entry.id), "type": kind, "nodes": [] }))
}
