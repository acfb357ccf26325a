//! Certificates, secret managers and protos, as clients see them.

use serde_json::{Value, json};

use super::identities::{absent, error, follow};
use super::{UPSTREAM, house};

fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["a.test".to_string()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test]
async fn a_certificate_is_shown_without_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let (cert, key) = certificate();
    let ssl = json!({"cert": cert, "key": key, "sni": "a.test", "certs": [cert], "keys": [key]});
    let shown = |more: Value| {
        let mut value = json!({"cert": cert, "sni": "a.test", "certs": [cert], "id": "1"});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"key": "/apisix/ssls/1", "value": value})
    };
    let no_sni = "invalid configuration: then clause did not match";
    let steps = vec![
        ("GET", "ssls/1", Value::Null, 404, absent()),
        ("PUT", "ssls/1", json!({"cert": cert, "key": key}), 400, error(no_sni)),
        ("PUT", "ssls/1", ssl.clone(), 201, shown(json!({}))),
        ("PUT", "ssls/1", ssl, 200, shown(json!({}))),
        ("GET", "ssls/1", Value::Null, 200, shown(json!({}))),
        ("GET", "ssls", Value::Null, 200, json!({"total": 1, "list": [shown(json!({}))]})),
        ("PATCH", "ssls/1", json!({"status": 0}), 200, shown(json!({"status": 0}))),
        ("POST", "ssls/1", json!({}), 400, error("wrong ssl id, do not need it")),
        (
            "PUT",
            "ssls",
            json!({"id": true}),
            400,
            error(
                "invalid configuration: property \"id\" validation failed: object matches none of the required",
            ),
        ),
    ];
    follow(&house, steps).await;
    let control = house.control("/v1/ssl/1").await.json()["value"].clone();
    assert_eq!((&control["key"], &control["keys"]), (&json!("***"), &json!(["***"])));
    assert!(house.log.lock().unwrap().last().unwrap().1[0].value.as_ref().unwrap()["key"] == json!(key));

    let mut upstream: Value = serde_json::from_str(UPSTREAM).unwrap();
    upstream["tls"] = json!({"client_cert_id": "1"});
    let deleted = json!({"key": "/apisix/ssls/1", "deleted": "1"});
    let none = error("failed to fetch ssl info by ssl id [1], response code: 404");
    let wrong = error("failed to fetch ssl info by ssl id [1], wrong ssl type");
    let client = json!({"type": "client", "cert": cert, "key": key});
    let stored = json!({"key": "/apisix/ssls/1", "value": {"type": "client", "cert": cert, "id": "1"}});
    let mut with_id = upstream.clone();
    with_id["id"] = json!("u");
    let with_id = json!({"key": "/apisix/upstreams/u", "value": with_id});
    let steps = vec![
        ("PUT", "upstreams/u", upstream.clone(), 400, wrong),
        ("DELETE", "ssls/1", Value::Null, 200, deleted),
        ("PUT", "upstreams/u", upstream.clone(), 400, none),
        ("PUT", "ssls/1", client, 201, stored),
        ("PUT", "upstreams/u", upstream, 201, with_id),
    ];
    follow(&house, steps).await;
}

#[tokio::test]
async fn a_secret_manager_is_known_by_two_names() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let aws = json!({"access_key_id": "a", "secret_access_key": "b"});
    let stored = |more: Value| {
        let mut value = json!({"access_key_id": "a", "secret_access_key": "b", "id": "aws/1"});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"key": "/apisix/secrets/aws/1", "value": value})
    };
    let in_europe = stored(json!({"region": "eu-west-1"}));
    let missing = "invalid configuration: property \"secret_access_key\" is required";
    let steps = vec![
        ("GET", "secrets", Value::Null, 200, json!({"total": 0, "list": []})),
        ("GET", "secrets/aws/1", Value::Null, 404, absent()),
        ("GET", "secrets/aws", Value::Null, 404, absent()),
        ("PUT", "secrets", aws.clone(), 400, error("missing secret id")),
        ("PUT", "secrets/aws", json!({"id": "1"}), 400, error("missing secret id")),
        ("PUT", "secrets/nope/1", aws.clone(), 400, error("invalid secret manager: nope")),
        ("PUT", "secrets/aws/1", json!({"access_key_id": "a"}), 400, error(missing)),
        ("PUT", "secrets/aws/1", json!({"id": "1"}), 400, error("wrong secret id")),
        ("PUT", "secrets/aws/1", aws.clone(), 201, stored(json!({}))),
        ("PUT", "secrets/aws/1", aws.clone(), 200, stored(json!({}))),
        ("GET", "secrets", Value::Null, 200, json!({"total": 1, "list": [stored(json!({}))]})),
        ("POST", "secrets/aws", aws, 405, error("not supported `POST` method for secret")),
        ("PATCH", "secrets/aws", json!({"region": "x"}), 400, error("no secret id")),
        ("PATCH", "secrets/aws/1/region", json!("eu-west-1"), 200, in_europe.clone()),
        ("PATCH", "secrets/aws/1", json!({"own": 1}), 200, {
            let mut more = in_europe;
            more["value"]["own"] = json!(1);
            more
        }),
        ("PATCH", "secrets/aws/1", Value::Null, 400, error("missing new configuration")),
        ("DELETE", "secrets", Value::Null, 400, error("missing secret id")),
        ("DELETE", "secrets/aws", Value::Null, 400, error("missing secret id")),
    ];
    follow(&house, steps).await;
    let control = house.control("/v1/secret/aws/1").await.json()["value"].clone();
    assert_eq!((&control["access_key_id"], &control["secret_access_key"]), (&json!("a"), &json!("***")));
    let deleted = house.ask("DELETE", "/apisix/admin/secrets/aws/1", "").await.json();
    assert_eq!(deleted, json!({"key": "/apisix/secrets/aws/1", "deleted": "1"}));
}

#[tokio::test]
async fn protos_cannot_be_patched() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let proto = json!({"content": "syntax = \"proto3\"; message A {}"});
    let stored = json!({
        "key": "/apisix/protos/1",
        "value": {"content": "syntax = \"proto3\"; message A {}", "id": "1"},
    });
    let bad = "invalid content: line 1: expected a quoted text, found oops";
    let steps = vec![
        ("PUT", "protos/1", json!({}), 400, error("invalid configuration: property \"content\" is required")),
        ("PUT", "protos/1", json!({"content": "syntax = oops"}), 400, error(bad)),
        ("PUT", "protos/1", proto.clone(), 201, stored.clone()),
        ("GET", "protos/1", Value::Null, 200, stored),
        ("PATCH", "protos/1", json!({"desc": "d"}), 405, error("not supported `PATCH` method for proto")),
        ("PUT", "protos", proto, 400, error("missing proto id")),
    ];
    follow(&house, steps).await;
}
