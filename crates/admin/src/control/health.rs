use std::collections::BTreeMap;
use std::sync::Arc;

use a6_resources::{Entry, Kind};
use a6_snapshot::{Checked, CheckedNode};
use http::StatusCode;
use serde_json::{Value, json};

use super::Control;
use crate::answer::{Answer, key};

/// Every resource that asks for health checks.
pub(super) fn list(control: &Control) -> Answer {
    let state = control.view.read();
    let owners = [Kind::Route, Kind::Service, Kind::Upstream];
    let entries = owners.into_iter().flat_map(|kind| state.of_kind(kind));
    let checked = control.health.all();
    let checkers: Vec<Value> =
        entries.filter_map(|entry| checker(entry, &checked)).chain(of_instances("", &checked)).collect();
    Answer::json(StatusCode::OK, &checkers)
}

/// The health checks of one resource.
pub(super) fn one(collection: &str, id: Option<&str>, control: &Control) -> Answer {
    let not_found = |text: String| Answer::error(StatusCode::NOT_FOUND, text);
    let Some(id) = id else { return not_found(format!("missing src id for src type {collection}")) };
    let kind = match collection {
        "routes" => Kind::Route,
        "services" => Kind::Service,
        "upstreams" => Kind::Upstream,
        "stream_routes" => return not_found(format!("stream_routes[{id}] not found")),
        _ => return Answer::refused(format!("invalid src type {collection}")),
    };
    let checked = control.health.all();
    let own = control.view.read().get(kind, id).map(|entry| checker(entry, &checked));
    let of_instances = of_instances(&format!("/{collection}/{id}#"), &checked);
    match own {
        None => not_found(format!("{collection}[{id}] not found")),
        Some(Some(checker)) => Answer::json(StatusCode::OK, &checker),
        Some(None) if of_instances.is_empty() => not_found(format!("no checker for {collection}[{id}]")),
        Some(None) => Answer::json(StatusCode::OK, &of_instances),
    }
}

/// What is known of the AI instances whose checks are written where a prefix says.
fn of_instances(prefix: &str, checked: &[Arc<Checked>]) -> Vec<Value> {
    let is_meant = |checked: &&Arc<Checked>| checked.key.contains('#') && checked.key.starts_with(prefix);
    let mut all: BTreeMap<&str, &Checked> = BTreeMap::new();
    // The newest comes last.
    for checked in checked.iter().filter(is_meant) {
        all.insert(&checked.key, checked);
    }
    let told = |(key, checked): (&str, &Checked)| {
        let nodes: Vec<Value> = checked.nodes.iter().map(node).collect();
        json!({"name": format!("/apisix{key}"), "type": checked.checks.active.kind.as_str(), "nodes": nodes})
    };
    all.into_iter().map(told).collect()
}

/// What is known of a resource's health checks. None where it asks for none.
fn checker(entry: &Entry, checked: &[Arc<Checked>]) -> Option<Value> {
    let upstream = entry.value.get("upstream").unwrap_or(&entry.value);
    let checks = upstream.get("checks")?;
    let kind = checks.pointer("/active/type").and_then(Value::as_str).unwrap_or("http");
    let owner = format!("/{}/{}", entry.kind.spec().plural, entry.id);
    // The newest: an older one may live as long as a request that was sent by it.
    let found = checked.iter().rev().find(|checked| *checked.key == *owner);
    let nodes: Vec<Value> = found.into_iter().flat_map(|checked| &checked.nodes).map(node).collect();
    Some(json!({ "name": key(entry.kind, &entry.id), "type": kind, "nodes": nodes }))
}

fn node(node: &CheckedNode) -> Value {
    let tally = node.state.health.tally();
    json!({
        "ip": node.target.host,
        "port": node.target.port,
        "hostname": node.target.host,
        "status": tally.verdict().as_str(),
        "counter": {
            "success": tally.successes,
            "http_failure": tally.http_failures,
            "tcp_failure": tally.tcp_failures,
            "timeout_failure": tally.timeouts,
        },
    })
}
