//! Admin API and Control API.
//!
//! A request goes through these files in this order:
//!
//! - `serve.rs`: the listener; `tls.rs`: [`Tls`], where it speaks that.
//! - `api.rs`: the Admin API's pipeline: who may ask, what is asked, which handler answers.
//! - `access.rs`: client address, Host, key and role; [`Admin`], the configuration of that.
//! - `body.rs`: the request body, bounded.
//! - `query.rs`: query parameters.
//! - `place.rs`: which resource a path names.
//! - `condition.rs`: `If-Match`.
//! - `list.rs`: filters and pages of a collection.
//! - `describe.rs`: plugins and schemas.
//! - `explain.rs`: what would become of a request, and tokens to ask what did.
//! - `validate.rs`: checks of configurations that are not stored.
//! - `stand_alone.rs`: the stand-alone Admin API, which takes whole configurations.
//! - `openapi.rs`, `openapi/`: the OpenAPI document.
//! - `writer.rs`: [`Writer`], the thread that owns the store: check, commit, publish, answer.
//! - `change.rs`: what a PUT, POST, PATCH or DELETE does to what is stored.
//! - `patch.rs`: merges and sub-paths.
//! - `expiries.rs`: what is to end, and when.
//! - `file.rs`: [`follow_file`], the thread that takes over what a file says.
//! - `view.rs`: [`View`], what is stored and in force, for readers.
//! - `answer.rs`: response bodies.
//! - `control.rs`, `control/`, `mask.rs`: the Control API, which shows no secret.
//! - `exporter.rs`: the metrics, for Prometheus.

mod access;
mod answer;
mod api;
mod body;
mod change;
mod condition;
mod control;
mod describe;
mod expiries;
mod explain;
mod exporter;
mod file;
mod list;
mod mask;
mod openapi;
mod patch;
mod place;
mod query;
mod serve;
mod stand_alone;
#[cfg(test)]
mod tests;
mod tls;
mod validate;
mod view;
mod writer;

pub use access::{Admin, Key, Role};
pub use api::{AdminState, Ruler, router};
pub use axum::Router;
pub use control::{Control, Counters, Troubles, control_router};
pub use exporter::{exporter_router, store_readings};
pub use file::follow_file;
pub use serve::serve;
pub use tls::{Tls, TlsFiles};
pub use view::View;
pub use writer::Writer;
