//! What `_meta` says of a plugin: whether, when and before whom it runs, and in which words it refuses.

use std::time::Duration;

use serde_json::{Value, json};

use crate::engine::{Stage, passes, says, tag, with};
use crate::support::Manner;

const MISSING: &str = r#"{"message":"Missing API key in request"}"#;

/// fault-injection that ends every request with this status and body.
fn fault(status: u16, body: &str) -> Value {
    json!({"abort": {"http_status": status, "body": body}})
}

/// A plugin's configuration with a `_meta`.
fn steered(conf: Value, meta: Value) -> Value {
    with(conf, json!({"_meta": meta}))
}

#[test]
fn the_priority_says_who_runs_first() {
    let stage = Stage::new();
    stage.consumer("jack", json!({}), json!({}));
    let priority = |priority: i32| json!({"priority": priority});
    // What a request without a key and one with a key are told.
    let cases = [
        // 11000 and 2500 of their own.
        (fault(418, "fault"), json!({}), (418, "fault"), (418, "fault")),
        (fault(418, "fault"), steered(json!({}), priority(20_000)), (401, MISSING), (418, "fault")),
        (steered(fault(418, "fault"), priority(-1)), json!({}), (401, MISSING), (418, "fault")),
        (steered(fault(418, "fault"), priority(2_501)), json!({}), (418, "fault"), (418, "fault")),
        (steered(fault(418, "fault"), priority(2_499)), json!({}), (401, MISSING), (418, "fault")),
    ];
    for (fault, key_auth, nobody, jack) in cases {
        let plugins = json!({"fault-injection": fault, "key-auth": key_auth});
        stage.route("t", plugins.clone());
        for (answer, (status, body)) in [(stage.get("/t", &[]), nobody), (stage.get_as("jack", "/t"), jack)] {
            assert_eq!((answer.status, answer.text().trim_end()), (status, body), "{plugins}");
        }
    }
}

#[test]
fn the_priority_orders_the_access_phase_too() {
    let stage = Stage::new();
    let limit = json!({"count": 1, "time_window": 1_000_000});
    let mocking = json!({"response_example": "mocked", "content_type": "text/plain"});
    let plugins = |limit: Value| json!({"limit-count": limit, "mocking": mocking});
    // Of its own, mocking comes first and nothing is counted.
    stage.route("t", plugins(limit.clone()));
    for _ in 0..3 {
        let answer = stage.get("/t", &[]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "mocked"));
        assert_eq!(answer.header("x-ratelimit-limit"), None);
    }
    stage.route("t", plugins(steered(limit, json!({"priority": 10_901}))));
    let answer = stage.get("/t", &[]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "mocked"));
    assert_eq!(answer.header("x-ratelimit-limit"), Some("1"));
    assert_eq!(stage.get("/t", &[]).status, 503);
}

#[test]
fn the_priority_holds_for_what_a_caller_brings() {
    let stage = Stage::new();
    let limit =
        |meta: Value| json!({"limit-count": steered(json!({"count": 9, "time_window": 1_000_000}), meta)});
    stage.route("t", json!({"key-auth": {}, "mocking": {"response_example": "{}"}}));
    stage.consumer("jack", limit(json!({})), json!({}));
    stage.consumer("rose", limit(json!({"priority": 10_901})), json!({}));
    for (name, counted) in [("jack", None), ("rose", Some("9")), ("jack", None)] {
        let answer = stage.get_as(name, "/t");
        assert_eq!((answer.status, answer.header("x-ratelimit-limit")), (200, counted), "{name}");
    }
}

#[test]
fn a_filter_says_for_which_requests() {
    let stage = Stage::new();
    stage.consumer("jack", json!({}), json!({}));
    stage.consumer("rose", json!({}), json!({}));
    let run = |filter: Value| {
        let meta = json!({"filter": filter});
        json!({
            "key-auth": {"_meta": {"filter": [["http_apikey", "~~", "."]]}},
            "proxy-rewrite": steered(json!({"headers": {"set": {"X-Run": "1"}}}), meta.clone()),
            "response-rewrite": steered(json!({"headers": {"set": {"X-Run": "1"}}}), meta),
        })
    };
    let cases = [
        (json!([["arg_a", "==", "1"]]), "/t?a=1", "", true),
        (json!([["arg_a", "==", "1"]]), "/t?a=2", "", false),
        (json!([["arg_a", "==", "1"]]), "/t", "", false),
        (json!([["http_x_run", "==", "yes"], ["arg_a", "==", "1"]]), "/t?a=1", "", false),
        (json!(["OR", ["arg_a", "==", "1"], ["arg_b", "==", "1"]]), "/t?b=1", "", true),
        (json!([]), "/t", "", true),
        (json!([["consumer_name", "==", "jack"]]), "/t", "k-jack", true),
        (json!([["consumer_name", "==", "jack"]]), "/t", "k-rose", false),
        (json!([["consumer_name", "==", "jack"]]), "/t", "", false),
    ];
    for (filter, target, key, runs) in cases {
        stage.route("t", run(filter.clone()));
        // A header without a value is not sent.
        let answer = stage.get(target, &[("apikey", key)]);
        passes(&answer);
        let expected = runs.then_some("1");
        assert_eq!(answer.header("x-run"), expected, "{filter} {target} {key}");
        assert_eq!(stage.echo.last().header("x-run"), expected, "{filter} {target} {key}");
    }
}

