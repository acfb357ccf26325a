//! `ai-proxy-multi`: stands for the upstream, as `ai-proxy` does, with several instances of providers. It leaves them in
//! the plan; the gateway's attempt stage chooses one, and others when it fails.
//!
//! - `ai_proxy_multi/schema.rs`: the schema.
//! - `ai_proxy_multi/conf.rs`: a configuration as it is written.
//! - `ai_proxy_multi/check.rs`: what a schema cannot say.
//! - `ai_proxy_multi/member.rs`: an instance, compiled, with what is known of it from the configuration before.
//! - `ai_proxy_multi/semantic.rs`: the instance whose examples are most like the prompt.

mod check;
mod conf;
mod member;
mod schema;
mod semantic;
#[cfg(test)]
mod tests;

use std::mem::discriminant;
use std::sync::Arc;

use a6_resources::PluginSpec;
use a6_snapshot::{Balancer, Choice, Exchange, Group, Phases, Plan, Plugin, Site, Stop};
use serde::Deserialize;
use serde_json::{Value, json};

use self::conf::{Algorithm, Conf};
use self::semantic::Semantic;
use crate::support::ai_request;
use crate::support::model_log::Logging;
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "ai-proxy-multi";

/// A compiled configuration.
#[derive(Debug)]
pub struct AiProxyMulti {
    group: Arc<Group>,
    /// There where the prompt says who is asked.
    semantic: Option<Semantic>,
    max_body: u64,
    logging: Logging,
}

impl AiProxyMulti {
    /// Compiles a configuration that the schema accepted. What is known of its instances from the configuration before
    /// is kept, as far as it is about the same.
    pub(crate) fn compile(document: &Value, site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        let conf = Conf::deserialize(document).map_err(|error| error.to_string())?;
        let Conf { instances, balancer, fallback, breaker, transport, max_req_body_size, logging, .. } =
            &conf;
        let previous = site.groups.of(site.owner);
        let mut members = Vec::with_capacity(instances.len());
        for place in 0..instances.len() {
            check::instance(instances, place)?;
            members.push(member::compile(
                document,
                &instances[place],
                place,
                transport,
                previous.as_deref(),
                site,
            )?);
        }
        check::balancer(&conf)?;
        let (balancer, semantic) = match balancer.algorithm {
            // Nobody asks the balancer: the choice is made before.
            Algorithm::Semantic => (Balancer::RoundRobin, Some(Semantic::compile(document)?)),
            algorithm => {
                let key = balancer.key.as_deref();
                let parsed = Balancer::parse(Some(algorithm.name()), Some(&balancer.hash_on), key)
                    .map_err(|why| format!("balancer.{why}"))?;
                (parsed, None)
            }
        };
        let same = previous.filter(|previous| {
            discriminant(&previous.balancer) == discriminant(&balancer)
                && member::are_same(&previous.members, &members)
        });
        let group = Arc::new(Group {
            owner: site.owner.into(),
            members: members.into_boxed_slice(),
            balancer,
            state: same.map(|previous| previous.state.clone()).unwrap_or_default(),
            fallback: fallback.compile(),
            breaker: breaker.compile(),
        });
        site.groups.add(&group);
        Ok(Self { group, semantic, max_body: *max_req_body_size, logging: *logging })
    }
}

impl Plugin for AiProxyMulti {
    fn phases(&self) -> Phases {
        Phases { access: true, ..Phases::default() }
    }

    async fn access(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        let (protocol, is_opaque) = ai_request::read(exchange, self.max_body).await?;
        self.logging.begin(exchange);
        let first = match &self.semantic {
            Some(semantic) => Some(semantic.pick(exchange, protocol).await),
            // Where there is one, it is asked whatever is known of it.
            None => (self.group.members.len() == 1).then_some(0),
        };
        let choice = Choice::Group(self.group.clone());
        let plan = Plan { choice, first, quotas: None, protocol, is_opaque, meta: None };
        exchange.plan = Some(Box::new(plan));
        Ok(())
    }

    fn describe(&self) -> Option<Value> {
        let members = self.group.members.iter().map(|member| {
            json!({
                "instance": *member.instance.name,
                "address": *member.instance.address,
                "weight": member.weight,
                "priority": member.priority,
            })
        });
        Some(json!({"instances": members.collect::<Vec<_>>()}))
    }
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec {
        encrypt_fields: &[
            "instances.auth.header",
            "instances.auth.query",
            "instances.auth.gcp.service_account_json",
            "instances.auth.aws.secret_access_key",
            "instances.auth.aws.session_token",
            "semantic_opts.embeddings.auth.header",
            "semantic_opts.embeddings.auth.query",
        ],
        ..PluginSpec::new(NAME, priority, "0.5", schema::document)
    }
}
