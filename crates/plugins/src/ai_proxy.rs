//! `ai-proxy`: stands for the upstream. It reads the request as an AI request and leaves the plan to send it to one
//! provider; the gateway's attempt stage carries it out.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use a6_protocols::PROVIDERS;
use a6_resources::PluginSpec;
use a6_snapshot::{Exchange, Instance, Phases, Plan, Plugin, Site, Stop};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::ai_request;
use crate::support::instance::{self, InstanceConf, TransportConf};
use crate::support::model_log::Logging;
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "ai-proxy";

const DEFAULT_MAX_BODY: u64 = 64 << 20;

/// A compiled configuration.
#[derive(Debug)]
pub struct AiProxy {
    instance: Arc<Instance>,
    max_body: u64,
    logging: Logging,
}

#[derive(Deserialize)]
struct Conf {
    #[serde(flatten)]
    instance: InstanceConf,
    #[serde(flatten)]
    transport: TransportConf,
    #[serde(default = "default_max_body")]
    max_req_body_size: u64,
    #[serde(default)]
    logging: Logging,
}

fn default_max_body() -> u64 {
    DEFAULT_MAX_BODY
}

impl AiProxy {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        let conf = Conf::deserialize(conf).map_err(|error| error.to_string())?;
        let provider = conf.instance.provider().to_string();
        let instance = instance::compile(format!("{NAME}-{provider}"), conf.instance, &conf.transport)?;
        Ok(Self { instance: Arc::new(instance), max_body: conf.max_req_body_size, logging: conf.logging })
    }
}

impl Plugin for AiProxy {
    fn phases(&self) -> Phases {
        Phases { access: true, ..Phases::default() }
    }

    async fn access(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        let (protocol, is_opaque) = ai_request::read(exchange, self.max_body).await?;
        self.logging.begin(exchange);
        let candidates = vec![self.instance.clone()];
        exchange.plan = Some(Plan { candidates, protocol, is_opaque, meta: None });
        Ok(())
    }

    fn describe(&self) -> Option<Value> {
        Some(json!({"instance": *self.instance.name, "address": *self.instance.address}))
    }
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec {
        encrypt_fields: &[
            "auth.header",
            "auth.query",
            "auth.gcp.service_account_json",
            "auth.aws.secret_access_key",
            "auth.aws.session_token",
        ],
        ..PluginSpec::new(NAME, priority, "0.5", schema)
    }
}

fn schema() -> Value {
    let providers: Vec<_> = PROVIDERS.iter().map(|provider| provider.name).collect();
    let at_least = |minimum: u64| json!({"type": "integer", "minimum": minimum});
    json!({
        "type": "object",
        "properties": {
            "provider": {"type": "string", "enum": providers},
            "auth": auth_schema(),
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
            "override": override_schema(),
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
        },
        "required": ["provider", "auth"],
    })
}

fn auth_schema() -> Value {
    let texts = json!({"type": "object", "patternProperties": {"^[a-zA-Z0-9._-]+$": {"type": "string"}}});
    let some_text = json!({"type": "string", "minLength": 1});
    json!({
        "type": "object",
        "patternProperties": {
            "header": texts,
            "query": texts,
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

fn override_schema() -> Value {
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
