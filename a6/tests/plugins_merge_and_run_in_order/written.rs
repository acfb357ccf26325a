//! What is refused when it is written, in APISIX's words, and what happens where a part has been taken away.

use serde_json::{Value, json};

use crate::engine::{Stage, passes, says, tag, with};

/// A limit that no limit-count has.
fn misconfigured() -> Value {
    json!({"count": "$undefined", "time_window": true})
}

/// Each place where plugins may be written, and what the reason begins with there.
fn places(stage: &Stage) -> Vec<(&'static str, Value, &'static str)> {
    let route = json!({"uri": "/t", "upstream": stage.echo.upstream()});
    vec![
        ("routes/t", route, ""),
        ("services/s", json!({}), ""),
        ("plugin_configs/c", json!({}), ""),
        ("consumer_groups/g", json!({}), ""),
        ("global_rules/1", json!({}), ""),
        ("consumers", json!({"username": "jack"}), "invalid plugins configuration: "),
    ]
}

#[test]
fn what_no_plugin_understands_is_refused_everywhere() {
    let stage = Stage::new();
    let cors = "failed to check the configuration of plugin cors err: ";
    let cases = [
        (json!({"no-such-plugin": {}}), "unknown plugin [no-such-plugin]".to_string()),
        (
            json!({"no-such-plugin": {"_meta": {"disable": true}}}),
            "unknown plugin [no-such-plugin]".to_string(),
        ),
        (json!({"cors": "on"}), "invalid plugin conf \"on\" for plugin [cors]".to_string()),
        (json!({"cors": null}), "invalid plugin conf \"userdata: NULL\" for plugin [cors]".to_string()),
        (json!({"cors": []}), format!("{cors}wrong type: expected object, got table")),
        (
            json!({"cors": {"max_age": "1"}}),
            format!("{cors}property \"max_age\" validation failed: wrong type: expected integer, got string"),
        ),
        (
            json!({"cors": {"_meta": {"what": 1}}}),
            format!(
                "{cors}property \"_meta\" validation failed: additional properties forbidden, found what"
            ),
        ),
        (
            json!({"cors": {"_meta": {"disable": "x"}}}),
            format!(
                "{cors}property \"_meta\" validation failed: property \"disable\" validation failed: \
                 wrong type: expected boolean, got string"
            ),
        ),
        (
            json!({"cors": {"_meta": {"filter": ["arg_a", "==", "1"]}}}),
            "failed to validate the 'vars' expression: rule should be wrapped inside brackets".to_string(),
        ),
    ];
    for (path, object, prefix) in places(&stage) {
        for (plugins, why) in &cases {
            let body = with(object.clone(), json!({"plugins": plugins}));
            assert_eq!(stage.refusal(path, body), format!("{prefix}{why}"), "{path} {plugins}");
        }
        let read = if path == "consumers" { "consumers/jack" } else { path };
        assert_eq!(stage.gateway.admin("GET", read, None).0, 404, "{path}: something was written");
    }
}

#[test]
fn what_is_disabled_need_not_be_right() {
    let stage = Stage::new();
    let off = with(misconfigured(), json!({"_meta": {"disable": true}}));
    for (path, object, prefix) in places(&stage) {
        let plugins = |conf: &Value| with(object.clone(), json!({"plugins": {"limit-count": conf}}));
        let why = stage.refusal(path, plugins(&misconfigured()));
        let begin = format!("{prefix}failed to check the configuration of plugin limit-count err: ");
        assert!(why.starts_with(&begin), "{path}: {why}");
        stage.put(path, plugins(&off));
    }
    // With the global rule, and nothing that is written on the route.
    passes(&stage.get("/t", &[]));
    stage.refusal(
        "routes/t",
        json!({
            "uri": "/t",
            "plugins": {"limit-count": with(misconfigured(), json!({"_meta": {"disable": false}}))},
            "upstream": stage.echo.upstream(),
        }),
    );
    passes(&stage.get("/t", &[]));
    let (_, stored) = stage.gateway.admin("GET", "routes/t", None);
    assert_eq!(stored["value"]["plugins"]["limit-count"], off);
}

