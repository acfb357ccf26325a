//! The schema of an upstream, on its own or within a route or service.

use serde_json::{Value, json};

use super::shared;

/// The document.
pub(super) fn document() -> Value {
    json!({
        "type": "object",
        "properties": shared::properties(own()),
        "oneOf": [{"required": ["nodes"]}, {"required": ["service_name", "discovery_type"]}],
        "additionalProperties": false,
    })
}

/// A `key` that is the name of a variable.
pub(super) fn hash_variable() -> Value {
    let names = "uri|server_name|server_addr|request_uri|remote_port|remote_addr|query_string|host|hostname\
        |mqtt_client_id";
    json!({"type": "string", "pattern": format!("^(({names})|arg_[0-9a-zA-z_-]+)$")})
}

/// A `key` that is the name of a header or cookie.
pub(super) fn hash_header() -> Value {
    json!({"type": "string", "pattern": "^[a-zA-Z0-9-_]+$"})
}

fn own() -> Value {
    json!({
        "nodes": nodes(),
        "type": {"description": "algorithms of load balancing", "type": "string", "default": "roundrobin"},
        "hash_on": hash_on(),
        "key": {"description": "the key of chash for dynamic load balancing", "type": "string"},
        "retries": {"type": "integer", "minimum": 0},
        "retry_timeout": {"type": "number", "minimum": 0},
        "timeout": shared::timeout(),
        "scheme": scheme(),
        "pass_host": pass_host(),
        "upstream_host": shared::host(),
        "tls": tls(),
        "keepalive_pool": keepalive_pool(),
        "checks": checks(),
        "service_name": shared::name(),
        "discovery_type": {"description": "discovery type", "type": "string"},
        "discovery_args": discovery_args(),
    })
}

fn nodes() -> Value {
    let weight = json!({"description": "weight of node", "type": "integer", "minimum": 0});
    let node = json!({
        "host": shared::host(),
        "port": {"description": "port of node", "type": "integer", "minimum": 1, "maximum": 65535},
        "weight": weight,
        "priority": {"description": "priority of node", "type": "integer", "default": 0},
        "metadata": {"description": "metadata of node", "type": "object"},
    });
    let node = json!({"type": "object", "properties": node, "required": ["host", "weight"]});
    json!({"anyOf": [
        {"type": "object", "patternProperties": {".*": weight}},
        {"type": "array", "items": node},
    ]})
}

fn hash_on() -> Value {
    json!({
        "type": "string",
        "enum": ["vars", "header", "cookie", "consumer", "vars_combinations"],
        "default": "vars",
    })
}

fn scheme() -> Value {
    json!({
        "description": "The scheme of the upstream. For L7 proxy, it can be one of grpc/grpcs/http/https. \
            For L4 proxy, it can be one of tcp/tls/udp. For specific protocols, it can be kafka.",
        "enum": ["grpc", "grpcs", "http", "https", "tcp", "tls", "udp", "kafka"],
        "default": "http",
    })
}

fn pass_host() -> Value {
    json!({
        "description": "mod of host passing",
        "type": "string",
        "enum": ["pass", "node", "rewrite"],
        "default": "pass",
    })
}

fn tls() -> Value {
    json!({
        "type": "object",
        "properties": {
            "client_cert_id": shared::id(),
            "client_cert": {"type": "string", "minLength": 128, "maxLength": 65536},
            "client_key": {"type": "string", "minLength": 64, "maxLength": 65536},
            "verify": verify(),
        },
        "dependencies": {
            "client_cert": {"required": ["client_key"]},
            "client_key": {"required": ["client_cert"]},
            "client_cert_id": {"not": {"required": ["client_cert", "client_key"]}},
        },
    })
}

fn verify() -> Value {
    json!({
        "description": "Turn on server certificate verification, currently only kafka upstream is supported",
        "type": "boolean",
        "default": false,
    })
}

fn keepalive_pool() -> Value {
    json!({
        "type": "object",
        "properties": {
            "size": {"type": "integer", "minimum": 1, "default": 320},
            "idle_timeout": {"type": "number", "minimum": 0, "default": 60},
            "requests": {"type": "integer", "minimum": 1, "default": 1000},
        },
    })
}

fn discovery_args() -> Value {
    json!({
        "type": "object",
        "properties": {
            "namespace_id": {"description": "namespace id", "type": "string"},
            "group_name": {"description": "group name", "type": "string"},
        },
    })
}

fn checks() -> Value {
    json!({
        "type": "object",
        "properties": {
            "active": {"type": "object", "properties": active()},
            "passive": {"type": "object", "properties": passive()},
        },
        "anyOf": [{"required": ["active"]}, {"required": ["active", "passive"]}],
    })
}

fn active() -> Value {
    let interval = json!({"type": "integer", "minimum": 1, "default": 1});
    let healthy = json!({
        "interval": interval,
        "http_statuses": statuses(&[200, 302]),
        "successes": count(1, 2),
    });
    let unhealthy = json!({
        "interval": interval,
        "http_statuses": statuses(&[429, 404, 500, 501, 502, 503, 504, 505]),
        "http_failures": count(1, 5),
        "tcp_failures": count(1, 2),
        "timeouts": count(1, 3),
    });
    json!({
        "type": probe(),
        "timeout": {"type": "number", "default": 1},
        "concurrency": {"type": "integer", "default": 10},
        "host": shared::host(),
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "http_method": {"type": "string", "enum": shared::methods(), "default": "GET"},
        "http_path": {"type": "string", "default": "/"},
        "http_req_body": {"type": "string", "default": ""},
        "https_verify_certificate": {"type": "boolean", "default": true},
        "req_headers": request_headers(),
        "healthy": {"type": "object", "properties": healthy},
        "unhealthy": {"type": "object", "properties": unhealthy},
    })
}

fn passive() -> Value {
    let sound: Vec<u16> = (200..=208).chain([226]).chain(300..=308).collect();
    let healthy = json!({"http_statuses": statuses(&sound), "successes": count(0, 5)});
    let unhealthy = json!({
        "http_statuses": statuses(&[429, 500, 503]),
        "http_failures": count(0, 5),
        "tcp_failures": count(0, 2),
        "timeouts": count(0, 7),
    });
    json!({
        "type": probe(),
        "healthy": {"type": "object", "properties": healthy},
        "unhealthy": {"type": "object", "properties": unhealthy},
    })
}

fn probe() -> Value {
    json!({"type": "string", "enum": ["http", "https", "tcp"], "default": "http"})
}

fn request_headers() -> Value {
    json!({"type": "array", "items": {"type": "string", "uniqueItems": true}, "minItems": 1})
}

/// Status codes, and those that count if none are given.
fn statuses(default: &[u16]) -> Value {
    json!({
        "type": "array",
        "items": {"type": "integer", "minimum": 200, "maximum": 599},
        "minItems": 1,
        "uniqueItems": true,
        "default": default,
    })
}

/// How many results in a row change the verdict.
fn count(least: u8, default: u8) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": 254, "default": default})
}
