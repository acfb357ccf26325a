//! `key-auth`: knows a caller by a key in a header or in the query.

use std::sync::Arc;

use a6_core::Secret;
use a6_resources::{PluginSpec, Schema};
use a6_snapshot::{Exchange, KnownBy, Phases, Plugin, Request, Site, Stop};
use http::HeaderName;
use serde_json::{Value, json};

use crate::support::auth::{self, Gate};
use crate::support::limit::text;
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "key-auth";

/// Where the key is, unless a route says otherwise.
const DEFAULT_PLACE: &str = "apikey";

/// A compiled configuration.
#[derive(Debug)]
pub struct KeyAuth {
    gate: Gate,
    header: Option<HeaderName>,
    query: Box<str>,
}

impl KeyAuth {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        Ok(Self {
            gate: Gate::compile(conf, "apikey", "key")?,
            header: auth::header_name(conf, "header", DEFAULT_PLACE),
            query: text(conf, "query").unwrap_or(DEFAULT_PLACE).into(),
        })
    }
}

impl Plugin for KeyAuth {
    fn phases(&self) -> Phases {
        Phases { rewrite: true, authenticates: true, ..Phases::default() }
    }

    fn mark_credentials(&self, request: &mut Request) {
        auth::mark(request, self.header.as_ref(), &self.query);
    }

    async fn rewrite(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        let directory = auth::directory(exchange)?;
        let in_header = auth::header(exchange, self.header.as_ref());
        let in_query = match &in_header {
            Some(_) => None,
            None => auth::parameter(&mut exchange.request, &self.query),
        };
        let caller = match in_header.as_ref().map(|value| value.as_bytes()).or(in_query.as_deref()) {
            Some(key) => match directory.find(NAME, key) {
                Some(known) => Ok(known.identity.clone()),
                None => Err("Invalid API key in request"),
            },
            None => Err("Missing API key in request"),
        };
        if self.gate.hides() {
            if in_header.is_some() || caller.is_err() {
                auth::hide_header(&mut exchange.request, self.header.as_ref());
            }
            if in_header.is_none() || caller.is_err() {
                auth::hide_parameter(&mut exchange.request, &self.query);
            }
        }
        self.gate.enter(exchange, &directory, caller)
    }
}

/// What a caller is known by: the key alone. Nobody is known by an empty one.
pub(crate) fn credential(conf: &Value) -> Option<KnownBy> {
    let key = text(conf, "key").filter(|key| !key.is_empty())?;
    Some(KnownBy { key: Secret::new(key.to_string()), secret: Arc::new(()) })
}

/// The schema says all.
pub(crate) fn check_consumer(_conf: &Value) -> Result<(), String> {
    Ok(())
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec {
        kind: Some("auth"),
        consumer_schema: Some(Schema::of(consumer_schema)),
        consumer_key: Some("key"),
        encrypt_fields: &["key"],
        ..PluginSpec::new(NAME, priority, "0.1", schema)
    }
}

fn schema() -> Value {
    let place = json!({"type": "string", "default": DEFAULT_PLACE});
    auth::schema("key", &[("header", place.clone()), ("query", place)])
}

fn consumer_schema() -> Value {
    json!({"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth_tests::{Refused, ask, people};
    use crate::support::testing;

    fn compile(conf: Value) -> KeyAuth {
        KeyAuth::compile(&conf, &testing::site(), &testing::shared()).unwrap()
    }

    #[test]
    fn a_caller_is_known_by_the_key_in_the_header_or_else_in_the_query() {
        let directory = people(&[("jack", json!({"key-auth": {"key": "k-jack"}})), ("anon", json!({}))]);
        let missing = Err(Refused::because("Missing API key in request", "apikey realm=\"key\""));
        let invalid = Err(Refused::because("Invalid API key in request", "apikey realm=\"key\""));
        let jack = Ok("jack".to_string());
        let other = json!({"header": "X-Key", "query": "k", "realm": "r"});
        let other_missing = Err(Refused::because("Missing API key in request", "apikey realm=\"r\""));
        let absent = json!({"anonymous_consumer": "nobody"});
        let no_anonymous = Err(Refused::because("Invalid user authorization", "apikey realm=\"key\""));
        let anonymous = json!({"anonymous_consumer": "anon"});
        type Headers = &'static [(&'static str, &'static str)];
        let cases: [(Value, &str, Headers, Result<String, Refused>); 17] = [
            (json!({}), "/t", &[], missing.clone()),
            (json!({}), "/t", &[("APIKEY", "k-jack")], jack.clone()),
            (json!({}), "/t", &[("apikey", "bad")], invalid.clone()),
            (json!({}), "/t", &[("apikey", "")], invalid.clone()),
            (json!({}), "/t?apikey=k-jack", &[], jack.clone()),
            (json!({}), "/t?apikey=k%2Djack", &[], jack.clone()),
            (json!({}), "/t?apikey=k-jack", &[("apikey", "bad")], invalid.clone()),
            (json!({}), "/t?apikey=k-jack&apikey=k-jack", &[], invalid.clone()),
            (json!({}), "/t?apikey", &[], invalid.clone()),
            (json!({}), "/t", &[("cookie", "apikey=k-jack")], missing.clone()),
            (other.clone(), "/t", &[("x-key", "k-jack")], jack.clone()),
            (other.clone(), "/t?k=k-jack", &[], jack),
            (other, "/t?apikey=k-jack", &[("apikey", "k-jack")], other_missing),
            (json!({"header": "no header"}), "/t", &[("apikey", "k-jack")], missing),
            (anonymous.clone(), "/t", &[], Ok("anon".to_string())),
            (anonymous, "/t", &[("apikey", "bad")], Ok("anon".to_string())),
            (absent, "/t", &[], no_anonymous),
        ];
        for (conf, target, headers, expected) in cases {
            let mut exchange = testing::exchange("GET", target, headers, "");
            exchange.directory = Some(directory.clone());
            assert_eq!(ask(&compile(conf.clone()), &mut exchange), expected, "{conf} {target} {headers:?}");
        }
    }

    #[test]
    fn what_held_the_key_is_hidden_and_the_rest_is_not() {
        let directory = people(&[("jack", json!({"key-auth": {"key": "k"}})), ("anon", json!({}))]);
        let hides = json!({"hide_credentials": true, "anonymous_consumer": "anon"});
        // Configuration, target and key header; target and key header for the upstream.
        let cases = [
            (json!({}), "/t?apikey=k&x=1", Some("k"), "/t?apikey=k&x=1", Some("k")),
            (hides.clone(), "/t?apikey=k&x=1", Some("k"), "/t?apikey=k&x=1", None),
            (hides.clone(), "/t?apikey=k&x=1&y=2", None, "/t?x=1&y=2", None),
            (hides.clone(), "/t?apikey=k", None, "/t", None),
            (hides.clone(), "/t?apikey=k&x=1", Some("bad"), "/t?x=1", None),
            (hides, "/t?apikey=bad&x=1", None, "/t?x=1", None),
        ];
        for (conf, target, key, expected_target, expected_key) in cases {
            let headers: Vec<(&str, &str)> = key.map(|key| ("apikey", key)).into_iter().collect();
            let mut exchange = testing::exchange("GET", target, &headers, "");
            exchange.directory = Some(directory.clone());
            assert!(ask(&compile(conf.clone()), &mut exchange).is_ok(), "{conf} {target}");
            let request = &exchange.request;
            assert_eq!((request.target(), request.header("apikey")), (expected_target, expected_key));
            assert_eq!(exchange.request.credentials.headers.len(), usize::from(key.is_some()));
        }
    }
}
