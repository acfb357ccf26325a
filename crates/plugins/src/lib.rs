//! The plugins, one file each, named as APISIX names them.
//!
//! Who asks, and what they may:
//! - `key_auth.rs`, `basic_auth.rs`, `jwt_auth.rs` with `jwt_auth/`: who is asking.
//! - `consumer_restriction.rs`, `ip_restriction.rs`: who may.
//! - `limit_count.rs` with `limit_count/`, `limit_req.rs`, `limit_conn.rs`: how often, how fast, how many at a time.
//!
//! What becomes of a request:
//! - `ai_proxy.rs`: it goes to a provider of language models.
//! - `ai_proxy_multi.rs` with `ai_proxy_multi/`: it goes to one of several, and to another when that fails.
//! - `ai_prompt_template.rs` with `ai_prompt_template/`, `ai_prompt_decorator.rs`: its prompt is made, or framed.
//! - `proxy_rewrite.rs`: another path, host, method or header for the upstream.
//! - `traffic_split.rs`: one of several upstreams, by weight or condition.
//! - `redirect.rs`, `mocking.rs`, `fault_injection.rs`: it is answered here.
//!
//! What becomes of an answer:
//! - `response_rewrite.rs` with `response_rewrite/`: another status, header or body.
//! - `cors.rs`: which web pages may read it. - `request_id.rs`: an id on request and answer.
//!
//! What is told:
//! - `prometheus.rs`: the request is counted. - `public_api.rs`: the gateway's own pages, such as the metrics.
//!
//! - `auth_tests.rs`: no mutated credential passes.
//! - `table.rs`: which plugins there are and their priorities; the closed enum of them.
//! - `support/`: what several plugins share.
//! - this file: [`Builtins`], the kit that the gateway is built with.

mod ai_prompt_decorator;
mod ai_prompt_template;
mod ai_proxy;
mod ai_proxy_multi;
#[cfg(test)]
mod auth_tests;
mod basic_auth;
mod consumer_restriction;
mod cors;
mod fault_injection;
mod ip_restriction;
mod jwt_auth;
mod key_auth;
mod limit_conn;
mod limit_count;
mod limit_req;
mod mocking;
mod prometheus;
mod proxy_rewrite;
mod public_api;
mod redirect;
mod request_id;
mod response_rewrite;
mod support;
mod table;
mod traffic_split;

use std::sync::Arc;

use a6_resources::{Catalogue, ConfKind, PluginSpec, find_reference};
use a6_snapshot::{Kit, KnownBy, Site};
use a6_telemetry::Metrics;
use serde_json::Value;

use crate::support::references;
use crate::support::shared::Shared;
pub use crate::table::Plugin;

/// The built-in plugins.
#[derive(Debug)]
pub struct Builtins {
    specs: Vec<PluginSpec>,
    shared: Shared,
}

impl Default for Builtins {
    /// With metrics of their own.
    fn default() -> Self {
        Self::counting_in(Arc::default())
    }
}

impl Builtins {
    /// The table, highest priority first, with the metrics that `prometheus` and `public-api` speak of.
    pub fn counting_in(metrics: Arc<Metrics>) -> Self {
        let mut specs = table::specs();
        specs.sort_by_key(|spec| std::cmp::Reverse(spec.priority));
        Self { specs, shared: Shared { metrics, ..Shared::default() } }
    }
}

impl Builtins {
    /// Says on which port the data plane speaks TLS, for configurations that are compiled from now on. It is said once.
    pub fn listening_tls(&self, port: u16) {
        let _ = self.shared.tls_port.set(port);
    }
}

impl Catalogue for Builtins {
    fn specs(&self) -> &[PluginSpec] {
        &self.specs
    }

    fn check(&self, name: &str, conf: &Value, kind: ConfKind) -> Result<(), String> {
        let spec = self.spec(name).ok_or_else(|| format!("unknown plugin [{name}]"))?;
        let schema = match kind {
            ConfKind::Route => Some(&spec.schema),
            ConfKind::Consumer => spec.consumer_schema.as_ref(),
            ConfKind::Metadata => spec.metadata_schema.as_ref(),
        };
        if let Some(schema) = schema {
            schema.check(conf).map_err(|why| table::reword(name, why))?;
        } else if kind != ConfKind::Metadata {
            return Err(format!("plugin {name} has no configuration here"));
        }
        match kind {
            ConfKind::Route => {
                // What a reference stands for is known when the configuration is taken into force.
                if find_reference(conf).is_some() {
                    return Ok(());
                }
                let (upstreams, health, groups) = Default::default();
                let site = Site { owner: "", upstreams: &upstreams, health: &health, groups: &groups };
                self.compile(name, conf, &site).map(|_| ())
            }
            ConfKind::Consumer => table::check_consumer(name, conf),
            ConfKind::Metadata => references::refuse("", conf),
        }
    }
}

impl Kit for Builtins {
    type Plugin = Plugin;

    fn compile(&self, name: &str, conf: &Value, site: &Site<'_>) -> Result<Plugin, String> {
        Plugin::compile(name, conf, site, &self.shared)
    }

    fn credential(&self, name: &str, conf: &Value) -> Option<KnownBy> {
        // What is still a reference here was not resolved; its text is no secret.
        match find_reference(conf) {
            Some(_) => None,
            None => table::credential(name, conf),
        }
    }

    fn set_metadata(&self, name: &str, metadata: Option<&Value>) {
        self.shared.metadata.set(name, metadata);
        if name == prometheus::NAME {
            self.shared.metrics.hide_labels(metadata);
        }
    }
}
