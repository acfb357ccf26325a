use axum::body::Body;
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::{ROUTE, config, house, house_with, send};

const HOST: (&str, &str) = ("host", "localhost:9180");

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table of cases")]
async fn the_first_step_that_fails_answers() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let key = ("x-api-key", "adm");
    let nothing = "nothing is here; the Admin API answers GET, PUT, POST, PATCH and DELETE on /apisix/admin/«collection»";
    let cases: [(&str, &str, &[(&str, &str)], &str, u16, &str); 23] = [
        (
            "GET",
            "/apisix/admin/routes",
            &[("host", "evil.example"), key],
            "",
            403,
            "the Host header is neither an IP address nor localhost nor a configured name of this listener",
        ),
        ("GET", "/apisix/admin/routes", &[key], "", 400, "exactly one Host header is expected"),
        ("GET", "/other", &[HOST], "", 404, nothing),
        ("GET", "/apisix/admin", &[HOST, key], "", 404, nothing),
        ("GET", "/apisix/admin/", &[HOST, key], "", 404, nothing),
        ("OPTIONS", "/apisix/admin/routes", &[HOST], "", 404, nothing),
        ("TRACE", "/apisix/admin/routes", &[HOST, key], "", 405, "the Admin API has no method TRACE"),
        ("GET", "/apisix/admin/nothing", &[HOST], "", 401, "failed to check token"),
        ("PUT", "/apisix/admin/routes/1", &[HOST, ("x-api-key", "vi")], ROUTE, 401, "failed to check token"),
        ("GET", "/apisix/admin/nothing/a/b", &[HOST, key], "", 404, "Unsupported resource type: nothing"),
        (
            "GET",
            "/apisix/admin/stream_routes",
            &[HOST, key],
            "",
            400,
            "stream mode is disabled, can not add stream routes",
        ),
        (
            "PUT",
            "/apisix/admin/stream_routes/1",
            &[HOST, key],
            "{",
            400,
            "stream mode is disabled, can not add stream routes",
        ),
        (
            "DELETE",
            "/apisix/admin/stream_routes/1",
            &[HOST, ("x-api-key", "vi")],
            "",
            401,
            "failed to check token",
        ),
        ("PUT", "/apisix/admin/plugins/ai-proxy", &[HOST, key], "{", 404, "not found"),
        (
            "PUT",
            "/apisix/admin/routes/1?ttl=abc",
            &[HOST, key],
            "{",
            400,
            "invalid request body: EOF while parsing an object at line 1 column 1",
        ),
        (
            "PUT",
            "/apisix/admin/routes/1?ttl=abc",
            &[HOST, key],
            "",
            400,
            "invalid argument ttl: should be a number",
        ),
        (
            "PUT",
            "/apisix/admin/routes/1?ttl=0",
            &[HOST, key],
            ROUTE,
            400,
            "invalid argument ttl: should be greater than 0",
        ),
        (
            "POST",
            "/apisix/admin/routes",
            &[HOST, key, ("if-match", "1")],
            ROUTE,
            400,
            "header If-Match: what POST makes is new and has no modifiedIndex yet; leave the header out",
        ),
        (
            "PUT",
            "/apisix/admin/routes/1",
            &[HOST, key, ("if-match", "abc")],
            ROUTE,
            400,
            "header If-Match: expected one number, the modifiedIndex of the resource, or *",
        ),
        ("GET", "/apisix/admin/openapi.json", &[HOST], "", 401, "failed to check token"),
        ("GET", "/apisix/admin/plugins", &[HOST, key], "", 404, "plugin not found in subsystem http"),
        ("GET", "/apisix/admin/schema/routes", &[HOST, key], "", 400, "not found schema: routes"),
        ("GET", "/apisix/admin/schema/plugins", &[HOST, key], "", 404, "plugin not found in subsystem http"),
    ];
    for (method, path, headers, body, status, text) in cases {
        let reply = house.ask_with(method, path, headers, body).await;
        assert_eq!(reply.error(), (status, text.to_string()), "{method} {path} {headers:?}");
        assert_eq!(reply.headers["content-type"], "application/json", "{method} {path}");
        assert_eq!(reply.headers["server"], "APISIX/3.18.0", "{method} {path}");
        assert!(!reply.headers.contains_key("access-control-allow-origin"), "{method} {path}");
    }
    let head = house.ask_with("HEAD", "/apisix/admin", &[HOST], "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let bad = house.ask("PUT", "/apisix/admin/routes/1", "{'uri'").await;
    assert_eq!(bad.json()["req_body"], "{'uri'");
    assert!(!bad.headers.contains_key("x-api-version"));
    let missing = house.ask("GET", "/apisix/admin/routes/1", "").await;
    assert_eq!(missing.headers["x-api-version"], "v3", "handlers say which API they are");
}

#[tokio::test]
async fn other_origins_may_call_only_where_configured_and_never_with_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.cors = true;
    config.server_tokens = false;
    let house = house_with(&dir, config);
    let preflight =
        house.ask_with("OPTIONS", "/any/path", &[HOST, ("origin", "https://a.example")], "").await;
    assert_eq!((preflight.status, preflight.body.as_str()), (200, ""));
    assert_eq!(preflight.headers["access-control-allow-methods"], "POST, GET, PUT, OPTIONS, DELETE, PATCH");
    let refused = house.ask_with("GET", "/apisix/admin/routes", &[HOST], "").await;
    for reply in [&preflight, &refused] {
        assert_eq!(reply.headers["access-control-allow-origin"], "*");
        assert!(!reply.headers.contains_key("access-control-allow-credentials"));
        assert_eq!(reply.headers["server"], "APISIX");
    }
}

