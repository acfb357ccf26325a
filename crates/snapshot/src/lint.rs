use std::collections::{BTreeMap, HashMap};

use a6_resources::{Catalogue, Entry, Kind, id_text};
use serde_json::{Map, Value};

/// What is allowed but unwise, one sentence each.
///
/// `exposed` says that the data plane listens beyond loopback. Then a route that adds a provider's key and asks nobody
/// who is calling is an open purse.
pub fn lint(entries: &[Entry], catalogue: &dyn Catalogue, exposed: bool) -> Vec<String> {
    let mut warnings = shared_keys(entries, catalogue);
    if exposed {
        warnings.extend(open_purses(entries, catalogue));
    }
    warnings
}

fn open_purses<'a>(entries: &'a [Entry], catalogue: &'a dyn Catalogue) -> impl Iterator<Item = String> + 'a {
    let layers = entries.iter().filter(|entry| matches!(entry.kind, Kind::Service | Kind::PluginConfig));
    let layers: HashMap<(Kind, &str), &Entry> =
        layers.map(|entry| ((entry.kind, entry.id.as_str()), entry)).collect();
    let of_kind = move |kind: Kind, id: &str| layers.get(&(kind, id)).copied();
    let rules: Vec<_> = entries.iter().filter(|entry| entry.kind == Kind::GlobalRule).collect();
    let routes = entries.iter().filter(|entry| entry.kind == Kind::Route);
    routes.filter_map(move |route| {
        let refers = |member: &str| route.value.get(member).and_then(id_text);
        let service = refers("service_id").and_then(|id| of_kind(Kind::Service, &id));
        let config = refers("plugin_config_id").and_then(|id| of_kind(Kind::PluginConfig, &id));
        let layers = rules.iter().copied().chain(service).chain(config).chain([route]);
        let mut plugins = Map::new();
        for layer in layers {
            plugins.extend(plugins_of(layer).map(|(name, conf)| (name.clone(), conf.clone())));
        }
        let is_open = !plugins.iter().any(|(name, conf)| is_auth(catalogue, name) && is_enabled(conf));
        let holder = plugins.iter().find(|(_, conf)| is_enabled(conf) && holds_key(conf))?.0;
        is_open.then(|| {
            format!(
                "route {}: {holder} adds a provider's key, no auth plugin asks who is calling, and the data plane \
                 listens beyond loopback; add an auth plugin or listen on 127.0.0.1",
                route.id
            )
        })
    })
}

/// Two callers that are known by the same key: one of them is taken for the other.
fn shared_keys(entries: &[Entry], catalogue: &dyn Catalogue) -> Vec<String> {
    let mut known: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| matches!(entry.kind, Kind::Consumer | Kind::Credential)) {
        for (name, conf) in plugins_of(entry) {
            let attribute = catalogue.spec(name).and_then(|spec| spec.consumer_key);
            if let Some(key) = attribute.and_then(|attribute| conf.get(attribute)).and_then(Value::as_str) {
                let who = format!("{} {}", entry.kind.spec().singular, entry.id);
                known.entry((name, key)).or_default().push(who);
            }
        }
    }
    let shared = known.into_iter().filter(|(_, holders)| holders.len() > 1);
    shared
        .map(|((plugin, _), holders)| {
            format!(
                "{} have the same {plugin} key: whoever calls with it is taken for the one that was made last; give \
                 each its own",
                holders.join(" and ")
            )
        })
        .collect()
}

fn plugins_of(entry: &Entry) -> impl Iterator<Item = (&String, &Value)> {
    entry.value.get("plugins").and_then(Value::as_object).into_iter().flatten()
}

fn is_auth(catalogue: &dyn Catalogue, name: &str) -> bool {
    catalogue.spec(name).is_some_and(|spec| spec.kind == Some("auth"))
}

fn is_enabled(conf: &Value) -> bool {
    conf.pointer("/_meta/disable").and_then(Value::as_bool) != Some(true)
}

/// Whether a plugin has a provider's key, be it one of its instances'.
fn holds_key(conf: &Value) -> bool {
    let instances = conf.get("instances").and_then(Value::as_array);
    has_auth(conf) || instances.is_some_and(|all| all.iter().any(has_auth))
}

fn has_auth(conf: &Value) -> bool {
    let has_entries = |member: &Value| member.as_object().is_some_and(|object| !object.is_empty());
    // A service account may stand in the environment.
    let is_key = |(name, member): (&String, &Value)| name == "gcp" || has_entries(member);
    conf.get("auth").and_then(Value::as_object).is_some_and(|auth| auth.iter().any(is_key))
}
