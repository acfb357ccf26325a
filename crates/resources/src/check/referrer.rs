//! What still uses a resource that is to be deleted.

use serde_json::Value;

use crate::{Entry, Kind, id_text};

/// Why the resource cannot be deleted: the first of the entries that refers to it, in the words of the Admin API's 400.
pub fn referrer(kind: Kind, id: &str, entries: &mut dyn Iterator<Item = &Entry>) -> Option<String> {
    let (member, owners, how): (&str, &[Kind], &str) = match kind {
        Kind::Service => ("service_id", &[Kind::Route], " directly"),
        Kind::PluginConfig => ("plugin_config_id", &[Kind::Route], ""),
        Kind::ConsumerGroup => ("group_id", &[Kind::Consumer], ""),
        Kind::Upstream => ("upstream_id", &[Kind::Route, Kind::Service], ""),
        Kind::Route
        | Kind::Credential
        | Kind::Consumer
        | Kind::GlobalRule
        | Kind::PluginMetadata
        | Kind::Ssl
        | Kind::Proto
        | Kind::Secret => return None,
    };
    let this = kind.spec().singular;
    for entry in entries {
        let refers = entry.value.get(member).and_then(id_text).as_deref() == Some(id);
        if refers && owners.contains(&entry.kind) {
            let other = entry.kind.spec().singular;
            return Some(format!(
                "can not delete this {this}{how}, {other} [{}] is still using it now",
                entry.id
            ));
        }
        if kind == Kind::Upstream
            && let Some(holder) = plugin_holder(entry.kind)
            && splits_to(&entry.value, id)
        {
            return Some(format!(
                "can not delete this {this}, plugin in {holder} [{}] is still using it now",
                entry.id
            ));
        }
    }
    None
}

/// How APISIX calls a kind whose plugins may refer to upstreams.
fn plugin_holder(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::GlobalRule => Some("global_rules"),
        Kind::Route | Kind::Service | Kind::PluginConfig | Kind::Consumer | Kind::ConsumerGroup => {
            Some(kind.spec().name)
        }
        Kind::Credential | Kind::Upstream | Kind::PluginMetadata | Kind::Ssl | Kind::Proto | Kind::Secret => {
            None
        }
    }
}

/// Whether a `traffic-split` sends something to that upstream.
fn splits_to(document: &Value, id: &str) -> bool {
    let rules = document.pointer("/plugins/traffic-split/rules").and_then(Value::as_array);
    let targets = rules.into_iter().flatten().filter_map(|rule| rule.get("weighted_upstreams")?.as_array());
    let mut ids = targets.flatten().filter_map(|target| target.get("upstream_id").and_then(id_text));
    ids.any(|target| target == id)
}
