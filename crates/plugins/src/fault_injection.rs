//! `fault-injection`: lets a share of the requests wait or fail, to see how clients bear it.

use std::time::Duration;

use a6_resources::expr::Expr;
use a6_resources::{PluginSpec, Template};
use a6_snapshot::{Exchange, Phases, Plugin, Reply, Site, Stop};
use http::{HeaderName, StatusCode};
use serde_json::{Value, json};

use crate::support::headers::{self, HeaderText};
use crate::support::limit::{self, text};
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "fault-injection";

/// A compiled configuration.
#[derive(Debug)]
pub struct FaultInjection {
    delay: Option<Fault<Duration>>,
    abort: Option<Fault<Abort>>,
    needs_body: bool,
}

/// What happens, and to which requests.
#[derive(Debug)]
struct Fault<T> {
    what: T,
    /// Of a hundred requests.
    percentage: u64,
    /// One must hold; none is no condition.
    conditions: Option<Vec<Expr>>,
}

#[derive(Debug)]
struct Abort {
    status: StatusCode,
    body: Option<Template>,
    headers: Vec<(HeaderName, HeaderText)>,
}

impl FaultInjection {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        let delay = conf.get("delay").map(|conf| Fault::compile(conf, duration(conf)?)).transpose()?;
        let abort = conf.get("abort").map(|conf| Fault::compile(conf, Abort::compile(conf)?)).transpose()?;
        let needs_body = delay.as_ref().is_some_and(Fault::needs_body)
            || abort.as_ref().is_some_and(|abort| abort.needs_body() || abort.what.needs_body());
        Ok(Self { delay, abort, needs_body })
    }
}

impl<T> Fault<T> {
    fn compile(conf: &Value, what: T) -> Result<Self, String> {
        let conditions = conf.get("vars").and_then(Value::as_array);
        let conditions = conditions.map(|all| all.iter().map(Expr::parse).collect::<Result<_, _>>());
        Ok(Self {
            what,
            percentage: conf.get("percentage").and_then(Value::as_u64).unwrap_or(100),
            conditions: conditions.transpose()?,
        })
    }

    fn needs_body(&self) -> bool {
        self.conditions.iter().flatten().any(Expr::needs_body)
    }

    fn strikes(&self, exchange: &Exchange) -> bool {
        let is_meant = match &self.conditions {
            Some(conditions) => conditions.iter().any(|condition| condition.holds(exchange)),
            None => true,
        };
        is_meant && fastrand::u64(1..=100) <= self.percentage
    }
}

fn duration(conf: &Value) -> Result<Duration, String> {
    let seconds = conf.get("duration").and_then(Value::as_f64).unwrap_or_default();
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("delay.duration: {seconds}: {error}"))
}

impl Abort {
    fn compile(conf: &Value) -> Result<Self, String> {
        let status = headers::status(conf, "http_status").map_err(|error| format!("abort.{error}"))?;
        Ok(Self {
            status: status.ok_or("property \"http_status\" is required")?,
            body: text(conf, "body").filter(|body| !body.is_empty()).map(Template::parse),
            headers: headers::fields(conf.get("headers")),
        })
    }

    fn needs_body(&self) -> bool {
        self.body.as_ref().is_some_and(Template::needs_body)
            || self.headers.iter().any(|(_, value)| value.needs_body())
    }

    fn reply(&self, exchange: &Exchange) -> Reply {
        let body = self.body.as_ref().map(|body| body.render(exchange).text).filter(|body| !body.is_empty());
        let mut reply = match body {
            Some(body) => Reply::text(self.status, body),
            None => Reply::page(self.status),
        };
        for (name, value) in &self.headers {
            reply.headers.insert(name, value.render(exchange, None));
        }
        reply
    }
}

impl Plugin for FaultInjection {
    fn phases(&self) -> Phases {
        Phases { rewrite: true, ..Phases::default() }
    }

    async fn rewrite(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        if self.needs_body {
            Box::pin(limit::read_body(exchange)).await?;
        }
        if let Some(delay) = &self.delay
            && delay.strikes(exchange)
        {
            Box::pin(tokio::time::sleep(delay.what)).await;
        }
        match &self.abort {
            Some(abort) if abort.strikes(exchange) => Err(abort.what.reply(exchange).into()),
            _ => Ok(()),
        }
    }
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec::new(NAME, priority, "0.1", schema)
}

