//! The schema of a certificate and its key. It has no name.

use serde_json::{Value, json};

use super::shared;

/// The document.
pub(super) fn document() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": shared::id(),
            "type": usage(),
            "cert": certificate(),
            "key": key(),
            "sni": shared::host(),
            "snis": {"type": "array", "items": shared::host(), "minItems": 1},
            "certs": {"type": "array", "items": certificate()},
            "keys": {"type": "array", "items": key()},
            "client": client(),
            "status": status(),
            "ssl_protocols": protocols(),
            "desc": shared::desc(),
            "labels": shared::labels(),
            "create_time": shared::time(),
            "update_time": shared::time(),
        },
        "if": {"properties": {"type": {"enum": ["server"]}}},
        "then": {"oneOf": [{"required": ["sni", "key", "cert"]}, {"required": ["snis", "key", "cert"]}]},
        "else": {"required": ["key", "cert"]},
        "additionalProperties": false,
    })
}

fn usage() -> Value {
    json!({
        "description": "ssl certificate type, server to server certificate, \
            client to client certificate for upstream",
        "type": "string",
        "enum": ["server", "client"],
        "default": "server",
    })
}

fn certificate() -> Value {
    json!({"type": "string", "minLength": 128, "maxLength": 65536})
}

fn key() -> Value {
    json!({"type": "string", "minLength": 64, "maxLength": 65536})
}

/// Whose certificates clients must show.
fn client() -> Value {
    json!({
        "type": "object",
        "properties": {
            "ca": certificate(),
            "depth": {"type": "integer", "minimum": 0, "default": 1},
            "skip_mtls_uri_regex": {
                "type": "array",
                "items": {"description": "uri regular expression to skip mtls", "type": "string"},
                "minItems": 1,
                "uniqueItems": true,
            },
        },
        "required": ["ca"],
    })
}

fn status() -> Value {
    json!({
        "description": "ssl status, 1 to enable, 0 to disable",
        "type": "integer",
        "enum": [1, 0],
        "default": 1,
    })
}

fn protocols() -> Value {
    json!({
        "description": "set ssl protocols",
        "type": "array",
        "items": {"enum": ["TLSv1.1", "TLSv1.2", "TLSv1.3"]},
        "maxItems": 3,
        "uniqueItems": true,
    })
}
