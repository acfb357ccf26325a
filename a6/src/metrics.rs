//! What the settings say of metrics, and what only the binary knows to tell.

use std::net::TcpListener;
use std::sync::Arc;

use a6_admin::{View, store_readings};
use a6_core::Budget;
use a6_settings::{Prometheus, Settings};
use a6_telemetry::{MetricOptions, Metrics, MetricsOptions, Reading};
use anyhow::Context;

use crate::running;

/// The metrics of a gateway; a warning for each metric in the settings that does not exist.
pub(crate) fn make(settings: &Settings, warnings: &mut Vec<String>) -> Arc<Metrics> {
    let told = &settings.prometheus;
    let known = |name: &str| MetricsOptions::families().any(|family| family == name);
    warnings.extend(told.metrics.iter().filter(|metric| !known(&metric.name)).map(|metric| {
        format!(
            "plugin_attr.prometheus.metrics.{}: there is no such metric with labels of requests",
            metric.name
        )
    }));
    Arc::new(Metrics::new(options(told)))
}

fn options(told: &Prometheus) -> MetricsOptions {
    let whole = |thousandths: &[u64]| thousandths.iter().map(|bound| *bound as f64 / 1_000.0).collect();
    let own = |metric: &a6_settings::MetricSettings| {
        let extra_labels = metric.extra_labels.clone();
        (metric.name.clone(), MetricOptions { expire: metric.expire, extra_labels })
    };
    MetricsOptions {
        prefix: Some(told.prefix.clone()),
        http_latency: whole(&told.http_latency),
        llm_latency: whole(&told.llm_latency),
        prompt_tokens: whole(&told.prompt_tokens),
        completion_tokens: whole(&told.completion_tokens),
        metrics: told.metrics.iter().map(own).collect(),
        // One way at a time, as in APISIX.
        public_path: told.listen.is_none().then(|| told.uri.clone()),
    }
}

/// Where the metrics are served. A second gateway on a machine goes without them, unless it was told where they are to be.
pub(crate) fn bind(settings: &Prometheus, warnings: &mut Vec<String>) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = settings.listen else { return Ok(None) };
    match running::bind(address) {
        Err(error) if !settings.is_listen_set => {
            warnings.push(format!(
                "metrics are not served: {error:#}; set plugin_attr.prometheus.export_addr.port to a free one"
            ));
            Ok(None)
        }
        bound => bound.map(Some).context("plugin_attr.prometheus.export_addr"),
    }
}

/// Lets the metrics tell of the node, of the store and of the memory for bodies.
pub(crate) fn add_sources(metrics: &Metrics, version: &str, view: Arc<View>, budget: Budget) {
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let version = version.to_string();
    metrics.add_source(move || {
        let labels = vec![("hostname", hostname.clone()), ("version", version.clone())];
        vec![Reading::gauge("node_info", "Info of APISIX node", vec![(labels, 1)])]
    });
    metrics.add_source(move || store_readings(&view));
    metrics.add_source(move || {
        let of = |bytes| vec![(vec![("name", "a6.memory_budget".to_string())], bytes)];
        let free = budget.limit().saturating_sub(budget.used());
        vec![
            Reading::gauge(
                "shared_dict_capacity_bytes",
                "The capacity of each nginx shared DICT since APISIX start",
                of(budget.limit()),
            ),
            Reading::gauge(
                "shared_dict_free_space_bytes",
                "The free space of each nginx shared DICT since APISIX start",
                of(free),
            ),
        ]
    });
}
