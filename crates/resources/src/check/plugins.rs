//! The configurations of plugins, wherever they stand.

use serde_json::{Map, Value};

use super::meta;
use crate::schema::quoted;
use crate::{Catalogue, ConfKind, PluginSpec};

/// Checks every plugin of a resource. With [`ConfKind::Consumer`], a plugin that knows consumers is held against its
/// schema for them, and every other plugin against that for routes.
pub(super) fn check(owner: &Value, holder: ConfKind, catalogue: &dyn Catalogue) -> Result<(), String> {
    for (name, conf) in owner.get("plugins").and_then(Value::as_object).into_iter().flatten() {
        one(name, conf, holder, catalogue)?;
    }
    Ok(())
}

/// All that is wrong with the plugins of a resource, each with the plugin's name.
pub(super) fn faults(owner: &Value, holder: ConfKind, catalogue: &dyn Catalogue) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, conf) in owner.get("plugins").and_then(Value::as_object).into_iter().flatten() {
        let Err(first) = one(name, conf, holder, catalogue) else { continue };
        let spec = catalogue.spec(name).filter(|_| conf.is_object());
        let schema = spec.map(|spec| match (holder, &spec.consumer_schema) {
            (ConfKind::Consumer, Some(schema)) => (spec, schema),
            _ => (spec, &spec.schema),
        });
        let mut alone = conf.clone();
        if let Some(members) = alone.as_object_mut() {
            members.shift_remove("_meta");
        }
        let told = schema.map(|(spec, schema)| {
            let violations = schema.violations(&alone).into_iter();
            violations.map(|why| wrong(spec, &alone, why)).collect::<Vec<String>>()
        });
        // Else the first is about `_meta`, or about what no schema says.
        let told = told.filter(|told| told.contains(&first)).unwrap_or_else(|| vec![first]);
        found.extend(told.into_iter().map(|why| (name.clone(), why)));
    }
    found
}

fn one(name: &str, conf: &Value, holder: ConfKind, catalogue: &dyn Catalogue) -> Result<(), String> {
    let spec = catalogue.spec(name).ok_or_else(|| format!("unknown plugin [{name}]"))?;
    let kind = match holder {
        ConfKind::Consumer if spec.consumer_schema.is_none() => ConfKind::Route,
        other => other,
    };
    match conf {
        Value::Object(members) => configuration(spec, members, kind, catalogue),
        Value::Array(_) => {
            let why = "wrong type: expected object, got table";
            Err(format!("failed to check the configuration of plugin {name} err: {why}"))
        }
        Value::Null => Err(not_a_configuration(name, "\"userdata: NULL\"")),
        // In place of a configuration that would hold a secret, a text may be that secret.
        Value::String(_) if !spec.encrypt_fields.is_empty() => Err(not_a_configuration(name, "\"***\"")),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(not_a_configuration(name, &conf.to_string()))
        }
    }
}

fn not_a_configuration(name: &str, found: &str) -> String {
    format!("invalid plugin conf {found} for plugin [{name}]")
}

/// Checks a configuration in two parts: what is the plugin's own, and `_meta`.
fn configuration(
    spec: &PluginSpec,
    conf: &Map<String, Value>,
    kind: ConfKind,
    catalogue: &dyn Catalogue,
) -> Result<(), String> {
    let mut members = conf.clone();
    let meta = members.shift_remove("_meta");
    let outcome = own(spec, &Value::Object(members), kind, catalogue);
    let Some(meta) = meta else { return outcome };
    if !meta::is_disabled(&meta) {
        outcome?;
    }
    meta::check(spec.name, &meta)
}

fn own(spec: &PluginSpec, conf: &Value, kind: ConfKind, catalogue: &dyn Catalogue) -> Result<(), String> {
    catalogue.check(spec.name, conf, kind).map_err(|why| wrong(spec, conf, why))
}

fn wrong(spec: &PluginSpec, conf: &Value, why: String) -> String {
    let why = masked(why, conf, spec.encrypt_fields);
    format!("failed to check the configuration of plugin {} err: {why}", spec.name)
}

/// The message without the secrets of the configuration: a pattern that does not match quotes the text.
fn masked(mut message: String, conf: &Value, secret_paths: &[&str]) -> String {
    for path in secret_paths {
        let members: Vec<&str> = path.split('.').collect();
        let mut found = Vec::new();
        secrets(conf, &members, &mut found);
        for text in found {
            message = message.replace(&format!("with {}", quoted(text)), "with \"***\"");
        }
    }
    message
}

/// The texts at a path. Of a list every item is meant, of an object at the path's end every value.
fn secrets<'v>(place: &'v Value, path: &[&str], found: &mut Vec<&'v str>) {
    match (place, path) {
        (Value::Array(items), _) => items.iter().for_each(|item| secrets(item, path, found)),
        (Value::Object(members), [first, rest @ ..]) => {
            if let Some(member) = members.get(*first) {
                secrets(member, rest, found);
            }
        }
        (Value::Object(members), []) => found.extend(members.values().filter_map(Value::as_str)),
        (Value::String(text), []) => found.push(text),
        _ => {}
    }
}
