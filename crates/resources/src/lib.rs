//! Route, service, upstream ... as users write them: types, JSON Schema, checks and references.
//!
//! - `kind.rs`: the table of kinds; [`Entry`] and [`Change`], what the store holds and what a write does.
//! - `types.rs`: the typed resources, read from stored documents.
//! - `identity.rs`: the typed resources that say who may ask and which plugins they share: [`Consumer`], [`Credential`],
//!   [`ConsumerGroup`], [`PluginConfig`], [`GlobalRule`].
//! - `expr.rs`: `vars` expressions: their grammar and its errors.
//! - `template.rs`: [`Template`], text with variables.
//! - `catalogue.rs`: [`Catalogue`], how Admin API, command line and store know plugins.
//! - `schema/`: JSON Schema documents and APISIX's wording of what violates them.
//! - `secrets.rs`: which members of a document hold secrets.
//! - `reference.rs`: [`is_reference`], texts that stand for a secret which is kept elsewhere.
//! - `strict_json.rs`: [`StrictValue`], JSON in which a repeated key is an error.
//! - `certificates.rs`: [`certificates`], read from PEM.
//! - `configuration.rs`: [`Configuration`], every resource at once, as a file gives it.
//! - `check.rs`: what is checked before a resource is written, and the references between resources.

mod catalogue;
mod certificates;
mod check;
mod configuration;
pub mod expr;
mod identity;
mod kind;
mod reference;
mod schema;
mod secrets;
mod strict_json;
mod template;
mod types;

pub use catalogue::{Catalogue, ConfKind, PluginSpec};
pub use certificates::certificates;
pub use check::{Part, References, check, faults, parts, referred, referrer};
pub use configuration::{Configuration, ItemFault};
pub use identity::{
    Consumer, ConsumerGroup, Credential, GlobalRule, PluginConfig, PluginMetadata, credential_id,
    split_credential_id, split_secret_id,
};
pub use kind::{Change, Entry, Kind, KindSpec, Shown};
pub use reference::{ENV_PREFIX, SECRET_PREFIX, after_prefix, find_reference, is_reference};
pub use schema::{
    SECRET_MANAGERS, Schema, of as schema_of, of_hash_key as schema_of_hash_key, of_meta as schema_of_meta,
    of_secret_manager as schema_of_secret_manager,
};
pub use secrets::{each_own_secret, each_secret, has_own_secret};
pub use strict_json::StrictValue;
pub use template::{Rendered, Template};
pub use types::{
    KeepalivePool, Node, Plugins, Route, Service, Ssl, SslClient, SslUsage, Timeout, Upstream, UpstreamTls,
    id_text,
};
