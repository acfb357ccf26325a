//! The schemas of secret managers. Members that none of them names are allowed.

use serde_json::{Value, json};

/// HashiCorp Vault.
pub(super) fn vault() -> Value {
    json!({
        "type": "object",
        "properties": {
            "uri": uri(),
            "prefix": {"type": "string"},
            "token": {"type": "string"},
            "namespace": {"type": "string"},
        },
        "required": ["uri", "prefix", "token"],
    })
}

/// AWS Secrets Manager.
pub(super) fn aws() -> Value {
    json!({
        "type": "object",
        "properties": {
            "access_key_id": {"type": "string"},
            "secret_access_key": {"type": "string"},
            "session_token": {"type": "string"},
            "region": {"type": "string", "default": "us-east-1"},
            "endpoint_url": uri(),
        },
        "required": ["access_key_id", "secret_access_key"],
    })
}

/// Google Secret Manager.
pub(super) fn gcp() -> Value {
    json!({
        "type": "object",
        "properties": {
            "auth_config": service_account(),
            "auth_file": {"type": "string"},
            "ssl_verify": {"type": "boolean", "default": true},
        },
        "oneOf": [{"required": ["auth_config"]}, {"required": ["auth_file"]}],
    })
}

fn service_account() -> Value {
    json!({
        "type": "object",
        "properties": {
            "client_email": {"type": "string"},
            "private_key": {"type": "string"},
            "project_id": {"type": "string"},
            "token_uri": {"type": "string", "default": "https://oauth2.googleapis.com/token"},
            "scope": {
                "type": "array",
                "items": {"type": "string"},
                "default": ["https://www.googleapis.com/auth/cloud-platform"],
            },
            "entries_uri": {"type": "string", "default": "https://secretmanager.googleapis.com/v1"},
        },
        "required": ["client_email", "private_key", "project_id"],
    })
}

/// Scheme, host and possibly a port; what follows is not looked at.
fn uri() -> Value {
    json!({"type": "string", "pattern": r"^[^\/]+:\/\/([\da-zA-Z.-]+|\[[\da-fA-F:]+\])(:\d+)?"})
}
