//! The configurations of plugins, wherever they stand.

use serde_json::{Map, Value};

use crate::schema::{lua_type, quoted};
use crate::{Catalogue, ConfKind, PluginSpec};

/// Checks every plugin of a route or service.
pub(super) fn check(owner: &Value, catalogue: &dyn Catalogue) -> Result<(), String> {
    for (name, conf) in owner.get("plugins").and_then(Value::as_object).into_iter().flatten() {
        let spec = catalogue.spec(name).ok_or_else(|| format!("unknown plugin [{name}]"))?;
        let outcome = match conf {
            Value::Object(members) => configuration(spec, members, catalogue),
            Value::Array(_) => catalogue.check(name, conf, ConfKind::Route),
            Value::Null => return Err(not_a_configuration(name, "\"userdata: NULL\"")),
            // In place of a configuration that would hold a secret, a text may be that secret.
            Value::String(_) if !spec.encrypt_fields.is_empty() => {
                return Err(not_a_configuration(name, "\"***\""));
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(not_a_configuration(name, &conf.to_string()));
            }
        };
        outcome.map_err(|why| {
            let why = masked(why, conf, spec.encrypt_fields);
            format!("failed to check the configuration of plugin {name} err: {why}")
        })?;
    }
    Ok(())
}

fn not_a_configuration(name: &str, found: &str) -> String {
    format!("invalid plugin conf {found} for plugin [{name}]")
}

fn configuration(
    spec: &PluginSpec,
    conf: &Map<String, Value>,
    catalogue: &dyn Catalogue,
) -> Result<(), String> {
    let mut own = conf.clone();
    let meta = own.shift_remove("_meta");
    catalogue.check(spec.name, &Value::Object(own), ConfKind::Route)?;
    meta.map_or(Ok(()), |meta| check_meta(&meta))
}

/// `_meta` steers how a plugin runs. None of that is served yet, so that only what changes nothing is accepted.
fn check_meta(meta: &Value) -> Result<(), String> {
    let failed = |why: String| Err(format!("property \"_meta\" validation failed: {why}"));
    let Value::Object(members) = meta else {
        return match meta {
            Value::Array(items) if items.is_empty() => Ok(()),
            _ => failed(format!("wrong type: expected object, got {}", lua_type(meta))),
        };
    };
    for (member, value) in members {
        match (member.as_str(), value) {
            ("disable", Value::Bool(false)) => {}
            ("disable", value) if !value.is_boolean() => {
                let found = lua_type(value);
                return failed(format!(
                    "property \"disable\" validation failed: wrong type: expected boolean, got {found}"
                ));
            }
            ("disable" | "error_response" | "filter" | "pre_function" | "priority", _) => {
                return Err(format!("`_meta.{member}` is not supported yet"));
            }
            _ => return failed(format!("additional properties forbidden, found {member}")),
        }
    }
    Ok(())
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
