//! `limit-conn`: so many requests at a time. Somewhat more have to wait before they go on, and the rest is refused.
//!
//! What a request occupies is kept with it and given back when it is gone, however it ends.

use std::time::Duration;

use a6_limits::{Connections, Key};
use a6_resources::{PluginSpec, Template};
use a6_snapshot::{Exchange, Phases, Plugin, Site, Stop};
use serde_json::{Value, json};

use crate::support::limit::{self, Amount, LimitKey, Refusal, RuleKey, flag, items, text};
use crate::support::limit_schema::{
    above_zero, is_policy, redis, redis_cluster, rejected_code, zero_or_above,
};
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "limit-conn";

/// A compiled configuration.
#[derive(Debug)]
pub struct LimitConn {
    rules: Box<[Rule]>,
    /// In seconds, for each full `conn` that is open already.
    delay: f64,
    passes_undecided: bool,
    needs_body: bool,
    refusal: Refusal,
    connections: Connections,
}

#[derive(Debug)]
struct Rule {
    counters: Key,
    key: RuleKey,
    conn: Amount,
    burst: Amount,
}

impl LimitConn {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, site: &Site<'_>, shared: &Shared) -> Result<Self, String> {
        limit::only_local(conf)?;
        let counters = limit::counters(NAME, site.owner, conf);
        let rules: Box<[Rule]> = match conf.get("rules") {
            None => {
                let key = RuleKey::Everybody(LimitKey::compile(conf));
                Box::new([Rule::compile(conf, counters, key)?])
            }
            Some(_) => {
                let rule = |(number, rule): (u64, &Value)| -> Result<Rule, String> {
                    let key = RuleKey::IfKnown(Template::parse(text(rule, "key").unwrap_or_default()));
                    Rule::compile(rule, counters.child(&number.to_string()), key)
                };
                (1..).zip(items(conf, "rules")).map(rule).collect::<Result<_, _>>()?
            }
        };
        let delay = conf.get("default_conn_delay").and_then(Value::as_f64);
        Ok(Self {
            needs_body: rules.iter().any(Rule::needs_body),
            rules,
            delay: delay.ok_or("property \"default_conn_delay\" is required")?,
            passes_undecided: flag(conf, "allow_degradation", false),
            refusal: Refusal::compile(conf)?,
            connections: shared.connections.clone(),
        })
    }

    /// Occupies a place for every rule that concerns the request. Gives the seconds that it has to wait.
    fn enter(&self, exchange: &mut Exchange) -> Result<f64, Stop> {
        let mut wait = 0.0;
        let mut is_undecided = true;
        for rule in self.rules.iter() {
            let found = (rule.key.of(exchange), rule.conn.of(exchange), rule.burst.of(exchange));
            let (Some(key), Some(conn), Some(burst)) = found else { continue };
            let most = conn.saturating_add(burst);
            let Some(open) = self.connections.open(rule.counters.child(&key), most) else {
                return Err(self.refusal.stop());
            };
            wait += self.delay * ((open.count() - 1) / conn) as f64;
            exchange.keep(self, open);
            is_undecided = false;
        }
        if is_undecided {
            limit::undecided(self.passes_undecided)?;
        }
        Ok(wait)
    }
}

impl Rule {
    fn compile(conf: &Value, counters: Key, key: RuleKey) -> Result<Self, String> {
        let conn = Amount::compile(conf, "conn", 1)?;
        Ok(Self { counters, key, conn, burst: Amount::compile(conf, "burst", 0)? })
    }

    fn needs_body(&self) -> bool {
        self.key.needs_body() || self.conn.needs_body() || self.burst.needs_body()
    }
}

impl Plugin for LimitConn {
    fn phases(&self) -> Phases {
        Phases { access: true, ..Phases::default() }
    }

    async fn access(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        if self.needs_body {
            Box::pin(limit::read_body(exchange)).await?;
        }
        let wait = self.enter(exchange)?;
        if wait > 0.0 {
            let wait = Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX);
            Box::pin(tokio::time::sleep(wait)).await;
        }
        Ok(())
    }
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec { encrypt_fields: &["redis_password"], ..PluginSpec::new(NAME, priority, "0.1", schema) }
}

