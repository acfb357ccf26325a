use super::*;
use crate::check::tests::Plugins;
use serde_json::json;

fn configuration(items: &[(Kind, Value)]) -> Configuration {
    let mut configuration = Configuration::default();
    for (index, (kind, value)) in items.iter().enumerate() {
        configuration.add(*kind, index, value.clone());
    }
    configuration
}

fn faults(items: &[(Kind, Value)]) -> Vec<(usize, String)> {
    let faults = configuration(items).check(&Plugins::new());
    faults.into_iter().map(|fault| (fault.index, fault.reason)).collect()
}

fn upstream() -> Value {
    json!({"type": "roundrobin", "nodes": {"127.0.0.1:80": 1}})
}

#[test]
fn ids_come_from_the_item_or_from_its_place() {
    let mut all = configuration(&[
        (Kind::Route, json!({"id": 7, "uri": "/a"})),
        (Kind::Route, json!({"uri": "/b"})),
        (Kind::Consumer, json!({"username": "jack"})),
        (Kind::Consumer, json!({"id": "jack/credentials/c", "plugins": {}})),
    ]);
    let changes = all.changes(&mut std::iter::empty());
    let ids: Vec<(Kind, &str)> = changes.iter().map(|change| (change.kind, change.id.as_str())).collect();
    let expected = [
        (Kind::Route, "7"),
        (Kind::Route, "arr_2"),
        (Kind::Credential, "jack/credentials/c"),
        (Kind::Consumer, "jack"),
    ];
    assert_eq!(ids, expected);
    let documents: Vec<Value> =
        changes.iter().filter_map(|change| change.value.as_deref().cloned()).collect();
    assert_eq!(documents[0]["id"], json!(7), "a number stays one");
    assert_eq!((&documents[1]["id"], &documents[2]["id"]), (&json!("arr_2"), &json!("c")));
    assert_eq!(documents[3], json!({"username": "jack"}));
    assert_eq!(all.add(Kind::Route, 9, json!({"id": "7", "uri": "/c"})), Some(0), "the later one counts");
    assert_eq!(all.place(Kind::Route, "7"), Some(("routes", 9)));
    assert_eq!(all.changes(&mut std::iter::empty()).len(), 4);
}

#[test]
fn references_are_looked_for_in_the_configuration() {
    let route = json!({"id": "r", "uri": "/a", "upstream_id": "u"});
    let with_id = |mut value: Value| {
        value["id"] = json!("u");
        value
    };
    assert_eq!(faults(&[(Kind::Route, route.clone()), (Kind::Upstream, with_id(upstream()))]), []);
    let text = "failed to fetch upstream info by upstream id [u], response code: 404";
    assert_eq!(faults(&[(Kind::Route, route)]), [(0, text.to_owned())]);
    let credential = json!({"id": "jack/credentials/c", "plugins": {"door": {"key": "k"}}});
    assert_eq!(faults(&[(Kind::Consumer, credential)]), [(0, "consumer not found".to_owned())]);
}

#[test]
fn all_that_is_wrong_is_told_and_keys_that_two_have_are_found() {
    let consumer = |name: &str, key: &str| json!({"username": name, "plugins": {"door": {"key": key}}});
    let rule = |id: &str| json!({"id": id, "plugins": {"guard": {"token": "tok-1"}}});
    let told = faults(&[
        (Kind::Consumer, consumer("a", "same")),
        (Kind::Consumer, consumer("b", "own")),
        (Kind::Consumer, consumer("c", "same")),
        (Kind::Consumer, json!({"id": "x", "username": "d"})),
        (Kind::GlobalRule, rule("1")),
        (Kind::GlobalRule, rule("2")),
        (Kind::Route, json!({"uri": 1})),
    ]);
    let expected = [
        (0, "duplicate key of plugin door found with consumer: c"),
        (2, "duplicate key of plugin door found with consumer: a"),
        (3, "wrong username"),
        (4, "plugin 'guard' already exists in global rule with id '2'"),
        (5, "plugin 'guard' already exists in global rule with id '1'"),
        (
            6,
            "invalid configuration: property \"uri\" validation failed: \
             wrong type: expected string, got number",
        ),
    ];
    assert_eq!(told, expected.map(|(index, reason)| (index, reason.to_owned())));
}

#[test]
fn what_is_replaced_has_no_effect_and_is_checked() {
    let (bad, good) = (json!({"id": "u", "nodes": 1}), json!({"id": "u", "nodes": {"127.0.0.1:80": 1}}));
    let mut all = configuration(&[(Kind::Upstream, bad), (Kind::Upstream, good)]);
    let faults = all.check(&Plugins::new());
    let told: Vec<(usize, &str)> = faults.iter().map(|fault| (fault.index, fault.id.as_str())).collect();
    assert_eq!(told, [(0, "u")]);
    let mut visited = 0;
    all.change_each(&mut |kind, id, document| {
        assert_eq!((kind, id), (Kind::Upstream, "u"));
        document["desc"] = json!("changed");
        visited += 1;
    });
    assert_eq!(visited, 2);
    let changes = all.changes(&mut std::iter::empty());
    let expected = json!({"id": "u", "nodes": {"127.0.0.1:80": 1}, "desc": "changed"});
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].value.as_deref(), Some(&expected));
}

#[test]
fn only_what_differs_is_changed() {
    let first =
        configuration(&[(Kind::Route, json!({"id": "a", "uri": "/a"})), (Kind::Upstream, upstream())]);
    let stored: Vec<Entry> = first.items.values().map(|item| item.entry.clone()).collect();
    assert_eq!(first.changes(&mut stored.iter()), []);
    let second = configuration(&[
        (Kind::Route, json!({"id": "b", "uri": "/b"})),
        (Kind::Upstream, json!({"id": "arr_2", "type": "chash"})),
    ]);
    let changes = second.changes(&mut stored.iter());
    let told: Vec<(&str, bool)> =
        changes.iter().map(|change| (change.id.as_str(), change.value.is_some())).collect();
    assert_eq!(told, [("a", false), ("arr_2", true), ("b", true)]);
}
