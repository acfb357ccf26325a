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
    assert_eq!(one["value"]["plugins"]["ai-proxy"], json!({"provider": "openai", "auth": auth, "_meta": {}}));
    assert_eq!((&one["key"], &one["createdIndex"]), (&json!("/apisix/routes/1"), &json!(1)));
    assert_eq!(house.control("/v1/routes").await.json(), json!([one]));
    assert_eq!(house.control("/v1/services").await.json(), json!([]));
}

#[tokio::test]
async fn consumers_and_metadata_are_shown_without_their_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    for (path, body) in [
        ("consumers/jack", json!({"username": "jack", "plugins": {"key-auth": {"key": "k-jack"}}})),
        ("consumers/jack/credentials/c", json!({"plugins": {"key-auth": {"key": "k-c"}}})),
        ("plugin_metadata/http-logger", json!({"token": "t", "log_format": {"a": "$host"}})),
    ] {
        let reply = house.ask("PUT", &format!("/apisix/admin/{path}"), &body.to_string()).await;
        assert_eq!(reply.status, 201, "{path}: {}", reply.body);
    }
    let hidden = json!({"key-auth": {"key": "***"}});
    let consumer = house.control("/v1/consumer/jack").await.json();
    assert_eq!(
        (&consumer["key"], &consumer["value"]["plugins"]),
        (&json!("/apisix/consumers/jack"), &hidden)
    );
    assert_eq!(house.control("/v1/consumers").await.json(), json!([consumer]));
    let credential = house.control("/v1/credential/jack/credentials/c").await.json();
    assert_eq!(credential["key"], "/apisix/consumers/jack/credentials/c");
    assert_eq!(credential["value"]["plugins"], hidden);
    assert_eq!(house.control("/v1/credentials").await.json(), json!([credential]));
    let metadata = json!({"token": "***", "log_format": {"a": "$host"}, "id": "http-logger"});
    assert_eq!(house.control("/v1/plugin_metadata/http-logger").await.json(), metadata);
    assert_eq!(house.control("/v1/plugin_metadatas").await.json(), json!([metadata]));
    assert_eq!(house.control("/v1/consumer_groups").await.json(), json!([]));
}

#[tokio::test]
async fn the_status_tells_what_is_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let status = house.control("/v1/config/status").await.json();
    let mut entries = json!({
        "routes": 0, "services": 0, "plugin_configs": 0, "credentials": 0, "consumers": 0, "consumer_groups": 0,
        "global_rules": 0, "upstreams": 0, "plugin_metadatas": 0, "ssls": 0, "protos": 0, "secrets": 0,
    });
    let expected = |revision: u64, change: Value, entries: &Value| {
        json!({
            "revision": revision, "last_change": change, "last_rejected": null, "entries": entries, "warnings": [],
        })
    };
    assert_eq!(status, expected(0, Value::Null, &entries));
    house.ask("PUT", "/apisix/admin/upstreams/u", UPSTREAM).await;
    let status = house.control("/v1/config/status").await.json();
    entries["upstreams"] = json!(1);
    assert_eq!(status, expected(1, json!({"key": "upstreams/u", "at": START}), &entries));

    let auth = json!({"header": {"Authorization": "sk-live"}});
    let purse = json!({"uri": "/x", "plugins": {"ai-proxy": {"provider": "openai", "auth": auth}}});
    assert_eq!(house.ask("PUT", "/apisix/admin/routes/open", &purse.to_string()).await.status, 201);
    let warnings = house.control("/v1/config/status").await.json()["warnings"].clone();
    let warning = warnings[0].as_str().unwrap();
    assert!(warning.starts_with("route open: ai-proxy adds a provider's key"), "{warnings}");
}

