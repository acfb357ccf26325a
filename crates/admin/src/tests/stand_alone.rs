//! The stand-alone Admin API, and the Admin API where a file rules.

use std::sync::Arc;

use a6_core::Clock;
use a6_resources::Catalogue;
use a6_store::MemoryStore;
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
    (router(AdminState::new(config(), writer, catalogue).ruled_by(ruler)), log)
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
    let validated = ask(&admin, "POST", "/apisix/admin/configs/validate", &[], "{}").await;
    assert_eq!((validated.status, validated.json()), (200, json!({})));
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
