//! `traffic-split`: sends shares of the requests to other upstreams, by conditions and weights.

use std::sync::{Arc, Mutex};

use a6_resources::expr::Expr;
use a6_resources::{Kind, PluginSpec, id_text, schema_of};
use a6_snapshot::{Exchange, Phases, Plugin, Reply, Site, Stop, Upstream, UpstreamSlot};
use a6_upstream::balance::next_turn;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::support::limit::{self, items};
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "traffic-split";

/// What counts of an upstream that is written within a rule.
const INLINE_MEMBERS: [&str; 9] =
    ["name", "type", "hash_on", "key", "nodes", "timeout", "scheme", "pass_host", "upstream_host"];

/// A compiled configuration.
#[derive(Debug)]
pub struct TrafficSplit {
    rules: Vec<Rule>,
    needs_body: bool,
}

/// The first rule that a request satisfies decides.
#[derive(Debug)]
struct Rule {
    /// One must hold; none is no condition.
    conditions: Vec<Expr>,
    entries: Vec<Entry>,
    /// Those whose turn comes, by their places.
    contenders: Vec<(usize, u32)>,
    turns: Mutex<Vec<i64>>,
}

#[derive(Debug)]
struct Entry {
    to: Destination,
    weight: u32,
}

#[derive(Debug)]
enum Destination {
    /// The request's own upstream.
    Own,
    Named(String, Arc<UpstreamSlot>),
    Inline(Arc<UpstreamSlot>),
    /// An upstream that cannot be used, and why.
    Unusable(String),
}

impl TrafficSplit {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        let rules = items(conf, "rules").iter().enumerate();
        let rules: Vec<_> =
            rules.map(|(number, rule)| Rule::compile(rule, number, site)).collect::<Result<_, _>>()?;
        let needs_body = rules.iter().flat_map(|rule| &rule.conditions).any(Expr::needs_body);
        Ok(Self { rules, needs_body })
    }

    /// Where the request goes; none if it goes where it would go without this plugin.
    fn destination(&self, exchange: &Exchange) -> Result<Option<Arc<UpstreamSlot>>, Stop> {
        for rule in &self.rules {
            rule.check()?;
            if rule.holds(exchange) {
                return rule.choose();
            }
        }
        Ok(None)
    }
}

impl Rule {
    fn compile(conf: &Value, number: usize, site: &Site<'_>) -> Result<Self, String> {
        let condition = |entry: &Value| {
            Expr::parse(entry.get("vars").unwrap_or(&Value::Null))
                .map_err(|error| format!("failed to validate the 'vars' expression: {error}"))
        };
        let conditions = items(conf, "match").iter().map(condition).collect::<Result<_, _>>()?;
        let mut entries: Vec<Entry> = Vec::new();
        for (place, conf) in items(conf, "weighted_upstreams").iter().enumerate() {
            let key = format!("{}/{NAME}/{number}.{place}", site.owner);
            let entry = Entry::compile(conf, &key, site);
            match entries.iter_mut().find(|known| known.is_same(&entry)) {
                Some(known) => known.weight = entry.weight,
                None => entries.push(entry),
            }
        }
        let weighted = entries.iter().map(|entry| entry.weight).enumerate();
        let mut contenders: Vec<_> = weighted.clone().filter(|(_, weight)| *weight > 0).collect();
        if contenders.is_empty() {
            contenders = weighted.collect();
        }
        Ok(Self { conditions, contenders, entries, turns: Mutex::default() })
    }

    /// Every upstream that is named must exist, whether its turn comes or not.
    fn check(&self) -> Result<(), Stop> {
        for entry in &self.entries {
            if let Destination::Named(id, slot) = &entry.to
                && slot.get().is_none()
            {
                let text = format!("failed to fetch upstream info by upstream id: {id}");
                return Err(Reply::text(StatusCode::INTERNAL_SERVER_ERROR, text).into());
            }
        }
        Ok(())
    }

    fn holds(&self, exchange: &Exchange) -> bool {
        self.conditions.is_empty() || self.conditions.iter().any(|condition| condition.holds(exchange))
    }

    /// Whose turn it is; none for the request's own upstream.
    fn choose(&self) -> Result<Option<Arc<UpstreamSlot>>, Stop> {
        let place = match self.contenders[..] {
            [(only, _)] => Some(only),
            _ => next_turn(&self.turns, self.contenders.iter().copied()),
        };
        match place.and_then(|place| self.entries.get(place)).map(|entry| &entry.to) {
            None | Some(Destination::Own) => Ok(None),
            Some(Destination::Named(_, slot) | Destination::Inline(slot)) => Ok(Some(slot.clone())),
            Some(Destination::Unusable(why)) => {
                Err(Reply::text(StatusCode::INTERNAL_SERVER_ERROR, why.clone()).into())
            }
        }
    }
}

