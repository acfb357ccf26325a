use a6_resources::{Kind, schema_of};
use serde_json::{Map, Value, json};

use crate::support::provider_schema;

/// The document.
pub(super) fn document() -> Value {
    let mut properties = provider_schema::plugin();
    let own = json!({
        "balancer": balancer(),
        "instances": {"type": "array", "minItems": 1, "items": instance()},
        "semantic_opts": semantic(),
        "fallback_strategy": fallback_strategy(),
        "fallback_http_statuses": {
            "description": "answers after which another instance is asked, on top of fallback_strategy",
            "type": "array",
            "minItems": 1,
            "items": {"type": "integer", "minimum": 400, "maximum": 599},
        },
        "max_retries": {"type": "integer", "minimum": 0},
        "retry_on_failure_within_ms": {"type": "integer", "minimum": 1},
        "hedge_after_ms": {
            "description": "another instance is asked beside one that has not answered after this time",
            "type": "integer",
            "minimum": 1,
        },
        "breaker": breaker(),
    });
    if let Value::Object(own) = own {
        properties.extend(own);
    }
    json!({"type": "object", "properties": properties, "required": ["instances"]})
}

fn balancer() -> Value {
    json!({
        "type": "object",
        "properties": {
            "algorithm": {"type": "string", "enum": ["chash", "roundrobin", "semantic", "least_conn", "ewma"]},
            "hash_on": {
                "type": "string",
                "enum": ["vars", "header", "cookie", "consumer", "vars_combinations"],
                "default": "vars",
            },
            "key": {"description": "the key of chash for dynamic load balancing", "type": "string"},
        },
        "default": {"algorithm": "roundrobin"},
    })
}

fn instance() -> Value {
    let mut properties = provider_schema::instance();
    let own = json!({
        "name": {"type": "string", "minLength": 1, "maxLength": 100},
        "weight": {"type": "integer", "minimum": 0},
        "priority": {"type": "integer", "default": 0},
        "checks": checks(),
        "examples": {
            "type": "array",
            "minItems": 1,
            "maxItems": 64,
            "items": {"type": "string", "minLength": 1},
        },
        "threshold": threshold(),
    });
    if let Value::Object(own) = own {
        properties.extend(own);
    }
    json!({"type": "object", "properties": properties, "required": ["name", "provider", "auth", "weight"]})
}

/// An upstream's active checks; there are no passive ones.
fn checks() -> Value {
    let upstream = schema_of(Kind::Upstream).map(|schema| schema.document());
    let active = upstream.and_then(|document| document.pointer("/properties/checks/properties/active"));
    let properties: Map<String, Value> =
        active.map(|active| ("active".to_owned(), active.clone())).into_iter().collect();
    json!({"type": "object", "properties": properties, "required": ["active"]})
}

fn threshold() -> Value {
    json!({"type": "number", "minimum": -1, "maximum": 1})
}

fn semantic() -> Value {
    let mut default_threshold = threshold();
    default_threshold["default"] = json!(0);
    json!({
        "type": "object",
        "properties": {
            "embeddings": {
                "type": "object",
                "properties": {
                    "provider": {"type": "string", "enum": ["openai", "azure-openai"]},
                    "model": {"type": "string", "minLength": 1},
                    "endpoint": {"type": "string"},
                    "auth": {
                        "type": "object",
                        "properties": {
                            "header": provider_schema::texts(),
                            "query": provider_schema::texts(),
                        },
                        "additionalProperties": false,
                    },
                    "timeout": {"type": "integer", "minimum": 1, "default": 3000},
                    "ssl_verify": {"type": "boolean", "default": true},
                },
                "required": ["provider", "model", "auth"],
            },
            "threshold": default_threshold,
            "fallback": {"type": "string", "minLength": 1},
            "debugging": {"type": "boolean", "default": false},
        },
        "required": ["embeddings"],
    })
}

/// APISIX takes `rate_limiting` in a list only, and the long name by itself only; they mean the same.
fn fallback_strategy() -> Value {
    let names = json!(["instance_health_and_rate_limiting", "rate_limiting", "http_429", "http_5xx"]);
    json!({"anyOf": [
        {"type": "string", "enum": names},
        {"type": "array", "items": {"type": "string", "enum": names}},
    ]})
}

fn breaker() -> Value {
    let count = |least: u64, default: u64| json!({"type": "integer", "minimum": least, "default": default});
    json!({
        "description": "when an instance is passed over for a while",
        "type": "object",
        "properties": {
            "enabled": {"type": "boolean", "default": true},
            "failures": count(1, 5),
            "within_ms": count(1, 30_000),
            "open_ms": count(1, 10_000),
            "max_open_ms": count(1, 300_000),
        },
        "additionalProperties": false,
    })
}
