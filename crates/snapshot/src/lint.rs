use std::collections::HashMap;

use a6_resources::{Catalogue, Entry, Kind, id_text};
use serde_json::{Map, Value};

/// What is allowed but unwise, one sentence each.
///
/// `exposed` says that the data plane listens beyond loopback. Then a route that adds a provider's key and asks nobody
/// who is calling is an open purse.
pub fn lint(entries: &[Entry], catalogue: &dyn Catalogue, exposed: bool) -> Vec<String> {
    if !exposed {
        return Vec::new();
    }
    let services: HashMap<&str, &Value> = entries
        .iter()
        .filter(|entry| entry.kind == Kind::Service)
        .map(|entry| (entry.id.as_str(), &*entry.value))
        .collect();
    entries
        .iter()
        .filter(|entry| entry.kind == Kind::Route)
        .filter_map(|route| {
            let service = route.value.get("service_id").and_then(id_text);
            let service = service.and_then(|id| services.get(id.as_str()).copied());
            let plugins = merged(service, &route.value);
            let is_open = !plugins.iter().any(|(name, _)| is_auth(catalogue, name));
            let holder = plugins.iter().find(|(_, conf)| holds_key(conf))?.0;
            is_open.then(|| {
                format!(
                    "route {}: {holder} adds a provider's key, no auth plugin asks who is calling, and the data plane \
                     listens beyond loopback; add an auth plugin or listen on 127.0.0.1",
                    route.id
                )
            })
        })
        .collect()
}

fn merged(service: Option<&Value>, route: &Value) -> Map<String, Value> {
    let plugins = |owner: &Value| owner.get("plugins").and_then(Value::as_object).cloned();
    let mut all = service.and_then(plugins).unwrap_or_default();
    all.extend(plugins(route).unwrap_or_default());
    all
}

fn is_auth(catalogue: &dyn Catalogue, name: &str) -> bool {
    catalogue.spec(name).is_some_and(|spec| spec.kind == Some("auth"))
}

fn holds_key(conf: &Value) -> bool {
    let has_entries = |member: &Value| member.as_object().is_some_and(|object| !object.is_empty());
    conf.get("auth").and_then(Value::as_object).is_some_and(|auth| auth.values().any(has_entries))
}
