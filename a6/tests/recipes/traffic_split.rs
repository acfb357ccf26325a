//! Section 14: traffic-split.

use std::collections::BTreeMap;
use std::time::Duration;

use a6_mock::{Mock, Options, TlsIdentity};
use serde_json::{Value, json};

use super::{Stage, extend, passes};
use crate::support::{self, Connection, Echo, Manner, Setup, closed_port, request};

/// What the Admin API says before the reason.
const REFUSED: &str = "failed to check the configuration of plugin traffic-split err: ";

/// The route `/r` to the stage's backend with these rules.
fn split(stage: &Stage, rules: Value) {
    stage.route("r", json!({"traffic-split": {"rules": rules}}));
}

/// An entry with an upstream of its own.
fn to(echo: &Echo, weight: u64) -> Value {
    json!({"upstream": echo.upstream(), "weight": weight})
}

/// The name of the backend that answers.
#[track_caller]
fn answered(stage: &Stage, target: &str, headers: &[(&str, &str)]) -> String {
    let answer = stage.get(target, headers);
    passes(&answer);
    answer.json()["answered_by"].as_str().expect("the backend's name").to_string()
}

/// How often each backend answers of so many requests, one after the other on connections of their own.
fn tally(stage: &Stage, count: usize) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for _ in 0..count {
        *tally.entry(answered(stage, "/r", &[])).or_insert(0) += 1;
    }
    tally
}

fn shares(shares: &[(&str, usize)]) -> BTreeMap<String, usize> {
    shares.iter().map(|(name, count)| (name.to_string(), *count)).collect()
}

/// Who answers in each case: target, headers, the backend's name.
fn answers(stage: &Stage, cases: &[(&str, &[(&str, &str)], &str)]) {
    for (target, headers, expected) in cases {
        assert_eq!(answered(stage, target, headers), *expected, "{target} {headers:?}");
    }
}

#[test]
fn row_14_1_each_gets_its_share_exactly() {
    let stage = Stage::on(Setup::new().workers(2));
    let v2 = Echo::start("v2");
    split(&stage, json!([{"weighted_upstreams": [to(&v2, 2), {"weight": 8}]}]));
    for round in 0..5 {
        assert_eq!(tally(&stage, 10), shares(&[("echo", 8), ("v2", 2)]), "round {round}");
    }
    let v3 = Echo::start("v3");
    split(&stage, json!([{"weighted_upstreams": [to(&v2, 3), to(&v3, 1), {}]}]));
    assert_eq!(tally(&stage, 50), shares(&[("echo", 10), ("v2", 30), ("v3", 10)]));
}

#[test]
fn row_14_2_an_upstream_by_its_id_is_used_as_it_is() {
    let stage = Stage::new();
    let v2 = Echo::start("v2");
    let by_id =
        |id: &Value| split(&stage, json!([{"weighted_upstreams": [{"upstream_id": id, "weight": 1}]}]));
    let nodes = json!({closed_port().to_string(): 1, v2.address.to_string(): 1});
    let statuses = || (0..4).map(|_| stage.get("/r", &[]).status).collect::<Vec<_>>();

    // By default the other node is tried; with its own `retries` it is not.
    stage.gateway.put("upstreams/u", &json!({"nodes": nodes}));
    by_id(&json!("u"));
    assert_eq!(statuses(), [200; 4]);
    stage.gateway.put("upstreams/u", &json!({"nodes": nodes, "retries": 0}));
    let mut told = statuses();
    told.sort_unstable();
    assert_eq!(told, [200, 200, 502, 502]);

    // A change reaches the rule; an id may be a number.
    stage.gateway.put("upstreams/7", &json!({"nodes": {v2.address.to_string(): 1}, "pass_host": "node"}));
    by_id(&json!(7));
    assert_eq!(answered(&stage, "/r", &[]), "v2");
    assert_eq!(v2.last().header("host"), Some(v2.address.to_string().as_str()));
    let v3 = Echo::start("v3");
    stage.gateway.put("upstreams/7", &v3.upstream());
    assert_eq!(answered(&stage, "/r", &[]), "v3");

    let identity = TlsIdentity::for_hosts(&["tls.example"]).unwrap();
    let mock =
        Mock::start(Options { port: 0, ledger: true, tls: Some(identity), ..Options::default() }).unwrap();
    stage.gateway.put("upstreams/u", &json!({"nodes": {mock.addr.to_string(): 1}, "scheme": "https"}));
    by_id(&json!("u"));
    stage.get("/r", &[("Host", "tls.example")]);
    let exchange = support::ledger(&mock, 1).remove(0);
    assert_eq!((exchange.method.as_str(), exchange.sni.as_deref()), ("GET", Some("tls.example")));
}

