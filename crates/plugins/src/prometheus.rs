//! `prometheus`: the request is counted in the metrics once it is over.

use a6_resources::{PluginSpec, Schema};
use a6_snapshot::{Exchange, Meter, Phases, Plugin, Site};
use serde_json::{Map, Value, json};

use crate::support::limit::flag;
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "prometheus";

/// A compiled configuration.
#[derive(Debug)]
pub struct Prometheus {
    meter: Meter,
}

impl Prometheus {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        Ok(Self { meter: Meter { prefer_name: flag(conf, "prefer_name", false) } })
    }
}

impl Plugin for Prometheus {
    fn phases(&self) -> Phases {
        Phases { log: true, ..Phases::default() }
    }

    /// The settlement counts, when everything is known. Of a global rule's and a route's the route's comes last and holds,
    /// and no request counts twice.
    fn log(&self, exchange: &mut Exchange) {
        exchange.record.meter = Some(self.meter);
    }
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec {
        metadata_schema: Some(Schema::of(metadata_schema)),
        ..PluginSpec::new(NAME, priority, "0.2", schema)
    }
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {"prefer_name": {"type": "boolean", "default": false}},
    })
}

/// The labels of each family that may be left empty. The leading ones may not.
fn metadata_schema() -> Value {
    const HTTP: &str = "route service consumer node request_type request_llm_model llm_model";
    const LLM: &str = "route_id service_id consumer node request_type request_llm_model llm_model";
    const CACHE: &str =
        "route route_id service service_id consumer node request_type request_llm_model llm_model";
    let families = [
        (
            "http_status",
            "route matched_uri matched_host service consumer node request_type request_llm_model llm_model response_source",
        ),
        ("http_latency", HTTP),
        ("bandwidth", HTTP),
        ("llm_latency", LLM),
        ("llm_prompt_tokens", LLM),
        ("llm_completion_tokens", LLM),
        ("llm_prompt_tokens_dist", LLM),
        ("llm_completion_tokens_dist", LLM),
        (
            "llm_active_connections",
            "route route_id matched_uri matched_host service service_id consumer node request_type request_llm_model llm_model",
        ),
        ("ai_cache_hits_total", CACHE),
        ("ai_cache_misses_total", CACHE),
        ("ai_cache_bypasses_total", CACHE),
        ("ai_cache_embedding_latency", CACHE),
    ];
    let labels: Map<String, Value> = families
        .into_iter()
        .map(|(family, labels)| {
            let labels: Vec<&str> = labels.split(' ').collect();
            (family.to_string(), json!({"type": "array", "items": {"type": "string", "enum": labels}}))
        })
        .collect();
    json!({
        "type": "object",
        "properties": {
            "disabled_labels": {"type": "object", "properties": labels, "additionalProperties": false},
        },
    })
}

#[cfg(test)]
mod tests {
    use a6_resources::{Catalogue, ConfKind};

    use super::*;
    use crate::support::testing;

    #[test]
    fn the_last_one_says_how_a_request_counts() {
        let compile = |conf: Value| Prometheus::compile(&conf, &testing::site(), &testing::shared()).unwrap();
        let mut exchange = testing::exchange("GET", "/", &[], "");
        assert_eq!(exchange.record.meter, None);
        compile(json!({})).log(&mut exchange);
        assert_eq!(exchange.record.meter, Some(Meter { prefer_name: false }));
        compile(json!({"prefer_name": true})).log(&mut exchange);
        assert_eq!(exchange.record.meter, Some(Meter { prefer_name: true }));
    }

    #[test]
    fn only_labels_that_exist_are_left_empty() {
        let plugins = crate::Builtins::default();
        let check = |disabled: Value| {
            plugins.check(NAME, &json!({"disabled_labels": disabled}), ConfKind::Metadata).is_ok()
        };
        let cases = [
            (json!({"http_status": ["route", "llm_model"], "bandwidth": []}), true),
            (json!({"http_status": ["code"]}), false),
            (json!({"llm_latency": ["type"]}), false),
            (json!({"ai_cache_hits_total": ["layer"]}), false),
            (json!({"llm_latency": ["route"]}), false),
            (json!({"node_info": ["version"]}), false),
        ];
        for (disabled, expected) in cases {
            assert_eq!(check(disabled.clone()), expected, "{disabled}");
        }
        assert!(plugins.check(NAME, &json!({"prefer_name": 1}), ConfKind::Route).is_err());
    }
}
