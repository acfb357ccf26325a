use a6_protocols::PROVIDERS;
use serde_json::{Map, Value, json};

/// Without `max_req_body_size`.
const DEFAULT_MAX_BODY: u64 = 64 << 20;

/// `max_req_body_size` where it is not written.
pub(crate) fn default_max_body() -> u64 {
    DEFAULT_MAX_BODY
}

/// What tells a provider: the members that `ai-proxy` and an instance of `ai-proxy-multi` share.
pub(crate) fn instance() -> Map<String, Value> {
    let providers: Vec<_> = PROVIDERS.iter().map(|provider| provider.name).collect();
    members(json!({
        "provider": {"type": "string", "enum": providers},
        "auth": auth(),
        "options": {
            "type": "object",
            "properties": {"model": {"type": "string"}},
            "additionalProperties": true,
        },
        "provider_conf": {
            "type": "object",
            "properties": {
                "project_id": {"type": "string"},
                "region": {"type": "string", "minLength": 1},
            },
        },
        "override": overrides(),
    }))
}

/// How providers are spoken to, whichever it is: the members that both plugins share.
pub(crate) fn plugin() -> Map<String, Value> {
    let at_least = |minimum: u64| json!({"type": "integer", "minimum": minimum});
    members(json!({
        "logging": {
            "type": "object",
            "properties": {
                "summaries": {"type": "boolean", "default": false},
                "payloads": {"type": "boolean", "default": false},
            },
        },
        "timeout": {"type": "integer", "minimum": 1, "maximum": 600_000, "default": 30_000},
        "keepalive": {"type": "boolean", "default": true},
        "keepalive_timeout": {"type": "integer", "minimum": 1000, "default": 60_000},
        "keepalive_pool": {"type": "integer", "minimum": 1, "default": 30},
        "ssl_verify": {"type": "boolean", "default": true},
        "max_req_body_size": {"type": "integer", "minimum": 1, "default": DEFAULT_MAX_BODY},
        "max_stream_duration_ms": at_least(1),
        "max_response_bytes": at_least(1),
        "streaming_flush_interval_ms": {"type": "integer", "minimum": 0, "default": 10},
        "streaming_keepalive_ms": {"type": "integer", "minimum": 0},
        "a6_strict": {"type": "boolean", "default": false},
    }))
}

fn members(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Texts by name.
pub(crate) fn texts() -> Value {
    json!({"type": "object", "patternProperties": {"^[a-zA-Z0-9._-]+$": {"type": "string"}}})
}

fn auth() -> Value {
    let some_text = json!({"type": "string", "minLength": 1});
    json!({
        "type": "object",
        "patternProperties": {
            "header": texts(),
            "query": texts(),
            "gcp": {
                "type": "object",
                "properties": {
                    "service_account_json": {"type": "string"},
                    "max_ttl": {"type": "integer", "minimum": 1},
                    "expire_early_secs": {"type": "integer", "minimum": 0, "default": 60},
                },
            },
            "aws": {
                "type": "object",
                "properties": {
                    "access_key_id": some_text,
                    "secret_access_key": some_text,
                    "session_token": some_text,
                },
                "required": ["access_key_id", "secret_access_key"],
            },
        },
        "additionalProperties": false,
    })
}

fn overrides() -> Value {
    let open = json!({"type": "object", "additionalProperties": true});
    let protocols = [
        "anthropic-messages",
        "bedrock-converse",
        "openai-chat",
        "openai-embeddings",
        "openai-responses",
        "passthrough",
    ];
    let bodies: serde_json::Map<_, _> =
        protocols.map(|name| (name.to_string(), open.clone())).into_iter().collect();
    json!({
        "type": "object",
        "properties": {
            "endpoint": {"type": "string", "minLength": 1},
            "llm_options": {
                "type": "object",
                "properties": {"max_tokens": {"type": "integer", "minimum": 1}},
                "additionalProperties": false,
            },
            "request_body": {"type": "object", "properties": bodies, "additionalProperties": false},
            "request_body_force_override": {"type": "boolean", "default": false},
        },
    })
}
