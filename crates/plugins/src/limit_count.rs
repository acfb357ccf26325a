//! `limit-count`: so many requests in a window of time.
//!
//! - `limit_count/headers.rs`: the headers that tell a client of its quota.

mod headers;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use a6_limits::{Key, Windows};
use a6_resources::{PluginSpec, Schema, Template};
use a6_snapshot::{Exchange, Phases, Plugin, Site, Stop};
use http::HeaderValue;
use serde_json::{Map, Value, json};

use self::headers::{HEADERS, QuotaHeaders, seconds};
use crate::support::limit::{self, Amount, LimitKey, Refusal, RuleKey, flag, items, text};
use crate::support::limit_schema::{
    above_zero, is_policy, redis, redis_cluster, redis_sentinel, rejected_code,
};
use crate::support::shared::{Metadata, Shared};

/// APISIX's name.
pub(crate) const NAME: &str = "limit-count";

/// A compiled configuration.
#[derive(Debug)]
pub struct LimitCount {
    rules: Box<[Rule]>,
    is_sliding: bool,
    passes_undecided: bool,
    shows_quota: bool,
    needs_body: bool,
    refusal: Refusal,
    windows: Arc<Windows>,
    metadata: Arc<Metadata>,
    /// Makes this a member of its group.
    _terms: Option<Arc<Value>>,
}

#[derive(Debug)]
struct Rule {
    counters: Key,
    key: RuleKey,
    count: Amount,
    /// In seconds.
    window: Amount,
    headers: QuotaHeaders,
}

/// A rule that concerns a request.
struct Due<'a> {
    rule: &'a Rule,
    key: String,
    limit: u64,
    window_ms: u64,
}

impl LimitCount {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, site: &Site<'_>, shared: &Shared) -> Result<Self, String> {
        let group = text(conf, "group");
        let has_rules = conf.get("rules").is_some();
        if has_rules && (conf.get("count").is_some() || conf.get("time_window").is_some()) {
            return Err(BOTH_FORMS.to_string());
        }
        if has_rules && group.is_some() {
            return Err("group and rules cannot be specified at the same time".to_string());
        }
        let terms = match group {
            // A mere check does not know what it is written on.
            Some(group) if !site.owner.is_empty() => {
                Some(shared.groups.join(group, site.owner, terms(conf))?)
            }
            _ => None,
        };
        check_sync_interval(conf)?;
        check_rule_keys(items(conf, "rules"))?;
        limit::only_local(conf)?;
        let counters = match group {
            Some(group) => Key::of(&[NAME, "group", group]),
            None => limit::counters(NAME, site.owner, conf),
        };
        let rules: Box<[Rule]> = match has_rules {
            true => listed_rules(conf, counters)?,
            false => Box::new([only_rule(conf, counters)?]),
        };
        Ok(Self {
            needs_body: rules.iter().any(Rule::needs_body),
            rules,
            is_sliding: text(conf, "window_type") == Some("sliding"),
            passes_undecided: flag(conf, "allow_degradation", false),
            shows_quota: flag(conf, "show_limit_quota_header", true),
            refusal: Refusal::compile(conf)?,
            windows: shared.windows.clone(),
            metadata: shared.metadata.clone(),
            _terms: terms,
        })
    }

    /// The rules that concern a request. None if no rule does, or if a limit of one cannot be found.
    fn due(&self, exchange: &Exchange) -> Option<Vec<Due<'_>>> {
        let mut due = Vec::with_capacity(self.rules.len());
        for rule in self.rules.iter() {
            let Some(key) = rule.key.of(exchange) else { continue };
            let limit = rule.count.of(exchange)?;
            let window_ms = rule.window.of(exchange)?.saturating_mul(1000);
            due.push(Due { rule, key, limit, window_ms });
        }
        (!due.is_empty()).then_some(due)
    }

    fn count(
        &self,
        exchange: &mut Exchange,
        due: Due<'_>,
        metadata: Option<&Value>,
        now_ms: u64,
    ) -> Result<(), Stop> {
        let Due { rule, key, limit, window_ms } = due;
        let counter = rule.counters.child(&key);
        let (decision, hundredths) = if self.is_sliding {
            let decision = self.windows.sliding(counter, limit, window_ms, 1, now_ms);
            (decision, decision.reset_ms.div_ceil(10))
        } else {
            let decision = self.windows.fixed(counter, limit, window_ms, 1, now_ms);
            (decision, decision.reset_ms / 10)
        };
        let remaining = if decision.allowed { decision.remaining } else { 0 };
        exchange.set_variable("rate_limiting_info", info(key, limit, remaining, decision.reset_ms / 1000));
        if self.shows_quota {
            let values = [HeaderValue::from(limit), HeaderValue::from(remaining), seconds(hundredths)];
            rule.headers.set(&mut exchange.answer, metadata, values);
        }
        if decision.allowed { Ok(()) } else { Err(self.refusal.stop()) }
    }
}

impl Rule {
    fn needs_body(&self) -> bool {
        self.key.needs_body() || self.count.needs_body() || self.window.needs_body()
    }
}

impl Plugin for LimitCount {
    fn phases(&self) -> Phases {
        Phases { access: true, ..Phases::default() }
    }

    async fn access(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        if self.needs_body {
            Box::pin(limit::read_body(exchange)).await?;
        }
        let Some(due) = self.due(exchange) else { return limit::undecided(self.passes_undecided) };
        let now_ms = limit::now_ms(exchange);
        let metadata = if self.shows_quota { self.metadata.get(NAME) } else { None };
        due.into_iter().try_for_each(|due| self.count(exchange, due, metadata.as_deref(), now_ms))
    }
}

