//! The exporter: metrics for Prometheus on a listener of their own.

use std::sync::Arc;

use a6_resources::Kind;
use a6_telemetry::{Metrics, Reading};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use tokio::sync::Mutex;

use crate::view::View;

/// APISIX's label; Prometheus takes it for format 0.0.4.
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const NOT_FOUND: &str = "<html>\n<head><title>404 Not Found</title></head>\n<body>\n<center><h1>404 Not Found</h1></center>\n</body>\n</html>\n";

struct Exporter {
    metrics: Arc<Metrics>,
    path: String,
    /// One text is made at a time; whoever else asks waits for his.
    turn: Mutex<()>,
}

/// Serves the metrics at `path`, to everybody who may connect. They hold no secret.
pub fn exporter_router(metrics: Arc<Metrics>, path: String) -> Router {
    Router::new().fallback(handle).with_state(Arc::new(Exporter { metrics, path, turn: Mutex::new(()) }))
}

async fn handle(State(exporter): State<Arc<Exporter>>, request: Request) -> Response {
    if request.method() != Method::GET || request.uri().path() != exporter.path {
        return (StatusCode::NOT_FOUND, [(CONTENT_TYPE, HTML)], NOT_FOUND).into_response();
    }
    let _turn = exporter.turn.lock().await;
    let metrics = exporter.metrics.clone();
    // With many series it takes so long that the other work of this thread would wait.
    match tokio::task::spawn_blocking(move || metrics.text()).await {
        Ok(text) => ([(CONTENT_TYPE, TEXT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be told");
            (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, TEXT)], "the metrics could not be told\n")
                .into_response()
        }
    }
}

/// What APISIX tells of etcd, of the store that is in its place: the highest revision of each kind, and of all.
pub fn store_readings(view: &View) -> Vec<Reading> {
    let state = view.read();
    let kinds = [
        ("consumers", Some(Kind::Consumer)),
        ("global_rules", Some(Kind::GlobalRule)),
        ("protos", Some(Kind::Proto)),
        ("routes", Some(Kind::Route)),
        ("services", Some(Kind::Service)),
        ("ssls", Some(Kind::Ssl)),
        // There are none of these here.
        ("stream_routes", None),
        ("upstreams", Some(Kind::Upstream)),
    ];
    let highest = |kind: Option<Kind>| {
        let entries = kind.into_iter().flat_map(|kind| state.of_kind(kind));
        entries.map(|entry| entry.modified).max().unwrap_or(0)
    };
    let all = state.all().map(|entry| entry.modified).max().unwrap_or(0);
    let named = kinds.map(|(key, kind)| (key, highest(kind)));
    let totals = [("max_modify_index", all), ("prev_index", all), ("x_etcd_index", state.revision)];
    let samples = named.into_iter().chain(totals).map(|(key, index)| (vec![("key", key.to_string())], index));
    vec![
        Reading::gauge("etcd_modify_indexes", "Etcd modify index for APISIX keys", samples.collect()),
        Reading::gauge(
            "etcd_reachable",
            "Config server etcd reachable from APISIX, 0 is unreachable",
            vec![(Vec::new(), 1)],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use a6_resources::Entry;
    use serde_json::json;

    use super::*;

    #[test]
    fn revisions_of_each_kind() {
        let entry = |kind, id: &str, modified| Entry {
            kind,
            id: id.to_string(),
            value: Arc::new(json!({})),
            created: 1,
            modified,
        };
        let entries =
            vec![entry(Kind::Route, "a", 3), entry(Kind::Route, "b", 7), entry(Kind::Secret, "vault/1", 9)];
        let readings = store_readings(&View::new(11, entries, None));
        let told: Vec<_> =
            readings[0].samples.iter().map(|(labels, value)| (labels[0].1.as_str(), *value)).collect();
        for expected in [("routes", 7), ("services", 0), ("stream_routes", 0), ("max_modify_index", 9)] {
            assert!(told.contains(&expected), "{expected:?} in {told:?}");
        }
        assert!(told.contains(&("x_etcd_index", 11)) && readings[1].samples == [(Vec::new(), 1)]);
    }
}
