use std::sync::atomic::Ordering;
use std::time::Duration;

use a6_resources::{Change, Kind};
use serde_json::{Value, json};

use super::{House, ROUTE, START, UPSTREAM, house};

#[tokio::test]
async fn a_resource_lives_from_put_to_delete() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let value = |updated: u64| {
        json!({
            "uri": "/x", "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
            "id": "1", "create_time": START, "update_time": updated,
        })
    };
    assert_eq!(
        house.ask("GET", "/apisix/admin/routes/1", "").await.json(),
        json!({"message": "Key not found"})
    );

    let made = house.ask("PUT", "/apisix/admin/routes/1", ROUTE).await;
    assert_eq!((made.status, made.json()), (201, json!({"key": "/apisix/routes/1", "value": value(START)})));
    assert!(made.body.ends_with("}\n"));
    house.clock.advance(Duration::from_secs(5));
    let replaced = house.ask("PUT", "/apisix/admin/routes/1/ignored/rest", ROUTE).await;
    assert_eq!((replaced.status, replaced.json()["value"].clone()), (200, value(START + 5)));

    let got = house.ask("GET", "/apisix/admin/routes/1", "").await;
    let envelope =
        json!({"key": "/apisix/routes/1", "value": value(START + 5), "createdIndex": 1, "modifiedIndex": 2});
    assert_eq!((got.status, got.json()), (200, envelope.clone()));
    let listed = house.ask("GET", "/apisix/admin//routes/", "").await;
    assert_eq!((listed.status, listed.json()), (200, json!({"total": 1, "list": [envelope]})));

    let deleted = house.ask("DELETE", "/apisix/admin/routes/1", "").await;
    assert_eq!((deleted.status, deleted.json()), (200, json!({"key": "/apisix/routes/1", "deleted": "1"})));
    for method in ["GET", "DELETE"] {
        let gone = house.ask(method, "/apisix/admin/routes/1", "").await;
        assert_eq!((gone.status, gone.json()), (404, json!({"message": "Key not found"})), "{method}");
    }
    assert_eq!(house.ask("GET", "/apisix/admin/routes", "").await.json(), json!({"total": 0, "list": []}));

    let log = house.log.lock().unwrap();
    let published: Vec<_> = log.iter().map(|(revision, changes)| (*revision, changes.len())).collect();
    assert_eq!(published, [(0, 0), (1, 1), (2, 1), (3, 1)], "every write is published with its revision");
    assert_eq!(log[3].1, [Change { kind: Kind::Route, id: "1".to_string(), value: None }]);
}

#[tokio::test]
async fn what_is_stored_is_published_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let first = house(&dir);
    first.ask("PUT", "/apisix/admin/routes/1", ROUTE).await;
    first.ask("PUT", "/apisix/admin/upstreams/u", UPSTREAM).await;
    let log = first.log.clone();
    drop(first);
    // The writer's thread closes the store, which frees the directory, once the routers are gone.
    let second = loop {
        if std::sync::Arc::strong_count(&log) == 1 && a6_store::SqliteStore::open(dir.path()).is_ok() {
            break house(&dir);
        }
        tokio::task::yield_now().await;
    };
    let log = second.log.lock().unwrap().clone();
    assert_eq!((log.len(), log[0].0, log[0].1.len()), (1, 2, 2));
    assert!(second.rejections.is_empty());
    assert_eq!(second.ask("GET", "/apisix/admin/routes/1", "").await.json()["createdIndex"], 1);
}

#[tokio::test]
async fn ids() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let with_id = |id: Value| {
        let mut value: Value = serde_json::from_str(ROUTE).unwrap();
        value["id"] = id;
        value.to_string()
    };
    let cases = [
        ("PUT", "/routes", with_id(json!("b1")), Ok(("b1", json!("b1")))),
        ("PUT", "/routes", with_id(json!(5)), Ok(("5", json!(5)))),
        ("PUT", "/routes/5", with_id(json!(5)), Ok(("5", json!("5")))),
        ("PUT", "/routes/a.b-c_d", ROUTE.to_string(), Ok(("a.b-c_d", json!("a.b-c_d")))),
        ("PUT", "/routes/1", with_id(json!("2")), Err("wrong route id")),
        ("PUT", "/routes/1", with_id(json!(true)), Err("wrong route id")),
        ("PUT", "/routes", ROUTE.to_string(), Err("missing route id")),
        (
            "PUT",
            "/routes/a%20b",
            ROUTE.to_string(),
            Err(
                "invalid configuration: property \"id\" validation failed: object matches none of the required",
            ),
        ),
        (
            "PUT",
            "/routes",
            with_id(json!(true)),
            Err(
                "invalid configuration: property \"id\" validation failed: object matches none of the required",
            ),
        ),
        ("POST", "/routes/1", ROUTE.to_string(), Err("wrong route id, do not need it")),
        ("POST", "/routes", with_id(json!("x")), Err("wrong route id, do not need it")),
        ("PATCH", "/services", "{}".to_string(), Err("missing service id")),
        ("DELETE", "/upstreams", String::new(), Err("missing upstream id")),
    ];
    for (method, path, body, expected) in cases {
        let reply = house.ask(method, &format!("/apisix/admin{path}"), &body).await;
        match expected {
            Ok((id, stored)) => {
                assert!(reply.status < 300, "{method} {path} {body}: {}", reply.body);
                assert_eq!(reply.json()["key"], format!("/apisix/routes/{id}"));
                assert_eq!(reply.json()["value"]["id"], stored, "{method} {path} {body}");
            }
            Err(text) => assert_eq!(reply.error(), (400, text.to_string()), "{method} {path} {body}"),
        }
    }
}

