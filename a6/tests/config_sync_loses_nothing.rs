//! Promise: what `a6 config dump` wrote, `a6 config sync` brings back, every kind and every member of it, and then `a6 config
//! diff` says that nothing differs; what is not in the file goes only when that was said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::fs;
use std::process::Output;

use serde_json::{Value, json};
use support::tls::Authority;
use support::{ADMIN_KEY, Gateway, Setup, a6};

struct User<'g> {
    gateway: &'g Gateway,
}

impl User<'_> {
    fn run(&self, arguments: &str) -> (i32, String, String) {
        let mut command = a6(self.gateway.home.path());
        command.env("A6_SERVER", format!("http://{}", self.gateway.admin)).env("A6_API_KEY", ADMIN_KEY);
        let Output { status, stdout, stderr } =
            command.args(arguments.split_whitespace()).stdin(std::process::Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    fn succeeds(&self, arguments: &str) -> String {
        let (code, output, errors) = self.run(arguments);
        assert_eq!((code, errors.as_str()), (0, ""), "a6 {arguments}: {output}");
        output
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.gateway.home.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.gateway.home.path().join(name)).unwrap()
    }
}

/// Something of every kind, in an order in which it can be written.
fn everything(authority: &Authority) -> Vec<(&'static str, Value)> {
    let (server, client) = (authority.server(&["a.test"]), authority.client());
    let node = json!([{"host": "127.0.0.1", "port": 1, "weight": 1, "metadata": {"zone": "1"}}]);
    vec![
        (
            "secrets/vault/1",
            json!({"uri": "http://127.0.0.1:1", "prefix": "kv", "token": "$env://T", "extra": {"kept": [1, "007"]}}),
        ),
        ("protos/1", json!({"content": "syntax = \"proto3\";\npackage a;\nmessage A {}\n", "desc": "first"})),
        ("ssls/c", json!({"type": "client", "cert": client.cert, "key": client.key})),
        ("ssls/s", server.ssl(&["a.test"], json!({"labels": {"team": "x"}}))),
        ("plugin_metadata/key-auth", json!({"note": {"on": "yes", "n": 9_007_199_254_740_993_u64}})),
        (
            "upstreams/1",
            json!({"id": 1, "nodes": node, "scheme": "https", "tls": {"client_cert": client.cert, "client_key": client.key}}),
        ),
        (
            "upstreams/shown",
            json!({"nodes": {"127.0.0.1:2": 1}, "scheme": "https", "tls": {"client_cert_id": "c"}}),
        ),
        ("global_rules/g", json!({"plugins": {"request-id": {}}})),
        ("consumer_groups/team", json!({"plugins": {"limit-count": {"count": 10, "time_window": 60}}})),
        (
            "consumers/jack",
            json!({"username": "jack", "group_id": "team", "plugins": {"key-auth": {"key": "jacks-key"}}}),
        ),
        ("consumers/jack/credentials/phone", json!({"plugins": {"key-auth": {"key": "phones-key"}}})),
        ("plugin_configs/p", json!({"plugins": {"proxy-rewrite": {"uri": "/y?a=1#b: c"}}})),
        ("services/s", json!({"upstream": {"nodes": node, "type": "roundrobin"}, "name": "yes"})),
        (
            "routes/1",
            json!({"id": 1, "uri": "/x", "upstream_id": 1, "plugin_config_id": "p", "priority": 1_000_000,
                "vars": [["arg_a", "==", "b"], ["arg_c", ">", 0.5]], "desc": "two\nlines\n"}),
        ),
        (
            "routes/y",
            json!({"uris": ["/y", "/z/*"], "service_id": "s", "methods": ["GET"], "labels": {"a": "1"}}),
        ),
    ]
}

/// A dump without the keys that are sealed anew with each write.
fn without_sealed(dump: &str) -> Value {
    let mut dump: Value = serde_json::from_str(dump).unwrap();
    for upstream in dump["upstreams"].as_array_mut().unwrap() {
        if let Some(tls) = upstream.get_mut("tls").and_then(Value::as_object_mut) {
            tls.shift_remove("client_key");
        }
    }
    dump
}

