//! What is checked before a resource is written, in APISIX's order and words, and what refers to what.
//!
//! - `check/route.rs`: routes and services.
//! - `check/upstream.rs`: what an upstream's schema cannot say.
//! - `check/consumer.rs`, `check/credential.rs`: who may ask.
//! - `check/duplicates.rs`: no two consumers are known by the same key.
//! - `check/global_rule.rs`: no plugin is in two rules.
//! - `check/plugin_metadata.rs`: against the plugin's schema.
//! - `check/ssl.rs`, `check/pem.rs`: certificates and keys.
//! - `check/secret.rs`: against the secret manager's schema.
//! - `check/proto.rs`: a look at Protocol Buffers definitions.
//! - `check/plugins.rs`, `check/meta.rs`: the configurations of plugins, and their `_meta`.
//! - `check/referrer.rs`: what still uses a resource.
//! - `check/every.rs`: not the first fault alone.
//! - `check/parts.rs`: what a message is about.

mod consumer;
mod credential;
mod duplicates;
mod every;
mod global_rule;
mod meta;
mod parts;
mod pem;
mod plugin_metadata;
mod plugins;
mod proto;
mod referrer;
mod route;
mod secret;
mod ssl;
#[cfg(test)]
pub(crate) mod tests;
mod upstream;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use every::faults;
pub use parts::{Part, parts};
pub use referrer::{referred, referrer};

use crate::{
    Catalogue, ConfKind, Consumer, ConsumerGroup, Credential, Entry, GlobalRule, Kind, PluginConfig, Route,
    Service, Ssl, Upstream, is_reference, schema,
};

/// Which resources there are.
pub trait References {
    /// Whether the kind has a resource of that id.
    fn exists(&self, kind: Kind, id: &str) -> bool;

    /// The resources of a kind, in the order of their ids.
    fn entries(&self, kind: Kind) -> Box<dyn Iterator<Item = &Entry> + '_>;

    /// The consumers and credentials that may have this text as a member of that plugin's configuration: all that do,
    /// in the order of kind and id, and perhaps others.
    fn holders(&self, _plugin: &str, _text: &str) -> Box<dyn Iterator<Item = &Entry> + '_> {
        Box::new(self.entries(Kind::Credential).chain(self.entries(Kind::Consumer)))
    }
}

/// Checks a resource before it is written: schema, references, plugins, and that nothing is asked for that a6 does not
/// do. `id` is what it will be stored under, as far as that is known before: of a consumer, the username that the URL
/// names; of plugin metadata, the plugin; of a secret, `vault/1`; none if it gets one later. The error is the whole `error_msg` of the Admin
/// API's 400, such as
/// `invalid configuration: property "uri" validation failed: wrong type: expected string, got number`.
pub fn check(
    kind: Kind,
    id: Option<&str>,
    value: &Value,
    references: &dyn References,
    catalogue: &dyn Catalogue,
) -> Result<(), String> {
    if kind == Kind::Route {
        at_most_one(value, "host", "hosts")?;
        at_most_one(value, "remote_addr", "remote_addrs")?;
    }
    conforms(kind, value)?;
    special(kind, id, value, references, catalogue)?;
    match kind {
        Kind::Route => readable::<Route>(value),
        Kind::Service => readable::<Service>(value),
        Kind::PluginConfig => readable::<PluginConfig>(value),
        Kind::Credential => readable::<Credential>(value),
        Kind::Consumer => readable::<Consumer>(value),
        Kind::ConsumerGroup => readable::<ConsumerGroup>(value),
        Kind::GlobalRule => readable::<GlobalRule>(value),
        Kind::Upstream => readable::<Upstream>(value),
        Kind::Ssl => readable::<Ssl>(value),
        Kind::PluginMetadata | Kind::Proto | Kind::Secret => Ok(()),
    }
}

/// What no schema says of a resource.
fn special(
    kind: Kind,
    id: Option<&str>,
    value: &Value,
    references: &dyn References,
    catalogue: &dyn Catalogue,
) -> Result<(), String> {
    match kind {
        Kind::Route => route::check(value, references, catalogue),
        Kind::Service => route::check_service(value, references, catalogue),
        Kind::PluginConfig | Kind::ConsumerGroup => plugins::check(value, ConfKind::Route, catalogue),
        Kind::Credential => credential::check(id, value, references, catalogue),
        Kind::Consumer => consumer::check(id, value, references, catalogue),
        Kind::GlobalRule => global_rule::check(id, value, references, catalogue),
        Kind::Upstream => upstream::check(value, references),
        Kind::PluginMetadata => plugin_metadata::check(id, value, catalogue),
        Kind::Ssl => ssl::check(value),
        Kind::Proto => proto::check(value),
        Kind::Secret => secret::check(id, value),
    }
}

fn at_most_one(value: &Value, single: &str, several: &str) -> Result<(), String> {
    if value.get(single).is_some() && value.get(several).is_some() {
        return Err(format!("only one of {single} or {several} is allowed"));
    }
    Ok(())
}

fn conforms(kind: Kind, value: &Value) -> Result<(), String> {
    let Some(schema) = schema::of(kind) else { return Ok(()) };
    schema.check(value).map_err(|why| format!("invalid configuration: {why}"))?;
    // A secret reference passes any string's schema, but an id is a name in a path and nothing resolves it.
    if value.get("id").and_then(Value::as_str).is_some_and(is_reference) {
        return Err("invalid configuration: property \"id\" validation failed: \
            object matches none of the required"
            .to_owned());
    }
    Ok(())
}

/// A reference to something that does not exist.
fn missing(kind: &str, id: &str) -> String {
    format!("failed to fetch {kind} info by {kind} id [{id}], response code: 404")
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
