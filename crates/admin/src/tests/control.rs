use axum::body::Body;
use serde_json::{Value, json};

use super::{START, UPSTREAM, house, send};

#[tokio::test]
async fn resources_are_shown_without_their_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let route = json!({
        "uri": "/x",
        "plugins": {"ai-proxy": {
            "provider": "openai",
            "auth": {"header": {"Authorization": "Bearer sk-live"}, "query": {"k": "sk-live"}},
        }},
    });
    assert_eq!(house.ask("PUT", "/apisix/admin/routes/1", &route.to_string()).await.status, 201);
    let plain = house.ask("GET", "/apisix/admin/routes/1", "").await.body;
    assert!(plain.contains("sk-live"), "the Admin API's own readers see it");

    let one = house.control("/v1/route/1").await;
    assert_eq!(one.status, 200);
    let one = one.json();
    let auth = json!({"header": {"Authorization": "***"}, "query": {"k": "***"}});
    assert_eq!(one["value"]["plugins"]["ai-proxy"], json!({"provider": "openai", "auth": auth}));
    assert_eq!((&one["key"], &one["createdIndex"]), (&json!("/apisix/routes/1"), &json!(1)));
    assert_eq!(house.control("/v1/routes").await.json(), json!([one]));
    assert_eq!(house.control("/v1/services").await.json(), json!([]));
}

#[tokio::test]
async fn the_status_tells_what_is_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let status = house.control("/v1/config/status").await.json();
    let empty = json!({"routes": 0, "services": 0, "upstreams": 0});
    assert_eq!(status, json!({"revision": 0, "last_change": null, "last_rejected": null, "entries": empty}));
    house.ask("PUT", "/apisix/admin/upstreams/u", UPSTREAM).await;
    let status = house.control("/v1/config/status").await.json();
    let one = json!({"routes": 0, "services": 0, "upstreams": 1});
    let change = json!({"key": "upstreams/u", "at": START});
    assert_eq!(status, json!({"revision": 1, "last_change": change, "last_rejected": null, "entries": one}));
}

#[tokio::test]
async fn schemas_and_what_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let schema = house.control("/v1/schema").await.json();
    let main: Vec<&str> = schema["main"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(main, ["route", "service", "upstream"]);
    assert_eq!(schema["plugins"]["ai-proxy"]["version"], "0.1");

    let text = |reply: Value| reply["error_msg"].as_str().unwrap().to_string();
    for (path, expected) in [
        ("/v1/route/none", "route[none] not found"),
        ("/v1/upstream/none", "upstream[none] not found"),
        ("/v1/schema/x", "nothing is here"),
        ("/v1/nothing", "nothing is here"),
        ("/", "nothing is here"),
    ] {
        let reply = house.control(path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(text(reply.json()).starts_with(expected), "{path}: {}", reply.body);
    }
    let host = [("host", "rebound.example")];
    assert_eq!(send(&house.control, "GET", "/v1/routes", &host, Body::empty()).await.status, 403);
    let post = send(&house.control, "POST", "/v1/routes", &[("host", "localhost")], Body::empty()).await;
    assert_eq!(post.status, 404);
}