#[tokio::test]
async fn large_bodies_are_refused_with_their_size() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let text = |size: usize| {
        format!("invalid request body: request size {size} is greater than the maximum size 1572864 allowed")
    };
    let key = ("x-api-key", "adm");
    for size in [1_572_865, 20 << 20] {
        let length = size.to_string();
        let whole = "a".repeat(size);
        for headers in [&[HOST, key, ("content-length", length.as_str())][..], &[HOST, key][..]] {
            let reply = house.ask_with("PUT", "/apisix/admin/routes/1", headers, &whole).await;
            assert_eq!(reply.error(), (400, text(size)), "{headers:?}");
        }
    }
    let waiting = [HOST, key, ("content-length", "99999999"), ("expect", "100-continue")];
    let reply = send(&house.admin, "PUT", "/apisix/admin/routes/1", &waiting, Body::empty()).await;
    assert_eq!(reply.error(), (400, text(99_999_999)));
    let full = format!("{ROUTE}{}", " ".repeat(1_572_864 - ROUTE.len()));
    assert_eq!(house.ask("PUT", "/apisix/admin/routes/1", &full).await.status, 201);
}

#[tokio::test]
async fn plugins_and_schemas_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let get = async |path: &str| house.ask("GET", &format!("/apisix/admin{path}"), "").await;
    assert_eq!(get("/plugins/list").await.json(), json!(["key-auth", "ai-proxy", "http-logger"]));
    assert_eq!(get("/plugins/list?subsystem=stream").await.json(), json!([]));
    let bad = get("/plugins/list?subsystem=x").await;
    assert_eq!((bad.status, bad.body.as_str()), (400, "invalid subsystem passed"));
    let schema = get("/plugins/ai-proxy").await.json();
    assert_eq!(schema["required"], json!(["provider"]));
    assert_eq!(schema["properties"]["_meta"]["properties"]["disable"], json!({"type": "boolean"}));
    let consumer = get("/plugins/key-auth?schema_type=consumer").await.json();
    assert_eq!((consumer["required"].clone(), consumer.get("$comment")), (json!(["key"]), None));
    assert_eq!(get("/schema/plugins/ai-proxy").await.json(), schema);
    assert_eq!(
        get("/plugins/ai-proxy?schema_type=consumer").await.error(),
        (400, "not found schema".to_string())
    );
    let stream = get("/plugins/ai-proxy?subsystem=stream").await.error();
    assert_eq!(stream, (404, "plugin not found in subsystem stream".to_string()));
    assert_eq!(
        get("/plugins/ai-proxy?subsystem=x").await.error(),
        (400, "unsupported subsystem: x".to_string())
    );
    let row = json!({"version": 0.1, "priority": 1040, "schema": schema});
    assert_eq!(get("/plugins?all=true").await.json()["ai-proxy"], row);
    for name in ["consumers", "plugin_metadata", "secret", "stream_route", "validate"] {
        let reply = get(&format!("/schema/{name}")).await;
        assert_eq!(reply.error(), (400, format!("not found schema: {name}")));
    }
    for (name, required) in [
        ("consumer", json!(["username"])),
        ("credential", json!(null)),
        ("consumer_group", json!(["id", "plugins"])),
        ("plugin_config", json!(["id", "plugins"])),
        ("global_rule", json!(["id", "plugins"])),
        ("proto", json!(["content"])),
        ("ssl", json!(null)),
    ] {
        let schema = get(&format!("/schema/{name}")).await.json();
        assert_eq!((&schema["type"], &schema["required"]), (&json!("object"), &required), "{name}");
    }
}

#[tokio::test]
async fn plugins_are_reloaded_by_put_alone() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let path = "/apisix/admin/plugins/reload";
    let reply = house.ask("PUT", path, "").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "done"));
    assert_eq!(reply.headers["content-type"], "text/plain; charset=utf-8");
    for method in ["GET", "POST", "PATCH", "DELETE"] {
        let text = format!("please use PUT method to reload the plugins, {method} method is not allowed.");
        assert_eq!(house.ask(method, path, "").await.error(), (405, text));
    }
}

#[tokio::test]
async fn the_openapi_document_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let reply = house(&dir).ask("GET", "/apisix/admin/openapi.json", "").await;
    assert_eq!((reply.status, reply.json()["openapi"].clone()), (200, json!("3.1.0")));
    let parameters = reply.json()["paths"]["/apisix/admin/plugins/{plugin}"]["get"]["parameters"].clone();
    assert_eq!(parameters[0]["schema"]["enum"], json!(["key-auth", "ai-proxy", "http-logger"]));
}

#[tokio::test]
async fn a_listener_serves_until_it_is_told_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(crate::serve(listener, None, house.admin.clone(), async move {
        stopped.await.unwrap_or_default();
    }));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /apisix/admin/routes HTTP/1.1\r\nHost: {address}\r\nX-API-KEY: adm\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with(&format!("HTTP/1.1 {}", StatusCode::OK)), "{reply}");
    assert!(reply.ends_with("{\"total\":0,\"list\":[]}\n"), "{reply}");
    stop.send(()).unwrap();
    server.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the listener is closed");
}