fn schema() -> Value {
    let key_ttl = [("key_ttl", json!({"type": "integer", "default": 3600}))];
    json!({
        "type": "object",
        "properties": {
            "conn": above_zero(),
            "burst": zero_or_above(),
            "default_conn_delay": {"type": "number", "exclusiveMinimum": 0},
            "only_use_default_delay": {"type": "boolean", "default": false},
            "key": {"type": "string"},
            "key_type": {"type": "string", "enum": ["var", "var_combination"], "default": "var"},
            "policy": {"type": "string", "enum": ["redis", "redis-cluster", "local"], "default": "local"},
            "rejected_code": rejected_code(),
            "rejected_msg": {"type": "string", "minLength": 1},
            "allow_degradation": {"type": "boolean", "default": false},
            "rules": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "conn": above_zero(),
                        "burst": zero_or_above(),
                        "key": {"type": "string"},
                    },
                    "required": ["conn", "burst", "key"],
                },
            },
        },
        "oneOf": [
            {"required": ["conn", "burst", "default_conn_delay", "key"]},
            {"required": ["default_conn_delay", "rules"]},
        ],
        "if": is_policy("redis"),
        "then": redis(&key_ttl),
        "else": {"if": is_policy("redis-cluster"), "then": redis_cluster(&key_ttl)},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::testing;
    use a6_resources::{Catalogue, ConfKind};

    fn compile(conf: &Value) -> LimitConn {
        LimitConn::compile(conf, &testing::site(), &testing::shared()).unwrap()
    }

    /// Enters with a header `a`: the seconds to wait, or the status of the refusal.
    fn enter(plugin: &LimitConn, header: &str) -> (Exchange, Result<f64, u16>) {
        let mut exchange = testing::exchange("GET", "/t", &[("a", header)], "");
        let result = plugin.enter(&mut exchange).map_err(|stop| match stop {
            Stop::Reply(reply) => reply.status.as_u16(),
            Stop::Fault(fault) => fault.status.as_u16(),
        });
        (exchange, result)
    }

    #[test]
    fn requests_wait_above_conn_and_are_refused_above_burst() {
        let plugin = compile(&json!({
            "conn": 2, "burst": 3, "default_conn_delay": 0.5, "key": "http_a", "rejected_code": 429,
        }));
        let mut held = Vec::new();
        for expected in [Ok(0.0), Ok(0.0), Ok(0.5), Ok(0.5), Ok(1.0), Err(429), Err(429)] {
            let (exchange, found) = enter(&plugin, "1");
            assert_eq!(found, expected);
            held.push(exchange);
        }
        assert_eq!(enter(&plugin, "2").1, Ok(0.0), "another key");
        held.truncate(3);
        assert_eq!(enter(&plugin, "1").1, Ok(0.5), "what is gone has given its place back");
        held.clear();
        assert_eq!(enter(&plugin, "1").1, Ok(0.0));
    }

    #[test]
    fn rules_concern_those_who_have_their_variables() {
        let rule = |conn: Value, key: &str| json!({"conn": conn, "burst": 0, "key": key});
        let conf = |rules: &[Value], passes: bool| {
            json!({
                "default_conn_delay": 1,
                "rules": rules,
                "allow_degradation": passes,
            })
        };
        let cases = [
            (
                conf(&[rule(json!(2), "${http_a}"), rule(json!(1), "${http_a}")], false),
                vec![Ok(0.0), Err(503)],
            ),
            (conf(&[rule(json!("$http_a"), "$uri")], false), vec![Ok(0.0), Err(503)]),
            (conf(&[rule(json!(1), "$http_none"), rule(json!(2), "$http_a")], false), vec![Ok(0.0); 2]),
            (conf(&[rule(json!("$http_none"), "$uri")], false), vec![Err(500)]),
            (conf(&[rule(json!(1), "$http_none")], false), vec![Err(500)]),
            (conf(&[rule(json!(1), "constant")], true), vec![Ok(0.0); 2]),
            (conf(&[], true), vec![Ok(0.0)]),
        ];
        for (conf, expected) in cases {
            let plugin = compile(&conf);
            let held: Vec<_> = expected.iter().map(|_| enter(&plugin, "1")).collect();
            let found: Vec<_> = held.iter().map(|(_, found)| *found).collect();
            assert_eq!(found, expected, "{conf}");
        }
    }

    #[test]
    fn unusable_configurations_are_refused_by_name() {
        let none = "value should match only one schema, but matches none";
        let cases = [
            (json!({}), none.to_string()),
            (json!({"conn": 1, "burst": 0, "default_conn_delay": 0.1}), none.to_string()),
            (
                json!({"conn": 0, "burst": 0, "default_conn_delay": 0.1, "key": "a"}),
                format!("property \"conn\" validation failed: {none}"),
            ),
            (
                json!({"default_conn_delay": 0.1, "rules": [], "policy": "redis-cluster",
                    "redis_cluster_nodes": ["h:1"], "redis_cluster_name": "c"}),
                "policy redis-cluster is not supported yet; use local".to_string(),
            ),
        ];
        let builtins = crate::Builtins::default();
        for (conf, expected) in cases {
            assert_eq!(builtins.check(NAME, &conf, ConfKind::Route).unwrap_err(), expected, "{conf}");
        }
    }
}
