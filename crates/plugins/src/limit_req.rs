//! `limit-req`: requests at a rate. What comes faster waits its turn, up to a burst, and the rest is refused.

use std::sync::Arc;
use std::time::Duration;

use a6_limits::{Key, Leaky};
use a6_resources::PluginSpec;
use a6_snapshot::{Exchange, Phases, Plugin, Site, Stop};
use serde_json::{Value, json};

use crate::support::limit::{self, LimitKey, Refusal, flag};
use crate::support::limit_schema::{is_policy, redis, redis_cluster, rejected_code};
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "limit-req";

/// Nobody waits for less.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// A compiled configuration.
#[derive(Debug)]
pub struct LimitReq {
    counters: Key,
    key: LimitKey,
    /// Requests per second.
    rate: f64,
    /// Requests above the rate.
    burst: f64,
    waits: bool,
    refusal: Refusal,
    leaky: Arc<Leaky>,
}

impl LimitReq {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, site: &Site<'_>, shared: &Shared) -> Result<Self, String> {
        limit::only_local(conf)?;
        let number = |member: &str| {
            let value = conf.get(member).and_then(Value::as_f64);
            value.ok_or_else(|| format!("property \"{member}\" is required"))
        };
        Ok(Self {
            counters: limit::counters(NAME, site.owner, conf),
            key: LimitKey::compile(conf),
            rate: number("rate")?,
            burst: number("burst")?,
            waits: !flag(conf, "nodelay", false),
            refusal: Refusal::compile(conf)?,
            leaky: shared.leaky.clone(),
        })
    }
}

impl Plugin for LimitReq {
    fn phases(&self) -> Phases {
        Phases { access: true, ..Phases::default() }
    }

    async fn access(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        if self.key.needs_body() {
            Box::pin(limit::read_body(exchange)).await?;
        }
        let bucket = self.counters.child(&self.key.of(exchange));
        match self.leaky.enter(bucket, self.rate, self.burst, limit::now_ms(exchange)) {
            None => return Err(self.refusal.stop()),
            Some(wait) if self.waits && wait >= SHORTEST_WAIT => Box::pin(tokio::time::sleep(wait)).await,
            Some(_) => {}
        }
        Ok(())
    }
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec { encrypt_fields: &["redis_password"], ..PluginSpec::new(NAME, priority, "0.1", schema) }
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "rate": {"type": "number", "exclusiveMinimum": 0},
            "burst": {"type": "number", "minimum": 0},
            "key": {"type": "string"},
            "key_type": {"type": "string", "enum": ["var", "var_combination"], "default": "var"},
            "policy": {"type": "string", "enum": ["redis", "redis-cluster", "local"], "default": "local"},
            "rejected_code": rejected_code(),
            "rejected_msg": {"type": "string", "minLength": 1},
            "nodelay": {"type": "boolean", "default": false},
            "allow_degradation": {"type": "boolean", "default": false},
        },
        "required": ["rate", "burst", "key"],
        "if": is_policy("redis"),
        "then": redis(&[]),
        "else": {"if": is_policy("redis-cluster"), "then": redis_cluster(&[])},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::testing;
    use a6_resources::{Catalogue, ConfKind};

    #[test]
    fn what_is_above_rate_and_burst_is_refused() {
        // Configuration, and requests in order: their header `a`, and the status that ends them, 0 for none.
        type Case = (Value, &'static [(&'static str, u16)]);
        let cases: [Case; 5] = [
            (json!({"rate": 0.1, "burst": 0, "key": "remote_addr"}), &[("", 0), ("", 503)]),
            (
                json!({"rate": 0.1, "burst": 2, "nodelay": true, "key": "remote_addr", "rejected_code": 429}),
                &[("", 0), ("", 0), ("", 0), ("", 429)],
            ),
            (
                json!({"rate": 0.1, "burst": 0, "key": "http_a"}),
                &[("1", 0), ("2", 0), ("1", 503), ("", 0), ("", 503)],
            ),
            (
                json!({"rate": 0.1, "burst": 0, "key_type": "var_combination", "key": "$http_a x"}),
                &[("1", 0), ("2", 0), ("1", 503)],
            ),
            // Waits, but not for long.
            (json!({"rate": 1000, "burst": 1, "key": "remote_addr"}), &[("", 0), ("", 0)]),
        ];
        for (conf, requests) in cases {
            let plugin = LimitReq::compile(&conf, &testing::site(), &testing::shared()).unwrap();
            let began = std::time::Instant::now();
            for (index, (header, expected)) in requests.iter().enumerate() {
                let mut exchange = testing::exchange("GET", "/t", &[("a", *header)], "");
                exchange.record.started = began;
                let status = match testing::run(plugin.access(&mut exchange)) {
                    Ok(()) => 0,
                    Err(Stop::Reply(reply)) => reply.status.as_u16(),
                    Err(Stop::Fault(fault)) => fault.status.as_u16(),
                };
                assert_eq!(status, *expected, "{conf}, request {index}");
            }
        }
    }

    #[test]
    fn unusable_configurations_are_refused_by_name() {
        let cases = [
            (json!({"rate": 1, "burst": 0}), "property \"key\" is required"),
            (
                json!({"rate": 0, "burst": 0, "key": "a"}),
                "property \"rate\" validation failed: expected 0 to be greater than 0",
            ),
            (json!({"rate": 1, "burst": 0, "key": "a", "policy": "redis"}), "then clause did not match"),
            (
                json!({"rate": 1, "burst": 0, "key": "a", "policy": "redis-cluster"}),
                "else clause did not match",
            ),
            (
                json!({"rate": 1, "burst": 0, "key": "a", "policy": "redis", "redis_host": "127.0.0.1"}),
                "policy redis is not supported yet; use local",
            ),
        ];
        let builtins = crate::Builtins::default();
        for (conf, expected) in cases {
            assert_eq!(builtins.check(NAME, &conf, ConfKind::Route).unwrap_err(), expected, "{conf}");
        }
    }
}
