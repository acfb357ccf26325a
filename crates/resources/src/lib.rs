//! Route, service, upstream ... as users write them: types, JSON Schema, checks and references.
//!
//! - `kind.rs`: the table of kinds; [`Entry`] and [`Change`], what the store holds and what a write does.
//! - `types.rs`: the typed resources, read from stored documents.
//! - `expr.rs`: `vars` expressions: their grammar and its errors.
//! - `catalogue.rs`: [`Catalogue`], how Admin API, command line and store know plugins.
//! - `schema/`: JSON Schema documents and APISIX's wording of what violates them.
//! - `strict_json.rs`: [`StrictValue`], JSON in which a repeated key is an error.
//! - `check.rs`: what is checked before a resource is written, and the references between resources.

mod catalogue;
mod check;
pub mod expr;
mod kind;
mod schema;
mod strict_json;
mod types;

pub use catalogue::{Catalogue, ConfKind, PluginSpec};
pub use check::{References, check, referrer};
pub use kind::{Change, Entry, Kind, KindSpec};
pub use schema::{Schema, of as schema_of};
pub use strict_json::StrictValue;
pub use types::{Plugins, Route, Service, Timeout, Upstream, id_text};
