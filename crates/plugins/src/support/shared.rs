use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use a6_limits::{Connections, Leaky, Windows};
use a6_telemetry::Metrics;
use arc_swap::ArcSwap;
use serde_json::Value;

use super::groups::Groups;

/// What the plugins of one process share, whatever they are configured on.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Counters of rate limits. They outlive the configurations that count in them.
    pub(crate) windows: Arc<Windows>,
    /// Buckets of limits per second.
    pub(crate) leaky: Arc<Leaky>,
    /// Requests under way.
    pub(crate) connections: Connections,
    /// Configurations that count together.
    pub(crate) groups: Arc<Groups>,
    /// What is configured per plugin.
    pub(crate) metadata: Arc<Metadata>,
    /// Where the data plane speaks TLS; empty where it does not.
    pub(crate) tls_port: OnceLock<u16>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
}

/// The metadata of all plugins.
#[derive(Debug, Default)]
pub(crate) struct Metadata(ArcSwap<HashMap<String, Arc<Value>>>);

impl Metadata {
    /// A plugin's metadata; none if it has none.
    pub(crate) fn get(&self, plugin: &str) -> Option<Arc<Value>> {
        self.0.load().get(plugin).cloned()
    }

    /// Replaces a plugin's metadata, or forgets them.
    pub(crate) fn set(&self, plugin: &str, metadata: Option<&Value>) {
        self.0.rcu(|all| {
            let mut all = (**all).clone();
            match metadata {
                Some(metadata) => all.insert(plugin.to_string(), Arc::new(metadata.clone())),
                None => all.remove(plugin),
            };
            all
        });
    }
}
