//! What is checked before a resource is written, in APISIX's order and words, and what refers to what.
//!
//! - `check/plugins.rs`: the configurations of plugins.
//! - `check/upstream.rs`: what an upstream's schema cannot say.

mod plugins;
mod upstream;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::expr::{Expr, parse_network};
use crate::{Catalogue, Entry, Kind, Route, Service, Upstream, id_text, schema};

/// Which resources there are.
pub trait References {
    /// Whether the kind has a resource of that id.
    fn exists(&self, kind: Kind, id: &str) -> bool;
}

/// Checks a resource before it is written: schema, references, plugins, and that nothing is asked for that a6 does not
/// do. The error is the whole `error_msg` of the Admin API's 400, such as
/// `invalid configuration: property "uri" validation failed: wrong type: expected string, got number`.
pub fn check(
    kind: Kind,
    value: &Value,
    references: &dyn References,
    catalogue: &dyn Catalogue,
) -> Result<(), String> {
    if kind == Kind::Route {
        at_most_one(value, "host", "hosts")?;
        at_most_one(value, "remote_addr", "remote_addrs")?;
    }
    conforms(kind, value)?;
    match kind {
        Kind::Route => route(value, references, catalogue)?,
        Kind::Service => service(value, references, catalogue)?,
        Kind::Upstream => upstream::check(value)?,
    }
    match kind {
        Kind::Route => readable::<Route>(value),
        Kind::Service => readable::<Service>(value),
        Kind::Upstream => readable::<Upstream>(value),
    }
}

/// Why the resource cannot be deleted: the first of the entries that refers to it, in the words of the Admin API's 400.
pub fn referrer(kind: Kind, id: &str, entries: &mut dyn Iterator<Item = &Entry>) -> Option<String> {
    let (member, how) = match kind {
        Kind::Route => return None,
        Kind::Service => ("service_id", " directly"),
        Kind::Upstream => ("upstream_id", ""),
    };
    for entry in entries {
        if entry.value.get(member).and_then(id_text).as_deref() == Some(id) {
            let (this, other) = (kind.spec().singular, entry.kind.spec().singular);
            return Some(format!(
                "can not delete this {this}{how}, {other} [{}] is still using it now",
                entry.id
            ));
        }
    }
    None
}

fn at_most_one(value: &Value, single: &str, several: &str) -> Result<(), String> {
    if value.get(single).is_some() && value.get(several).is_some() {
        return Err(format!("only one of {single} or {several} is allowed"));
    }
    Ok(())
}

fn conforms(kind: Kind, value: &Value) -> Result<(), String> {
    schema::of(kind).check(value).map_err(|why| format!("invalid configuration: {why}"))?;
    // A secret reference passes any string's schema, but an id is a name in a path and nothing resolves it.
    if value.get("id").and_then(Value::as_str).is_some_and(schema::is_reference) {
        return Err("invalid configuration: property \"id\" validation failed: \
            object matches none of the required"
            .to_owned());
    }
    Ok(())
}

fn route(value: &Value, references: &dyn References, catalogue: &dyn Catalogue) -> Result<(), String> {
    target(value, references)?;
    if let Some(id) = value.get("service_id").and_then(id_text)
        && !references.exists(Kind::Service, &id)
    {
        return Err(missing("service", &id));
    }
    // No kind holds plugin configs yet, so that none can exist.
    if let Some(id) = value.get("plugin_config_id").and_then(id_text) {
        return Err(missing("plugin config", &id));
    }
    plugins::check(value, catalogue)?;
    if let Some(vars) = value.get("vars") {
        Expr::parse(vars).map_err(|why| format!("failed to validate the 'vars' expression: {why}"))?;
    }
    for (member, instead) in
        [("filter_func", "use vars"), ("script", "use plugins"), ("script_id", "use plugins")]
    {
        not_lua(value, member, instead)?;
    }
    addresses(value)
}

fn service(value: &Value, references: &dyn References, catalogue: &dyn Catalogue) -> Result<(), String> {
    target(value, references)?;
    plugins::check(value, catalogue)?;
    not_lua(value, "script", "use plugins")
}

/// The upstream of a route or service, its own or by id.
fn target(value: &Value, references: &dyn References) -> Result<(), String> {
    if let Some(own) = value.get("upstream") {
        upstream::check(own)?;
    }
    match value.get("upstream_id").and_then(id_text) {
        Some(id) if !references.exists(Kind::Upstream, &id) => Err(missing("upstream", &id)),
        _ => Ok(()),
    }
}

fn missing(kind: &str, id: &str) -> String {
    format!("failed to fetch {kind} info by {kind} id [{id}], response code: 404")
}

fn not_lua(value: &Value, member: &str, instead: &str) -> Result<(), String> {
    match value.get(member) {
        Some(_) => Err(format!("{member} is Lua, which a6 does not run; {instead}")),
        None => Ok(()),
    }
}

/// The schema's pattern for IPv6 networks lets texts through that are none.
fn addresses(route: &Value) -> Result<(), String> {
    for member in ["remote_addr", "remote_addrs"] {
        let texts = match route.get(member) {
            Some(Value::Array(several)) => several.as_slice(),
            Some(single) => std::slice::from_ref(single),
            None => continue,
        };
        for text in texts.iter().filter_map(Value::as_str) {
            if parse_network(text).is_none() {
                return Err(format!(
                    "invalid configuration: property \"{member}\" validation failed: \
                    {text} is neither an IP address nor a network such as 10.0.0.0/8"
                ));
            }
        }
    }
    Ok(())
}

/// The last guard: what was accepted must be readable when it is taken into force, such as `methods`, where the schema
/// takes `{}` for `[]`.
fn readable<T: DeserializeOwned>(value: &Value) -> Result<(), String> {
    let mut document = value.clone();
    if let Some(members) = document.as_object_mut() {
        members.entry("id").or_insert_with(|| Value::from("0"));
    }
    serde_json::from_value::<T>(document).map(drop).map_err(|error| format!("invalid configuration: {error}"))
}

#[cfg(test)]
mod tests;
