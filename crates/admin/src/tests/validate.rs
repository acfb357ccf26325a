//! Checks of configurations that are not stored.

use serde_json::{Value, json};

use super::house;

#[tokio::test]
async fn documents_are_held_against_schemas_alone() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let cases = [
        ("routes", r#"{"uri":"/x","upstream_id":"none"}"#, 200, ""),
        ("routes", r#"{"uri":"/x","plugins":{"nope":{}}}"#, 200, ""),
        (
            "routes",
            r#"{"uri":1}"#,
            400,
            "property \"uri\" validation failed: wrong type: expected string, got number",
        ),
        ("routes", "", 400, "wrong type: expected object, got nil"),
        ("routes", "12", 400, "wrong type: expected object, got number"),
        ("routes", "{", 400, "invalid request body: EOF while parsing an object at line 1 column 1"),
        ("credentials", r#"{"plugins":{}}"#, 200, ""),
        ("consumers", "{}", 400, "property \"username\" is required"),
        ("secrets", "{}", 400, "not found schema: secret"),
        ("plugin_metadata", "{}", 400, "not found schema: plugin_metadata"),
        ("route", "{}", 404, "Unsupported resource type: route"),
    ];
    for (collection, body, status, text) in cases {
        let path = format!("/apisix/admin/schema/validate/{collection}");
        let reply = house.ask("POST", &path, body).await;
        match status {
            200 => assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{collection} {body}"),
            _ => assert_eq!(reply.error(), (status, text.to_string()), "{collection} {body}"),
        }
        assert!(!reply.headers.contains_key("x-api-version"), "{collection} {body}");
    }
    let other = house.ask("PUT", "/apisix/admin/schema/validate/routes", "{}").await;
    assert_eq!(other.error(), (404, "not found".to_string()));
}

#[tokio::test]
async fn a_whole_configuration_is_checked_and_all_that_is_wrong_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let ask =
        async |body: &Value| house.ask("POST", "/apisix/admin/configs/validate", &body.to_string()).await;
    let fine = json!({
        "routes": [{"id": "r", "uri": "/x", "upstream_id": "none"}, {"uri": "/y", "plugins": {}}],
        "routes_conf_version": 7,
        "consumers": [{"username": "a"}, {"id": "a/credentials/c", "plugins": {"key-auth": {"key": "k"}}}],
        "upstreams": {"id": "u"},
        "unknown": [1],
        "plugin_metadata": [{"id": "http-logger", "log_format": {}}],
        "secrets": [{"id": "vault/1", "uri": "http://a.b", "prefix": "p", "token": "t"}],
    });
    for body in [fine, json!({}), json!([])] {
        let reply = ask(&body).await;
        assert_eq!((reply.status, reply.json()), (200, json!({})), "{body}");
    }
    let wrong = json!({
        "routes": [{"id": "r", "uri": 1}, {"id": "r", "uri": "/x", "plugins": {"nope": {}}}],
        "consumers": [{"username": "a"}, {"username": "a"}, {"id": "a/credentials/c", "plugins": {"key-auth": {}}}],
        "upstreams_conf_version": "x",
        "plugin_metadata": [{"id": "http-logger", "log_format": 1}],
        "secrets": [{"id": "nope/1"}],
        "stream_routes": [{"id": 3}],
        "global_rules": [7],
    });
    let error = |kind: &str, id: Value, index: u64, error: &str| json!({"resource_type": kind, "resource_id": id, "index": index, "error": error});
    let expected = json!([
        error(
            "routes",
            json!("r"),
            0,
            "invalid configuration: property \"uri\" validation failed: wrong type: expected string, got number",
        ),
        error("routes", json!("r"), 1, "unknown plugin [nope]"),
        error("routes", json!("r"), 1, "found duplicate id r in routes"),
        error("consumers", json!("a"), 1, "found duplicate username a in consumers"),
        error(
            "consumers",
            json!("a/credentials/c"),
            2,
            "invalid plugins configuration: \
             failed to check the configuration of plugin key-auth err: property \"key\" is required",
        ),
        {
            "resource_type": "global_rules",
            "index": 0,
            "error": "invalid configuration: wrong type: expected object, got number",
        },
        {"resource_type": "upstreams", "error": "upstreams_conf_version must be a number, got string"},
        error(
            "plugin_metadata",
            json!("http-logger"),
            0,
            "invalid configuration: property \"log_format\" validation failed: \
             wrong type: expected object, got number",
        ),
        error("secrets", json!("nope/1"), 0, "invalid secret manager: nope"),
        error("stream_routes", json!(3), 0, "stream mode is disabled, can not add stream routes"),
    ]);
    let reply = ask(&wrong).await;
    let told = reply.json();
    assert_eq!((reply.status, &told["error_msg"]), (400, &json!("Configuration validation failed")));
    assert_eq!(told["errors"], expected);
    assert_eq!(house.log.lock().unwrap().len(), 1, "nothing was written");
}

/// A private key in PEM, encrypted by `openssl enc -aes-128-cbc` as APISIX does it, with its published key.
const CIPHERTEXT: &str = "VMF7ACvwvQk6t8kvorP2IF5eCqkOOnQBSGIk5eRHo1hotuWjU5PKpOYKhxuI1AcvGoVnV9qiDaSDBKkhhEsLWB/rsn\
    KjPezTmZC9CQbInlDZlGoZ+xTIekLFtEknyqtzCUfOjRONAX+FToUIcC2pgTGJzi9MByDWHv2b+utTueNmvUIOkApL\
    XpFQv7xb786igclVM2P3fRsluvOjgNYICk6sCSCtqoD167g7mbdP6ZWDN0KV3EtosLCpbH6csxa7V7J5MGcVH52agV\
    0/QUS6qWIBCOmuM06diOhCUbJyShniHAcN6nCbzS9GseMrK19F3NB9h2+NkrvKLJdud3UKqg==";

#[tokio::test]
async fn what_apisix_has_encrypted_is_opened_before_it_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let ask = async |key: &str| {
        let ssl = json!({"id": "s", "sni": "a.test", "cert": "$env://CERT", "key": key});
        house.ask("POST", "/apisix/admin/configs/validate", &json!({"ssls": [ssl]}).to_string()).await
    };
    let fine = ask(CIPHERTEXT).await;
    assert_eq!((fine.status, fine.json()), (200, json!({})));
    let other = ask(&CIPHERTEXT.replacen('A', "B", 1)).await;
    let error = &other.json()["errors"][0]["error"];
    assert_eq!((other.status, error), (400, &json!("failed to parse key: PEM_read_bio_PrivateKey() failed")));
}

#[tokio::test]
async fn a_configuration_may_be_yaml() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let headers =
        [("host", "localhost"), ("x-api-key", "adm"), ("content-type", "application/yaml; charset=utf-8")];
    let path = "/apisix/admin/configs/validate";
    let ask = async |body: &str| house.ask_with("POST", path, &headers, body).await;
    assert_eq!(ask("routes:\n  - id: r\n    uri: /x\n    plugins: {}\n").await.status, 200);
    let wrong = ask("routes:\n  - id: r\n    uri: 1\n    plugins: {}\n").await;
    assert_eq!((wrong.status, &wrong.json()["errors"][0]["resource_id"]), (400, &json!("r")));
    let (status, text) = ask("routes: [").await.error();
    assert!(status == 400 && text.starts_with("invalid request body: invalid yaml request body: "), "{text}");
    assert_eq!(ask("").await.error(), (400, "invalid request body: empty request body".to_string()));
    let (status, text) = house.ask("POST", path, "[1]").await.error();
    assert!(status == 400 && text.starts_with("invalid request body: expected an object"), "{text}");
}