impl Entry {
    fn compile(conf: &Value, key: &str, site: &Site<'_>) -> Self {
        let weight = conf.get("weight").and_then(Value::as_u64).unwrap_or(1);
        let to = match (conf.get("upstream_id").and_then(id_text), conf.get("upstream")) {
            (Some(id), _) => {
                let slot = site.upstreams.of(&id);
                Destination::Named(id, slot)
            }
            (None, Some(upstream)) => match inline(upstream, key) {
                Ok(upstream) => Destination::Inline(Arc::new(UpstreamSlot::holding(upstream))),
                // APISIX accepts it as well, and answers so.
                Err(why) => Destination::Unusable(why),
            },
            (None, None) => Destination::Own,
        };
        Self { to, weight: u32::try_from(weight).unwrap_or(u32::MAX) }
    }

    /// Whether both name the same upstream.
    fn is_same(&self, other: &Self) -> bool {
        match (&self.to, &other.to) {
            (Destination::Named(id, _), Destination::Named(other, _)) => id == other,
            _ => false,
        }
    }
}

fn inline(conf: &Value, key: &str) -> Result<Upstream, String> {
    let members = conf.as_object().into_iter().flatten();
    let counting = members.filter(|(name, _)| INLINE_MEMBERS.contains(&name.as_str()));
    let members: Map<_, _> = counting.map(|(name, member)| (name.clone(), member.clone())).collect();
    let conf = serde_json::from_value(Value::Object(members)).map_err(|error| error.to_string())?;
    Upstream::compile(&conf, key, None)
}

impl Plugin for TrafficSplit {
    fn phases(&self) -> Phases {
        Phases { access: true, ..Phases::default() }
    }

    async fn access(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        if self.needs_body {
            Box::pin(limit::read_body(exchange)).await?;
        }
        if let Some(slot) = self.destination(exchange)? {
            exchange.forward.upstream = Some(slot);
        }
        Ok(())
    }
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec {
        encrypt_fields: &["rules.weighted_upstreams.upstream.tls.client_key"],
        ..PluginSpec::new(NAME, priority, "0.1", schema)
    }
}

