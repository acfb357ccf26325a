//! JSON Schema documents (draft 7) and APISIX's wording of what violates them.
//!
//! - `keywords.rs`: which keywords a document may use, and its patterns, compiled.
//! - `explain.rs`: the walk that names the first violation; it has the last word where Lua sees a value differently.
//! - `violations.rs`: all violations, where the first one is not enough.
//! - `wording.rs`: values as Lua prints and compares them.
//! - `defaults.rs`: what absent members count as.
//! - `shared.rs`: members that several kinds have.
//! - `meta.rs`: the document of `_meta`, which every plugin's configuration may have.
//! - `route.rs`, `service.rs`, `upstream.rs`, `consumer.rs`, `credential.rs`, `consumer_group.rs`, `plugin_config.rs`,
//!   `global_rule.rs`, `ssl.rs`, `proto.rs`: the documents of the kinds.
//! - `secret.rs`: the documents of the secret managers.

mod consumer;
mod consumer_group;
mod credential;
mod defaults;
mod explain;
mod global_rule;
mod keywords;
mod meta;
mod plugin_config;
mod proto;
mod route;
mod secret;
mod service;
mod shared;
mod ssl;
mod upstream;
mod violations;
mod wording;

use std::sync::{LazyLock, OnceLock};

use jsonschema::{Draft, Validator};
use serde_json::Value;

pub(crate) use consumer::USERNAME;
pub(crate) use wording::quoted;

use crate::Kind;
use keywords::Patterns;

/// A JSON Schema that words violations as APISIX does.
///
/// Each part is made when it is first asked for: most kinds and plugins are never configured in most gateways, and each
/// would cost time at start and memory for good.
#[derive(Debug)]
pub struct Schema {
    document: LazyLock<Value, Box<dyn FnOnce() -> Value + Send>>,
    rules: OnceLock<Result<Rules, String>>,
}

#[derive(Debug)]
struct Rules {
    validator: Validator,
    patterns: Patterns,
}

impl Schema {
    /// Takes what makes a draft 7 document. A broken document fails every check; see [`Schema::fault`].
    pub fn of(document: impl FnOnce() -> Value + Send + 'static) -> Self {
        Self { document: LazyLock::new(Box::new(document)), rules: OnceLock::new() }
    }

    /// As [`Schema::of`], made whole at once. The error names the keyword that no violation is worded for, or what else
    /// is malformed.
    pub fn compile(document: Value) -> Result<Self, String> {
        let schema = Self::of(|| document);
        match schema.rules() {
            Ok(_) => Ok(schema),
            Err(why) => Err(why.clone()),
        }
    }

    /// The document, as the Admin API serves it.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// What is wrong with the document itself: for the tests of those who write documents.
    pub fn fault(&self) -> Option<&str> {
        self.rules().as_ref().err().map(String::as_str)
    }

    /// Checks a value. The error is the first violation in APISIX's words, such as
    /// `property "uri" validation failed: wrong type: expected string, got number`.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let broken = |why: &String| format!("a schema of this build is broken: {why}");
        let rules = self.rules().as_ref().map_err(broken)?;
        if rules.validator.is_valid(value) {
            return Ok(());
        }
        explain::first_violation(&self.document, value, &rules.patterns)
    }

    /// All that [`Schema::check`] may find wrong, one after the other mended: the members of an object and the items of a list
    /// each, what holds between members where they are right by themselves.
    pub fn violations(&self, value: &Value) -> Vec<String> {
        match (self.check(value), self.rules()) {
            (Ok(()), _) => Vec::new(),
            (Err(_), Ok(rules)) => violations::all(&self.document, value, &rules.patterns),
            (Err(why), Err(_)) => vec![why],
        }
    }

    /// Puts the defaults of absent members into a value that passed [`Schema::check`].
    pub fn fill_defaults(&self, value: &mut Value) {
        if let Ok(rules) = self.rules() {
            defaults::fill(&self.document, value, &rules.patterns);
        }
    }

    fn rules(&self) -> &Result<Rules, String> {
        self.rules.get_or_init(|| {
            let patterns = keywords::patterns(&self.document)?;
            Ok(Rules { validator: validator(&self.document)?, patterns })
        })
    }
}