#[test]
fn row_14_3_conditions_within_an_entry_hold_all_and_entries_are_or() {
    let stage = Stage::new();
    let v2 = Echo::start("v2");
    let conditions = json!([
        {"vars": [["arg_a", "==", "1"], ["http_x_b", "==", "2"]]},
        {"vars": [["cookie_c", "==", "3"]]},
    ]);
    split(&stage, json!([{"match": conditions, "weighted_upstreams": [to(&v2, 1)]}]));
    let cases: [(&str, &[(&str, &str)], &str); 7] = [
        ("/r?a=1", &[("X-B", "2")], "v2"),
        ("/r?a=1", &[], "echo"),
        ("/r", &[("X-B", "2")], "echo"),
        ("/r?a=1", &[("X-B", "3")], "echo"),
        ("/r", &[("Cookie", "x=y; c=3")], "v2"),
        ("/r?a=1", &[("Cookie", "c=3")], "v2"),
        ("/r", &[], "echo"),
    ];
    answers(&stage, &cases);
}

#[test]
fn row_14_4_the_first_rule_that_matches_decides() {
    let stage = Stage::new();
    let [v2, v3, v4] = ["v2", "v3", "v4"].map(Echo::start);
    let when = |name: &str| json!([{"vars": [[name, "==", "1"]]}]);
    split(
        &stage,
        json!([
            {"match": when("arg_a"), "weighted_upstreams": [to(&v2, 1)]},
            {"match": when("arg_b"), "weighted_upstreams": [to(&v3, 1)]},
            {"weighted_upstreams": [to(&v4, 1)]},
            {"match": when("arg_c"), "weighted_upstreams": [to(&v2, 1)]},
        ]),
    );
    let cases: [(&str, &[(&str, &str)], &str); 5] = [
        ("/r?a=1", &[], "v2"),
        ("/r?b=1", &[], "v3"),
        ("/r?b=1&a=1", &[], "v2"),
        ("/r", &[], "v4"),
        ("/r?c=1", &[], "v4"),
    ];
    answers(&stage, &cases);
}

#[test]
fn row_14_5_a_weight_of_zero_has_no_turn() {
    let stage = Stage::new();
    let v2 = Echo::start("v2");
    split(&stage, json!([{"weighted_upstreams": [to(&v2, 0), {"weight": 1}]}]));
    assert_eq!(tally(&stage, 20), shares(&[("echo", 20)]));
    split(&stage, json!([{"weighted_upstreams": [to(&v2, 3), {"weight": 0}]}]));
    assert_eq!(tally(&stage, 20), shares(&[("v2", 20)]));
    split(&stage, json!([{"weighted_upstreams": [to(&v2, 0), {"weight": 0}]}]));
    assert_eq!(tally(&stage, 20).values().sum::<usize>(), 20, "somebody answers where all are 0");
}

#[test]
fn row_14_6_an_unknown_upstream_is_a_500_that_names_it() {
    let stage = Stage::new();
    let v2 = Echo::start("v2");
    let unknown = json!([{"upstream_id": "absent", "weight": 1}, {"weight": 9}]);
    let never = json!([{"vars": [["arg_never", "==", "1"]]}]);
    let always = json!({"weighted_upstreams": [to(&v2, 1)]});
    let fails = [
        json!([{"weighted_upstreams": unknown}]),
        json!([{"match": never, "weighted_upstreams": unknown}]),
        json!([{"match": never, "weighted_upstreams": unknown}, always]),
    ];
    for rules in fails {
        split(&stage, rules.clone());
        let answer = stage.get("/r", &[]);
        assert_eq!(answer.status, 500, "{rules}: {}", answer.text());
        assert_eq!(answer.text(), "failed to fetch upstream info by upstream id: absent", "{rules}");
    }
    assert_eq!((stage.echo.count(), v2.count()), (0, 0), "what reached a backend");
    // Behind the rule that decides, nothing is looked at.
    split(&stage, json!([always, {"weighted_upstreams": unknown}]));
    assert_eq!(answered(&stage, "/r", &[]), "v2");

    stage.gateway.put("upstreams/absent", &v2.upstream());
    split(&stage, json!([{"weighted_upstreams": [{"upstream_id": "absent"}]}]));
    assert_eq!(answered(&stage, "/r", &[]), "v2");
    stage.gateway.delete("upstreams/absent?force=true");
    assert_eq!(stage.get("/r", &[]).status, 500);
}

