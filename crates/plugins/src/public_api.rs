//! `public-api`: the gateway's own pages on a route, which may ask who is calling. Today that is the metrics, where no
//! listener of their own serves them.

use std::sync::Arc;

use a6_core::{Fault, FaultKind};
use a6_resources::PluginSpec;
use a6_snapshot::{Exchange, Phases, Plugin, Reply, Site, Stop};
use a6_telemetry::Metrics;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::limit::text;
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "public-api";

/// A compiled configuration.
#[derive(Debug)]
pub struct PublicApi {
    /// The page; the request's own path where none is set.
    uri: Option<Box<str>>,
    metrics: Arc<Metrics>,
}

impl PublicApi {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, shared: &Shared) -> Result<Self, String> {
        Ok(Self { uri: text(conf, "uri").map(Box::from), metrics: shared.metrics.clone() })
    }
}

impl Plugin for PublicApi {
    fn phases(&self) -> Phases {
        Phases { access: true, ..Phases::default() }
    }

    async fn access(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        let asked = self.uri.as_deref().unwrap_or(exchange.request.path());
        if *exchange.request.method() != Method::GET || self.metrics.public_path() != Some(asked) {
            return Err(Stop::page(StatusCode::NOT_FOUND));
        }
        let metrics = self.metrics.clone();
        // With many series it takes so long that the thread's other requests would wait.
        let told = Box::pin(tokio::task::spawn_blocking(move || metrics.text())).await;
        let told = told.map_err(|error| {
            let text = format!("the metrics could not be told: {error}");
            Fault::gateway(FaultKind::Internal, StatusCode::INTERNAL_SERVER_ERROR, text)
        })?;
        Err(Reply::text(StatusCode::OK, told).into())
    }
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec::new(NAME, priority, "0.1", schema)
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"uri": {"type": "string"}}})
}

#[cfg(test)]
mod tests {
    use a6_telemetry::MetricsOptions;

    use super::*;
    use crate::support::testing;

    #[test]
    fn pages_that_exist_and_others() {
        let path = "/apisix/prometheus/metrics";
        let cases = [
            ("GET", path, json!({}), Some(path), 200),
            ("GET", "/metrics", json!({"uri": path}), Some(path), 200),
            ("POST", path, json!({}), Some(path), 404),
            ("GET", "/metrics", json!({}), Some(path), 404),
            ("GET", path, json!({}), None, 404),
            ("GET", path, json!({"uri": "/apisix/status"}), Some(path), 404),
        ];
        for (method, target, conf, served_at, expected) in cases {
            let options =
                MetricsOptions { public_path: served_at.map(str::to_string), ..MetricsOptions::default() };
            let shared = Shared { metrics: Arc::new(Metrics::new(options)), ..Shared::default() };
            let plugin = PublicApi::compile(&conf, &testing::site(), &shared).unwrap();
            let mut exchange = testing::exchange(method, target, &[], "");
            let Err(Stop::Reply(reply)) = testing::run(plugin.access(&mut exchange)) else {
                panic!("{target}")
            };
            assert_eq!(reply.status, expected, "{method} {target} {conf}");
            let is_told = reply.body.starts_with(b"# HELP apisix_");
            assert_eq!(is_told, expected == 200, "{method} {target} {conf}");
        }
    }
}