/// Compiles a document for validation alone.
fn validator(document: &Value) -> Result<Validator, String> {
    jsonschema::options()
        .with_draft(Draft::Draft7)
        .should_validate_formats(true)
        .build(document)
        .map_err(|error| format!("{}: {error}", error.instance_path()))
}

/// The schema of a kind; none for plugin metadata, whose schema is the plugin's, and secrets, whose schema is the manager's.
pub fn of(kind: Kind) -> Option<&'static Schema> {
    static ROUTE: LazyLock<Schema> = LazyLock::new(|| Schema::of(route::document));
    static SERVICE: LazyLock<Schema> = LazyLock::new(|| Schema::of(service::document));
    static PLUGIN_CONFIG: LazyLock<Schema> = LazyLock::new(|| Schema::of(plugin_config::document));
    static CREDENTIAL: LazyLock<Schema> = LazyLock::new(|| Schema::of(credential::document));
    static CONSUMER: LazyLock<Schema> = LazyLock::new(|| Schema::of(consumer::document));
    static CONSUMER_GROUP: LazyLock<Schema> = LazyLock::new(|| Schema::of(consumer_group::document));
    static GLOBAL_RULE: LazyLock<Schema> = LazyLock::new(|| Schema::of(global_rule::document));
    static UPSTREAM: LazyLock<Schema> = LazyLock::new(|| Schema::of(upstream::document));
    static SSL: LazyLock<Schema> = LazyLock::new(|| Schema::of(ssl::document));
    static PROTO: LazyLock<Schema> = LazyLock::new(|| Schema::of(proto::document));
    let schema: &'static Schema = match kind {
        Kind::Route => &ROUTE,
        Kind::Service => &SERVICE,
        Kind::PluginConfig => &PLUGIN_CONFIG,
        Kind::Credential => &CREDENTIAL,
        Kind::Consumer => &CONSUMER,
        Kind::ConsumerGroup => &CONSUMER_GROUP,
        Kind::GlobalRule => &GLOBAL_RULE,
        Kind::Upstream => &UPSTREAM,
        Kind::Ssl => &SSL,
        Kind::Proto => &PROTO,
        Kind::PluginMetadata | Kind::Secret => return None,
    };
    Some(schema)
}

/// The schema of `_meta`, which every plugin's configuration may have.
pub fn of_meta() -> &'static Schema {
    static META: LazyLock<Schema> = LazyLock::new(|| Schema::of(meta::document));
    &META
}

/// The secret managers that there are, by the names that ids begin with.
pub const SECRET_MANAGERS: [&str; 3] = ["vault", "aws", "gcp"];

/// The schema of a secret manager's configuration; none if there is no manager of that name.
pub fn of_secret_manager(manager: &str) -> Option<&'static Schema> {
    static VAULT: LazyLock<Schema> = LazyLock::new(|| Schema::of(secret::vault));
    static AWS: LazyLock<Schema> = LazyLock::new(|| Schema::of(secret::aws));
    static GCP: LazyLock<Schema> = LazyLock::new(|| Schema::of(secret::gcp));
    match manager {
        "vault" => Some(LazyLock::force(&VAULT)),
        "aws" => Some(LazyLock::force(&AWS)),
        "gcp" => Some(LazyLock::force(&GCP)),
        _ => None,
    }
}

/// The schema of an id.
pub(crate) fn of_id() -> &'static Schema {
    static ID: LazyLock<Schema> = LazyLock::new(|| Schema::of(shared::id));
    &ID
}

/// The schema of an upstream's `key` under that `hash_on`; none where any key will do.
pub fn of_hash_key(hash_on: &str) -> Option<&'static Schema> {
    static VARIABLE: LazyLock<Schema> = LazyLock::new(|| Schema::of(upstream::hash_variable));
    static HEADER: LazyLock<Schema> = LazyLock::new(|| Schema::of(upstream::hash_header));
    match hash_on {
        "vars" => Some(LazyLock::force(&VARIABLE)),
        "header" | "cookie" => Some(LazyLock::force(&HEADER)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
