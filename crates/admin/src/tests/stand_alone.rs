//! The stand-alone Admin API, and the Admin API where a file rules.

use std::sync::Arc;

use a6_core::{Clock, Secret};
use a6_resources::Catalogue;
use a6_store::{MemoryStore, Opener};
use axum::Router;
use axum::body::Body;
use serde_json::json;

use super::{FewPlugins, Log, ROUTE, Reply, START, Snapshots, config, send};
use crate::{AdminState, Ruler, Writer, router};

const CONFIGS: &str = "/apisix/admin/configs";

fn ruled_by(ruler: Ruler) -> (Router, Log) {
    let log = Log::default();
    let catalogue: Arc<dyn Catalogue> = Arc::new(FewPlugins::new());
    let publisher = Box::new(Snapshots { log: log.clone() });
    let clock = Clock::manual(START * 1000);
    let (writer, _, _) =
        Writer::start(Box::new(MemoryStore::new()), publisher, catalogue.clone(), clock).unwrap();
    let keys = [Secret::new("ABCDEFGHIJKLMNOP".to_string())];
    let opener = Opener::new(&keys, true, catalogue.clone());
    (router(AdminState::new(config(), writer, catalogue).opening(opener).ruled_by(ruler)), log)
}

async fn ask(router: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut all = vec![("host", "localhost"), ("x-api-key", "adm")];
    all.extend(headers);
    send(router, method, path, &all, Body::from(body.to_string())).await
}

