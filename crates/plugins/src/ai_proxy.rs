//! `ai-proxy`: stands for the upstream. It reads the request as an AI request and leaves the plan to send it to one
//! provider; the gateway's attempt stage carries it out.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use a6_resources::PluginSpec;
use a6_snapshot::{Choice, Exchange, Instance, Phases, Plan, Plugin, Site, Stop};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::instance::{self, InstanceConf, TransportConf};
use crate::support::model_log::Logging;
use crate::support::provider_schema::default_max_body;
use crate::support::shared::Shared;
use crate::support::{ai_request, provider_schema};

/// APISIX's name.
pub(crate) const NAME: &str = "ai-proxy";

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
        let choice = Choice::One(self.instance.clone());
        let plan = Plan { choice, first: None, quotas: None, protocol, is_opaque, meta: None };
        exchange.plan = Some(Box::new(plan));
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
    let mut properties = provider_schema::instance();
    properties.extend(provider_schema::plugin());
    json!({"type": "object", "properties": properties, "required": ["provider", "auth"]})
}
