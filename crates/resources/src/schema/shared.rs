//! Members that several kinds have.

use serde_json::{Value, json};

/// A host name, possibly with a leading wildcard, or an address.
const HOST: &str = r"^\*$|^\*?[0-9a-zA-Z-._\[\]:]+$";

/// A number from 0 to 255.
const OCTET: &str = "([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])";

/// The members that most kinds have, and the kind's own, which win.
pub(super) fn properties(own: Value) -> Value {
    let mut all = json!({
        "id": id(),
        "name": name(),
        "desc": desc(),
        "labels": labels(),
        "create_time": time(),
        "update_time": time(),
    });
    if let (Value::Object(all), Value::Object(own)) = (&mut all, own) {
        all.extend(own);
    }
    all
}

/// An id: a text or a number.
pub(super) fn id() -> Value {
    json!({"anyOf": [
        {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-zA-Z0-9-_.]+$"},
        {"type": "integer", "minimum": 1},
    ]})
}

/// A name.
pub(super) fn name() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 256})
}

/// What a resource is for.
pub(super) fn desc() -> Value {
    json!({"type": "string", "maxLength": 256})
}

/// When a resource was made or written last, in Unix seconds.
pub(super) fn time() -> Value {
    json!({"type": "integer"})
}

/// Labels: texts without spaces, by name.
pub(super) fn labels() -> Value {
    json!({
        "description": "key/value pairs to specify attributes",
        "type": "object",
        "patternProperties": {".*": {
            "description": "value of label",
            "type": "string",
            "minLength": 1,
            "maxLength": 256,
            "pattern": r"^\S+$",
        }},
    })
}

/// A host.
pub(super) fn host() -> Value {
    json!({"type": "string", "pattern": HOST})
}

/// Hosts, at least one.
pub(super) fn hosts() -> Value {
    json!({"type": "array", "items": host(), "minItems": 1, "uniqueItems": true})
}

/// The names of HTTP methods.
pub(super) fn methods() -> Value {
    json!(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE"])
}

/// A client's address or network.
pub(super) fn client_address() -> Value {
    let ipv4_network = format!(r"^{OCTET}\.{OCTET}\.{OCTET}\.{OCTET}/([12]?[0-9]|3[0-2])$");
    let ipv6_network = "^([a-fA-F0-9]{0,4}:){1,8}(:[a-fA-F0-9]{0,4}){0,8}([a-fA-F0-9]{0,4})?/[0-9]{1,3}$";
    json!({
        "description": "client IP",
        "type": "string",
        "anyOf": [
            {"title": "IPv4", "type": "string", "format": "ipv4"},
            {"title": "IPv4/CIDR", "type": "string", "pattern": ipv4_network},
            {"title": "IPv6", "type": "string", "format": "ipv6"},
            {"title": "IPv6/CIDR", "type": "string", "pattern": ipv6_network},
        ],
    })
}

/// Three time limits in seconds, all or none.
pub(super) fn timeout() -> Value {
    let seconds = json!({"type": "number", "exclusiveMinimum": 0});
    json!({
        "type": "object",
        "properties": {"connect": seconds, "read": seconds, "send": seconds},
        "required": ["connect", "send", "read"],
    })
}

/// Whether WebSocket upgrades pass.
pub(super) fn enable_websocket() -> Value {
    json!({"description": "enable websocket for request", "type": "boolean"})
}

/// Plugins by name; each has a schema of its own.
pub(super) fn plugins() -> Value {
    json!({"type": "object"})
}

/// Lua code in place of plugins.
pub(super) fn script() -> Value {
    json!({"type": "string", "minLength": 10, "maxLength": 102_400})
}
