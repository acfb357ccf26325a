//! `consumer-restriction`: lets some consumers through and refuses others; or consumer groups, services or routes.

use std::collections::HashSet;

use a6_resources::PluginSpec;
use a6_snapshot::{Exchange, Phases, Plugin, Site, Stop};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::limit::{items, text};
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "consumer-restriction";

/// A compiled configuration.
#[derive(Debug)]
pub struct ConsumerRestriction {
    subject: Subject,
    blacklist: HashSet<Box<str>>,
    /// Empty if there is none.
    whitelist: HashSet<Box<str>>,
    by_methods: Vec<Allowed>,
    status: StatusCode,
    message: String,
}

/// What the lists list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Consumer,
    Group,
    Service,
    Route,
}

/// The methods that one consumer may use, or whatever else the lists list.
#[derive(Debug)]
struct Allowed {
    name: Box<str>,
    methods: Vec<Box<str>>,
}

impl ConsumerRestriction {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        let subject = Subject::named(text(conf, "type").unwrap_or(Subject::Consumer.name()))?;
        let code = conf.get("rejected_code").and_then(Value::as_f64).unwrap_or(403.0);
        let status = StatusCode::from_u16(code as u16)
            .map_err(|_| format!("rejected_code: expected a status from 200 to 999, found {code}"))?;
        let message = match text(conf, "rejected_msg") {
            Some(message) => message.to_string(),
            None => format!("The {} is forbidden.", subject.name()),
        };
        Ok(Self {
            subject,
            blacklist: texts(conf, "blacklist").collect(),
            whitelist: texts(conf, "whitelist").collect(),
            by_methods: items(conf, "allowed_by_methods").iter().filter_map(Allowed::of).collect(),
            status,
            message,
        })
    }

    fn admits(&self, name: &str, method: &str) -> bool {
        if self.blacklist.contains(name) {
            return false;
        }
        if !self.whitelist.is_empty() {
            return self.whitelist.contains(name);
        }
        match self.by_methods.iter().find(|allowed| *allowed.name == *name) {
            Some(allowed) => allowed.methods.iter().any(|listed| **listed == *method),
            None => true,
        }
    }
}

impl Plugin for ConsumerRestriction {
    fn phases(&self) -> Phases {
        Phases { access: true, ..Phases::default() }
    }

    async fn access(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        let Some(name) = self.subject.of(exchange) else {
            let message =
                format!("The request is rejected, please check the {} for this request", self.subject.name());
            return Err(Stop::message(StatusCode::UNAUTHORIZED, &message));
        };
        if self.admits(name, exchange.request.method().as_str()) {
            return Ok(());
        }
        Err(Stop::message(self.status, &self.message))
    }
}

impl Subject {
    const ALL: [Self; 4] = [Self::Consumer, Self::Service, Self::Route, Self::Group];

    fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer_name",
            Self::Group => "consumer_group_id",
            Self::Service => "service_id",
            Self::Route => "route_id",
        }
    }

    fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|subject| subject.name() == name);
        found.ok_or_else(|| format!("type: expected one of {:?}, found {name}", Self::ALL.map(Self::name)))
    }

    fn of(self, exchange: &Exchange) -> Option<&str> {
        let identity = exchange.identity.as_deref();
        match self {
            Self::Consumer => identity.map(|identity| &*identity.name),
            Self::Group => identity?.group_id.as_deref(),
            Self::Service => exchange.record.service_id(),
            Self::Route => exchange.record.route_id(),
        }
    }
}

impl Allowed {
    /// None for an entry that is about nobody.
    fn of(entry: &Value) -> Option<Self> {
        Some(Self { name: text(entry, "user")?.into(), methods: texts(entry, "methods").collect() })
    }
}

fn texts<'v>(conf: &'v Value, member: &str) -> impl Iterator<Item = Box<str>> + use<'v> {
    items(conf, member).iter().filter_map(Value::as_str).map(Into::into)
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec::new(NAME, priority, "0.1", schema)
}

