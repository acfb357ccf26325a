//! Promise: where a file rules, what it says is in force soon after it changes, however it was changed; a file with anything
//! wrong in it is refused whole, with line and column, and the last good one serves on, or ends the start.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use serde_json::{Value, json};
use support::{Connection, Gateway, Setup, ai_route, chat, eventually, request};
use tempfile::TempDir;

/// A route that says by the model which of them answered.
fn route(uri: &str, mock: &str, model: &str) -> Value {
    ai_route(uri, mock, json!({"options": {"model": model}}))
}

/// JSON is YAML; only the end has to be said.
fn yaml(document: &Value) -> String {
    format!("{document:#}\n#END\n")
}

fn ruled_by(home: &Arc<TempDir>, provider: &str, file: &Path) -> Setup {
    Setup::new()
        .home(home)
        .variable("A6_CONF_DEPLOYMENT__ROLE", "data_plane")
        .variable("A6_CONF_DEPLOYMENT__ROLE_DATA_PLANE__CONFIG_PROVIDER", provider)
        .variable("A6_CONF_A6__CONFIG_FILE", file.to_str().unwrap())
}

fn home() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

/// The model by which a route answers; none without a route.
fn model(gateway: &Gateway, uri: &str) -> Option<String> {
    let answer = support::post(gateway.data, uri, &[], &chat("hello"));
    match answer.status {
        200 => Some(answer.json()["model"].as_str().unwrap().to_string()),
        404 => None,
        other => panic!("{other}: {}", answer.text()),
    }
}

fn wait_for_model(gateway: &Gateway, expected: &str, how: &str) {
    eventually(&format!("{expected} {how}"), || {
        (model(gateway, "/chat").as_deref() == Some(expected)).then_some(())
    });
}

fn status(gateway: &Gateway) -> Value {
    let host = gateway.control.to_string();
    let asked = request("GET", "/v1/config/status", &[("Host", host.as_str())], b"");
    Connection::open(gateway.control).answer(&asked).json()
}

/// Waits until the file is refused for this reason.
fn refused(gateway: &Gateway, reason: &str) -> Value {
    eventually(&format!("a refusal with {reason:?}"), || {
        let status = status(gateway);
        let told = status["file"]["refused"]["reason"].as_str().unwrap_or_default().to_string();
        told.contains(reason).then_some(status)
    })
}

#[test]
fn every_way_to_change_the_file_takes_effect() {
    let (mock, home) = (support::mock(), home());
    let conf = home.path().join("conf");
    fs::create_dir(&conf).unwrap();
    let text = |model: &str| yaml(&json!({"routes": [route("/chat", &mock.url(), model)]}));
    for (version, model) in [("..1", "one"), ("..2", "two")] {
        fs::create_dir(conf.join(version)).unwrap();
        fs::write(conf.join(version).join("apisix.yaml"), text(model)).unwrap();
    }
    // As Kubernetes mounts a ConfigMap.
    symlink("..1", conf.join("..data")).unwrap();
    symlink("..data/apisix.yaml", conf.join("apisix.yaml")).unwrap();
    let gateway = ruled_by(&home, "yaml", &conf.join("apisix.yaml")).start();
    assert_eq!(model(&gateway, "/chat").as_deref(), Some("one"));
    symlink("..2", conf.join("..tmp")).unwrap();
    fs::rename(conf.join("..tmp"), conf.join("..data")).unwrap();
    wait_for_model(&gateway, "two", "after a link was replaced");
    fs::write(conf.join("new"), text("three")).unwrap();
    fs::rename(conf.join("new"), conf.join("apisix.yaml")).unwrap();
    wait_for_model(&gateway, "three", "after a rename");
    fs::write(conf.join("apisix.yaml"), text("four")).unwrap();
    wait_for_model(&gateway, "four", "after a write in place");
    fs::write(conf.join("apisix.yaml"), yaml(&json!({}))).unwrap();
    eventually("nothing", || model(&gateway, "/chat").is_none().then_some(()));
}