/// What `count` and `time_window` say.
fn only_rule(conf: &Value, counters: Key) -> Result<Rule, String> {
    Ok(Rule {
        counters,
        key: RuleKey::Everybody(LimitKey::compile(conf)),
        count: Amount::compile(conf, "count", 1)?,
        window: Amount::compile(conf, "time_window", 1)?,
        headers: QuotaHeaders::compile(conf, None)?,
    })
}

/// What `rules` says. Every rule has counters of its own.
fn listed_rules(conf: &Value, counters: Key) -> Result<Box<[Rule]>, String> {
    let rule = |(number, rule): (u64, &Value)| -> Result<Rule, String> {
        let number = number.to_string();
        let prefix = text(rule, "header_prefix").unwrap_or(&number);
        Ok(Rule {
            counters: counters.child(&number),
            key: RuleKey::IfKnown(Template::parse(text(rule, "key").unwrap_or_default())),
            count: Amount::compile(rule, "count", 1)?,
            window: Amount::compile(rule, "time_window", 1)?,
            headers: QuotaHeaders::compile(conf, Some(prefix))?,
        })
    };
    (1..).zip(items(conf, "rules")).map(rule).collect()
}

fn check_sync_interval(conf: &Value) -> Result<(), String> {
    let number = |member: &str| conf.get(member).and_then(Value::as_f64);
    match number("sync_interval") {
        None | Some(-1.0) => Ok(()),
        Some(interval) if interval < 0.1 => Err("sync_interval should not be smaller than 0.1".to_string()),
        Some(interval) if number("time_window").is_some_and(|window| interval >= window) => {
            Err("sync_interval should be smaller than time_window".to_string())
        }
        Some(_) => Ok(()),
    }
}

fn check_rule_keys(rules: &[Value]) -> Result<(), String> {
    let mut seen = HashSet::new();
    let mut keys = rules.iter().filter_map(|rule| text(rule, "key"));
    match keys.find(|key| !seen.insert(*key)) {
        Some(key) => Err(format!("duplicate key '{key}' in rules")),
        None => Ok(()),
    }
}

/// What the members of a group have to agree on: everything that the schema knows, with its defaults.
fn terms(conf: &Value) -> Value {
    let known = properties();
    let known = known.as_object().into_iter().flatten();
    let terms: Map<String, Value> = known
        .filter_map(|(name, schema)| {
            let value = conf.get(name).or_else(|| schema.get("default"))?;
            Some((name.clone(), value.clone()))
        })
        .collect();
    Value::Object(terms)
}

/// The variable `rate_limiting_info`.
fn info(key: String, limit: u64, remaining: i64, reset: u64) -> String {
    let key = Value::String(key);
    format!(
        "{{\"rate_limiting_key\":{key},\"rate_limiting_limit\":{limit},\
         \"rate_limiting_remaining\":{remaining},\"rate_limiting_reset\":{reset}}}"
    )
}

const BOTH_FORMS: &str = "count/time_window and rules cannot be specified at the same time";

/// The schema's violation in the words that APISIX has for it: having both forms has words of its own.
pub(crate) fn reword(violation: String) -> String {
    if violation == "value should match only one schema, but matches both schemas 1 and 2" {
        return BOTH_FORMS.to_string();
    }
    violation
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec {
        metadata_schema: Some(Schema::of(metadata_schema)),
        encrypt_fields: &["redis_password", "sentinel_password"],
        ..PluginSpec::new(NAME, priority, "0.5", schema)
    }
}

fn metadata_schema() -> Value {
    let headers: Map<String, Value> = HEADERS
        .iter()
        .map(|(member, name)| (member.to_string(), json!({"type": "string", "default": name})))
        .collect();
    json!({"type": "object", "properties": headers})
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": properties(),
        "oneOf": [{"required": ["count", "time_window"]}, {"required": ["rules"]}],
        "if": is_policy("redis"),
        "then": redis(&[]),
        "else": {
            "if": is_policy("redis-cluster"),
            "then": redis_cluster(&[]),
            "else": {"if": is_policy("redis-sentinel"), "then": redis_sentinel()},
        },
    })
}

fn properties() -> Value {
    let policies = ["local", "redis", "redis-cluster", "redis-sentinel"];
    json!({
        "count": above_zero(),
        "time_window": above_zero(),
        "window_type": {"type": "string", "enum": ["fixed", "sliding"], "default": "fixed"},
        "rules": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "count": above_zero(),
                    "time_window": above_zero(),
                    "key": {"type": "string"},
                    "header_prefix": {"type": "string", "description": "prefix for rate limit headers"},
                },
                "required": ["count", "time_window", "key"],
            },
        },
        "group": {"type": "string"},
        "key": {"type": "string", "default": "remote_addr"},
        "key_type": {"type": "string", "enum": ["var", "var_combination", "constant"], "default": "var"},
        "rejected_code": rejected_code(),
        "rejected_msg": {"type": "string", "minLength": 1},
        "policy": {"type": "string", "enum": policies, "default": "local"},
        "allow_degradation": {"type": "boolean", "default": false},
        "show_limit_quota_header": {"type": "boolean", "default": true},
        "sync_interval": {"type": "number", "default": -1},
    })
}