#[test]
fn row_14_7_an_inline_upstream_has_some_members() {
    let stage = Stage::new();
    let [v2, v3] = ["v2", "v3"].map(Echo::start);
    let inline = |members: Value| {
        let mut upstream = v2.upstream();
        extend(&mut upstream, members);
        split(&stage, json!([{"weighted_upstreams": [{"upstream": upstream}]}]));
    };
    let host = |members: Value| {
        inline(members);
        assert_eq!(answered(&stage, "/r", &[("Host", "client.example:99")]), "v2");
        v2.last().header("host").expect("a Host").to_string()
    };
    assert_eq!(host(json!({"name": "named"})), "client.example:99", "pass is the default");
    assert_eq!(host(json!({"pass_host": "node"})), v2.address.to_string());
    assert_eq!(host(json!({"pass_host": "rewrite", "upstream_host": "own.example"})), "own.example");

    // `retries` and `checks` are not looked at: the other node is tried as if they were not there.
    let nodes = json!({closed_port().to_string(): 1, v2.address.to_string(): 1});
    let checks = json!({"active": {"http_path": "/health"}});
    inline(json!({"nodes": nodes, "retries": 0, "checks": checks}));
    assert_eq!(tally(&stage, 4), shares(&[("v2", 4)]));

    let nodes = json!({v2.address.to_string(): 1, v3.address.to_string(): 1});
    inline(json!({"nodes": nodes, "type": "chash", "hash_on": "header", "key": "X-User"}));
    let mut names = BTreeMap::new();
    for user in 0..20 {
        let user = user.to_string();
        let headers = [("X-User", user.as_str())];
        let name = answered(&stage, "/r", &headers);
        assert_eq!(answered(&stage, "/r", &headers), name, "user {user} goes to and fro");
        *names.entry(name).or_insert(0) += 1;
    }
    assert_eq!(names.len(), 2, "all users are at one node: {names:?}");

    inline(json!({"timeout": {"connect": 5, "send": 5, "read": 0.2}}));
    v2.answer(Manner::Status(200), Duration::from_secs(3));
    let answer = stage.get("/r", &[]);
    assert_eq!(answer.status, 504, "{}", answer.text());
    v2.answer(Manner::Status(200), Duration::ZERO);

    let identity = TlsIdentity::for_hosts(&["tls.example"]).unwrap();
    let mock =
        Mock::start(Options { port: 0, ledger: true, tls: Some(identity), ..Options::default() }).unwrap();
    inline(json!({"nodes": {mock.addr.to_string(): 1}, "scheme": "https"}));
    stage.get("/r", &[("Host", "tls.example")]);
    assert_eq!(support::ledger(&mock, 1).remove(0).sni.as_deref(), Some("tls.example"));
}

#[test]
fn row_14_8_a_dash_in_a_headers_variable_is_an_underscore() {
    let stage = Stage::new();
    let v2 = Echo::start("v2");
    for name in ["http_x-canary", "http_x_canary", "http_X-Canary"] {
        let conditions = json!([{"vars": [[name, "==", "true"]]}]);
        split(&stage, json!([{"match": conditions, "weighted_upstreams": [to(&v2, 1)]}]));
        assert_eq!(answered(&stage, "/r", &[("X-Canary", "true")]), "v2", "{name}");
        assert_eq!(answered(&stage, "/r", &[("X-Canary", "false")]), "echo", "{name}");
    }
}