#[test]
fn a_bad_file_is_refused_whole_and_told() {
    let (mock, home) = (support::mock(), home());
    let file = home.path().join("apisix.yaml");
    let good = json!({"routes": [route("/chat", &mock.url(), "good")]});
    fs::write(&file, yaml(&good)).unwrap();
    let gateway = ruled_by(&home, "yaml", &file).start();
    let revision = status(&gateway)["revision"].clone();
    let new = format!("routes:\n  - {}\n", route("/new", &mock.url(), "new"));
    let shown = file.display();
    let cases = [
        (format!("{new}  - uri: 7\n    plugins: {{}}\n#END"), format!("{shown}:3:5: routes[1].uri: ")),
        (
            format!("{new}  - uri: /x\n    service_id: s\n#END"),
            format!("{shown}:4:5: routes[1].service_id: routes arr_2: failed to fetch service info"),
        ),
        (
            format!("{new}  - uri: /x\n    plugins: {{no-such-plugin: {{}}}}\n#END"),
            "unknown plugin".to_string(),
        ),
        (
            format!("{new}  - uri: ${{{{NOT_SET}}}}\n#END"),
            format!("{shown}:3:10: routes[1].uri: environment variable NOT_SET"),
        ),
        (format!("{new}routes: []\n#END"), format!("{shown}:3:1: routes: duplicate key")),
        (format!("{new}  bad\n#END"), format!("{shown}:")),
        (new.clone(), format!("missing valid end flag in file {shown}")),
    ];
    for (text, reason) in cases {
        fs::write(&file, &text).unwrap();
        let told = refused(&gateway, &reason);
        assert_eq!(told["revision"], revision, "{text}");
        assert_eq!(told["last_rejected"]["key"], shown.to_string(), "{text}");
        assert_eq!(model(&gateway, "/new"), None, "{text}");
        assert_eq!(model(&gateway, "/chat").as_deref(), Some("good"), "{text}");
        let log = gateway.output();
        assert!(log.contains(&reason) && !log.contains("sk-provider"), "{log}");
    }
    fs::remove_file(&file).unwrap();
    refused(&gateway, "cannot read the configuration");
    assert_eq!(model(&gateway, "/chat").as_deref(), Some("good"), "without the file");
    fs::write(&file, format!("{new}#END")).unwrap();
    eventually("the new route", || (model(&gateway, "/new").as_deref() == Some("new")).then_some(()));
    assert_eq!(model(&gateway, "/chat"), None);
    eventually("no refusal", || status(&gateway)["file"]["refused"].is_null().then_some(()));
}

#[test]
fn only_what_differs_is_written_and_the_admin_api_reads() {
    let (mock, home) = (support::mock(), home());
    let file = home.path().join("apisix.json");
    let with = |model: &str| {
        let mut other = route("/other", &mock.url(), "same");
        other["id"] = json!("other");
        let mut chat = route("/chat", &mock.url(), model);
        chat["id"] = json!("chat");
        json!({"routes": [other, chat]}).to_string()
    };
    fs::write(&file, with("one")).unwrap();
    let gateway = ruled_by(&home, "json", &file).start();
    let index = |id: &str| gateway.admin("GET", &format!("routes/{id}"), None).1["modifiedIndex"].clone();
    let before = index("other");
    fs::write(&file, with("two")).unwrap();
    wait_for_model(&gateway, "two", "after a write");
    assert_eq!(index("other"), before);
    assert_ne!(index("chat"), before);

    let body = route("/x", &mock.url(), "x");
    for (method, path, body) in [
        ("PUT", "routes/x", Some(&body)),
        ("POST", "routes", Some(&body)),
        ("PATCH", "routes/chat", Some(&body)),
        ("DELETE", "routes/chat", None),
    ] {
        let (status, answer) = gateway.admin(method, path, body);
        let text = answer["error_msg"].as_str().unwrap_or_default();
        assert!(status == 405 && text.contains(&file.display().to_string()), "{method}: {status} {answer}");
    }
    assert_eq!(gateway.admin("GET", "routes", None).1["total"], 2);
    assert!(!gateway.data_dir().join("config.db").exists(), "nothing is stored");
}

#[test]
fn a_start_with_a_bad_file_ends_and_names_it() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("conf")).unwrap();
    let settings = "deployment: {role: data_plane, role_data_plane: {config_provider: yaml}}\n\
        apisix: {node_listen: [{ip: 127.0.0.1, port: 0}], enable_admin: false, enable_control: false}\n";
    fs::write(home.path().join("conf/config.yaml"), settings).unwrap();
    let cases = [
        (None, "conf/apisix.yaml: cannot read the configuration"),
        (Some("routes: []\n"), "missing valid end flag in file conf/apisix.yaml"),
        (Some("routes:\n  - uri: 1\n    plugins: {}\n#END\n"), "conf/apisix.yaml:2:5: routes[0].uri: "),
    ];
    for (text, expected) in cases {
        if let Some(text) = text {
            fs::write(home.path().join("conf/apisix.yaml"), text).unwrap();
        }
        let output = support::a6(home.path()).arg("serve").stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(expected) && !told.contains("panicked"), "{told}");
    }
}

