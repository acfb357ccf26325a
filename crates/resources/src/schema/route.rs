//! The schema of a route.

use serde_json::{Value, json};

use super::{shared, upstream};

/// The document.
pub(super) fn document() -> Value {
    json!({
        "type": "object",
        "properties": shared::properties(own()),
        "allOf": [
            {"oneOf": [{"required": ["uri"]}, {"required": ["uris"]}]},
            at_most_one("host", "hosts"),
            at_most_one("remote_addr", "remote_addrs"),
        ],
        "anyOf": targets(),
        "not": {"anyOf": [
            {"required": ["script", "plugins"]},
            {"required": ["script", "plugin_config_id"]},
        ]},
        "additionalProperties": false,
    })
}

fn own() -> Value {
    json!({
        "uri": {"type": "string", "minLength": 1, "maxLength": 4096},
        "uris": {
            "type": "array",
            "items": {"description": "HTTP uri", "type": "string"},
            "minItems": 1,
            "uniqueItems": true,
        },
        "priority": {"type": "integer", "default": 0},
        "methods": {"type": "array", "items": method(), "uniqueItems": true},
        "host": shared::host(),
        "hosts": shared::hosts(),
        "remote_addr": shared::client_address(),
        "remote_addrs": client_addresses(),
        "vars": {"type": "array"},
        "filter_func": {"type": "string", "minLength": 10, "pattern": "^function"},
        "timeout": shared::timeout(),
        "plugins": shared::plugins(),
        "plugin_config_id": shared::id(),
        "upstream": upstream::document(),
        "upstream_id": shared::id(),
        "service_id": shared::id(),
        "enable_websocket": shared::enable_websocket(),
        "status": status(),
        "script": shared::script(),
        "script_id": shared::id(),
    })
}

fn method() -> Value {
    json!({"description": "HTTP method", "type": "string", "enum": shared::methods()})
}

fn client_addresses() -> Value {
    json!({"type": "array", "items": shared::client_address(), "minItems": 1, "uniqueItems": true})
}

fn status() -> Value {
    json!({
        "description": "route status, 1 to enable, 0 to disable",
        "type": "integer",
        "enum": [1, 0],
        "default": 1,
    })
}

fn at_most_one(single: &str, several: &str) -> Value {
    let (single, several) = (json!({"required": [single]}), json!({"required": [several]}));
    json!({"oneOf": [{"not": {"anyOf": [single, several]}}, single, several]})
}

/// Something must say what is done with a request.
fn targets() -> Value {
    let pairs = [
        ("plugins", "uri"),
        ("upstream", "uri"),
        ("upstream_id", "uri"),
        ("service_id", "uri"),
        ("plugins", "uris"),
        ("upstream", "uris"),
        ("upstream_id", "uris"),
        ("service_id", "uris"),
        ("script", "uri"),
        ("script", "uris"),
    ];
    pairs.iter().map(|(target, path)| json!({"required": [target, path]})).collect()
}
