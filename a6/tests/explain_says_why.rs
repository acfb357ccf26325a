//! Promise: `POST /apisix/admin/debug/explain` says which route a request would take and why no other, which plugins would
//! run and who brought them, and where it would go; the data plane does as it says, and the question changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod engine;
mod support;

use engine::{Stage, key, passes, tag, with};
use serde_json::{Value, json};
use support::{Connection, ai_route, request};

const PATH: &str = "debug/explain";

/// Asks, and insists on an answer.
fn explain(stage: &Stage, question: &Value) -> Value {
    let (status, answer) = stage.gateway.admin("POST", PATH, Some(question));
    assert_eq!(status, 200, "{question}: {answer}");
    answer
}

/// A question about a GET on the host `a6.test`, with more members.
fn about(path: &str, more: Value) -> Value {
    with(json!({"method": "GET", "host": "a6.test", "path": path}), more)
}

/// The candidates as far as they were tried: each one's id and what of it did not fit; only the last one did.
fn tried(answer: &Value) -> Vec<(&str, Option<&str>)> {
    let candidates = answer["candidates"].as_array().unwrap_or_else(|| panic!("no candidates: {answer}"));
    let mut tried = Vec::new();
    for candidate in candidates {
        let id = candidate["route_id"].as_str().unwrap_or_else(|| panic!("no route_id: {candidate}"));
        let (matched, failed) = (candidate["matched"].as_bool(), candidate["failed"].as_str());
        assert_eq!(matched, Some(failed.is_none()), "{candidate}");
        tried.push((id, failed));
        if matched == Some(true) {
            break;
        }
    }
    tried
}

/// Plugins as name and source, in the order in which they are told.
fn sources(plugins: &Value) -> Vec<(&str, &str)> {
    let mut sources = Vec::new();
    for plugin in plugins.as_array().unwrap_or_else(|| panic!("no list of plugins: {plugins}")) {
        match (plugin["name"].as_str(), plugin["source"].as_str()) {
            (Some(name), Some(source)) => sources.push((name, source)),
            _ => panic!("no name or no source: {plugin}"),
        }
    }
    sources
}

/// What is told of the plugin of that name.
fn plugin<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let plugins = answer["plugins"].as_array().into_iter().flatten();
    let mut found = plugins.filter(|plugin| plugin["name"] == name);
    let first = found.next().unwrap_or_else(|| panic!("no {name}: {answer}"));
    assert!(found.next().is_none(), "{name} is told twice: {answer}");
    first
}

#[test]
fn each_candidate_is_told_with_the_condition_that_failed() {
    let stage = Stage::new();
    let route = |id: &str, members: Value| {
        let route = json!({"uri": "/x", "name": format!("named {id}"), "upstream": stage.echo.upstream()});
        stage.put(&format!("routes/{id}"), with(route, members));
    };
    route("post", json!({"methods": ["POST"], "priority": 4}));
    route("near", json!({"remote_addrs": ["10.0.0.0/8", "192.168.1.1"], "priority": 3}));
    route("one", json!({"vars": [["arg_a", "==", "1"]], "priority": 2}));
    route("body", json!({"vars": [["post_arg.model", "==", "big"]], "priority": 1}));
    route("elsewhere", json!({"host": "elsewhere.test"}));
    route("off", json!({"status": 0, "priority": 9}));
    route("all", json!({"uri": "/*", "priority": 100}));
    let (methods, near, vars) = (("post", Some("methods")), ("near", Some("remote_addrs")), Some("vars"));
    let up_to_vars = [methods, near, ("one", vars), ("body", vars)];
    let json_body = json!({"headers": [["Content-Type", "application/json"]], "body": {"model": "big"}});
    let text_body = with(json_body.clone(), json!({"body": "{\"model\": \"big\"}"}));
    let cases = [
        (about("/x", json!({})), [&up_to_vars[..], &[("all", None)]].concat()),
        (about("/x?a=2", json!({})), [&up_to_vars[..], &[("all", None)]].concat()),
        (about("/x?a=1", json!({})), vec![methods, near, ("one", None)]),
        (about("/y/../x?a=1", json!({})), vec![methods, near, ("one", None)]),
        (about("/x", json!({"method": "POST"})), vec![("post", None)]),
        (about("/x", json!({"remote_addr": "10.1.2.3"})), vec![methods, ("near", None)]),
        (about("/x?a=1", json!({"remote_addr": "192.168.1.2"})), vec![methods, near, ("one", None)]),
        (about("/x", json_body), [&up_to_vars[..3], &[("body", None)]].concat()),
        (about("/x", text_body), [&up_to_vars[..3], &[("body", None)]].concat()),
        (about("/x", json!({"host": "elsewhere.test"})), vec![("elsewhere", None)]),
        (about("/z", json!({})), vec![("all", None)]),
    ];
    for (question, expected) in cases {
        let answer = explain(&stage, &question);
        // Which of the expressions it was may be told too.
        let condition = |why: &str| why.split([':', ' ']).next().unwrap_or(why).to_string();
        let told: Vec<_> =
            tried(&answer).into_iter().map(|(id, failed)| (id, failed.map(condition))).collect();
        let expected: Vec<_> =
            expected.into_iter().map(|(id, failed)| (id, failed.map(str::to_string))).collect();
        assert_eq!(told, expected, "{question}: {answer}");
        assert_eq!(answer["route"], json!(expected.last().unwrap().0), "{question}: {answer}");
        let first = &answer["candidates"][0];
        assert_eq!(first["name"], json!(format!("named {}", expected[0].0)), "{first}");
        assert!(first["priority"].is_i64(), "{first}");
    }
}