#[tokio::test]
async fn schemas_and_what_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let schema = house.control("/v1/schema").await.json();
    let main: Vec<&str> = schema["main"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "route",
        "service",
        "plugin_config",
        "credential",
        "consumer",
        "consumer_group",
        "global_rule",
        "upstream",
        "ssl",
        "proto",
        "upstream_hash_header_schema",
        "upstream_hash_vars_schema",
    ];
    assert_eq!(main, expected);
    assert_eq!(schema["plugins"]["ai-proxy"]["version"], 0.1);

    let text = |reply: Value| reply["error_msg"].as_str().unwrap().to_string();
    for (path, expected) in [
        ("/v1/route/none", "route[none] not found"),
        ("/v1/upstream/none", "upstream[none] not found"),
        ("/v1/plugin_metadata/none", "plugin metadata[none] not found"),
        ("/v1/credential/a/credentials/b", "credential[a/credentials/b] not found"),
        ("/v1/secret/vault/1", "secret[vault/1] not found"),
        ("/v1/gc", "nothing is here"),
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
    for (method, path, status, body) in [
        ("POST", "/v1/routes", 404, None),
        ("GET", "/v1/plugins/reload", 404, None),
        ("POST", "/v1/gc", 200, Some("")),
        ("PUT", "/v1/plugins/reload", 200, Some("done")),
    ] {
        let reply = send(&house.control, method, path, &[("host", "localhost")], Body::empty()).await;
        assert_eq!(reply.status, status, "{method} {path}");
        if let Some(body) = body {
            assert_eq!(reply.body, body, "{method} {path}");
            assert_eq!(reply.headers["content-type"], "text/plain; charset=utf-8", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn resources_are_shown_as_they_are_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let upstream = r#"{"nodes":{"127.0.0.1:1980":1,"[::1]:1981":2,"node.test":3}}"#;
    for (path, body) in [
        ("upstreams/u", upstream.to_string()),
        ("services/s", json!({"upstream": {"nodes": [{"host": "[::1]", "weight": 1}]}}).to_string()),
        ("routes/r", json!({"uri": "/x", "upstream_id": "u", "plugins": {"http-logger": {}}}).to_string()),
    ] {
        assert_eq!(house.ask("PUT", &format!("/apisix/admin/{path}"), &body).await.status, 201, "{path}");
    }
    let defaults = |more: Value| {
        let mut all = json!({"type": "roundrobin", "hash_on": "vars", "scheme": "http", "pass_host": "pass"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let times = json!({"create_time": START, "update_time": START});
    let in_full = |id: &str, more: Value| {
        let mut all = times.clone();
        all["id"] = json!(id);
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let nodes = json!([
        {"host": "127.0.0.1", "port": 1980, "weight": 1},
        {"host": "[::1]", "port": 1981, "weight": 2},
        {"host": "node.test", "weight": 3},
    ]);
    let placed = |key: &str, id: &str, version: u64, nodes: Value| json!({"resource_key": key, "resource_id": id, "resource_version": version, "nodes": nodes});
    let expected = defaults(in_full("u", placed("/apisix/upstreams/u", "u", 1, nodes)));
    let shown = house.control("/v1/upstream/u").await.json();
    assert_eq!((&shown["value"], &shown["has_domain"]), (&expected, &json!(true)));
    let own = json!([{"host": "[::1]", "weight": 1, "priority": 0}]);
    let own = defaults(placed("/apisix/services/s", "s", 2, own));
    let shown = house.control("/v1/service/s").await.json();
    assert_eq!(shown["value"], in_full("s", json!({"upstream": own})));
    assert_eq!((&shown["has_domain"], shown.get("orig_modifiedIndex")), (&json!(false), None));
    let shown = house.control("/v1/route/r").await.json();
    let plugins = json!({"http-logger": {"_meta": {}}});
    let route = json!({"uri": "/x", "upstream_id": "u", "plugins": plugins, "priority": 0, "status": 1});
    assert_eq!(shown["value"], in_full("r", route));
    assert_eq!((&shown["has_domain"], &shown["orig_modifiedIndex"]), (&json!(false), &json!(3)));
}

#[tokio::test]
async fn health_checks_are_shown_where_they_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    assert_eq!(house.control("/v1/healthcheck").await.json(), json!([]));
    let checked = json!({"nodes": {}, "checks": {"active": {"type": "tcp"}}});
    let route = json!({"uri": "/x", "upstream": {"nodes": {}, "checks": {"active": {}}}});
    for (path, body) in [
        ("upstreams/u", checked.to_string()),
        ("routes/r", route.to_string()),
        ("upstreams/v", UPSTREAM.to_string()),
    ] {
        assert_eq!(house.ask("PUT", &format!("/apisix/admin/{path}"), &body).await.status, 201, "{path}");
    }
    let of_route = json!({"name": "/apisix/routes/r", "type": "http", "nodes": []});
    let of_upstream = json!({"name": "/apisix/upstreams/u", "type": "tcp", "nodes": []});
    assert_eq!(house.control("/v1/healthcheck").await.json(), json!([of_route, of_upstream]));
    assert_eq!(house.control("/v1/healthcheck/upstreams/u").await.json(), of_upstream);
    for (path, status, text) in [
        ("upstreams/v", 404, "no checker for upstreams[v]"),
        ("routes/none", 404, "routes[none] not found"),
        ("stream_routes/1", 404, "stream_routes[1] not found"),
        ("nope/1", 400, "invalid src type nope"),
        ("nope", 404, "missing src id for src type nope"),
    ] {
        let reply = house.control(&format!("/v1/healthcheck/{path}")).await;
        assert_eq!(reply.error(), (status, text.to_string()), "{path}");
    }
}
