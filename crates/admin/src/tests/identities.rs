//! Consumers, credentials, groups, plugin configs, global rules and metadata, as clients see them.

use serde_json::{Value, json};

use super::{House, ROUTE, house};

/// A request, and what is answered, times and revisions left out.
pub(super) type Step<'a> = (&'a str, &'a str, Value, u16, Value);

pub(super) async fn follow(house: &House, steps: Vec<Step<'_>>) {
    for (method, path, body, status, expected) in steps {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = house.ask(method, &format!("/apisix/admin/{path}"), &body).await;
        assert_eq!(reply.status, status, "{method} {path} {body}: {}", reply.body);
        assert_eq!(timeless(reply.json()), expected, "{method} {path} {body}");
    }
}

fn timeless(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let changing = ["create_time", "update_time", "createdIndex", "modifiedIndex"];
            members
                .into_iter()
                .filter(|(name, _)| !changing.contains(&name.as_str()))
                .map(|(name, value)| (name, timeless(value)))
                .collect()
        }
        Value::Array(items) => items.into_iter().map(timeless).collect(),
        other => other,
    }
}

pub(super) fn error(text: &str) -> Value {
    json!({ "error_msg": text })
}

pub(super) fn absent() -> Value {
    json!({"message": "Key not found"})
}

fn key_auth(key: &str) -> Value {
    json!({"key-auth": {"key": key}})
}

#[tokio::test]
async fn a_consumer_is_known_by_its_username() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let jack = json!({"username": "jack", "plugins": key_auth("k")});
    let stored = json!({"key": "/apisix/consumers/jack", "value": jack});
    let pattern = "invalid configuration: property \"username\" validation failed: \
        failed to match pattern \"^[a-zA-Z0-9_\\\\-]+$\" with \"a b\"";
    let steps = vec![
        ("GET", "consumers/jack", Value::Null, 404, absent()),
        ("DELETE", "consumers/jack", Value::Null, 404, absent()),
        ("DELETE", "consumers", Value::Null, 400, error("missing consumer id")),
        ("GET", "consumers", Value::Null, 200, json!({"total": 0, "list": []})),
        ("PUT", "consumers", jack.clone(), 201, stored.clone()),
        ("PUT", "consumers/jack", jack.clone(), 200, stored.clone()),
        ("GET", "consumers/jack", Value::Null, 200, stored.clone()),
        ("GET", "consumers", Value::Null, 200, json!({"total": 1, "list": [stored]})),
        ("PUT", "consumers/jack", json!({"username": "rose"}), 400, error("wrong username")),
        ("PUT", "consumers", json!({"username": "a b"}), 400, error(pattern)),
        (
            "PUT",
            "consumers/jack",
            json!({"username": "jack", "create_time": 1}),
            400,
            error("the property is forbidden:  create_time"),
        ),
        (
            "PUT",
            "consumers",
            json!({"username": "rose", "plugins": key_auth("k")}),
            400,
            error("duplicate key of plugin key-auth found with consumer: jack"),
        ),
        ("POST", "consumers/jack", jack.clone(), 405, error("not supported `POST` method for consumer")),
        ("PATCH", "consumers/jack", Value::Null, 405, error("not supported `PATCH` method for consumer")),
        ("PUT", "consumers", Value::Null, 400, error("missing configurations")),
        (
            "DELETE",
            "consumers/jack",
            Value::Null,
            200,
            json!({"key": "/apisix/consumers/jack", "deleted": "1"}),
        ),
    ];
    follow(&house, steps).await;
}