fn header<'r>(reply: &'r Reply, name: &str) -> &'r str {
    reply.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn whole_configurations_are_put_and_shown() {
    let (admin, log) = ruled_by(Ruler::Whole);
    let first = ask(&admin, "GET", CONFIGS, &[], "").await;
    assert_eq!((first.status, header(&first, "x-last-modified"), header(&first, "x-digest")), (200, "0", ""));
    let document = first.json();
    assert_eq!((&document["routes"], &document["routes_conf_version"]), (&json!([]), &json!(0)));
    assert_eq!((&document["plugins_conf_version"], &document["X-Digest"]), (&json!(0), &json!("")));

    let body = json!({
        "upstreams": [{"id": "u", "type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}, "modifiedIndex": 9}],
        "routes": [{"uri": "/x", "upstream_id": "u"}],
        "routes_conf_version": 1062,
    });
    let digest = [("x-digest", "d1")];
    let put = ask(&admin, "PUT", CONFIGS, &digest, &body.to_string()).await;
    assert_eq!((put.status, put.body.as_str()), (202, ""));
    assert_eq!((header(&put, "x-digest"), header(&put, "x-last-modified")), ("d1", "1700000000"));
    let published: Vec<usize> = log.lock().unwrap().iter().map(|(_, changes)| changes.len()).collect();
    assert_eq!(published, [0, 2], "one snapshot for both");

    let head = ask(&admin, "HEAD", CONFIGS, &[], "").await;
    assert_eq!((head.status, header(&head, "x-digest"), head.body.as_str()), (200, "d1", ""));
    let yaml = ask(&admin, "GET", CONFIGS, &[("accept", "application/yaml")], "").await;
    assert_eq!(header(&yaml, "content-type"), "application/yaml");
    let shown: serde_json::Value = serde_saphyr::from_str(&yaml.body).unwrap();
    assert_eq!(shown, ask(&admin, "GET", CONFIGS, &[], "").await.json());
    assert_eq!((&shown["upstreams"], &shown["routes"]), (&body["upstreams"], &body["routes"]));
    assert_eq!(
        [&shown["routes_conf_version"], &shown["upstreams_conf_version"]],
        [&json!(1062), &json!(1)],
        "without a version it is the next one"
    );

    // The same route again, and another upstream: one change.
    let text = "upstreams:\n  - id: u\n    type: roundrobin\n    nodes: {\"127.0.0.1:1981\": 1}\n\
        routes:\n  - uri: /x\n    upstream_id: u\n";
    let headers = [("x-digest", "d2"), ("content-type", "application/yaml")];
    assert_eq!(ask(&admin, "PUT", CONFIGS, &headers, text).await.status, 202);
    assert_eq!(log.lock().unwrap().last().unwrap().1.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_taken_changes_nothing() {
    let (admin, log) = ruled_by(Ruler::Whole);
    let put = async |body: &str| ask(&admin, "PUT", CONFIGS, &[("x-digest", "d")], body).await.error();
    let cases = [
        ("", "invalid request body: empty request body"),
        (r#"{"routes_conf_version":"1"}"#, "routes_conf_version must be a number"),
        (r#"{"routes_conf_version":-1}"#, "routes_conf_version must be greater than or equal to (0)"),
        (r#"{"routes":[{"id":1,"uri":"/a","plugins":{}},{"id":"1"}]}"#, "found duplicate id 1 in routes"),
        (
            r#"{"routes":[{"uri":"/a","plugins":{"nope":{}}}]}"#,
            "invalid routes at index 0, err: unknown plugin [nope]",
        ),
        (
            r#"{"routes":[{"uri":"/a","upstream_id":"u"}]}"#,
            "invalid routes at index 0, err: failed to fetch upstream info by upstream id [u], response code: 404",
        ),
        (
            r#"{"stream_routes":[{"id":1}]}"#,
            "invalid stream_routes at index 0, err: stream mode is disabled, can not add stream routes",
        ),
        (r#"{"routes":[{"id":"r","uri":"/a","plugins":{},"desc":"refuse"}]}"#, "routes/r: no such thing"),
    ];
    for (body, expected) in cases {
        assert_eq!(put(body).await, (400, expected.to_string()), "{body}");
    }
    let missing = ask(&admin, "PUT", CONFIGS, &[], "{}").await.error();
    assert_eq!(missing, (400, "missing digest header".to_string()));
    let held = ask(&admin, "GET", CONFIGS, &[], "").await.json();
    assert_eq!((&held["routes"], &held["X-Digest"]), (&json!([]), &json!("")));
    let last = log.lock().unwrap().last().unwrap().1.clone();
    assert!(last.iter().all(|change| change.value.is_none()), "what was refused is taken back: {last:?}");
    for (method, path) in [("GET", "routes"), ("PUT", "routes/1"), ("HEAD", "routes"), ("DELETE", "configs")]
    {
        let reply = ask(&admin, method, &format!("/apisix/admin/{path}"), &[], "{}").await;
        assert_eq!(reply.status, 404, "{method} {path}");
    }
}

const VALIDATE: &str = "/apisix/admin/configs/validate";

#[tokio::test]
async fn a_validation_tells_all_that_a_put_would_refuse() {
    let (admin, log) = ruled_by(Ruler::Whole);
    let wrong = json!({
        "routes": [
            {"id": "a", "uri": "/a", "upstream_id": "u"},
            {"id": "b", "uri": "/b", "service_id": "s"},
            {"id": "c", "uri": "/c", "plugin_config_id": "p", "plugins": {}},
            {"id": "d", "uri": 1, "plugins": {}},
            {"id": "d", "uri": "/d", "plugins": {"nope": {}}},
        ],
        "consumers": [{"username": "jack", "group_id": "g"}, {"id": "jill/credentials/c", "plugins": {}}],
        "consumers_conf_version": -1,
        "protos": {"id": "x"},
        "upstreams_conf_version": "1",
        "stream_routes": [{"id": 3}],
    });
    let item = |kind: &str, id: &str, index: u64, error: &str| json!({"resource_type": kind, "resource_id": id, "index": index, "error": error});
    let missing =
        |what: &str, id: &str| format!("failed to fetch {what} info by {what} id [{id}], response code: 404");
    let expected = [
        item("routes", "a", 0, &missing("upstream", "u")),
        item("routes", "b", 1, &missing("service", "s")),
        item("routes", "c", 2, &missing("plugin config", "p")),
        item(
            "routes",
            "d",
            3,
            "invalid configuration: property \"uri\" validation failed: wrong type: expected string, got number",
        ),
        item("routes", "d", 4, "found duplicate id d in routes"),
        item("routes", "d", 4, "unknown plugin [nope]"),
        json!({"resource_type": "consumers", "error": "consumers_conf_version must be greater than or equal to (0)"}),
        item("consumers", "jack", 0, &missing("consumer group", "g")),
        item("consumers", "jill/credentials/c", 1, "consumer not found"),
        json!({"resource_type": "upstreams", "error": "upstreams_conf_version must be a number, got string"}),
        json!({"resource_type": "protos", "error": "protos must be an array"}),
    ];
    let told = ask(&admin, "POST", VALIDATE, &[], &wrong.to_string()).await;
    assert_eq!((told.status, &told.json()["error_msg"]), (400, &json!("Configuration validation failed")));
    let mut errors = told.json()["errors"].as_array().unwrap().clone();
    let streams = errors.pop().unwrap();
    assert_eq!(errors, expected);
    assert_eq!(streams["error"], "stream mode is disabled, can not add stream routes");
    assert_eq!((&streams["resource_type"], &streams["resource_id"]), (&json!("stream_routes"), &json!(3)));
    let put = ask(&admin, "PUT", CONFIGS, &[("x-digest", "d")], &wrong.to_string()).await.error();
    assert_eq!(
        put,
        (400, format!("invalid routes at index 0, err: {}", missing("upstream", "u"))),
        "the first of them"
    );
    assert_eq!(log.lock().unwrap().len(), 1, "nothing was written");
    for (body, expected) in [
        ("", "invalid request body: empty request body"),
        ("[]", "invalid request body: expected an object of arrays, one for each collection"),
    ] {
        assert_eq!(ask(&admin, "POST", VALIDATE, &[], body).await.error(), (400, expected.to_string()));
    }
}

#[tokio::test]
async fn a_validation_knows_what_is_held() {
    let (admin, _) = ruled_by(Ruler::Whole);
    let upstreams = json!([{"id": "u", "type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}}]);
    let first = json!({"upstreams": upstreams, "upstreams_conf_version": 3}).to_string();
    assert_eq!(ask(&admin, "PUT", CONFIGS, &[("x-digest", "d1")], &first).await.status, 202);
    let routes = json!([{"id": "r", "uri": "/a", "upstream_id": "u"}]);
    for (version, status) in [(3, 200), (4, 400), (2, 400)] {
        let body = json!({"routes": routes, "upstreams_conf_version": version}).to_string();
        let told = ask(&admin, "POST", VALIDATE, &[], &body).await;
        assert_eq!(told.status, status, "{version}: {}", told.body);
        if status == 200 {
            assert_eq!(told.json(), json!({}));
        }
    }
    let held = ask(&admin, "GET", CONFIGS, &[], "").await.json();
    assert_eq!(
        (&held["routes"], &held["X-Digest"]),
        (&json!([]), &json!("d1")),
        "a validation changes nothing"
    );
}

/// `sk-live-1234567890`, encrypted by `openssl enc -aes-128-cbc` as APISIX does it, with the key `ABCDEFGHIJKLMNOP`.
const CIPHERTEXT: &str = "ABz19mkRZHV2dP7T3nX1i0peemtltaKGUZ19HKmgHd0=";

#[tokio::test]
async fn what_apisix_has_encrypted_is_opened_and_shown_as_it_was_put() {
    let (admin, log) = ruled_by(Ruler::Whole);
    let jack = |key: &str| json!({"username": "jack", "plugins": {"key-auth": {"key": key}}});
    let body = json!({"consumers": [jack(CIPHERTEXT)]}).to_string();
    assert_eq!(ask(&admin, "PUT", CONFIGS, &[("x-digest", "d1")], &body).await.status, 202);
    let last = || log.lock().unwrap().last().unwrap().1[0].value.clone().unwrap();
    assert_eq!(*last(), jack("sk-live-1234567890"));
    let held = ask(&admin, "GET", CONFIGS, &[], "").await.json();
    assert_eq!(held["consumers"], json!([jack(CIPHERTEXT)]));
    let jill = json!({"username": "jill", "plugins": {"key-auth": {"key": "sk-live-1234567890"}}});
    let twice = json!({"consumers": [jack(CIPHERTEXT), jill]}).to_string();
    let told = ask(&admin, "POST", VALIDATE, &[], &twice).await;
    assert!(told.status == 400 && told.body.contains("duplicate key of plugin key-auth"), "{}", told.body);
    assert!(!told.body.contains("sk-live"), "{}", told.body);
    let other = "Yp0DN37Kt9N6gOe079LZBhAjzq2/XbO4ritsZqIV2Vk=";
    let ssl =
        json!({"ssls": [{"id": "s", "sni": "a.test", "cert": "$env://CERT", "key": other}]}).to_string();
    let told = ask(&admin, "POST", VALIDATE, &[], &ssl).await;
    let why =
        "; key looks as if APISIX has encrypted it, and no key of apisix.data_encryption.keyring opens it";
    assert!(told.status == 400 && told.body.contains(why) && !told.body.contains(other), "{}", told.body);
}

#[tokio::test]
async fn its_description_is_of_what_is_there() {
    let (admin, _) = ruled_by(Ruler::Whole);
    let document = ask(&admin, "GET", "/apisix/admin/openapi.json", &[], "").await.json();
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let reply = ask(&admin, &method.to_uppercase(), path, &[("x-digest", "d")], "{}").await;
            let is_told = operation["responses"][reply.status.to_string()].is_object();
            // Nobody explains here, and nobody gives tokens out.
            let is_there = reply.status != 404 || path.contains("/debug/");
            assert!(is_told && is_there, "{method} {path}: {} {}", reply.status, reply.body);
            tried += 1;
        }
    }
    assert_eq!(tried, 8);
}

#[tokio::test]
async fn where_a_file_rules_only_reading_is_allowed() {
    let (admin, log) = ruled_by(Ruler::File("/etc/a6/apisix.yaml".into()));
    for (method, path, body) in [
        ("PUT", "routes/1", ROUTE),
        ("POST", "routes", ROUTE),
        ("PATCH", "routes/1", "{}"),
        ("DELETE", "consumers/jack", ""),
        ("PUT", "consumers/jack/credentials/c", "{}"),
    ] {
        let (status, text) = ask(&admin, method, &format!("/apisix/admin/{path}"), &[], body).await.error();
        assert!(
            status == 405 && text.starts_with("the file /etc/a6/apisix.yaml says"),
            "{method} {status} {text}"
        );
    }
    assert_eq!(ask(&admin, "GET", "/apisix/admin/routes", &[], "").await.json()["total"], 0);
    assert_eq!(ask(&admin, "GET", "/apisix/admin/configs", &[], "").await.status, 404);
    assert_eq!(log.lock().unwrap().len(), 1, "nothing was written");
}

#[tokio::test]
async fn a_client_that_leaves_does_not_part_what_is_held_from_what_is_in_force() {
    let (admin, log) = ruled_by(Ruler::Whole);
    let body = json!({"routes": [{"uri": "/x", "upstream": {"nodes": {"127.0.0.1:1980": 1}}}]}).to_string();
    let digest = [("x-digest", "d1")];
    let mut put = Box::pin(ask(&admin, "PUT", CONFIGS, &digest, &body));
    std::future::poll_fn(|cx| {
        assert!(put.as_mut().poll(cx).is_pending(), "the writer is on a thread of its own");
        std::task::Poll::Ready(())
    })
    .await;
    drop(put);
    let head = ask(&admin, "HEAD", CONFIGS, &[], "").await;
    assert_eq!(header(&head, "x-digest"), "d1");
    assert_eq!(log.lock().unwrap().len(), 2, "it was taken into force, once");
    assert_eq!(ask(&admin, "PUT", CONFIGS, &digest, &body).await.status, 204);
}

#[tokio::test]
async fn a_version_that_has_no_next_is_refused() {
    let (admin, _) = ruled_by(Ruler::Whole);
    for version in ["9223372036854775807", "9007199254740992", "1e300", "-9007199254740992"] {
        let body = format!(r#"{{"routes": [], "routes_conf_version": {version}}}"#);
        let put = ask(&admin, "PUT", CONFIGS, &[("x-digest", "d")], &body).await;
        assert!(put.status == 400 && put.body.contains("routes_conf_version must be below"), "{}", put.body);
    }
}
