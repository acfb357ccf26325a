//! Consumers, credentials, and what they and routes share.

use super::*;

const TOO_MANY: &str = "invalid configuration: property \"plugins\" validation failed: expect object to have at most 1 properties";

#[test]
fn consumers() {
    let username = |value: &str| json!({"username": value});
    let failed = |why: &str| format!("invalid configuration: property \"username\" validation failed: {why}");
    let cases = [
        (None, json!({"username": "jack"}), String::new()),
        (Some("jack"), json!({"username": "jack", "id": "any", "group_id": "1"}), String::new()),
        (Some("jack"), json!({"username": "rose"}), "wrong username".to_owned()),
        (None, json!({"plugins": {}}), "invalid configuration: property \"username\" is required".to_owned()),
        (None, username("a.b"), failed("failed to match pattern \"^[a-zA-Z0-9_\\\\-]+$\" with \"a.b\"")),
        (
            None,
            username("$env://A"),
            failed("failed to match pattern \"^[a-zA-Z0-9_\\\\-]+$\" with \"$env://A\""),
        ),
        (None, username(&"a".repeat(257)), failed("string too long, expected at most 256, got 257")),
        (
            None,
            json!({"username": "jack", "group_id": 2}),
            "failed to fetch consumer group info by consumer group id [2], response code: 404".to_owned(),
        ),
        (
            None,
            json!({"username": "jack", "plugins": {"nope": {}}}),
            "invalid plugins configuration: unknown plugin [nope]".to_owned(),
        ),
        (None, json!({"username": "jack", "plugins": {"guard": {"token": "tok-1"}}}), String::new()),
        (
            None,
            json!({"username": "jack", "plugins": {"guard": {}}}),
            "invalid plugins configuration: \
             failed to check the configuration of plugin guard err: property \"token\" is required"
                .to_owned(),
        ),
        (
            None,
            json!({"username": "jack", "plugins": {"door": {"header": "x"}}}),
            "invalid plugins configuration: \
             failed to check the configuration of plugin door err: property \"key\" is required"
                .to_owned(),
        ),
    ];
    for (id, value, expected) in cases {
        assert_eq!(outcome_at(Kind::Consumer, id, &value, Vec::new()), expected, "{value}");
    }
}

#[test]
fn credentials() {
    let one = |name: &str, conf: Value| {
        let mut value = json!({"id": "c", "plugins": {}});
        value["plugins"][name] = conf;
        value
    };
    let cases = [
        (json!({"id": "c"}), ""),
        (one("door", json!({"key": "k"})), ""),
        (
            one("door", json!({})),
            "invalid plugins configuration: \
             failed to check the configuration of plugin door err: property \"key\" is required",
        ),
        (one("guard", json!({"token": "tok-1"})), "only supports auth type plugins in consumer credential"),
        (json!({"id": "c", "plugins": {"door": {"key": "k"}, "guard": {}}}), TOO_MANY),
        (
            json!({"id": "c", "username": "jack"}),
            "invalid configuration: additional properties forbidden, found username",
        ),
    ];
    for (value, expected) in cases {
        let found = outcome_at(Kind::Credential, Some("jack/credentials/c"), &value, Vec::new());
        assert_eq!(found, expected, "{value}");
    }
}

#[test]
fn nobody_else_is_known_by_the_same_key() {
    let entries = || {
        vec![
            entry(Kind::Consumer, "jack", json!({"username": "jack", "plugins": {"door": {"key": "j"}}})),
            entry(Kind::Consumer, "rose", json!({"username": "rose"})),
            entry(
                Kind::Credential,
                "jack/credentials/c1",
                json!({"id": "c1", "plugins": {"door": {"key": "jc"}}}),
            ),
            entry(Kind::Credential, "rose/credentials/c1", json!({"plugins": {"door": {"key": "$env://R"}}})),
        ]
    };
    let consumer = "duplicate key of plugin door found with consumer: jack";
    let credential = "duplicate key of plugin door found with credential: c1 of consumer: jack";
    let cases = [
        ("rose", "j", consumer),
        ("rose", "jc", credential),
        ("rose", "new", ""),
        ("jack", "j", ""),
        ("jack", "jc", ""),
        ("jack", "$env://R", ""),
    ];
    for (username, key, expected) in cases {
        let plugins = json!({"door": {"key": key}});
        let value = json!({"username": username, "plugins": plugins});
        assert_eq!(outcome_at(Kind::Consumer, None, &value, entries()), expected, "{username} {key}");
        let id = format!("{username}/credentials/new");
        let value = json!({"id": "new", "plugins": plugins});
        assert_eq!(outcome_at(Kind::Credential, Some(&id), &value, entries()), expected, "{id} {key}");
    }
}

#[test]
fn shared_plugins() {
    for kind in [Kind::PluginConfig, Kind::ConsumerGroup, Kind::GlobalRule] {
        for (value, expected) in [
            (json!({"id": "1", "plugins": {}}), ""),
            (json!({"id": "1", "plugins": {"door": {"header": "x"}}}), ""),
            (json!({"id": "1"}), "invalid configuration: property \"plugins\" is required"),
            (json!({"id": "1", "plugins": {"nope": {}}}), "unknown plugin [nope]"),
            (
                json!({"id": "1", "plugins": {"guard": {}}}),
                "failed to check the configuration of plugin guard err: property \"token\" is required",
            ),
        ] {
            assert_eq!(outcome_at(kind, Some("1"), &value, Vec::new()), expected, "{kind:?} {value}");
        }
    }
}

#[test]
fn a_plugin_is_in_one_global_rule() {
    let value = json!({"id": "2", "plugins": {"door": {}}});
    let rules =
        || vec![entry(Kind::GlobalRule, "1", value.clone()), entry(Kind::PluginConfig, "3", value.clone())];
    assert_eq!(
        outcome_at(Kind::GlobalRule, Some("2"), &value, rules()),
        "plugin 'door' already exists in global rule with id '1'"
    );
    assert_eq!(
        outcome_at(Kind::GlobalRule, Some("1"), &json!({"id": "1", "plugins": {"door": {}}}), rules()),
        ""
    );
    assert_eq!(outcome_at(Kind::PluginConfig, Some("2"), &value, rules()), "");
}

#[test]
fn plugin_metadata() {
    let format = json!({"log_format": {"a": "$host"}});
    for (id, value, expected) in [
        (Some("guard"), format.clone(), ""),
        (Some("door"), json!({"any": [1]}), ""),
        (
            Some("guard"),
            json!({"log_format": 1}),
            "invalid configuration: property \"log_format\" validation failed: \
             wrong type: expected object, got number",
        ),
        (Some("nope"), format.clone(), "invalid plugin name"),
        (None, format.clone(), "missing plugin name"),
    ] {
        assert_eq!(outcome_at(Kind::PluginMetadata, id, &value, Vec::new()), expected, "{id:?} {value}");
    }
}