#[tokio::test]
async fn a_key_that_was_given_up_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let person = |name: &str, key: &str| json!({"username": name, "plugins": key_auth(key)}).to_string();
    let taken = (400, "duplicate key of plugin key-auth found with consumer: jack".to_string());
    let url = "/apisix/admin/consumers";
    assert_eq!(house.ask("PUT", url, &person("jack", "k")).await.status, 201);
    assert_eq!(house.ask("PUT", url, &person("rose", "k")).await.error(), taken);
    assert_eq!(house.ask("PUT", url, &person("jack", "other")).await.status, 200);
    assert_eq!(house.ask("PUT", url, &person("rose", "other")).await.error(), taken);
    assert_eq!(house.ask("PUT", url, &person("rose", "k")).await.status, 201);
    assert_eq!(house.ask("DELETE", "/apisix/admin/consumers/jack", "").await.status, 200);
    assert_eq!(house.ask("PUT", url, &person("rose", "other")).await.status, 200);
}

#[tokio::test]
async fn credentials_live_below_their_consumer() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let conf = |key: &str| json!({"plugins": key_auth(key)});
    let key = "/apisix/consumers/jack/credentials/c1";
    let stored = json!({"key": key, "value": {"plugins": key_auth("ck"), "id": "c1"}});
    let only_auth = error("only supports auth type plugins in consumer credential");
    let too_many = "invalid configuration: property \"plugins\" validation failed: \
        expect object to have at most 1 properties";
    let steps = vec![
        ("PUT", "consumers/jack/credentials/c1", conf("ck"), 404, error("consumer not found")),
        ("GET", "consumers/jack/credentials", Value::Null, 404, absent()),
        ("PUT", "consumers", json!({"username": "jack"}), 201, consumer("jack")),
        ("PUT", "consumers", json!({"username": "jack-2"}), 201, consumer("jack-2")),
        ("GET", "consumers/jack/credentials", Value::Null, 404, absent()),
        ("PUT", "consumers/jack/credentials/c1", conf("ck"), 201, stored.clone()),
        ("PUT", "consumers/jack/credentials/c1", conf("ck"), 200, stored.clone()),
        ("GET", "consumers/jack/credentials/c1", Value::Null, 200, stored.clone()),
        ("GET", "consumers/jack/credentials", Value::Null, 200, json!({"total": 1, "list": [stored]})),
        ("GET", "consumers/jack/credentials?name=x", Value::Null, 200, json!({"total": 0, "list": []})),
        ("GET", "consumers/jack-2/credentials", Value::Null, 404, absent()),
        (
            "GET",
            "consumers",
            Value::Null,
            200,
            json!({"total": 2, "list": [consumer("jack"), consumer("jack-2")]}),
        ),
        (
            "PUT",
            "consumers",
            json!({"username": "rose", "plugins": key_auth("ck")}),
            400,
            error("duplicate key of plugin key-auth found with credential: c1 of consumer: jack"),
        ),
        ("PUT", "consumers/jack/credentials", conf("x"), 400, error("missing credential id")),
        ("PUT", "consumers/jack/credentials/c2", json!({"id": "c3"}), 400, error("wrong credential id")),
        (
            "PUT",
            "consumers/jack/credentials/c2",
            json!({"plugins": {"ai-proxy": {"provider": "x"}}}),
            400,
            only_auth,
        ),
        (
            "PUT",
            "consumers/jack/credentials/c2",
            json!({"plugins": {"key-auth": {"key": "a"}, "ai-proxy": {}}}),
            400,
            error(too_many),
        ),
        (
            "POST",
            "consumers/jack/credentials",
            conf("x"),
            405,
            error("not supported `POST` method for credential"),
        ),
        (
            "PATCH",
            "consumers/jack/credentials/c1",
            conf("x"),
            405,
            error("not supported `PATCH` method for credential"),
        ),
        ("DELETE", "consumers/jack/credentials", Value::Null, 400, error("missing credential id")),
        ("DELETE", "consumers/jack/credentials/c1", Value::Null, 200, json!({"key": key, "deleted": "1"})),
        ("GET", "consumers/jack/credentials/c1", Value::Null, 404, absent()),
    ];
    follow(&house, steps).await;
}

fn consumer(name: &str) -> Value {
    json!({"key": format!("/apisix/consumers/{name}"), "value": {"username": name}})
}

