mod every;
mod identities;
mod stored;

use super::*;
use crate::{PluginSpec, Schema};
use serde_json::json;
use std::sync::Arc;

/// Besides entries, of every kind something has the id 1.
struct Known(Vec<Entry>);

impl References for Known {
    fn exists(&self, _: Kind, id: &str) -> bool {
        id == "1"
    }

    fn entries(&self, kind: Kind) -> Box<dyn Iterator<Item = &Entry> + '_> {
        Box::new(self.0.iter().filter(move |entry| entry.kind == kind))
    }
}

fn entry(kind: Kind, id: &str, value: Value) -> Entry {
    Entry { kind, id: id.to_owned(), value: Arc::new(value), created: 1, modified: 1 }
}

/// Knows `guard`, whose `token` is a secret, and `door`, which knows consumers by their `key`.
pub(crate) struct Plugins(Vec<PluginSpec>);

impl Plugins {
    pub(crate) fn new() -> Self {
        let guard = json!({
            "type": "object",
            "properties": {"token": {"type": "string", "pattern": "^tok-"}, "limit": {"type": "integer"}},
            "required": ["token"],
        });
        let key = json!({"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]});
        let header = json!({"type": "object", "properties": {"header": {"type": "string"}}});
        let format = json!({"type": "object", "properties": {"log_format": {"type": "object"}}});
        let schema = |document| Schema::compile(document).unwrap();
        let guard = PluginSpec {
            name: "guard",
            priority: 1,
            version: "0.1",
            kind: None,
            schema: schema(guard),
            consumer_schema: None,
            metadata_schema: Some(schema(format)),
            consumer_key: None,
            encrypt_fields: &["token"],
        };
        let door = PluginSpec {
            name: "door",
            priority: 2,
            version: "0.1",
            kind: Some("auth"),
            schema: schema(header),
            consumer_schema: Some(schema(key)),
            metadata_schema: None,
            consumer_key: Some("key"),
            encrypt_fields: &["key"],
        };
        Self(vec![door, guard])
    }
}

impl Catalogue for Plugins {
    fn specs(&self) -> &[PluginSpec] {
        &self.0
    }

    fn check(&self, name: &str, conf: &Value, kind: ConfKind) -> Result<(), String> {
        let spec = self.spec(name).unwrap();
        let schema = match kind {
            ConfKind::Route => Some(&spec.schema),
            ConfKind::Consumer => spec.consumer_schema.as_ref(),
            ConfKind::Metadata => spec.metadata_schema.as_ref(),
        };
        schema.unwrap().check(conf)
    }
}

fn outcome(kind: Kind, value: &Value) -> String {
    outcome_at(kind, None, value, Vec::new())
}

/// The message for a resource with that id, where there are those entries.
fn outcome_at(kind: Kind, id: Option<&str>, value: &Value, entries: Vec<Entry>) -> String {
    check(kind, id, value, &Known(entries), &Plugins::new()).err().unwrap_or_default()
}

/// A certificate and its key in PEM.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn route_with(member: &str, value: Value) -> Value {
    let mut route = json!({"uri": "/x", "upstream": {"nodes": {"127.0.0.1:80": 1}}});
    route[member] = value;
    route
}

#[test]
fn routes() {
    let guard = |conf: Value| route_with("plugins", json!({"guard": conf}));
    let failed = |why: &str| format!("failed to check the configuration of plugin guard err: {why}");
    let cases = [
        (route_with("name", json!("a")), String::new()),
        (route_with("host", json!("a.b")), String::new()),
        (json!({"host": "a", "hosts": ["b"]}), "only one of host or hosts is allowed".to_owned()),
        (route_with("upstream_id", json!(1)), String::new()),
        (
            route_with("upstream_id", json!("2")),
            "failed to fetch upstream info by upstream id [2], response code: 404".to_owned(),
        ),
        (
            route_with("service_id", json!(7)),
            "failed to fetch service info by service id [7], response code: 404".to_owned(),
        ),
        (
            route_with("plugin_config_id", json!("2")),
            "failed to fetch plugin config info by plugin config id [2], response code: 404".to_owned(),
        ),
        (route_with("plugin_config_id", json!(1)), String::new()),
        (
            route_with("id", json!("$env://X")),
            "invalid configuration: property \"id\" validation failed: object matches none of the required"
                .to_owned(),
        ),
        (
            route_with("filter_func", json!("function(vars) return true end")),
            "filter_func is Lua, which a6 does not run; use vars".to_owned(),
        ),
        (
            route_with("remote_addr", json!("::1/129")),
            "invalid configuration: property \"remote_addr\" validation failed: \
             ::1/129 is neither an IP address nor a network such as 10.0.0.0/8"
                .to_owned(),
        ),
        (route_with("remote_addrs", json!(["::1", "10.0.0.0/8", "fe80::/10"])), String::new()),
        (
            route_with("methods", json!({})),
            "invalid configuration: invalid type: map, expected a sequence".to_owned(),
        ),
        (route_with("plugins", json!({"nope": {}})), "unknown plugin [nope]".to_owned()),
        (guard(json!({"token": "tok-1", "_meta": {"disable": false}})), String::new()),
        (guard(json!(1)), "invalid plugin conf 1 for plugin [guard]".to_owned()),
        (guard(json!("tok-1")), "invalid plugin conf \"***\" for plugin [guard]".to_owned()),
        (guard(json!(null)), "invalid plugin conf \"userdata: NULL\" for plugin [guard]".to_owned()),
        (guard(json!(["x"])), failed("wrong type: expected object, got table")),
        (guard(json!({})), failed("property \"token\" is required")),
        (
            guard(json!({"token": "hidden"})),
            failed("property \"token\" validation failed: failed to match pattern \"^tok-\" with \"***\""),
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(outcome(Kind::Route, &value), expected, "{value}");
    }
}

#[test]
fn upstreams() {
    let (certificate, key) = certificate();
    let chash =
        |hash_on: &str, key: &str| json!({"type": "chash", "nodes": [], "hash_on": hash_on, "key": key});
    let tls = |tls: Value| json!({"nodes": [], "tls": tls});
    let cases = [
        (json!({"nodes": {"a:80": 1, "[::1]:8080": 1, "b": 1}}), ""),
        (json!({"nodes": {"127.0.0.1:0": 1}}), "invalid port 0"),
        (json!({"nodes": {"[::1]:65536": 1}}), "invalid port 65536"),
        (
            json!({"nodes": [{"host": "::1", "port": 80, "weight": 1}]}),
            "invalid configuration: IPv6 address must be enclosed with '[' and ']'",
        ),
        (json!({"nodes": [{"host": "[::1]", "port": 80, "weight": 1}]}), ""),
        (
            json!({"nodes": [], "pass_host": "rewrite"}),
            "`upstream_host` can't be empty when `pass_host` is `rewrite`",
        ),
        (json!({"nodes": [], "type": "chash"}), "missing key"),
        (chash("consumer", "any thing"), ""),
        (chash("vars", "arg_a"), ""),
        (
            chash("header", "a b"),
            "invalid configuration: failed to match pattern \"^[a-zA-Z0-9-_]+$\" with \"a b\"",
        ),
        (tls(json!({"client_cert_id": "1"})), ""),
        (tls(json!({"client_cert_id": "2"})), "failed to fetch ssl info by ssl id [2], response code: 404"),
        (tls(json!({"client_cert": certificate, "client_key": key})), ""),
        (tls(json!({"client_cert": certificate, "client_key": "$secret://vault/1/a/key"})), ""),
        (
            tls(json!({"client_cert": "x".repeat(128), "client_key": key})),
            "failed to parse cert: PEM_read_bio_X509_AUX() failed",
        ),
        (
            tls(json!({"client_cert": certificate, "client_key": "x".repeat(64)})),
            "failed to parse key: PEM_read_bio_PrivateKey() failed",
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(outcome(Kind::Upstream, &value), expected, "{value}");
        let route = json!({"uri": "/x", "upstream": value});
        assert_eq!(outcome(Kind::Route, &route), expected, "{route}");
    }
}

#[test]
fn services() {
    for (value, expected) in [
        (json!({}), ""),
        (json!({"upstream_id": "2"}), "failed to fetch upstream info by upstream id [2], response code: 404"),
        (json!({"plugins": {"nope": {}}}), "unknown plugin [nope]"),
        (json!({"script": "local a = 1 return a"}), "script is Lua, which a6 does not run; use plugins"),
    ] {
        assert_eq!(outcome(Kind::Service, &value), expected, "{value}");
    }
}

#[test]
fn meta_steers_every_plugin() {
    let failed = |why: &str| format!("failed to check the configuration of plugin guard err: {why}");
    let wrong = |why: &str| failed(&format!("property \"_meta\" validation failed: {why}"));
    let cases = [
        (json!({}), String::new()),
        (json!({"disable": false, "priority": -7, "filter": [["arg_a", "==", "1"]]}), String::new()),
        (json!({"error_response": "no"}), String::new()),
        (json!({"error_response": {"message": "no"}}), String::new()),
        (
            json!({"error_response": 1}),
            wrong(
                "property \"error_response\" validation failed: \
                 value should match only one schema, but matches none",
            ),
        ),
        (
            json!({"disable": "x"}),
            wrong("property \"disable\" validation failed: wrong type: expected boolean, got string"),
        ),
        (json!({"what": 1}), wrong("additional properties forbidden, found what")),
        (json!(1), wrong("wrong type: expected object, got number")),
        (
            json!({"priority": 3_000_000_000_i64}),
            wrong(
                "property \"priority\" validation failed: \
                 expected an integer from -2147483648 to 2147483647, got 3000000000",
            ),
        ),
        (
            json!({"filter": ["arg_a", "==", "1"]}),
            "failed to validate the 'vars' expression: rule should be wrapped inside brackets".to_owned(),
        ),
        (
            json!({"pre_function": "return function() end"}),
            failed("_meta.pre_function is Lua, which a6 does not run; use a plugin"),
        ),
    ];
    for (meta, expected) in cases {
        let route = route_with("plugins", json!({"guard": {"token": "tok-1", "_meta": meta}}));
        assert_eq!(outcome(Kind::Route, &route), expected, "{meta}");
        let consumer = json!({"username": "a", "plugins": {"door": {"key": "k", "_meta": meta}}});
        let expected = match expected.as_str() {
            "" => String::new(),
            text => format!("invalid plugins configuration: {}", text.replace("guard", "door")),
        };
        assert_eq!(outcome(Kind::Consumer, &consumer), expected, "{meta}");
    }
    for (conf, expected) in [
        (json!({"_meta": {"disable": true}}), String::new()),
        (json!({"token": 1, "_meta": {"disable": true}}), String::new()),
        (json!({"_meta": {"disable": false}}), failed("property \"token\" is required")),
        (
            json!({"_meta": {"disable": true, "what": 1}}),
            wrong("additional properties forbidden, found what"),
        ),
    ] {
        let route = route_with("plugins", json!({"guard": conf}));
        assert_eq!(outcome(Kind::Route, &route), expected, "{conf}");
    }
}

#[test]
fn what_is_referred_to_cannot_be_deleted() {
    let split = |id: Value| json!({"traffic-split": {"rules": [{}, {"weighted_upstreams": [{}, {"upstream_id": id}]}]}});
    let holders = [
        (Kind::Route, "route"),
        (Kind::Service, "service"),
        (Kind::PluginConfig, "plugin_config"),
        (Kind::Consumer, "consumer"),
        (Kind::ConsumerGroup, "consumer_group"),
        (Kind::GlobalRule, "global_rules"),
    ];
    let mut entries = vec![
        entry(Kind::Route, "r", json!({"service_id": "s", "upstream_id": 7, "plugin_config_id": "p"})),
        entry(Kind::Service, "s", json!({"upstream_id": "u"})),
        entry(Kind::Consumer, "jack", json!({"username": "jack", "group_id": 3})),
        entry(Kind::Upstream, "u", json!({})),
        entry(
            Kind::PluginMetadata,
            "m",
            json!({"upstream_id": "m", "group_id": "m", "plugins": split(json!("m"))}),
        ),
    ];
    for (kind, name) in holders {
        entries.push(entry(kind, "x", json!({"plugins": split(json!(name))})));
    }
    let mut cases = vec![
        (
            Kind::Service,
            "s",
            Some("can not delete this service directly, route [r] is still using it now".to_owned()),
        ),
        (
            Kind::Upstream,
            "7",
            Some("can not delete this upstream, route [r] is still using it now".to_owned()),
        ),
        (
            Kind::Upstream,
            "u",
            Some("can not delete this upstream, service [s] is still using it now".to_owned()),
        ),
        (
            Kind::PluginConfig,
            "p",
            Some("can not delete this plugin config, route [r] is still using it now".to_owned()),
        ),
        (
            Kind::ConsumerGroup,
            "3",
            Some("can not delete this consumer group, consumer [jack] is still using it now".to_owned()),
        ),
        (Kind::Upstream, "none", None),
        (Kind::Upstream, "m", None),
        (Kind::ConsumerGroup, "m", None),
        (Kind::Route, "r", None),
        (Kind::Consumer, "jack", None),
    ];
    for (_, name) in holders {
        let text = format!("can not delete this upstream, plugin in {name} [x] is still using it now");
        cases.push((Kind::Upstream, name, Some(text)));
    }
    for (kind, id, expected) in cases {
        assert_eq!(referrer(kind, id, &mut entries.iter()), expected, "{kind:?} {id}");
        // The other direction knows of it too: who looks only at those that refer to it finds the same.
        let refers = |entry: &&Entry| referred(entry.kind, &entry.value).contains(&(kind, id.to_owned()));
        assert_eq!(referrer(kind, id, &mut entries.iter().filter(refers)), expected, "{kind:?} {id}");
    }
}
