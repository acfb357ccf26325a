//! Where references may stand: each is replaced there, and refuses there.

use a6_mock::{Mock, Options, TlsIdentity};
use serde_json::{Value, json};

use super::vault::{TOKEN, Vault};
use super::{is_refused, warnings};
use crate::engine::{Stage, passes, tag, with};
use crate::support::{
    Connection, Echo, Gateway, Setup, ai_route, chat, eventually, ledger, mock, post, request, sent_once,
};

const VALUE: &str = "a-value-of-its-own";

/// A gateway that has `A6_TEST_TAG`, and a Vault with `main/tag`.
fn stage() -> (Stage, Vault) {
    let setup = Setup::new()
        .variable("A6_TEST_TAG", VALUE)
        .variable("A6_TEST_ALL", r#"{"tag":"a-value-of-its-own"}"#);
    let (stage, vault) = (Stage::on(setup), Vault::start());
    vault.keep("main/tag", json!({"value": VALUE, "more": {}}));
    vault.introduce(&stage.gateway, "kv", TOKEN);
    (stage, vault)
}

#[test]
fn the_providers_key_is_the_secret_and_never_its_reference() {
    let (stage, vault) = stage();
    let provider = mock();
    vault.keep("openai", json!({"header": "Bearer sk-from-vault"}));
    let auth = |reference: &str| json!({"auth": {"header": {"Authorization": reference}}});
    let good = "$secret://vault/1/openai/header";
    stage.put("routes/ai", ai_route("/ai", &provider.url(), auth(good)));
    assert_eq!(post(stage.gateway.data, "/ai", &[], &chat("hello")).status, 200);
    let exchange = ledger(&provider, 1).remove(0);
    assert_eq!(sent_once(&exchange, "authorization"), Some("Bearer sk-from-vault"));
    let (_, shown) = stage.gateway.admin("GET", "routes/ai", None);
    assert!(shown.to_string().contains(good) && !shown.to_string().contains("sk-from-vault"), "{shown}");

    let bad = [
        "$secret://vault/1/openai/none",
        "$secret://vault/1/nothing/here",
        "$secret://vault/2/openai/header",
        "$secret://vault/1",
        "$secret://safe/1/a/b",
        "$env://A6_TEST_UNSET",
        "$ENV://A6_TEST_TAG/tag",
    ];
    for reference in bad {
        stage.put("routes/ai", ai_route("/ai", &provider.url(), auth(reference)));
        is_refused(&post(stage.gateway.data, "/ai", &[], &chat("hello")), reference);
        let warnings = warnings(&stage.gateway);
        assert!(warnings.contains("routes/ai") && warnings.contains(reference), "{warnings}");
        assert!(!warnings.contains(TOKEN) && !warnings.contains("sk-from-vault"), "{warnings}");
    }
    ledger(&provider, 1);
    stage.put("routes/ai", ai_route("/ai", &provider.url(), auth("$env://A6_TEST_TAG")));
    assert_eq!(post(stage.gateway.data, "/ai", &[], &chat("hello")).status, 200);
    assert_eq!(warnings(&stage.gateway), "");
    let output = stage.gateway.output();
    assert!(!output.contains(TOKEN) && !output.contains("sk-from-vault"), "{output}");
}

/// Each place that may hold plugins, with these: a path, its document, and the path of the request that goes through it.
fn holders(plugins: &Value, echo: &Value) -> Vec<(&'static str, Value, &'static str)> {
    let route = |more: Value| with(json!({"upstream": echo}), more);
    vec![
        ("routes/r", route(json!({"uri": "/route", "plugins": plugins})), "/route"),
        ("services/s", json!({"plugins": plugins, "upstream": echo}), "/service"),
        ("plugin_configs/c", json!({"plugins": plugins}), "/config"),
        ("consumer_groups/g", json!({"plugins": plugins}), "/group"),
        ("consumers", consumer("solo", with(plugins.clone(), json!({}))), "/solo"),
        ("global_rules/g", json!({"plugins": plugins}), "/plain"),
    ]
}

fn consumer(name: &str, plugins: Value) -> Value {
    json!({"username": name, "plugins": with(json!({"key-auth": {"key": format!("k-{name}")}}), plugins)})
}

#[test]
fn every_holder_of_plugins_may_have_references() {
    let (stage, _vault) = stage();
    let echo = stage.echo.upstream();
    for (path, document, _) in holders(&tag("X-Tag", "plain"), &echo) {
        stage.put(path, document);
    }
    let asks = json!({"key-auth": {}});
    stage.put("consumers", with(consumer("grouped", json!({})), json!({"group_id": "g"})));
    stage.put("routes/s", json!({"uri": "/service", "service_id": "s"}));
    stage.put("routes/c", json!({"uri": "/config", "plugin_config_id": "c", "upstream": echo}));
    for name in ["group", "solo"] {
        let route = json!({"uri": format!("/{name}"), "plugins": asks, "upstream": echo});
        stage.put(&format!("routes/{name}"), route);
    }
    stage.put("routes/plain", json!({"uri": "/plain", "upstream": echo}));
    stage.gateway.delete("global_rules/g");
    let ask = |target: &str| {
        let key = if target == "/group" { "k-grouped" } else { "k-solo" };
        stage.get(target, &[("apikey", key)])
    };
    for reference in ["$env://A6_TEST_TAG", "$env://A6_TEST_ALL/tag", "$secret://vault/1/main/tag/value"] {
        for (path, document, target) in holders(&tag("X-Tag", reference), &echo) {
            stage.put(path, document);
            let answer = ask(target);
            passes(&answer);
            assert_eq!(answer.header("x-tag"), Some(VALUE), "{path} {reference}");
        }
        stage.gateway.delete("global_rules/g");
    }
    let missing = "$secret://vault/1/main/tag/none";
    for (path, document, target) in holders(&tag("X-Tag", missing), &echo) {
        let before = stage.echo.count();
        stage.put(path, document);
        is_refused(&ask(target), missing);
        assert_eq!(stage.echo.count(), before, "{path}");
    }
    is_refused(&ask("/no-such-route"), missing);
    stage.gateway.delete("global_rules/g");
}

#[test]
fn what_takes_no_part_refuses_nothing_and_who_is_unknown_hears_no_more() {
    let (stage, _vault) = stage();
    let unknown = |meta: Value| {
        let set = json!({"set": {"X-Tag": "$env://A6_TEST_UNSET"}});
        json!({"response-rewrite": {"headers": set, "_meta": meta}})
    };
    stage.route("disabled", unknown(json!({"disable": true})));
    passes(&stage.get("/disabled", &[]));
    stage.route("filtered", unknown(json!({"filter": [["arg_tag", "==", "1"]]})));
    passes(&stage.get("/filtered", &[]));
    is_refused(&stage.get("/filtered?tag=1", &[]), "$env://A6_TEST_UNSET");
    stage.put("consumers", consumer("jack", json!({})));
    stage.route("asks", with(unknown(json!({})), json!({"key-auth": {}})));
    assert_eq!(stage.get("/asks", &[]).status, 401, "who is asking comes first");
    is_refused(&stage.get("/asks", &[("apikey", "k-jack")]), "$env://A6_TEST_UNSET");
}

#[test]
fn a_caller_is_known_by_the_secret_and_by_nothing_else() {
    let (stage, vault) = stage();
    vault.keep("people", json!({"jack": "k-of-jack"}));
    let key = |reference: &str| json!({"key-auth": {"key": reference}});
    let references = ["$secret://vault/1/people/jack", "$secret://vault/1/people/rose"];
    stage.put("consumers", json!({"username": "jack", "plugins": key(references[0])}));
    stage.put("consumers", json!({"username": "rose", "plugins": key(references[1])}));
    stage.route("t", json!({"key-auth": {}}));
    passes(&stage.get("/t", &[("apikey", "k-of-jack")]));
    for literal in references {
        assert_eq!(stage.get("/t", &[("apikey", literal)]).status, 401);
    }
    assert!(warnings(&stage.gateway).contains("consumers/rose: $secret://vault/1/people/rose"));
    vault.keep("people", json!({"jack": "k-of-jack", "rose": "k-of-rose"}));
    stage.put("consumers", json!({"username": "rose", "plugins": key(references[1])}));
    passes(&stage.get("/t", &[("apikey", "k-of-rose")]));
    assert_eq!(stage.echo.last().header("x-consumer-username"), Some("rose"));
}

fn ask(gateway: &Gateway, path: &str) -> crate::support::Answer {
    Connection::open(gateway.data).answer(&request("POST", path, &[("Host", "tls.example")], b"{}"))
}

#[test]
fn a_certificate_and_its_key_may_be_secrets() {
    let identity = TlsIdentity::for_known_clients(&["tls.example"]).unwrap();
    let backend =
        Mock::start(Options { port: 0, ledger: true, tls: Some(identity.clone()), ..Options::default() })
            .unwrap();
    let (stage, vault) = stage();
    let gateway = &stage.gateway;
    vault.keep("tls", json!({"cert": identity.client.cert_pem, "key": identity.client.key_pem}));
    let mut nodes = serde_json::Map::new();
    nodes.insert(backend.addr.to_string(), json!(1));
    let [cert, key, none] = ["cert", "key", "none"].map(|member| format!("$secret://vault/1/tls/{member}"));
    let upstream = |tls: Value| json!({"scheme": "https", "nodes": nodes.clone(), "tls": tls});
    let own = |key: &str| upstream(json!({"client_cert": identity.client.cert_pem, "client_key": key}));
    stage.put("routes/inline", json!({"uri": "/echo", "upstream": own(&key)}));
    assert_eq!(ask(gateway, "/echo").status, 200);
    stage.put("routes/inline", json!({"uri": "/echo", "upstream": own(&none)}));
    is_refused(&ask(gateway, "/echo"), &none);

    stage.put("ssls/client", json!({"type": "client", "cert": cert, "key": key}));
    stage.put("upstreams/named", upstream(json!({"client_cert_id": "client"})));
    stage.put("routes/inline", json!({"uri": "/echo", "upstream_id": "named"}));
    assert_eq!(ask(gateway, "/echo").status, 200);
    stage.put("ssls/client", json!({"type": "client", "cert": cert, "key": none}));
    is_refused(&ask(gateway, "/echo"), &none);
    assert!(!gateway.output().contains(identity.client.key_pem.lines().nth(1).unwrap()));
}

#[test]
fn version_2_of_vaults_engine_is_read_with_and_without_its_word() {
    let (stage, vault) = stage();
    for prefix in ["secret/data", "secret"] {
        vault.introduce(&stage.gateway, prefix, TOKEN);
        stage.route("t", tag("X-Tag", "$secret://vault/1/main/tag/value"));
        let answer = stage.get("/t", &[]);
        passes(&answer);
        assert_eq!(answer.header("x-tag"), Some(VALUE), "{prefix}");
        stage.gateway.delete("secrets/vault/1");
        is_refused(&stage.get("/t", &[]), "$secret://vault/1/main/tag/value");
    }
}

#[test]
fn a_certificate_for_clients_may_be_a_secret_and_its_name_waits_for_it() {
    use crate::support::tls::{Authority, TlsClient};
    let gateway = Setup::new().tls("").start();
    let (vault, echo, authority) = (Vault::start(), Echo::start("echo"), Authority::root("servers"));
    gateway.put("routes/all", &json!({"uri": "/*", "upstream": echo.upstream()}));
    let pair = authority.server(&["a.site.test"]).ssl(&["a.site.test"], json!({}));
    let references = json!({"cert": "$secret://vault/1/tls/cert", "key": "$secret://vault/1/tls/key"});
    gateway.put("ssls/all", &authority.server(&["*.site.test"]).ssl(&["*.site.test"], json!({})));
    gateway.put("ssls/a", &authority.server(&["a.site.test"]).ssl(&["a.site.test"], references));
    let client = TlsClient::trusting(&authority);
    let get = || client.get(gateway.tls, "a.site.test", "/x");
    // The certificate for all would do, and is not meant.
    assert!(get().is_err());
    eventually("the reason", || (gateway.counters("tls_faults")["no_certificate"] == 1).then_some(()));
    assert!(warnings(&gateway).contains("$secret://vault/1/tls/"), "{}", warnings(&gateway));
    assert_eq!(client.get(gateway.tls, "b.site.test", "/x").unwrap().0, 200);

    vault.keep("tls", json!({"cert": pair["cert"], "key": pair["key"]}));
    vault.introduce(&gateway, "kv", TOKEN);
    assert_eq!(get().unwrap().0, 200);
}