#[test]
fn a_request_without_a_route_has_none_and_no_target() {
    let stage = Stage::new();
    stage.put("global_rules/1", json!({"plugins": {"cors": {}}}));
    let post = json!({"uri": "/x", "methods": ["POST"], "upstream": stage.echo.upstream()});
    stage.put("routes/r", post);
    for (path, candidates) in [("/nowhere", vec![]), ("/x", vec![("r", Some("methods"))])] {
        let answer = explain(&stage, &about(path, json!({})));
        assert_eq!(tried(&answer), candidates, "{answer}");
        assert_eq!((&answer["route"], &answer["target"]["kind"]), (&Value::Null, &json!("none")), "{answer}");
        assert_eq!(sources(&answer["global_plugins"]), [("cors", "/global_rules/1")], "{answer}");
    }
}

#[test]
fn the_data_plane_does_as_it_says() {
    let stage = Stage::new();
    let routes = [
        ("exact", json!({"uri": "/a/b"})),
        ("prefix", json!({"uri": "/a/*", "priority": 9})),
        ("host", json!({"uri": "/*", "host": "*.b.test"})),
        ("header", json!({"uri": "/a/*", "vars": [["http_x_canary", "==", "1"]], "priority": 10})),
        ("cookie", json!({"uri": "/c", "vars": [["cookie_plan", "==", "pro"]]})),
        ("here", json!({"uri": "/l", "remote_addr": "127.0.0.0/8"})),
        ("there", json!({"uri": "/l", "remote_addr": "10.0.0.0/8", "priority": 1})),
        ("model", json!({"uri": "/m", "vars": [["post_arg.model", "~~", "^big"]]})),
        ("put", json!({"uris": ["/m", "/p"], "methods": ["PUT"]})),
    ];
    for (id, members) in routes {
        stage.put(&format!("routes/{id}"), with(members, json!({"upstream": stage.echo.upstream()})));
    }
    let (canary, pro) = (("X-Canary", "1"), ("Cookie", "a=b; plan=pro"));
    type Asked<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: [Asked<'_>; 14] = [
        ("GET", "a.test", "/a/b", &[], ""),
        ("GET", "a.test", "/a/c", &[], ""),
        ("GET", "a.test", "/a/c", &[canary], ""),
        ("GET", "a.test", "/a/b", &[canary], ""),
        ("GET", "x.b.test", "/a/b", &[], ""),
        ("GET", "X.B.test:81", "/nowhere", &[], ""),
        ("GET", "a.test", "/nowhere", &[], ""),
        ("GET", "a.test", "/c", &[pro], ""),
        ("GET", "a.test", "/c", &[], ""),
        ("GET", "a.test", "/l", &[], ""),
        ("POST", "a.test", "/m", &[], r#"{"model": "big-1"}"#),
        ("POST", "a.test", "/m", &[], r#"{"model": "small"}"#),
        ("PUT", "a.test", "/m?x=%20", &[], ""),
        ("GET", "a.test", "/p", &[], ""),
    ];
    for (number, (method, host, path, headers, body)) in cases.into_iter().enumerate() {
        let mut headers: Vec<(&str, &str)> = headers.to_vec();
        if !body.is_empty() {
            headers.push(("Content-Type", "application/json"));
        }
        let mut question = json!({"method": method, "host": host, "path": path, "headers": headers, "remote_addr": "127.0.0.1"});
        if !body.is_empty() {
            question["body"] = json!(body);
        }
        let told = explain(&stage, &question)["route"].clone();
        headers.push(("Host", host));
        let sent = request(method, path, &headers, body.as_bytes());
        Connection::open(stage.gateway.data).answer(&sent);
        let record = stage.gateway.exactly(number + 1).pop().unwrap();
        assert_eq!(told, record["route_id"], "{question}");
    }
}

/// A route `/t` made of all that a route may be made of, and its caller.
fn composed() -> Stage {
    let stage = Stage::new();
    let limit = json!({"limit-count": {"count": 1, "time_window": 1_000_000}});
    let service = with(json!({"cors": {}}), tag("X-Layer", "service"));
    stage.put("services/s", json!({"plugins": service, "upstream": stage.echo.upstream()}));
    let rewrite = json!({"proxy-rewrite": {"_meta": {"filter": [["arg_a", "==", "1"]]}, "headers": {"set": {"A": "1"}}}});
    stage.put("plugin_configs/c", json!({"plugins": rewrite}));
    let off = json!({"mocking": {"_meta": {"disable": true}}});
    let own = with(with(json!({"key-auth": {}}), off), tag("X-Layer", "route"));
    stage.put("routes/t", json!({"uri": "/t", "service_id": "s", "plugin_config_id": "c", "plugins": own}));
    stage.put("consumer_groups/g", json!({"plugins": with(limit, tag("X-Layer", "group"))}));
    let fault = json!({"fault-injection": {"_meta": {"priority": 1}, "abort": {"http_status": 418, "percentage": 0}}});
    stage.consumer("jack", with(fault, tag("X-Layer", "jack")), json!({"group_id": "g"}));
    stage.put("global_rules/1", json!({"plugins": {"request-id": {}}}));
    stage
}

#[test]
fn the_merged_plugins_are_told_with_who_brought_them() {
    let stage = composed();
    let of_route = [
        ("mocking", "/routes/t"),
        ("cors", "/services/s"),
        ("key-auth", "/routes/t"),
        ("proxy-rewrite", "/plugin_configs/c"),
        ("response-rewrite", "/routes/t"),
    ];
    let answer = explain(&stage, &about("/t", json!({})));
    assert_eq!(sources(&answer["plugins"]), of_route, "{answer}");
    assert_eq!(sources(&answer["global_plugins"]), [("request-id", "/global_rules/1")], "{answer}");

    let answer = explain(&stage, &about("/t?a=1", json!({"consumer": "jack"})));
    let mut of_jack = of_route[..4].to_vec();
    of_jack.extend([
        ("limit-count", "/consumer_groups/g"),
        ("response-rewrite", "/consumers/jack"),
        ("fault-injection", "/consumers/jack"),
    ]);
    assert_eq!(sources(&answer["plugins"]), of_jack, "{answer}");
    let priorities: Vec<_> =
        answer["plugins"].as_array().unwrap().iter().map(|it| it["priority"].as_i64()).collect();
    assert_eq!(priorities, [10_900, 4_000, 2_500, 1_008, 1_002, 899, 1].map(Some));
}

#[test]
fn phases_switches_and_filters_are_told() {
    let stage = composed();
    for (target, holds) in [("/t?a=1", true), ("/t?a=2", false)] {
        let answer = explain(&stage, &about(target, json!({"consumer": "jack"})));
        assert_eq!(plugin(&answer, "proxy-rewrite")["filter"], json!(holds), "{answer}");
        for name in ["cors", "key-auth", "response-rewrite", "mocking"] {
            assert_eq!(plugin(&answer, name)["filter"], Value::Null, "{answer}");
            assert_eq!(plugin(&answer, name)["disabled"], json!(name == "mocking"), "{answer}");
        }
        for (name, phases) in [
            ("cors", json!(["rewrite", "header_filter"])),
            ("key-auth", json!(["rewrite"])),
            ("proxy-rewrite", json!(["rewrite"])),
            ("response-rewrite", json!(["header_filter"])),
        ] {
            assert_eq!(plugin(&answer, name)["phases"], phases, "{answer}");
        }
    }
}

#[test]
fn the_target_is_told_without_its_key() {
    let stage = composed();
    let mock = support::mock();
    stage.put("routes/ai", ai_route("/ai", &mock.url(), json!({})));
    stage.put("upstreams/u", json!({"nodes": {stage.echo.address.to_string(): 1, "127.0.0.1:9": 0}}));
    stage.put("routes/by-id", json!({"uri": "/by-id", "upstream_id": "u"}));
    stage.put("routes/bare", json!({"uri": "/bare", "plugins": {}}));
    let echo = stage.echo.address.to_string();
    let provider = mock.url().trim_start_matches("http://").to_string();
    for (path, kind, address) in [
        ("/t", "upstream", Some(&echo)),
        ("/by-id", "upstream", Some(&echo)),
        ("/ai", "ai", Some(&provider)),
        ("/bare", "none", None),
    ] {
        let answer = explain(&stage, &about(path, json!({"consumer": "jack"})));
        let target = &answer["target"];
        assert_eq!(target["kind"], json!(kind), "{path}: {answer}");
        assert!(address.is_none_or(|address| target.to_string().contains(address)), "{path}: {target}");
        for secret in ["sk-provider", key("jack").as_str()] {
            assert!(!answer.to_string().contains(secret), "{path} tells {secret}: {answer}");
        }
    }
}

#[test]
fn a_route_that_misses_a_part_says_so() {
    let stage = composed();
    assert_eq!(explain(&stage, &about("/t", json!({})))["missing"], Value::Null);
    stage.gateway.delete("plugin_configs/c?force=true");
    let answer = explain(&stage, &about("/t", json!({})));
    let missing = answer["missing"].as_str().unwrap_or_default();
    assert_eq!(answer["route"], json!("t"), "{answer}");
    assert!(missing.contains("plugin") && missing.contains("config"), "{answer}");
}

#[test]
fn a_question_changes_nothing() {
    let stage = composed();
    for _ in 0..20 {
        explain(&stage, &about("/t", json!({"consumer": "jack"})));
    }
    assert_eq!((stage.echo.count(), stage.gateway.records()), (0, Vec::new()));
    // The one request of the group's quota is still there.
    passes(&stage.get_as("jack", "/t"));
    assert_eq!(stage.get_as("jack", "/t").status, 503);
}

#[test]
fn a_stranger_gets_no_answer() {
    let stage = composed();
    let body = about("/t", json!({})).to_string();
    let path = format!("/apisix/admin/{PATH}");
    let host = stage.gateway.admin.to_string();
    for (key, why) in [("", "missing apikey"), ("wrong", "wrong apikey")] {
        let headers = [("Host", host.as_str()), ("X-API-KEY", key)];
        let answer =
            Connection::open(stage.gateway.admin).answer(&request("POST", &path, &headers, body.as_bytes()));
        let expected = json!({"error_msg": "failed to check token", "description": why});
        assert_eq!((answer.status, answer.json()), (401, expected));
    }
}

#[test]
fn a_bad_question_is_told_by_the_member() {
    let stage = composed();
    let cases = [
        (json!({"method": "GET", "host": "a6.test"}), "path"),
        (about("/t", json!({"path": 5})), "path"),
        (about("t", json!({})), "path"),
        (about("", json!({})), "path"),
        (about("/t", json!({"method": 5})), "method"),
        (about("/t", json!({"method": "G T"})), "method"),
        (about("/t", json!({"host": ["a6.test"]})), "host"),
        (about("/t", json!({"headers": "X-A: 1"})), "headers"),
        (about("/t", json!({"headers": [["X-A"]]})), "headers"),
        (about("/t", json!({"headers": [["X A", "1"]]})), "headers"),
        (about("/t", json!({"headers": [["X-A", "a\nb"]]})), "headers"),
        (about("/t", json!({"consumer": 5})), "consumer"),
        (about("/t", json!({"remote_addr": "here"})), "remote_addr"),
        (about("/t", json!({"remote_addr": "10.0.0.0/8"})), "remote_addr"),
        (about("/t", json!({"colour": "red"})), "colour"),
    ];
    for (question, member) in cases {
        let (status, answer) = stage.gateway.admin("POST", PATH, Some(&question));
        assert_eq!(status, 400, "{question}: {answer}");
        let text = answer["error_msg"].as_str().unwrap_or_default();
        assert!(text.contains(member), "{question}: {answer}");
    }
    for body in [None, Some(json!([])), Some(json!("/t")), Some(Value::Null)] {
        let (status, answer) = stage.gateway.admin("POST", PATH, body.as_ref());
        assert_eq!(status, 400, "{body:?}: {answer}");
        assert!(answer["error_msg"].as_str().is_some_and(|text| !text.is_empty()), "{body:?}: {answer}");
    }
}