#[test]
fn the_stand_alone_admin_api_takes_whole_configurations() {
    let mock = support::mock();
    let gateway =
        Setup::new().variable("A6_CONF_DEPLOYMENT__ROLE_TRADITIONAL__CONFIG_PROVIDER", "yaml").start();
    let put = |digest: &str, body: &Value| {
        let host = gateway.admin.to_string();
        let headers = [("Host", host.as_str()), ("X-API-KEY", support::ADMIN_KEY), ("X-Digest", digest)];
        let asked = request("PUT", "/apisix/admin/configs", &headers, body.to_string().as_bytes());
        Connection::open(gateway.admin).answer(&asked)
    };
    let body = |version: u64, model: &str| json!({"routes": [route("/chat", &mock.url(), model)], "routes_conf_version": version});
    assert_eq!(gateway.admin("GET", "configs", None).1["routes_conf_version"], 0);
    assert_eq!(put("a", &body(5, "one")).status, 202);
    assert_eq!(model(&gateway, "/chat").as_deref(), Some("one"), "it is in force when it is answered");
    assert_eq!(put("a", &body(6, "two")).status, 204);
    assert_eq!(put("b", &body(5, "two")).status, 202, "of the same version nothing is taken");
    let refused = put("c", &body(4, "two"));
    let text = "routes_conf_version must be greater than or equal to (5)";
    assert_eq!((refused.status, refused.json()["error_msg"].as_str()), (400, Some(text)));
    let refused = put("c", &json!({"routes": [{"uri": 1, "plugins": {}}]}));
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(
        refused.text().contains("invalid routes at index 0, err: invalid configuration: "),
        "{}",
        refused.text()
    );
    assert_eq!(model(&gateway, "/chat").as_deref(), Some("one"));
    let held = gateway.admin("GET", "configs", None).1;
    assert_eq!((&held["X-Digest"], &held["routes_conf_version"]), (&json!("b"), &json!(5)));
    assert_eq!(put("d", &json!({})).status, 202);
    assert_eq!(model(&gateway, "/chat"), None, "what has no version is replaced");
    assert_eq!(gateway.admin("PUT", "routes/1", Some(&body(1, "x"))).0, 404);
}

/// `sk-live-1234567890`, encrypted by `openssl enc -aes-128-cbc` as APISIX does it, with the key `ABCDEFGHIJKLMNOP`.
const CIPHERTEXT: &str = "ABz19mkRZHV2dP7T3nX1i0peemtltaKGUZ19HKmgHd0=";

/// A route with key-auth, and a caller whose key APISIX has encrypted.
fn with_ciphertext(mock: &str) -> Value {
    let mut route = route("/chat", mock, "one");
    route["plugins"]["key-auth"] = json!({});
    let jack = json!({"username": "jack", "plugins": {"key-auth": {"key": CIPHERTEXT}}});
    json!({"routes": [route], "consumers": [jack]})
}

/// The statuses of a request with the opened key, and with the ciphertext for one.
fn knocks(gateway: &Gateway) -> [u16; 2] {
    ["sk-live-1234567890", CIPHERTEXT]
        .map(|key| support::post(gateway.data, "/chat", &[("apikey", key)], &chat("hello")).status)
}

#[test]
fn what_apisix_has_encrypted_is_opened_by_its_key() {
    let (mock, home) = (support::mock(), home());
    let file = home.path().join("apisix.yaml");
    fs::write(&file, yaml(&with_ciphertext(&mock.url()))).unwrap();
    let name = "A6_CONF_APISIX__DATA_ENCRYPTION__KEYRING";
    let gateway = ruled_by(&home, "yaml", &file).variable(name, "ABCDEFGHIJKLMNOP").start();
    assert_eq!(knocks(&gateway), [200, 401]);
    let output = gateway.output();
    assert!(!output.contains("ABCDEFGHIJKLMNOP") && !output.contains("looks as if"), "{output}");
    drop(gateway);

    // Without its key it is used as it stands, and that is told.
    let gateway = ruled_by(&home, "yaml", &file).start();
    assert_eq!(knocks(&gateway), [401, 200]);
    let told = "plugins.key-auth.key looks as if APISIX has encrypted it, and no key opens it";
    let warnings = status(&gateway)["file"]["warnings"].to_string();
    assert!(gateway.output().contains(told) && warnings.contains(told), "{warnings}");
    drop(gateway);

    // Where nothing is encrypted nothing is looked at.
    let name = "A6_CONF_APISIX__DATA_ENCRYPTION__ENABLE_ENCRYPT_FIELDS";
    let gateway = ruled_by(&home, "yaml", &file).variable(name, "false").start();
    assert_eq!(knocks(&gateway), [401, 200]);
    assert_eq!(status(&gateway)["file"]["warnings"], json!([]));
}

#[test]
fn what_apisix_has_encrypted_is_opened_by_its_key_in_the_stand_alone_admin_api() {
    let mock = support::mock();
    let gateway = Setup::new()
        .variable("A6_CONF_DEPLOYMENT__ROLE_TRADITIONAL__CONFIG_PROVIDER", "yaml")
        .variable("A6_CONF_APISIX__DATA_ENCRYPTION__KEYRING", "ABCDEFGHIJKLMNOP")
        .start();
    let host = gateway.admin.to_string();
    let headers = [("Host", host.as_str()), ("X-API-KEY", support::ADMIN_KEY), ("X-Digest", "a")];
    let body = with_ciphertext(&mock.url()).to_string();
    let asked = request("PUT", "/apisix/admin/configs", &headers, body.as_bytes());
    assert_eq!(Connection::open(gateway.admin).answer(&asked).status, 202);
    assert_eq!(knocks(&gateway), [200, 401]);
    let held = gateway.admin("GET", "configs", None).1;
    assert_eq!(held["consumers"][0]["plugins"]["key-auth"]["key"], CIPHERTEXT, "shown as it was put");
}
