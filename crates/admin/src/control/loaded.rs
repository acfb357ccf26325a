use std::borrow::Cow;
use std::net::IpAddr;

use a6_resources::{Catalogue, Entry, Kind, Upstream, schema_of};
use serde_json::{Map, Value, json};

use crate::answer::{Envelope, key};
use crate::mask::hide_secrets;

/// A resource in its envelope as it is in memory, without its secrets. Of what APISIX's Control API shows too, absent
/// members have their defaults and nodes are a list; its metadata have no envelope.
pub(super) fn loaded(entry: &Entry, catalogue: &dyn Catalogue) -> Value {
    let mut value = (*entry.value).clone();
    let has_domain = match entry.kind {
        Kind::Route | Kind::Service | Kind::Upstream => Some(fill(entry, &mut value, catalogue)),
        Kind::PluginMetadata => {
            let schema = catalogue.spec(&entry.id).and_then(|spec| spec.metadata_schema.as_ref());
            if let Some(schema) = schema {
                schema.fill_defaults(&mut value);
            }
            None
        }
        _ => None,
    };
    hide_secrets(entry.kind, &entry.id, &mut value, catalogue);
    if entry.kind == Kind::PluginMetadata {
        return value;
    }
    let mut shown = json!(Envelope::with(entry, Cow::Owned(value)));
    if let (Value::Object(members), Some(has_domain)) = (&mut shown, has_domain) {
        members.insert("has_domain".to_string(), Value::from(has_domain));
        if entry.kind == Kind::Route {
            members.insert("orig_modifiedIndex".to_string(), Value::from(entry.modified));
        }
    }
    shown
}

/// Fills the defaults in. Gives whether a node is known by a name rather than an address.
fn fill(entry: &Entry, value: &mut Value, catalogue: &dyn Catalogue) -> bool {
    if let Some(schema) = schema_of(entry.kind) {
        schema.fill_defaults(value);
    }
    for (name, conf) in value.get_mut("plugins").and_then(Value::as_object_mut).into_iter().flatten() {
        if let Some(spec) = catalogue.spec(name) {
            spec.schema.fill_defaults(conf);
        }
        if let Value::Object(members) = conf {
            members.entry("_meta").or_insert_with(|| Value::Object(Map::new()));
        }
    }
    match (entry.kind, value) {
        (Kind::Upstream, Value::Object(upstream)) => place(entry, upstream),
        (_, value) => {
            value.get_mut("upstream").and_then(Value::as_object_mut).is_some_and(|own| place(entry, own))
        }
    }
}

/// Says on which resource an upstream is written, and makes its nodes a list.
fn place(entry: &Entry, upstream: &mut Map<String, Value>) -> bool {
    let known: Option<Upstream> = serde_json::from_value(Value::Object(upstream.clone())).ok();
    let nodes = known.and_then(|upstream| upstream.nodes).unwrap_or_default();
    if upstream.get("nodes").is_some_and(Value::is_object) {
        let listed = nodes.iter().map(|node| match node.port {
            Some(port) => json!({ "host": node.host, "port": port, "weight": node.weight }),
            None => json!({ "host": node.host, "weight": node.weight }),
        });
        upstream.insert("nodes".to_string(), listed.collect());
    }
    upstream.insert("resource_key".to_string(), Value::from(key(entry.kind, &entry.id)));
    upstream.insert("resource_id".to_string(), entry.value.get("id").cloned().unwrap_or_default());
    upstream.insert("resource_version".to_string(), Value::from(entry.modified));
    let is_name = |host: &str| host.trim_matches(['[', ']']).parse::<IpAddr>().is_err();
    nodes.iter().any(|node| is_name(&node.host))
}
