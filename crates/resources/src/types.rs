//! Resources as users write them, typed. Defaults are applied when they are read here, never in the store.
//!
//! - `types/upstream.rs`: [`Upstream`] and its [`Node`]s.
//! - `types/ssl.rs`: [`Ssl`], a certificate and its key.

mod ssl;
mod upstream;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

pub use self::ssl::{Ssl, SslClient, SslUsage};
pub use self::upstream::{KeepalivePool, Node, Upstream, UpstreamTls};

/// Plugin name to its configuration.
pub type Plugins = Map<String, Value>;

/// Three time limits in seconds, each above 0.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub struct Timeout {
    /// To connect.
    pub connect: f64,
    /// Between two writes.
    pub send: f64,
    /// Between two reads.
    pub read: f64,
}

/// A route: which requests, and what is done with them.
#[derive(Clone, Debug, Deserialize)]
pub struct Route {
    /// The id.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// The name, absent if the route has none.
    #[serde(default)]
    pub name: Option<String>,
    /// One path pattern; exactly one of `uri` and `uris` is there.
    #[serde(default)]
    pub uri: Option<String>,
    /// Several path patterns.
    #[serde(default)]
    pub uris: Option<Vec<String>>,
    /// Among routes with the same path text the higher one is tried first.
    #[serde(default)]
    pub priority: i64,
    /// Methods; none or empty means all.
    #[serde(default)]
    pub methods: Vec<String>,
    /// One host pattern.
    #[serde(default)]
    pub host: Option<String>,
    /// Several host patterns.
    #[serde(default)]
    pub hosts: Option<Vec<String>>,
    /// One client address or CIDR.
    #[serde(default)]
    pub remote_addr: Option<String>,
    /// Several client addresses or CIDRs.
    #[serde(default)]
    pub remote_addrs: Option<Vec<String>>,
    /// A condition in lua-resty-expr's form; see [`crate::expr`].
    #[serde(default)]
    pub vars: Option<Value>,
    /// Overrides the upstream's.
    #[serde(default)]
    pub timeout: Option<Timeout>,
    /// The route's own plugins.
    #[serde(default)]
    pub plugins: Plugins,
    /// An upstream of its own.
    #[serde(default)]
    pub upstream: Option<Upstream>,
    /// The id of an upstream.
    #[serde(default, deserialize_with = "optional_id")]
    pub upstream_id: Option<String>,
    /// The id of a service.
    #[serde(default, deserialize_with = "optional_id")]
    pub service_id: Option<String>,
    /// The id of a plugin config, whose plugins the route's own replace.
    #[serde(default, deserialize_with = "optional_id")]
    pub plugin_config_id: Option<String>,
    /// Whether WebSocket upgrades pass; absent, the service says so.
    #[serde(default)]
    pub enable_websocket: Option<bool>,
    /// 0 takes the route out of service.
    #[serde(default = "one")]
    pub status: u8,
}

/// What several routes share.
#[derive(Clone, Debug, Deserialize)]
pub struct Service {
    /// The id.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// The name, absent if it has none.
    #[serde(default)]
    pub name: Option<String>,
    /// Host patterns for routes that have none.
    #[serde(default)]
    pub hosts: Option<Vec<String>>,
    /// Plugins for all its routes; a route's own configuration of a plugin replaces it whole.
    #[serde(default)]
    pub plugins: Plugins,
    /// An upstream of its own.
    #[serde(default)]
    pub upstream: Option<Upstream>,
    /// The id of an upstream.
    #[serde(default, deserialize_with = "optional_id")]
    pub upstream_id: Option<String>,
    /// Whether WebSocket upgrades pass for routes that do not say so.
    #[serde(default)]
    pub enable_websocket: Option<bool>,
}

fn one() -> u8 {
    1
}

/// An id may be written as a string or as an integer; inside it is always the text.
pub fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

pub(crate) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let value = Value::deserialize(deserializer)?;
    id_text(&value).ok_or_else(|| serde::de::Error::custom("id: expected a string or an integer"))
}

pub(crate) fn optional_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    id(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numeric_and_textual_ids_are_one() {
        let route: Route = serde_json::from_value(json!({"id": 7, "uri": "/a", "service_id": 3})).unwrap();
        assert_eq!((route.id.as_str(), route.service_id.as_deref(), route.status), ("7", Some("3"), 1));
        assert_eq!((route.plugin_config_id, route.enable_websocket), (None, None));
    }
}
