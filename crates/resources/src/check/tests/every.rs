use super::*;

fn all(kind: Kind, value: &Value) -> Vec<String> {
    faults(kind, None, value, &Known(Vec::new()), &Plugins::new())
}

#[test]
fn every_fault_of_a_resource_is_told_once() {
    let route = json!({
        "uri": "/x",
        "host": "a",
        "hosts": ["b"],
        "priority": "high",
        "methods": ["GET", "FETCH"],
        "upstream_id": "2",
        "service_id": "3",
        "filter_func": "function(vars) return true end",
        "vars": [["a", "~~~", "b"]],
        "plugins": {"guard": {"token": "sk-live", "limit": "x"}, "door": {}, "nope": {}, "gone": 1},
    });
    let told = all(Kind::Route, &route);
    let expected = [
        "only one of host or hosts is allowed",
        "invalid configuration: property \"priority\" validation failed: ",
        "invalid configuration: property \"methods\" validation failed: failed to validate item 2: ",
        "plugin guard err: property \"token\" validation failed: failed to match pattern \"^tok-\" with \"***\"",
        "plugin guard err: property \"limit\" validation failed: ",
        "unknown plugin [nope]",
        "unknown plugin [gone]",
        "by upstream id [2]",
        "by service id [3]",
        "failed to validate the 'vars' expression: ",
        "filter_func is Lua",
    ];
    for text in expected {
        assert_eq!(told.iter().filter(|why| why.contains(text)).count(), 1, "{text}: {told:#?}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    assert!(!told.iter().any(|why| why.contains("sk-live")), "{told:#?}");
}

#[test]
fn the_first_fault_is_among_all() {
    let cases = [
        (
            Kind::Route,
            json!({"uri": "/x", "plugins": {"guard": {"_meta": {"priority": "x"}, "token": "tok-1"}}}),
        ),
        (Kind::Route, json!(5)),
        (Kind::Upstream, json!({"type": "chash", "nodes": {"a:1": 1}})),
        (Kind::Consumer, json!({"username": "a", "plugins": {"door": {"key": 1}}, "group_id": 7})),
        (Kind::Credential, json!({"plugins": {"guard": {"token": "tok-1"}}})),
        (Kind::PluginMetadata, json!({"log_format": 1})),
        (Kind::Secret, json!({})),
    ];
    for (kind, value) in cases {
        let first = check(kind, None, &value, &Known(Vec::new()), &Plugins::new()).unwrap_err();
        let told = all(kind, &value);
        assert!(told.contains(&first), "{value}: {first}: {told:#?}");
    }
    let good = json!({"uri": "/x", "plugins": {"guard": {"token": "tok-1"}}});
    assert_eq!(all(Kind::Route, &good), Vec::<String>::new());
}