#[tokio::test]
async fn a_consumer_takes_its_credentials_along_in_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    for name in ["jack", "rose"] {
        house.ask("PUT", "/apisix/admin/consumers", &json!({"username": name}).to_string()).await;
        for id in ["a", "b"] {
            let conf = json!({"plugins": key_auth(&format!("{name} {id}"))});
            let path = format!("/apisix/admin/consumers/{name}/credentials/{id}");
            assert_eq!(house.ask("PUT", &path, &conf.to_string()).await.status, 201, "{path}");
        }
    }
    assert_eq!(house.ask("DELETE", "/apisix/admin/consumers/jack", "").await.status, 200);
    let (revision, changes) = house.log.lock().unwrap().last().unwrap().clone();
    let gone: Vec<&str> = changes.iter().map(|change| change.id.as_str()).collect();
    assert_eq!((revision, gone), (7, vec!["jack/credentials/a", "jack/credentials/b", "jack"]));
    assert!(changes.iter().all(|change| change.value.is_none()));
    assert_eq!(house.ask("GET", "/apisix/admin/consumers/jack/credentials", "").await.status, 404);
    assert_eq!(house.ask("GET", "/apisix/admin/consumers/rose/credentials", "").await.json()["total"], 2);
    let status = house.control("/v1/config/status").await.json();
    assert_eq!(status["last_change"]["key"], "consumers/jack");
    assert_eq!((&status["entries"]["consumers"], &status["entries"]["credentials"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn shared_plugins_live_from_put_to_delete() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let kinds = [
        ("consumer_groups", "consumer group"),
        ("plugin_configs", "plugin config"),
        ("global_rules", "global rule"),
    ];
    for (collection, singular) in kinds {
        let path = format!("{collection}/1");
        let path = path.as_str();
        let key = format!("/apisix/{path}");
        let plugins = json!({"plugins": {"http-logger": {}}});
        let stored = json!({"key": key, "value": {"plugins": {"http-logger": {}}, "id": "1"}});
        let both = json!({"http-logger": {}, "ai-proxy": {"provider": "x"}});
        let patched = json!({"key": key, "value": {"plugins": both, "id": "1"}});
        let required = error("invalid configuration: property \"plugins\" is required");
        let proxy = json!({"plugins": {"ai-proxy": {"provider": "x"}}});
        let bad =
            "failed to check the configuration of plugin ai-proxy err: property \"provider\" is required";
        let unsupported = error(&format!("not supported `POST` method for {singular}"));
        let missing = error(&format!("missing {singular} id"));
        let steps = vec![
            ("GET", path, Value::Null, 404, absent()),
            ("PATCH", path, proxy.clone(), 404, absent()),
            ("PUT", path, json!({}), 400, required),
            ("PUT", path, json!({"plugins": {"nope": {}}}), 400, error("unknown plugin [nope]")),
            ("PUT", path, json!({"plugins": {"ai-proxy": {}}}), 400, error(bad)),
            ("PUT", path, plugins.clone(), 201, stored.clone()),
            ("PUT", path, plugins.clone(), 200, stored.clone()),
            ("GET", collection, Value::Null, 200, json!({"total": 1, "list": [stored]})),
            ("PATCH", path, proxy, 200, patched.clone()),
            ("GET", path, Value::Null, 200, patched),
            ("PATCH", path, Value::Null, 400, error("missing new configuration")),
            ("PUT", path, json!({"id": "2", "plugins": {}}), 400, error(&format!("wrong {singular} id"))),
            ("POST", collection, plugins.clone(), 405, unsupported),
            ("PUT", collection, plugins.clone(), 400, missing.clone()),
            ("PATCH", collection, plugins, 400, missing.clone()),
            ("DELETE", collection, Value::Null, 400, missing),
            ("DELETE", path, Value::Null, 200, json!({"key": key, "deleted": "1"})),
            ("GET", path, Value::Null, 404, absent()),
        ];
        follow(&house, steps).await;
    }
}

#[tokio::test]
async fn what_consumers_and_routes_refer_to_must_exist_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let jack = json!({"username": "jack", "group_id": "g"});
    let mut route: Value = serde_json::from_str(ROUTE).unwrap();
    route["plugin_config_id"] = json!(7);
    let no_group = "failed to fetch consumer group info by consumer group id [g], response code: 404";
    let no_plugins = "failed to fetch plugin config info by plugin config id [7], response code: 404";
    let group_used = "can not delete this consumer group, consumer [jack] is still using it now";
    let plugins_used = "can not delete this plugin config, route [r] is still using it now";
    for (user, body, refused, path, used) in [
        ("consumers/jack", jack, no_group, "consumer_groups/g", group_used),
        ("routes/r", route, no_plugins, "plugin_configs/7", plugins_used),
    ] {
        let ask = async |method: &str, path: &str, body: &str| {
            house.ask(method, &format!("/apisix/admin/{path}"), body).await
        };
        let body = body.to_string();
        assert_eq!(ask("PUT", user, &body).await.error(), (400, refused.to_string()));
        assert_eq!(ask("PUT", path, r#"{"plugins":{}}"#).await.status, 201, "{path}");
        assert_eq!(ask("PUT", user, &body).await.status, 201, "{user}");
        assert_eq!(ask("DELETE", path, "").await.error(), (400, used.to_string()));
        assert_eq!(ask("DELETE", user, "").await.status, 200, "{user}");
        assert_eq!(ask("DELETE", path, "").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_plugin_is_in_one_global_rule() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let rule = json!({"plugins": {"http-logger": {}}});
    let value =
        json!({"key": "/apisix/global_rules/1", "value": {"plugins": {"http-logger": {}}, "id": "1"}});
    let taken = error("plugin 'http-logger' already exists in global rule with id '1'");
    let empty = json!({"key": "/apisix/global_rules/2", "value": {"plugins": {}, "id": "2"}});
    let steps = vec![
        ("PUT", "global_rules/1", rule.clone(), 201, value.clone()),
        ("PUT", "global_rules/1", rule.clone(), 200, value),
        ("PUT", "global_rules/2", rule.clone(), 400, taken.clone()),
        ("PUT", "global_rules/2", json!({"plugins": {}}), 201, empty),
        ("PATCH", "global_rules/2", rule, 400, taken),
    ];
    follow(&house, steps).await;
}

#[tokio::test]
async fn metadata_belong_to_a_plugin_and_have_no_times() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let format = json!({"log_format": {"a": "$host"}});
    let path = "plugin_metadata/http-logger";
    let stored = json!({
        "key": "/apisix/plugin_metadata/http-logger",
        "value": {"log_format": {"a": "$host"}, "id": "http-logger"},
    });
    let wrong = "invalid configuration: property \"log_format\" validation failed: \
        wrong type: expected object, got number";
    let unsupported = |method: &str| error(&format!("not supported `{method}` method for plugin_metadata"));
    let steps = vec![
        ("GET", path, Value::Null, 404, absent()),
        ("PUT", "plugin_metadata", format.clone(), 400, error("missing plugin name")),
        ("PUT", "plugin_metadata/nope", format.clone(), 400, error("invalid plugin name")),
        ("PUT", path, json!({"log_format": 1}), 400, error(wrong)),
        ("PUT", path, format.clone(), 201, stored.clone()),
        ("PUT", path, format.clone(), 200, stored.clone()),
        ("GET", path, Value::Null, 200, stored.clone()),
        ("GET", "plugin_metadata", Value::Null, 200, json!({"total": 1, "list": [stored.clone()]})),
        ("POST", "plugin_metadata", format.clone(), 405, unsupported("POST")),
        ("PATCH", path, format, 405, unsupported("PATCH")),
    ];
    follow(&house, steps).await;
    let value = house.ask("GET", &format!("/apisix/admin/{path}"), "").await.json()["value"].clone();
    assert_eq!(value, stored["value"], "no times");
    let deleted = house.ask("DELETE", &format!("/apisix/admin/{path}"), "").await.json();
    assert_eq!(deleted, json!({"key": "/apisix/plugin_metadata/http-logger", "deleted": "1"}));
}
