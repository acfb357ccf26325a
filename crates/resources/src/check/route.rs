//! Routes and services: what they refer to, and what of them a6 does not do.

use serde_json::Value;

use super::{References, missing, plugins, upstream};
use crate::expr::{Expr, parse_network};
use crate::{Catalogue, ConfKind, Kind, id_text};

/// Checks a route that conforms to its schema.
pub(super) fn check(
    value: &Value,
    references: &dyn References,
    catalogue: &dyn Catalogue,
) -> Result<(), String> {
    target(value, references)?;
    let others = [("service_id", Kind::Service), ("plugin_config_id", Kind::PluginConfig)];
    for (member, kind) in others {
        if let Some(id) = value.get(member).and_then(id_text)
            && !references.exists(kind, &id)
        {
            return Err(missing(kind.spec().singular, &id));
        }
    }
    plugins::check(value, ConfKind::Route, catalogue)?;
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

/// Checks a service that conforms to its schema.
pub(super) fn check_service(
    value: &Value,
    references: &dyn References,
    catalogue: &dyn Catalogue,
) -> Result<(), String> {
    target(value, references)?;
    plugins::check(value, ConfKind::Route, catalogue)?;
    not_lua(value, "script", "use plugins")
}

/// The upstream of a route or service, its own or by id.
fn target(value: &Value, references: &dyn References) -> Result<(), String> {
    if let Some(own) = value.get("upstream") {
        upstream::check(own, references)?;
    }
    match value.get("upstream_id").and_then(id_text) {
        Some(id) if !references.exists(Kind::Upstream, &id) => Err(missing("upstream", &id)),
        _ => Ok(()),
    }
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