#[test]
fn a_filter_may_look_into_the_body() {
    let stage = Stage::new();
    let filter = json!({"filter": [["post_arg.model", "==", "big"]]});
    stage.route("t", json!({"fault-injection": steered(fault(418, "too big"), filter)}));
    for (body, status) in [
        (r#"{"model": "big"}"#, 418),
        (r#"{ "model":"small" ,"a": [1,  2]}"#, 200),
        (r#"{"model": {"model": "big"}}"#, 200),
        ("no JSON", 200),
        ("", 200),
    ] {
        let headers = [("Content-Type", "application/json")];
        let answer = stage.send("POST", "/t", &headers, body.as_bytes());
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        if status == 200 {
            assert_eq!(stage.echo.last().body, body, "what was looked into is sent on as it came");
        }
    }
}

#[test]
fn a_filters_first_answer_holds_for_all_phases() {
    let stage = Stage::new();
    let on_uri = |conf: Value, uri: &str| steered(conf, json!({"filter": [["uri", "==", uri]]}));
    let here = |uri: &str| {
        json!({
            // Of the phases rewrite and header_filter, before proxy-rewrite in the first.
            "cors": on_uri(json!({}), uri),
            "proxy-rewrite": {"uri": "/there"},
            // Of the phase header_filter alone.
            "response-rewrite": on_uri(tag("X-There", "1")["response-rewrite"].clone(), "/there"),
        })
    };
    for (uri, allowed) in [("/t", Some("*")), ("/there", None)] {
        stage.route("t", here(uri));
        let answer = stage.get("/t", &[("Origin", "http://a.test")]);
        passes(&answer);
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{uri}");
        assert_eq!(answer.header("x-there"), Some("1"), "{uri}");
    }
}

#[test]
fn refusals_have_the_configured_words() {
    let stage = Stage::new();
    let reworded = |text: Value| json!({"error_response": text});
    let key_auth = |text: Value| json!({"key-auth": steered(json!({}), reworded(text))});
    for (text, body) in [
        (json!("plain \"words\""), "plain \"words\""),
        (json!(""), ""),
        (json!({"code": 7, "of": ["us"]}), "{\"code\":7,\"of\":[\"us\"]}\n"),
    ] {
        stage.route("t", key_auth(text.clone()));
        let answer = stage.get("/t", &[]);
        assert_eq!((answer.status, answer.text().as_str(), answer.clean_end), (401, body, true), "{text}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{text}");
        assert_eq!(answer.header("www-authenticate"), Some("apikey realm=\"key\""), "{text}");
    }
    assert_eq!(stage.echo.count(), 0);
}

#[test]
fn other_answers_keep_their_words() {
    let stage = Stage::new();
    let reworded = |conf: Value| steered(conf, json!({"error_response": "reworded"}));
    // An answer that is no refusal.
    let mocking = reworded(json!({"response_example": "mocked", "content_type": "text/plain"}));
    stage.route("mocked", json!({"mocking": mocking}));
    let answer = stage.get("/mocked", &[]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "mocked"));
    // A refusal by a server's status.
    let mocking = reworded(json!({"response_example": "mocked", "response_status": 500}));
    stage.route("failed", json!({"mocking": mocking}));
    let answer = stage.get("/failed", &[]);
    assert_eq!((answer.status, answer.text().as_str()), (500, "reworded"));
    // Another plugin's refusal.
    stage.route(
        "other",
        json!({"key-auth": {}, "limit-count": reworded(json!({"count": 1, "time_window": 60}))}),
    );
    says(&stage.get("/other", &[]), 401, MISSING);
    // The backend's own.
    stage.route("backend", json!({"cors": reworded(json!({}))}));
    stage.echo.answer(Manner::Status(500), Duration::ZERO);
    let answer = stage.get("/backend", &[]);
    assert_eq!((answer.status, &answer.json()["answered_by"]), (500, &json!("echo")));
}