#[test]
fn every_kind_survives_dump_and_sync() {
    let gateway = Setup::new().start();
    let user = User { gateway: &gateway };
    let objects = everything(&Authority::root("Test Root"));
    for (path, object) in &objects {
        gateway.put(path, object);
    }
    user.succeeds("config dump -f all.yaml");
    assert_eq!(user.succeeds("config validate -f all.yaml"), "Config is valid\n");
    assert_eq!(user.succeeds("config diff -f all.yaml"), "No differences found.\n");
    let (_, revision) = gateway.admin("GET", "routes/1", None);
    let summary = user.succeeds("config sync -f all.yaml");
    assert!(summary.starts_with("Sync completed:\n"), "{summary}");
    let idle = |line: &str| line.ends_with(": created=0 updated=0 deleted=0");
    assert!(summary.lines().skip(1).all(idle), "{summary}");
    assert_eq!(gateway.admin("GET", "routes/1", None).1, revision, "what is equal is not written");

    // A gateway shows no keys of certificates: who wants to make them again has to have them.
    let dump = user.succeeds("config dump -o json");
    assert!(!dump.contains("\"key\": \"-----BEGIN"), "a certificate's key is shown");
    let mut whole: Value = serde_json::from_str(&dump).unwrap();
    for ssl in whole["ssl"].as_array_mut().unwrap() {
        let path = format!("ssls/{}", ssl["id"].as_str().unwrap());
        let (_, written) = objects.iter().find(|(own, _)| **own == path).unwrap();
        ssl["key"] = written["key"].clone();
    }
    user.write("all.json", &whole.to_string());
    assert_eq!(user.succeeds("config diff -f all.json"), "No differences found.\n");

    user.write("none.yaml", "version: \"1\"\ncredentials: []\n");
    let (code, output, errors) = user.run("config sync -f none.yaml");
    assert_eq!((code, output.as_str()), (1, ""), "{errors}");
    assert!(errors.starts_with("nothing was changed: none.yaml has no section for these"), "{errors}");
    assert!(errors.contains("- consumers: jack\n") && errors.contains("- routes: 1, y\n"), "{errors}");
    assert_eq!(user.succeeds("config dump -o json"), dump, "nothing was changed");
    user.succeeds("config sync -f none.yaml --delete=true");
    assert_eq!(user.succeeds("config dump"), "version: \"1\"\n");

    let (code, _, errors) = user.run("config sync -f all.yaml");
    assert_eq!(code, 1);
    assert!(errors.contains("ssl[0]: the gateway has no certificate"), "{errors}");
    assert_eq!(user.succeeds("config dump"), "version: \"1\"\n");

    user.succeeds("config sync -f all.json");
    for file in ["all.json", "all.yaml"] {
        assert_eq!(user.succeeds(&format!("config diff -f {file}")), "No differences found.\n");
    }
    assert_eq!(without_sealed(&user.succeeds("config dump -o json")), without_sealed(&dump));
}

#[test]
fn a_certificate_changes_without_its_key_in_the_file() {
    let gateway = Setup::new().start();
    let user = User { gateway: &gateway };
    gateway.put(
        "ssls/s",
        &Authority::root("Test Root").server(&["a.test", "b.test"]).ssl(&["a.test"], json!({})),
    );
    user.succeeds("config dump -f all.yaml");
    user.write("all.yaml", &user.read("all.yaml").replace("- a.test", "- b.test"));
    let summary = user.succeeds("config sync -f all.yaml");
    assert!(summary.contains("ssl: created=0 updated=1 deleted=0\n"), "{summary}");
    assert_eq!(user.succeeds("config diff -f all.yaml"), "No differences found.\n");
    assert_eq!(gateway.admin("GET", "ssls/s", None).1["value"]["snis"], json!(["b.test"]));
}

#[test]
fn numeric_ids_and_array_nodes_make_no_difference() {
    let gateway = Setup::new().start();
    let user = User { gateway: &gateway };
    let file = "version: 1
routes:
  - {id: 1, uri: /x, upstream_id: 2}
upstreams:
  - id: 2
    nodes:
      - {host: 127.0.0.1, port: 80, weight: 1}
";
    user.write("a.yaml", file);
    user.succeeds("config sync -f a.yaml");
    assert_eq!(user.succeeds("config diff -f a.yaml"), "No differences found.\n");
    let nodes = &gateway.admin("GET", "upstreams/2", None).1["value"]["nodes"];
    assert_eq!(*nodes, json!([{"host": "127.0.0.1", "port": 80, "weight": 1}]));
}

#[test]
fn a_sync_that_breaks_off_is_completed_by_the_next_one() {
    let gateway = Setup::new().start();
    let user = User { gateway: &gateway };
    let file = |plugin: &str| {
        format!(
            "version: \"1\"\nupstreams:\n  - {{id: u, nodes: {{\"127.0.0.1:1\": 1}}}}\nroutes:\n  \
             - {{id: a, uri: /a, upstream_id: u}}\n  - {{id: b, uri: /b, upstream_id: u, plugins: {{{plugin}: {{}}}}}}\n  \
             - {{id: c, uri: /c, upstream_id: u}}\n"
        )
    };
    user.write("a.yaml", &file("no-such"));
    let (code, output, errors) = user.run("config sync -f a.yaml");
    assert_eq!((code, output.as_str()), (1, ""), "{errors}");
    let expected = "failed to create routes/b: API error (status 400): unknown plugin [no-such]\n\
                    applied before that:\n- created upstreams/u\n- created routes/a\nnot applied:\n\
                    - create routes/b\n- create routes/c\nhint: ";
    assert!(errors.starts_with(expected), "{errors}");
    user.write("a.yaml", &file("key-auth"));
    let summary = user.succeeds("config sync -f a.yaml");
    assert!(summary.contains("upstreams: created=0 updated=0 deleted=0\n"), "{summary}");
    assert!(summary.contains("routes: created=2 updated=0 deleted=0\n"), "{summary}");
    assert_eq!(user.succeeds("config diff -f a.yaml"), "No differences found.\n");

    // What nothing refers to any more goes in the same run.
    user.write("b.yaml", "version: \"1\"\nroutes: []\nupstreams: []\n");
    assert!(user.succeeds("config sync -f b.yaml --dry-run").contains("  DELETE u\n"));
    assert!(user.succeeds("config sync -f b.yaml").contains("upstreams: created=0 updated=0 deleted=1\n"));
    assert_eq!(user.succeeds("config dump"), "version: \"1\"\n");
}