fn schema() -> Value {
    let upstream = schema_of(Kind::Upstream).map(|schema| schema.document().clone());
    let entry = json!({
        "type": "object",
        "properties": {
            "upstream_id": {"anyOf": [
                {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-zA-Z0-9-_.]+$"},
                {"type": "integer", "minimum": 1},
            ]},
            "upstream": upstream,
            "weight": {
                "description": "share of the requests among all weights of the rule",
                "type": "integer", "minimum": 0, "default": 1,
            },
        },
    });
    let rule = json!({
        "type": "object",
        "properties": {
            "match": {
                "type": "array",
                "items": {"type": "object", "properties": {"vars": {"type": "array"}}},
            },
            "weighted_upstreams": {
                "type": "array", "minItems": 1, "maxItems": 20, "items": entry, "default": [{"weight": 1}],
            },
        },
    });
    json!({"type": "object", "properties": {"rules": {"type": "array", "items": rule}}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::testing;
    use a6_resources::{Catalogue, ConfKind};

    fn compile(conf: &Value) -> TrafficSplit {
        TrafficSplit::compile(conf, &testing::site(), &testing::shared()).unwrap()
    }

    /// An entry with an upstream of its own that is called so.
    fn to(name: &str, weight: u32) -> Value {
        json!({"upstream": {"name": name, "nodes": {"127.0.0.1:80": 1}}, "weight": weight})
    }

    /// The name of the upstream that a request is sent to; `own` if that is not changed.
    fn sent(plugin: &TrafficSplit, method: &str, target: &str, body: &str) -> String {
        let headers = [("content-type", "application/json"), ("x-canary", "true")];
        let mut exchange = testing::exchange(method, target, &headers, body);
        match testing::run(plugin.access(&mut exchange)) {
            Ok(()) => {}
            Err(Stop::Reply(reply)) => return String::from_utf8(reply.body.to_vec()).unwrap(),
            Err(Stop::Fault(fault)) => panic!("{fault:?}"),
        }
        let Some(slot) = exchange.forward.upstream else { return "own".into() };
        let held = slot.get();
        let upstream = (*held).as_ref().unwrap();
        upstream.name.as_deref().unwrap().to_string()
    }

    #[test]
    fn each_gets_its_share_exactly() {
        let cases = [
            (json!([to("b", 2), {"weight": 8}]), vec![("b", 20), ("own", 80)]),
            (json!([to("b", 1), {}]), vec![("b", 50), ("own", 50)]),
            (json!([to("b", 3), to("c", 1), {"weight": 1}]), vec![("b", 60), ("c", 20), ("own", 20)]),
            (json!([to("b", 0), {"weight": 1}]), vec![("b", 0), ("own", 100)]),
            (json!([to("b", 0), {"weight": 0}]), vec![("b", 50), ("own", 50)]),
        ];
        for (entries, expected) in cases {
            let plugin = compile(&json!({"rules": [{"weighted_upstreams": entries}]}));
            let sent: Vec<_> = (0..100).map(|_| sent(&plugin, "GET", "/t", "")).collect();
            for (name, count) in expected {
                assert_eq!(sent.iter().filter(|sent| *sent == name).count(), count, "{name} of {entries}");
            }
        }
    }

    #[test]
    fn the_first_rule_that_holds_decides() {
        let rule =
            |conditions: Value, name: &str| json!({"match": conditions, "weighted_upstreams": [to(name, 1)]});
        let either = json!([{"vars": [["arg_a", "==", "1"]]}, {"vars": [["arg_b", "==", "1"]]}]);
        let canary = json!([{"vars": [["http_x-canary", "==", "true"], ["arg_d", "==", "1"]]}]);
        let model = json!([{"vars": [["post_arg.model", "==", "big"]]}]);
        let plugin = compile(
            &json!({"rules": [rule(either, "b"), rule(canary, "c"), rule(model, "m"), {"match": []}]}),
        );
        let cases = [
            ("/t?a=1", "", "b"),
            ("/t?b=1&d=1", "", "b"),
            ("/t?d=1", "", "c"),
            ("/t", r#"{"model":"big"}"#, "m"),
            ("/t", r#"{"model":"small"}"#, "own"),
            ("/t", "no JSON", "own"),
        ];
        for (target, body, expected) in cases {
            assert_eq!(sent(&plugin, "POST", target, body), expected, "{target} {body}");
        }
        assert_eq!(sent(&compile(&json!({})), "GET", "/t", ""), "own");
        assert_eq!(sent(&compile(&json!({"rules": [{}]})), "GET", "/t", ""), "own");
    }

    #[test]
    fn upstreams_that_cannot_be_used_are_told_when_they_are_needed() {
        let rule =
            |conditions: Value, entries: Value| json!({"match": conditions, "weighted_upstreams": entries});
        let never = json!([{"vars": [["arg_z", "==", "1"]]}]);
        let absent = json!([{"upstream_id": "absent"}, {"weight": 9}]);
        let unusable = json!([{"upstream": {"type": "chash", "nodes": {"127.0.0.1:80": 1}}}]);
        let gone = "failed to fetch upstream info by upstream id: absent";
        let cases = [
            (json!([rule(json!([]), absent.clone())]), gone),
            (json!([rule(never.clone(), absent.clone())]), gone),
            (json!([rule(json!([]), json!([to("b", 1)])), rule(json!([]), absent)]), "b"),
            (json!([rule(never, unusable.clone())]), "own"),
            (json!([rule(json!([]), unusable)]), "key: it is missing, and chash on vars needs it"),
        ];
        for (rules, expected) in cases {
            let plugin = compile(&json!({"rules": rules}));
            assert_eq!(sent(&plugin, "GET", "/t", ""), expected, "{rules}");
        }
    }

    #[test]
    fn the_same_id_counts_once_with_its_last_weight() {
        let entries =
            json!([{"upstream_id": "1", "weight": 5}, {"weight": 2}, {"upstream_id": 1, "weight": 3}]);
        let plugin = compile(&json!({"rules": [{"weighted_upstreams": entries}]}));
        assert_eq!(plugin.rules[0].contenders, [(0, 3), (1, 2)]);
    }

    #[test]
    fn unusable_configurations_are_refused_as_apisix_words_it() {
        let in_rule = "property \"rules\" validation failed: failed to validate item 1: ";
        let cases = [
            (
                json!({"rules": [{"match": "x"}]}),
                format!(
                    "{in_rule}property \"match\" validation failed: wrong type: expected array, got string"
                ),
            ),
            (
                json!({"rules": [{"weighted_upstreams": []}]}),
                format!(
                    "{in_rule}property \"weighted_upstreams\" validation failed: \
                         expect array to have at least 1 items"
                ),
            ),
            (
                json!({"rules": [{"match": [{"vars": [["a", "===", 1]]}]}]}),
                "failed to validate the 'vars' expression: invalid operator '==='".to_string(),
            ),
        ];
        let plugins = crate::Builtins::default();
        for (conf, expected) in cases {
            assert_eq!(plugins.check(NAME, &conf, ConfKind::Route).unwrap_err(), expected, "{conf}");
        }
        let chash = json!({"rules": [{"weighted_upstreams": [
            {"upstream": {"type": "chash", "nodes": {"127.0.0.1:80": 1}}, "weight": 1},
        ]}]});
        assert_eq!(plugins.check(NAME, &chash, ConfKind::Route), Ok(()));
    }

    #[test]
    fn a_key_within_a_rule_is_a_secret() {
        let upstream = json!({"nodes": {"a.test": 1}, "tls": {"client_cert": "c", "client_key": "k"}});
        let rules = json!([{"weighted_upstreams": [{"weight": 1}, {"upstream": upstream}]}]);
        let mut route = json!({"plugins": {NAME: {"rules": rules}}});
        let mut found = Vec::new();
        let plugins = crate::Builtins::default();
        a6_resources::each_secret(Kind::Route, "r", &mut route, &plugins, &mut |_, secret| {
            found.push(secret.take());
        });
        assert_eq!(found, [json!("k")]);
    }
}
