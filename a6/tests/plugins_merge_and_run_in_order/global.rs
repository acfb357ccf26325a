//! Global rules, plugin metadata, and the answers that the gateway gives itself.

use serde_json::{Value, json};

use crate::engine::{Stage, passes, says, tag, with};
use crate::support::{Connection, request};

const MISSING: &str = r#"{"message":"Missing API key in request"}"#;
const INVALID: &str = r#"{"message":"Invalid API key in request"}"#;
const NO_ROUTE: &str = r#"{"error_msg":"404 Route Not Found"}"#;

#[test]
fn a_rule_runs_besides_the_routes_plugins_and_before_them() {
    let stage = Stage::new();
    let copies = |who: &str| {
        let headers = json!({"set": {"X-Last": who, format!("X-From-{who}"): "1"}});
        json!({"proxy-rewrite": {"headers": headers.clone()}, "response-rewrite": {"headers": headers}})
    };
    stage.route("bare", json!({}));
    stage.route("t", copies("route"));
    stage.put("global_rules/1", json!({"plugins": copies("global")}));
    for (path, last, of_route) in [("/t", "route", Some("1")), ("/bare", "global", None)] {
        let answer = stage.get(path, &[]);
        passes(&answer);
        let seen = stage.echo.last();
        for (name, value) in
            [("x-last", Some(last)), ("x-from-global", Some("1")), ("x-from-route", of_route)]
        {
            assert_eq!((answer.header(name), seen.header(name)), (value, value), "{path}: {name}");
        }
    }
    stage.gateway.delete("global_rules/1");
    let answer = stage.get("/bare", &[]);
    passes(&answer);
    assert_eq!((answer.header("x-last"), stage.echo.last().header("x-last")), (None, None));
}

#[test]
fn a_rule_counts_for_itself() {
    let stage = Stage::new();
    let limit = |count: u32| json!({"limit-count": {"count": count, "time_window": 1_000_000}});
    stage.put("global_rules/1", json!({"plugins": limit(3)}));
    stage.route("t", limit(2));
    stage.route("bare", json!({}));
    let statuses = ["/t", "/t", "/t", "/bare"].map(|path| stage.get(path, &[]).status);
    // The third passes the rule and not the route's limit; the fourth does not pass the rule.
    assert_eq!(statuses, [200, 200, 503, 503]);
}

#[test]
fn rules_hold_for_requests_that_have_no_route() {
    let stage = Stage::new();
    says(&stage.get("/nowhere", &[]), 404, NO_ROUTE);
    stage.put("global_rules/1", json!({"plugins": with(json!({"cors": {}}), tag("X-Rule", "1"))}));
    let answer = stage.get("/nowhere", &[("Origin", "http://a.test")]);
    says(&answer, 404, NO_ROUTE);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("x-rule"), Some("1"));
    let preflight = stage.send("OPTIONS", "/nowhere", &[("Origin", "http://a.test")], b"");
    assert_eq!((preflight.status, preflight.header("x-rule")), (200, Some("1")));

    let fault = json!({"abort": {"http_status": 503, "body": "closed"}});
    stage.put("global_rules/2", json!({"plugins": {"fault-injection": fault}}));
    let answer = stage.get("/nowhere", &[]);
    assert_eq!((answer.status, answer.text().as_str(), answer.header("x-rule")), (503, "closed", Some("1")));
    stage.gateway.delete("global_rules/2");
    says(&stage.get("/nowhere", &[]), 404, NO_ROUTE);
}

#[test]
fn a_rule_may_ask_who_is_there() {
    let stage = Stage::new();
    let brings =
        with(tag("X-Brought", "1"), json!({"proxy-rewrite": {"headers": {"set": {"X-Brought": "1"}}}}));
    stage.consumer("jack", brings, json!({}));
    stage.route("t", json!({}));
    stage.put("global_rules/1", json!({"plugins": {"key-auth": {}}}));
    for path in ["/t", "/nowhere"] {
        let answer = stage.get(path, &[]);
        says(&answer, 401, MISSING);
        assert_eq!(answer.header("www-authenticate"), Some("apikey realm=\"key\""), "{path}");
        says(&stage.get(path, &[("apikey", "wrong")]), 401, INVALID);
    }
    assert_eq!(stage.echo.count(), 0);
    says(&stage.get_as("jack", "/nowhere"), 404, NO_ROUTE);
    let answer = stage.get_as("jack", "/t");
    passes(&answer);
    // Whoever is known brings plugins, wherever that was found out.
    let seen = stage.echo.last();
    assert_eq!(seen.header("x-consumer-username"), Some("jack"));
    assert_eq!((answer.header("x-brought"), seen.header("x-brought")), (Some("1"), Some("1")));
}

#[test]
fn a_rule_and_a_route_may_both_ask_who_is_there() {
    let stage = Stage::new();
    let basic = json!({"basic-auth": {"username": "rose", "password": "thorn"}});
    stage.put("consumers", json!({"username": "rose", "plugins": with(basic, tag("X-Brought", "rose"))}));
    stage.consumer("jack", tag("X-Brought", "jack"), json!({}));
    stage.put("global_rules/1", json!({"plugins": {"basic-auth": {}}}));
    stage.route("t", json!({"key-auth": {}}));
    let (key, basic) = (("apikey", "k-jack"), ("Authorization", "Basic cm9zZTp0aG9ybg=="));
    let cases: [(&[(&str, &str)], u16); 4] =
        [(&[], 401), (&[key], 401), (&[basic], 401), (&[key, basic], 200)];
    for (headers, status) in cases {
        let answer = stage.get("/t", headers);
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
        if status == 200 {
            // The last one that asks says who it is.
            assert_eq!(answer.header("x-brought"), Some("jack"));
            assert_eq!(stage.echo.last().header("x-consumer-username"), Some("jack"));
        }
    }
    assert_eq!(stage.echo.count(), 1);
}