#[test]
fn a_route_without_its_plugin_config_is_not_served() {
    let stage = Stage::new();
    let config = || json!({"plugins": with(json!({"key-auth": {}}), tag("X-Config", "1"))});
    stage.consumer("jack", json!({}), json!({}));
    stage.put("plugin_configs/c", config());
    stage.put("routes/t", json!({"uri": "/t", "plugin_config_id": "c", "upstream": stage.echo.upstream()}));
    stage.route("other", json!({}));
    says(&stage.get("/t", &[]), 401, r#"{"message":"Missing API key in request"}"#);
    let answer = stage.get_as("jack", "/t");
    passes(&answer);
    assert_eq!(answer.header("x-config"), Some("1"));

    let (status, answer) = stage.gateway.admin("DELETE", "plugin_configs/c", None);
    let why = json!("can not delete this plugin config, route [t] is still using it now");
    assert_eq!((status, &answer["error_msg"]), (400, &why));
    stage.gateway.delete("plugin_configs/c?force=true");
    // Without it the route has lost its protection.
    let served = stage.echo.count();
    for answer in [stage.get("/t", &[]), stage.get_as("jack", "/t")] {
        assert_eq!(answer.status, 503, "{}", answer.text());
        let text = answer.json()["error_msg"].as_str().unwrap_or_default().to_string();
        assert!(text.contains("plugin config") && text.contains("route t"), "{text}");
    }
    assert_eq!(stage.echo.count(), served);
    passes(&stage.get("/other", &[]));

    stage.put("plugin_configs/c", config());
    says(&stage.get("/t", &[]), 401, r#"{"message":"Missing API key in request"}"#);
    passes(&stage.get_as("jack", "/t"));
}

#[test]
fn a_route_without_its_service_is_not_found() {
    let stage = Stage::new();
    let service = || json!({"plugins": {"key-auth": {}}, "upstream": stage.echo.upstream()});
    stage.put("services/s", service());
    // It could be served from its own upstream, but not as it was meant.
    stage.put("routes/t", json!({"uri": "/t", "service_id": "s", "upstream": stage.echo.upstream()}));
    assert_eq!(stage.get("/t", &[]).status, 401);
    stage.gateway.delete("services/s?force=true");
    assert_eq!(stage.get("/t", &[]).status, 404);
    assert_eq!(stage.echo.count(), 0);
    stage.put("services/s", service());
    assert_eq!(stage.get("/t", &[]).status, 401);
}

#[test]
fn a_change_of_a_part_is_in_force_when_it_is_written() {
    let stage = Stage::new();
    stage.put("consumer_groups/g", json!({"plugins": {}}));
    stage.consumer("jack", json!({}), json!({"group_id": "g"}));
    stage.put("services/s", json!({"upstream": stage.echo.upstream()}));
    stage.put("plugin_configs/c", json!({"plugins": {}}));
    let key_auth = json!({"key-auth": {}});
    let route = json!({"uri": "/t", "service_id": "s", "plugin_config_id": "c", "plugins": key_auth});
    stage.put("routes/t", route.clone());
    let value = |value: &str| json!({"plugins": tag("X-Value", value)});
    let service = |text: &str| with(value(text), json!({"upstream": stage.echo.upstream()}));
    let steps = [
        ("services/s", service("1"), Some("1")),
        ("services/s", service("2"), Some("2")),
        ("plugin_configs/c", value("3"), Some("3")),
        ("services/s", service("4"), Some("3")),
        ("routes/t", with(route.clone(), json!({"plugins": with(key_auth, tag("X-Value", "5"))})), Some("5")),
        ("consumer_groups/g", value("6"), Some("6")),
        ("consumer_groups/g", value("7"), Some("7")),
        ("consumer_groups/g", json!({"plugins": {}}), Some("5")),
        ("routes/t", route, Some("3")),
        ("plugin_configs/c", json!({"plugins": {}}), Some("4")),
        ("services/s", json!({"upstream": stage.echo.upstream()}), None),
    ];
    for (number, (path, body, expected)) in steps.into_iter().enumerate() {
        stage.put(path, body);
        let answer = stage.get_as("jack", "/t");
        passes(&answer);
        assert_eq!(answer.header("x-value"), expected, "step {number}, {path}");
    }
}
