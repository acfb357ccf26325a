//! `ai-proxy`: stands for the upstream. It reads the request as an AI request and leaves the plan to send it to one
//! provider; the gateway's attempt stage carries it out.

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
        let protocol = ai_request::read(exchange, self.max_body).await?;
        self.logging.begin(exchange);
        exchange.plan = Some(Plan { candidates: vec![self.instance.clone()], protocol, meta: None });
        Ok(())
    }

    fn describe(&self) -> Option<Value> {
        Some(json!({"instance": *self.instance.name, "address": *self.instance.address}))
    }
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec {
        encrypt_fields: &["auth.header", "auth.query"],
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
        },
        "required": ["provider", "auth"],
    })
}

fn auth_schema() -> Value {
    let texts = json!({"type": "object", "patternProperties": {"^[a-zA-Z0-9._-]+$": {"type": "string"}}});
    json!({
        "type": "object",
        "properties": {"header": texts, "query": texts},
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::testing;
    use a6_protocols::Protocol;
    use a6_resources::{Catalogue, ConfKind};

    fn check(conf: Value) -> Result<(), String> {
        crate::Builtins::default().check(NAME, &conf, ConfKind::Route)
    }

    fn compile(conf: &Value) -> Result<AiProxy, String> {
        AiProxy::compile(conf, &testing::site(), &testing::shared())
    }

    fn head(conf: Value) -> String {
        let plugin = compile(&conf).unwrap();
        let head = plugin.instance.head(Protocol::OpenaiChat).unwrap().expose().clone();
        String::from_utf8(head).unwrap()
    }

    #[test]
    fn heads_are_made_of_provider_endpoint_and_auth() {
        let conf =
            json!({"provider": "openai", "auth": {"header": {"Authorization": "Bearer k", "Host": "evil"}}});
        assert_eq!(
            head(conf),
            "POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\ncontent-type: application/json\r\n\
             authorization: Bearer k\r\n"
        );
        let targets = [
            ("https://h", "/v1/chat/completions?a=1&k=x+y"),
            ("https://h/", "/?a=1&k=x+y"),
            ("https://h:8443/p?a=2", "/p?k=x+y&a=2"),
        ];
        for (endpoint, target) in targets {
            let conf = json!({
                "provider": "openai-compatible",
                "auth": {"query": {"k": "x y", "a": "1"}},
                "override": {"endpoint": endpoint},
            });
            assert!(head(conf).starts_with(&format!("POST {target} HTTP/1.1\r\n")), "{endpoint}");
        }
    }

    #[test]
    fn unusable_configurations_are_refused_by_name() {
        let cases = [
            (json!({"auth": {}}), "property \"provider\" is required"),
            (json!({"provider": "openai"}), "property \"auth\" is required"),
            (
                json!({"provider": "x", "auth": {}}),
                "property \"provider\" validation failed: matches none of the enum values",
            ),
            (
                json!({"provider": "openai-compatible", "auth": {}}),
                "provider openai-compatible has no host of its own; set override.endpoint to its URL",
            ),
            (
                json!({"provider": "openai", "auth": {"header": {"a": "x\ny"}}}),
                "auth.header.a: the value has a character that no header may have",
            ),
            (
                json!({"provider": "openai", "auth": {}, "options": {"stop": ["$secret://vault/1/a/b"]}}),
                "options.stop[0]: secret references are not supported yet; write the value itself",
            ),
            (
                json!({"provider": "openai", "auth": {"query": {"k": "$ENV://KEY"}}}),
                "auth.query.k: secret references are not supported yet; write the value itself",
            ),
        ];
        for (conf, expected) in cases {
            assert_eq!(check(conf.clone()).unwrap_err(), expected, "{conf}");
        }
    }

    #[test]
    fn keys_never_show_in_debug_output() {
        let conf = json!({"provider": "openai", "auth": {"header": {"Authorization": "Bearer sk-live"}}});
        let plugin = compile(&conf).unwrap();
        assert!(!format!("{plugin:?}").contains("sk-live"));
    }

    #[test]
    fn durations_and_pools_have_their_defaults() {
        let plugin = compile(&json!({"provider": "openai", "auth": {}})).unwrap();
        assert_eq!(plugin.max_body, 67_108_864);
        assert_eq!(plugin.instance.timeout.as_millis(), 30_000);
        assert_eq!(plugin.instance.keepalive.unwrap().size, 30);
        assert!(plugin.instance.target.verify && !plugin.instance.has_credentials);
    }
}