#[test]
fn a_rule_is_steered_as_any_other() {
    let stage = Stage::new();
    stage.route("t", json!({}));
    let rule = |meta: Value| json!({"plugins": {"key-auth": {"_meta": meta}}});
    stage.put("global_rules/1", rule(json!({"disable": true})));
    passes(&stage.get("/t", &[]));
    stage.put("global_rules/1", rule(json!({"filter": [["uri", "~=", "/t"]], "error_response": "no"})));
    passes(&stage.get("/t", &[]));
    let answer = stage.get("/nowhere", &[]);
    assert_eq!((answer.status, answer.text().as_str()), (401, "no"));
    stage.put("global_rules/1", rule(json!({"disable": false})));
    says(&stage.get("/t", &[]), 401, MISSING);
}

#[test]
fn a_plugin_stands_in_one_rule_only() {
    let stage = Stage::new();
    stage.put("global_rules/1", json!({"plugins": tag("X-Rule", "1")}));
    let why = stage.refusal("global_rules/2", json!({"plugins": tag("X-Rule", "2")}));
    assert_eq!(why, "plugin 'response-rewrite' already exists in global rule with id '1'");
    stage.route("t", json!({}));
    assert_eq!(stage.get("/t", &[]).header("x-rule"), Some("1"));
    stage.put("global_rules/1", json!({"plugins": {"cors": {}}}));
    stage.put("global_rules/2", json!({"plugins": tag("X-Rule", "2")}));
    assert_eq!(stage.get("/t", &[]).header("x-rule"), Some("2"));
}

#[test]
fn metadata_are_in_force_when_they_are_written() {
    let stage = Stage::new();
    let cors = json!({"allow_origins": "http://fixed.test", "allow_origins_by_metadata": ["ours"]});
    stage.route("t", json!({"cors": cors}));
    let allowed = |origin: &str| {
        let answer = stage.get("/t", &[("Origin", origin)]);
        passes(&answer);
        answer.header("access-control-allow-origin").map(str::to_string)
    };
    let listed = |origins: &str| json!({"allow_origins": {"ours": origins}});
    let (a, b, fixed) = ("http://a.test", "http://b.test", "http://fixed.test");
    assert_eq!([a, b, fixed].map(allowed), [None, None, Some(fixed.to_string())]);
    stage.put("plugin_metadata/cors", listed(a));
    assert_eq!([a, b].map(allowed), [Some(a.to_string()), None]);
    stage.put("plugin_metadata/cors", listed(&format!("{a},{b}")));
    assert_eq!([a, b].map(allowed), [Some(a.to_string()), Some(b.to_string())]);
    let why = stage.refusal("plugin_metadata/cors", json!({"allow_origins": {"ours": "no origin"}}));
    assert!(why.starts_with("invalid configuration: "), "{why}");
    assert_eq!(allowed(b), Some(b.to_string()), "a refused write has changed something");
    stage.gateway.delete("plugin_metadata/cors");
    assert_eq!([a, b].map(allowed), [None, None]);
}

#[test]
fn the_gateways_own_answers_have_their_heads_filtered() {
    let stage = Stage::new();
    let rewrite = json!({
        "status_code": 403,
        "body": "rewritten",
        "headers": {"set": {"X-Rewritten": "1"}, "remove": ["WWW-Authenticate"]},
        "vars": [["status", "==", 401]],
    });
    stage.consumer("jack", json!({}), json!({}));
    stage.route("t", json!({"cors": {}, "key-auth": {}, "response-rewrite": rewrite}));
    let origin = ("Origin", "http://a.test");
    let refused = stage.get("/t", &[origin]);
    assert_eq!((refused.status, refused.text().as_str(), refused.clean_end), (403, "rewritten", true));
    assert_eq!((refused.header("www-authenticate"), refused.header("x-rewritten")), (None, Some("1")));
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    let answered = stage.get("/t", &[origin, ("apikey", "k-jack")]);
    passes(&answered);
    assert_eq!(answered.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answered.header("x-rewritten"), None);
    // The same connection goes on after a body that was replaced.
    let mut connection = Connection::open(stage.gateway.data);
    for round in 0..3 {
        let answer = connection.answer(&request("GET", "/t", &[], b""));
        assert_eq!((answer.status, answer.text().as_str()), (403, "rewritten"), "round {round}");
    }
}

#[test]
fn a_rule_rewrites_the_answer_to_a_request_that_has_no_route() {
    let stage = Stage::new();
    let rewrite = json!({"status_code": 410, "body": "gone", "vars": [["status", "==", 404]]});
    stage.put("global_rules/1", json!({"plugins": {"response-rewrite": rewrite, "cors": {}}}));
    stage.route("t", json!({}));
    let answer = stage.get("/nowhere", &[]);
    assert_eq!((answer.status, answer.text().as_str(), answer.clean_end), (410, "gone", true));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    passes(&stage.get("/t", &[]));
    let records = stage.gateway.exactly(2);
    assert_eq!(records[0]["status"], json!(410), "{records:#?}");
}