#[tokio::test]
async fn generated_ids_are_the_next_revision_and_never_taken() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let first = house.ask("POST", "/apisix/admin/routes", ROUTE).await;
    assert_eq!((first.status, first.json()["value"]["id"].clone()), (201, json!("00000000000000000001")));
    house.ask("PUT", "/apisix/admin/routes/00000000000000000003", ROUTE).await;
    let third = house.ask("POST", "/apisix/admin/routes", ROUTE).await;
    assert_eq!(third.json()["key"], "/apisix/routes/00000000000000000004");
    assert_eq!(house.ask("GET", "/apisix/admin/routes", "").await.json()["total"], 3);
}

#[tokio::test]
async fn refused_bodies() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let cases = [
        ("PUT", "", "missing configurations"),
        ("PUT", "12", "invalid configuration"),
        ("PUT", "null", "invalid configuration"),
        ("PUT", "[1]", "invalid configuration"),
        ("PUT", r#"{"uri":"/x","plugins":{},"create_time":1}"#, "the property is forbidden:  create_time"),
        (
            "PUT",
            r#"{"uri":"/x","upstream":{"nodes":{},"create_time":1}}"#,
            "the property is forbidden:  upstream.create_time",
        ),
        (
            "PUT",
            r#"{"uri":"/x","plugins":{"update_time":{}}}"#,
            "the property is forbidden:  plugins.update_time",
        ),
        ("PUT", r#"{"uri":"/x","plugins":{"nope":{}}}"#, "unknown plugin [nope]"),
        (
            "PUT",
            r#"{"uri":"/x","plugins":{"ai-proxy":{}}}"#,
            "failed to check the configuration of plugin ai-proxy err: property \"provider\" is required",
        ),
        (
            "PUT",
            r#"{"uri":"/x","upstream_id":"none"}"#,
            "failed to fetch upstream info by upstream id [none], response code: 404",
        ),
        ("PATCH", "", "missing new configuration"),
        ("PATCH", "\"x\"", "invalid configuration"),
    ];
    for (method, body, expected) in cases {
        let reply = house.ask(method, "/apisix/admin/routes/1", body).await;
        assert_eq!(reply.error(), (400, expected.to_string()), "{method} {body}");
    }
    assert_eq!(house.log.lock().unwrap().len(), 1, "nothing but the start was published");
}

#[tokio::test]
async fn patches() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let start = r#"{"uri":"/x","methods":["GET","POST"],"labels":{"a":"1","b":"2"},"plugins":{"ai-proxy":{"provider":"openai"}}}"#;
    let cases = [
        ("", r#"{"labels":{"b":"3","c":"4"}}"#, "/labels", json!({"a": "1", "b": "3", "c": "4"})),
        ("", r#"{"methods":["PUT"]}"#, "/methods", json!(["PUT"])),
        ("", r#"{"labels":null}"#, "/labels", Value::Null),
        ("", r#"{"plugins":{}}"#, "/plugins", json!({})),
        ("", "[]", "/uri", json!("/x")),
        ("", r#"{"id":"p"}"#, "/id", json!("p")),
        ("", "{}", "/update_time", json!(START + 60)),
        ("", r#"{"update_time":7}"#, "/update_time", json!(7)),
        ("", r#"{"create_time":null}"#, "/create_time", json!(START)),
        ("/methods", r#"["DELETE"]"#, "/methods", json!(["DELETE"])),
        ("/labels/zz", "\"9\"", "/labels", json!({"a": "1", "b": "2", "zz": "9"})),
        ("/labels/", r#"{"q":"1"}"#, "/labels", json!({"q": "1"})),
        (
            "/plugins/ai-proxy/auth/header",
            r#"{"A":"k"}"#,
            "/plugins/ai-proxy/auth",
            json!({"header": {"A": "k"}}),
        ),
    ];
    for (path, body, pointer, expected) in cases {
        house.ask("DELETE", "/apisix/admin/routes/p", "").await;
        assert_eq!(house.ask("PUT", "/apisix/admin/routes/p", start).await.status, 201);
        let created = house.clock.unix_seconds();
        house.clock.advance(Duration::from_secs(60));
        let reply = house.ask("PATCH", &format!("/apisix/admin/routes/p{path}"), body).await;
        assert_eq!(reply.status, 200, "{path} {body}: {}", reply.body);
        let value = reply.json()["value"].clone();
        let expected = match pointer {
            "/update_time" if expected != json!(7) => json!(created + 60),
            "/create_time" => json!(created),
            _ => expected,
        };
        assert_eq!(value.pointer(pointer).unwrap_or(&Value::Null), &expected, "{path} {body}");
        assert_eq!(
            house.ask("GET", "/apisix/admin/routes/p", "").await.json()["value"],
            value,
            "{path} {body}"
        );
    }
    let before = house.ask("GET", "/apisix/admin/routes/p", "").await.body;
    let refused = [
        (
            "",
            r#"{"methods":["NOPE"]}"#,
            "invalid configuration: property \"methods\" validation failed: failed to validate item 1: matches none of the enum values",
        ),
        ("", r#"{"nope":1}"#, "invalid configuration: additional properties forbidden, found nope"),
        ("", r#"{"id":"other"}"#, "wrong route id"),
        (
            "/methods",
            "\"x\"",
            "invalid configuration: property \"methods\" validation failed: wrong type: expected array, got string",
        ),
        (
            "/methods/0",
            "\"PUT\"",
            "invalid configuration: property \"methods\" validation failed: wrong type: expected array, got table",
        ),
        ("/uri/a", "1", "invalid sub-path: /uri/a"),
    ];
    for (path, body, expected) in refused {
        let reply = house.ask("PATCH", &format!("/apisix/admin/routes/p{path}"), body).await;
        assert_eq!(reply.error(), (400, expected.to_string()), "{path} {body}");
    }
    assert_eq!(
        house.ask("GET", "/apisix/admin/routes/p", "").await.body,
        before,
        "refused patches change nothing"
    );
    assert_eq!(house.ask("PATCH", "/apisix/admin/routes/none", "{}").await.status, 404);
}

#[tokio::test]
async fn what_others_use_is_deleted_by_force_only() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    house.ask("PUT", "/apisix/admin/upstreams/7", UPSTREAM).await;
    assert_eq!(
        house.ask("PUT", "/apisix/admin/routes/r", r#"{"uri":"/x","upstream_id":7}"#).await.status,
        201
    );
    let text = "can not delete this upstream, route [r] is still using it now";
    for path in ["/apisix/admin/upstreams/7", "/apisix/admin/upstreams/7?force=1"] {
        assert_eq!(house.ask("DELETE", path, "").await.error(), (400, text.to_string()), "{path}");
    }
    assert_eq!(house.ask("DELETE", "/apisix/admin/upstreams/7?force=true", "").await.status, 200);
    assert_eq!(house.ask("GET", "/apisix/admin/routes/r", "").await.json()["value"]["upstream_id"], 7);
}

#[tokio::test]
async fn a_full_disk_is_503_and_the_next_write_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    house.full.store(true, Ordering::Relaxed);
    let (status, text) = house.ask("PUT", "/apisix/admin/routes/1", ROUTE).await.error();
    assert_eq!((status, text.contains("free disk space")), (503, true), "{text}");
    assert_eq!(house.ask("GET", "/apisix/admin/routes/1", "").await.status, 404);
    house.full.store(false, Ordering::Relaxed);
    assert_eq!(house.ask("PUT", "/apisix/admin/routes/1", ROUTE).await.status, 201);
    assert_eq!(house.log.lock().unwrap().len(), 2, "a write that was not stored was not published");
}

async fn stored(house: &House) -> (u64, Value) {
    let reply = house.ask("GET", "/apisix/admin/routes/1", "").await;
    (u64::from(reply.status), reply.json()["value"]["desc"].clone())
}

#[tokio::test]
async fn what_the_snapshot_does_not_take_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let with_desc = |desc: &str| {
        let mut value: Value = serde_json::from_str(ROUTE).unwrap();
        value["desc"] = json!(desc);
        value.to_string()
    };
    let panicked = "a6 cannot compile this configuration; this is a bug, please report it";
    for (desc, text) in [("refuse", "no such thing"), ("panic", panicked)] {
        let reply = house.ask("PUT", "/apisix/admin/routes/1", &with_desc(desc)).await;
        assert_eq!(reply.error(), (400, text.to_string()), "new");
        assert_eq!(stored(&house).await.0, 404, "{desc}");

        assert_eq!(
            house.ask("PUT", "/apisix/admin/routes/1", &with_desc("good")).await.status,
            201,
            "{desc}"
        );
        let reply = house.ask("PUT", "/apisix/admin/routes/1", &with_desc(desc)).await;
        assert_eq!(reply.error(), (400, text.to_string()), "over a good one");
        assert_eq!(stored(&house).await, (200, json!("good")), "{desc}");
        assert_eq!(house.ask("DELETE", "/apisix/admin/routes/1", "").await.status, 200, "{desc}");

        let rejected = house.control("/v1/config/status").await.json()["last_rejected"].clone();
        assert_eq!(rejected, json!({"key": "routes/1", "reason": text, "at": START}), "{desc}");
    }
    let log = house.log.lock().unwrap();
    assert!(log.windows(2).all(|pair| pair[0].0 < pair[1].0), "revisions only rise");
}
