//! What refers to what, and so what still uses a resource that is to be deleted.

use serde_json::Value;

use crate::{Entry, Kind, id_text};

/// The members that refer to other resources: of which kinds, by which name, to which kind.
static MEMBERS: [(&[Kind], &str, Kind); 4] = [
    (&[Kind::Route], "service_id", Kind::Service),
    (&[Kind::Route], "plugin_config_id", Kind::PluginConfig),
    (&[Kind::Consumer], "group_id", Kind::ConsumerGroup),
    (&[Kind::Route, Kind::Service], "upstream_id", Kind::Upstream),
];

/// What a resource refers to, so far as a deletion of it is refused: kind and id of each.
pub fn referred(kind: Kind, document: &Value) -> Vec<(Kind, String)> {
    let own = MEMBERS.iter().filter(|(owners, ..)| owners.contains(&kind));
    let own = own.filter_map(|(_, member, to)| Some((*to, document.get(member).and_then(id_text)?)));
    let split = plugin_holder(kind).map(|_| split_targets(document));
    own.chain(split.into_iter().flatten().map(|id| (Kind::Upstream, id))).collect()
}

/// Why the resource cannot be deleted: the first of the entries that refers to it, in the words of the Admin API's 400.
pub fn referrer(kind: Kind, id: &str, entries: &mut dyn Iterator<Item = &Entry>) -> Option<String> {
    let members: Vec<_> = MEMBERS.iter().filter(|(.., to)| *to == kind).collect();
    if members.is_empty() {
        return None;
    }
    let this = kind.spec().singular;
    let how = if kind == Kind::Service { " directly" } else { "" };
    for entry in entries {
        let refers = members.iter().any(|(owners, member, _)| {
            owners.contains(&entry.kind) && entry.value.get(member).and_then(id_text).as_deref() == Some(id)
        });
        if refers {
            let other = entry.kind.spec().singular;
            return Some(format!(
                "can not delete this {this}{how}, {other} [{}] is still using it now",
                entry.id
            ));
        }
        if kind == Kind::Upstream
            && let Some(holder) = plugin_holder(entry.kind)
            && split_targets(&entry.value).any(|target| target == id)
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

/// The upstreams that a `traffic-split` of the document sends something to.
fn split_targets(document: &Value) -> impl Iterator<Item = String> {
    let rules = document.pointer("/plugins/traffic-split/rules").and_then(Value::as_array);
    let targets = rules.into_iter().flatten().filter_map(|rule| rule.get("weighted_upstreams")?.as_array());
    targets.flatten().filter_map(|target| target.get("upstream_id").and_then(id_text))
}
