use super::*;
use crate::{ConfKind, PluginSpec, Schema};
use serde_json::json;
use std::sync::Arc;

struct One;

impl References for One {
    fn exists(&self, _: Kind, id: &str) -> bool {
        id == "1"
    }
}

/// Knows one plugin, whose `token` is a secret.
struct Plugins(Vec<PluginSpec>);

impl Plugins {
    fn new() -> Self {
        let document = json!({
            "type": "object",
            "properties": {"token": {"type": "string", "pattern": "^tok-"}, "limit": {"type": "integer"}},
            "required": ["token"],
        });
        Self(vec![PluginSpec {
            name: "guard",
            priority: 1,
            version: "0.1",
            kind: None,
            schema: Schema::compile(document).unwrap(),
            consumer_schema: None,
            metadata_schema: None,
            encrypt_fields: &["token"],
        }])
    }
}

impl Catalogue for Plugins {
    fn specs(&self) -> &[PluginSpec] {
        &self.0
    }

    fn check(&self, name: &str, conf: &Value, _: ConfKind) -> Result<(), String> {
        self.spec(name).unwrap().schema.check(conf)
    }
}

fn outcome(kind: Kind, value: &Value) -> String {
    check(kind, value, &One, &Plugins::new()).err().unwrap_or_default()
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
            route_with("plugin_config_id", json!("1")),
            "failed to fetch plugin config info by plugin config id [1], response code: 404".to_owned(),
        ),
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
        (
            guard(json!({"token": "tok-1", "_meta": {"priority": 1}})),
            failed("`_meta.priority` is not supported yet"),
        ),
        (
            guard(json!({"token": "tok-1", "_meta": {"disable": true}})),
            failed("`_meta.disable` is not supported yet"),
        ),
        (
            guard(json!({"token": "tok-1", "_meta": {"what": 1}})),
            failed("property \"_meta\" validation failed: additional properties forbidden, found what"),
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(outcome(Kind::Route, &value), expected, "{value}");
    }
}

#[test]
fn upstreams() {
    let certificate = format!("-----BEGIN CERTIFICATE-----\nM{}\n-----END CERTIFICATE-----", "A".repeat(99));
    let key = format!("-----BEGIN PRIVATE KEY-----\nM{}\n-----END PRIVATE KEY-----", "A".repeat(99));
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
        (tls(json!({"client_cert_id": "1"})), "failed to fetch ssl info by ssl id [1], response code: 404"),
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
fn what_is_referred_to_cannot_be_deleted() {
    let entry = |kind, id: &str, value: Value| Entry {
        kind,
        id: id.to_owned(),
        value: Arc::new(value),
        created: 1,
        modified: 1,
    };
    let entries = [
        entry(Kind::Route, "r", json!({"service_id": "s", "upstream_id": 7})),
        entry(Kind::Service, "s", json!({"upstream_id": "u"})),
        entry(Kind::Upstream, "u", json!({})),
    ];
    for (kind, id, expected) in [
        (Kind::Service, "s", Some("can not delete this service directly, route [r] is still using it now")),
        (Kind::Upstream, "7", Some("can not delete this upstream, route [r] is still using it now")),
        (Kind::Upstream, "u", Some("can not delete this upstream, service [s] is still using it now")),
        (Kind::Upstream, "none", None),
        (Kind::Route, "r", None),
    ] {
        assert_eq!(referrer(kind, id, &mut entries.iter()).as_deref(), expected, "{kind:?} {id}");
    }
}
