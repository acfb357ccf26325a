//! JSON Schema documents (draft 7) and APISIX's wording of what violates them.
//!
//! - `keywords.rs`: which keywords a document may use, and its patterns, compiled.
//! - `explain.rs`: the walk that names the first violation; it has the last word where Lua sees a value differently.
//! - `wording.rs`: values as Lua prints and compares them.
//! - `shared.rs`: members that several kinds have.
//! - `route.rs`, `service.rs`, `upstream.rs`: the documents of the kinds.

mod explain;
mod keywords;
mod route;
mod service;
mod shared;
mod upstream;
mod wording;

use std::sync::LazyLock;

use jsonschema::{Draft, Validator};
use serde_json::Value;

pub(crate) use wording::{lua_type, quoted};

use crate::Kind;
use keywords::Patterns;

/// A compiled JSON Schema that words violations as APISIX does.
#[derive(Debug)]
pub struct Schema {
    document: Value,
    rules: Result<Rules, String>,
}

#[derive(Debug)]
struct Rules {
    validator: Validator,
    patterns: Patterns,
}

impl Schema {
    /// Compiles a draft 7 document. The error names the keyword that is malformed, or that no violation is worded for.
    pub fn compile(document: Value) -> Result<Self, String> {
        let rules = Rules::of(&document)?;
        Ok(Self { document, rules: Ok(rules) })
    }

    /// As [`Schema::compile`], but a broken document fails every check instead: for documents of this crate.
    fn built_in(document: Value) -> Self {
        let rules = Rules::of(&document);
        Self { document, rules }
    }

    /// The document, as the Admin API serves it.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Checks a value. The error is the first violation in APISIX's words, such as
    /// `property "uri" validation failed: wrong type: expected string, got number`.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let rules = self.rules.as_ref().map_err(|why| format!("a schema of this build is broken: {why}"))?;
        if rules.validator.is_valid(value) {
            return Ok(());
        }
        explain::first_violation(&self.document, value, &rules.patterns)
    }
}

impl Rules {
    fn of(document: &Value) -> Result<Self, String> {
        let patterns = keywords::patterns(document)?;
        Ok(Self { validator: validator(document)?, patterns })
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

/// The schema of a kind.
pub fn of(kind: Kind) -> &'static Schema {
    static ROUTE: LazyLock<Schema> = LazyLock::new(|| Schema::built_in(route::document()));
    static SERVICE: LazyLock<Schema> = LazyLock::new(|| Schema::built_in(service::document()));
    static UPSTREAM: LazyLock<Schema> = LazyLock::new(|| Schema::built_in(upstream::document()));
    match kind {
        Kind::Route => &ROUTE,
        Kind::Service => &SERVICE,
        Kind::Upstream => &UPSTREAM,
    }
}

/// The schema of an upstream's `key` under that `hash_on`; none where any key will do.
pub(crate) fn of_hash_key(hash_on: &str) -> Option<&'static Schema> {
    static VARIABLE: LazyLock<Schema> = LazyLock::new(|| Schema::built_in(upstream::hash_variable()));
    static HEADER: LazyLock<Schema> = LazyLock::new(|| Schema::built_in(upstream::hash_header()));
    match hash_on {
        "vars" => Some(LazyLock::force(&VARIABLE)),
        "header" | "cookie" => Some(LazyLock::force(&HEADER)),
        _ => None,
    }
}

/// Whether a text stands for a secret that is kept elsewhere.
pub(crate) fn is_reference(text: &str) -> bool {
    text.starts_with("$secret://") || text.starts_with("$env://")
}

#[cfg(test)]
mod tests;