fn schema() -> Value {
    let percentage = json!({"type": "integer", "minimum": 0, "maximum": 100});
    let conditions = json!({"type": "array", "maxItems": 20, "items": {"type": "array"}});
    json!({
        "type": "object",
        "properties": {
            "abort": {
                "type": "object",
                "properties": {
                    "http_status": {"type": "integer", "minimum": 200},
                    "body": {"type": "string", "minLength": 0},
                    "headers": {
                        "type": "object",
                        "minProperties": 1,
                        "patternProperties": {
                            "^[^:]+$": {"oneOf": [{"type": "string"}, {"type": "number"}]},
                        },
                    },
                    "percentage": percentage,
                    "vars": conditions,
                },
                "required": ["http_status"],
            },
            "delay": {
                "type": "object",
                "properties": {
                    "duration": {"type": "number", "minimum": 0},
                    "percentage": percentage,
                    "vars": conditions,
                },
                "required": ["duration"],
            },
        },
        "minProperties": 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::testing;
    use a6_resources::{Catalogue, ConfKind};

    fn ended(conf: &Value, target: &str) -> Option<Reply> {
        let plugin = FaultInjection::compile(conf, &testing::site(), &testing::shared()).unwrap();
        let mut exchange = testing::exchange("GET", target, &[], "");
        match testing::run(plugin.rewrite(&mut exchange)) {
            Err(Stop::Reply(reply)) => Some(*reply),
            Err(Stop::Fault(fault)) => panic!("{fault:?}"),
            Ok(()) => None,
        }
    }

    #[test]
    fn the_requests_that_are_meant_are_ended() {
        let abort = |conf: Value| json!({"abort": conf});
        let either = json!([[["arg_a", "==", "1"]], [["arg_a", "==", "2"]]]);
        let cases = [
            (abort(json!({"http_status": 503})), "/t", Some(503)),
            (abort(json!({"http_status": 503, "percentage": 0})), "/t", None),
            (abort(json!({"http_status": 503, "percentage": 100})), "/t", Some(503)),
            (abort(json!({"http_status": 503, "vars": either})), "/t?a=2", Some(503)),
            (abort(json!({"http_status": 503, "vars": either})), "/t?a=3", None),
            (abort(json!({"http_status": 503, "vars": []})), "/t", None),
            (json!({"delay": {"duration": 0.001}}), "/t", None),
            (json!({"delay": {"duration": 0}, "abort": {"http_status": 418}}), "/t", Some(418)),
        ];
        for (conf, target, expected) in cases {
            let status = ended(&conf, target).map(|reply| reply.status.as_u16());
            assert_eq!(status, expected, "{conf} {target}");
        }
    }

    #[test]
    fn the_answer_is_as_it_was_written() {
        let conf = json!({"abort": {
            "http_status": 200,
            "body": "Fault $arg_a!\n",
            "headers": {"X-A": "$arg_a", "X-N": 7, "Content-Type": "text/x"},
        }});
        let reply = ended(&conf, "/t?a=1").unwrap();
        assert_eq!(&reply.body[..], b"Fault 1!\n");
        for (name, value) in [("x-a", "1"), ("x-n", "7"), ("content-type", "text/x")] {
            assert_eq!(reply.headers[name], value);
        }
        let empty = ended(&json!({"abort": {"http_status": 200, "body": ""}}), "/t").unwrap();
        assert!(empty.body.is_empty());
        let page = ended(&json!({"abort": {"http_status": 503, "body": "$nothing"}}), "/t").unwrap();
        assert!(page.body.starts_with(b"<html>"));
    }

    #[test]
    fn unusable_configurations_are_refused_as_apisix_words_it() {
        let cases = [
            (json!({}), "expect object to have at least 1 properties"),
            (
                json!({"abort": {}}),
                "property \"abort\" validation failed: property \"http_status\" is required",
            ),
            (json!({"abort": {"http_status": 200, "vars": [[["a", "bad", 1]]]}}), "invalid operator 'bad'"),
            (
                json!({"abort": {"http_status": 1000}}),
                "abort.http_status: 1000 is no status of an answer; use a whole number from 200 to 999",
            ),
        ];
        let plugins = crate::Builtins::default();
        for (conf, expected) in cases {
            assert_eq!(plugins.check(NAME, &conf, ConfKind::Route).unwrap_err(), expected, "{conf}");
        }
    }
}