#[test]
fn row_14_9_without_weighted_upstreams_it_is_the_routes_own() {
    let stage = Stage::new();
    let v2 = Echo::start("v2");
    let conditions = json!([{"vars": [["arg_a", "==", "1"]]}]);
    split(&stage, json!([{"match": conditions}, {"weighted_upstreams": [to(&v2, 1)]}]));
    answers(&stage, &[("/r?a=1", &[], "echo"), ("/r", &[], "v2")]);
    for conf in [json!({}), json!({"rules": []}), json!({"rules": [{}]})] {
        stage.route("r", json!({"traffic-split": conf}));
        assert_eq!(answered(&stage, "/r", &[]), "echo", "{conf}");
    }
}

/// The reason for which a configuration is refused.
fn refused(stage: &Stage, rules: Value) -> String {
    let plugins = json!({"traffic-split": {"rules": rules}});
    let route = json!({"uri": "/r", "plugins": plugins, "upstream": stage.echo.upstream()});
    let reason = stage.refusal("routes/r", &route);
    let reason = reason.strip_prefix(REFUSED).unwrap_or_else(|| panic!("another beginning: {reason}"));
    reason.to_string()
}

#[test]
fn row_14_10_one_to_twenty_entries() {
    let stage = Stage::new();
    let begin = "property \"rules\" validation failed: failed to validate item 1: \
                 property \"weighted_upstreams\" validation failed: expect array to have at ";
    let entries = |count: usize| json!([{"weighted_upstreams": vec![json!({"weight": 1}); count]}]);
    assert_eq!(refused(&stage, entries(0)), format!("{begin}least 1 items"));
    assert_eq!(refused(&stage, entries(21)), format!("{begin}most 20 items"));
    for count in [1, 20] {
        split(&stage, entries(count));
        assert_eq!(answered(&stage, "/r", &[]), "echo", "{count} entries");
    }
}

#[test]
fn row_14_11_bad_conditions_are_refused() {
    let stage = Stage::new();
    for vars in [json!([["arg_a", "===", "1"]]), json!(["arg_a", "==", "1"]), json!([["arg_a", "!~~", "x"]])]
    {
        let reason = refused(&stage, json!([{"match": [{"vars": vars}]}]));
        let expected = "failed to validate the 'vars' expression: ";
        assert!(reason.len() > expected.len() && reason.starts_with(expected), "{vars}: {reason}");
    }
}

#[test]
fn row_14_12_an_upstream_that_a_rule_names_cannot_be_deleted() {
    let stage = Stage::new();
    let v2 = Echo::start("v2");
    stage.gateway.put("upstreams/u", &v2.upstream());
    split(&stage, json!([{"weighted_upstreams": [{"upstream_id": "u"}]}]));
    let (status, answer) = stage.gateway.admin("DELETE", "upstreams/u", None);
    let reason = "can not delete this upstream, plugin in route [r] is still using it now";
    assert_eq!((status, answer), (400, json!({"error_msg": reason})));
    assert_eq!(answered(&stage, "/r", &[]), "v2");
    stage.gateway.delete("routes/r");
    stage.gateway.delete("upstreams/u");
}

#[test]
fn row_14_13_the_body_may_decide() {
    let stage = Stage::new();
    let v2 = Echo::start("v2");
    let conditions = json!([{"vars": [["post_arg.model", "==", "big"]]}]);
    split(&stage, json!([{"match": conditions, "weighted_upstreams": [to(&v2, 1)]}]));
    // What is in the body comes last, and in bytes that nobody would write again.
    let filler = "x".repeat(100_000);
    for (model, expected, backend) in [("big", "v2", &v2), ("small", "echo", &stage.echo)] {
        let body = format!("{{ \"text\" : \"{filler}\",\n\"model\":\"{model}\" }}");
        let bytes = request("POST", "/r", &[], body.as_bytes());
        let answer = Connection::open(stage.gateway.data).answer(&bytes);
        passes(&answer);
        assert_eq!(answer.json()["answered_by"], expected, "{model}");
        assert!(backend.last().body == body, "{model}: the backend got another body");
    }
    assert_eq!(answered(&stage, "/r", &[]), "echo", "no body");
}