fn schema() -> Value {
    let names = json!({"type": "array", "minItems": 1, "items": {"type": "string"}});
    let methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE"];
    let subject = Subject::Consumer.name();
    json!({
        "type": "object",
        "properties": {
            "type": {"type": "string", "enum": Subject::ALL.map(Subject::name), "default": subject},
            "blacklist": names,
            "whitelist": names,
            "allowed_by_methods": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "user": {"type": "string"},
                        "methods": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "enum": methods},
                        },
                    },
                },
            },
            "rejected_code": {"type": "integer", "minimum": 200, "default": 403},
            "rejected_msg": {"type": "string"},
        },
        "anyOf": [
            {"required": ["blacklist"]},
            {"required": ["whitelist"]},
            {"required": ["allowed_by_methods"]},
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth_tests::{identity, refusal};
    use crate::support::testing;
    use a6_resources::{Catalogue, ConfKind};
    use std::sync::Arc;

    /// What becomes of a request of consumer `jack` of group `g1` to service `s1` by route `r1`; with `method` empty, of
    /// one of which nothing is known.
    fn outcome(conf: &Value, method: &str) -> Option<(u16, String)> {
        let plugin = ConsumerRestriction::compile(conf, &testing::site(), &testing::shared()).unwrap();
        let is_known = !method.is_empty();
        let method = if is_known { method } else { "GET" };
        let mut exchange = testing::exchange(method, "/t", &[], "");
        if is_known {
            let group_id = Some(Arc::from("g1"));
            exchange.identity = Some(Arc::new(a6_snapshot::Identity { group_id, ..identity("jack") }));
            let service_id = Some("s1".into());
            let route = a6_snapshot::RouteFacts { id: "r1".into(), service_id, ..Default::default() };
            exchange.record.route = Some(Arc::new(route));
        }
        let stop = testing::run(plugin.access(&mut exchange)).err()?;
        let refused = refusal(stop);
        Some((refused.status, refused.message))
    }

    #[test]
    fn lists_decide_and_the_first_that_names_the_subject_wins() {
        let forbidden = |what: &str| Some((403, format!("The {what} is forbidden.")));
        let by_methods = json!([
            {"methods": ["GET"]},
            {"user": "jack", "methods": ["POST"]},
            {"user": "jack", "methods": ["GET"]},
            {"user": "silent"},
        ]);
        let cases = [
            (json!({"whitelist": ["jack"]}), "GET", None),
            (json!({"whitelist": ["rose"]}), "GET", forbidden("consumer_name")),
            (json!({"blacklist": ["jack"]}), "GET", forbidden("consumer_name")),
            (json!({"blacklist": ["rose"]}), "GET", None),
            (json!({"blacklist": ["jack"], "whitelist": ["jack"]}), "GET", forbidden("consumer_name")),
            (json!({"type": "consumer_group_id", "whitelist": ["g1"]}), "GET", None),
            (
                json!({"type": "consumer_group_id", "blacklist": ["g1"]}),
                "GET",
                forbidden("consumer_group_id"),
            ),
            (json!({"type": "service_id", "whitelist": ["s1"]}), "GET", None),
            (json!({"type": "service_id", "whitelist": ["s2"]}), "GET", forbidden("service_id")),
            (json!({"type": "route_id", "blacklist": ["r1"]}), "GET", forbidden("route_id")),
            (json!({"allowed_by_methods": by_methods}), "POST", None),
            (json!({"allowed_by_methods": by_methods}), "GET", forbidden("consumer_name")),
            (json!({"allowed_by_methods": [{"user": "rose", "methods": ["POST"]}]}), "GET", None),
            (json!({"allowed_by_methods": [{"user": "jack"}]}), "GET", forbidden("consumer_name")),
            (json!({"allowed_by_methods": by_methods, "whitelist": ["jack"]}), "GET", None),
            (
                json!({"allowed_by_methods": by_methods, "whitelist": ["rose"]}),
                "POST",
                forbidden("consumer_name"),
            ),
            (
                json!({"whitelist": ["x"], "rejected_code": 402, "rejected_msg": "go away"}),
                "GET",
                Some((402, "go away".to_string())),
            ),
        ];
        for (conf, method, expected) in cases {
            assert_eq!(outcome(&conf, method), expected, "{conf} {method}");
        }
    }

    #[test]
    fn who_is_not_known_is_refused_whatever_the_lists_say() {
        for subject in Subject::ALL {
            let name = subject.name();
            let message = format!("The request is rejected, please check the {name} for this request");
            for list in ["whitelist", "blacklist"] {
                let conf = json!({"type": name, list: ["x"], "rejected_code": 402, "rejected_msg": "no"});
                assert_eq!(outcome(&conf, ""), Some((401, message.clone())), "{conf}");
            }
        }
    }

    #[test]
    fn unusable_configurations_are_refused_by_name() {
        let cases = [
            (
                json!({}),
                "object matches none of the required: [\"blacklist\"] or [\"whitelist\"] or \
                 [\"allowed_by_methods\"]",
            ),
            (
                json!({"whitelist": []}),
                "property \"whitelist\" validation failed: expect array to have at least 1 items",
            ),
            (
                json!({"whitelist": ["a"], "rejected_code": 100}),
                "property \"rejected_code\" validation failed: expected 100 to be at least 200",
            ),
            (
                json!({"whitelist": ["a"], "rejected_code": 1000}),
                "rejected_code: expected a status from 200 to 999, found 1000",
            ),
        ];
        let builtins = crate::Builtins::default();
        for (conf, expected) in cases {
            assert_eq!(builtins.check(NAME, &conf, ConfKind::Route).unwrap_err(), expected, "{conf}");
        }
    }
}
