//! Promise: once the Admin API has answered, the change is in force on every thread, and it disturbed nobody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use serde_json::{Value, json};
use support::{Call, Connection, Gate, Gateway, Scripted, Setup, Step, ai_route, chat, chunk};

/// With four threads, one is missed by chance once in 24,000 rounds of so many fresh connections.
const FRESH_CONNECTIONS: usize = 40;

/// Every one of many fresh connections gets this status and, from the mock, this model.
fn everybody_sees(gateway: &Gateway, uri: &str, status: u16, model: Option<&str>, when: &str) {
    for connection in 0..FRESH_CONNECTIONS {
        let answer = support::post(gateway.data, uri, &[], &chat("hello"));
        assert_eq!(answer.status, status, "{when}, connection {connection}: {}", answer.text());
        if let Some(model) = model {
            assert_eq!(answer.json()["model"], model, "{when}, connection {connection}");
        }
    }
}

fn route(uri: &str, mock: &str, model: &str) -> Value {
    ai_route(uri, mock, json!({"options": {"model": model}}))
}

#[test]
fn the_next_request_on_every_thread_sees_the_change() {
    let mock = support::mock();
    let gateway = Setup::new().workers(4).start();
    for round in ["first", "second", "third"] {
        let (path, uri) = (format!("routes/{round}"), format!("/{round}"));
        everybody_sees(&gateway, &uri, 404, None, "before anything is written");
        assert_eq!(gateway.put(&path, &route(&uri, &mock.url(), "one")), 201);
        everybody_sees(&gateway, &uri, 200, Some("one"), "after a PUT that creates");
        assert_eq!(gateway.put(&path, &route(&uri, &mock.url(), "two")), 200);
        everybody_sees(&gateway, &uri, 200, Some("two"), "after a PUT that replaces");
        let patch = json!({"plugins": {"ai-proxy": {"options": {"model": "three"}}}});
        let (status, answer) = gateway.admin("PATCH", &path, Some(&patch));
        assert_eq!(status, 200, "{answer}");
        everybody_sees(&gateway, &uri, 200, Some("three"), "after a PATCH");
        gateway.delete(&path);
        everybody_sees(&gateway, &uri, 404, None, "after a DELETE");
    }
}

#[test]
fn a_refused_write_changes_nothing() {
    let mock = support::mock();
    let gateway = Setup::new().workers(4).start();
    gateway.put("routes/r", &route("/chat", &mock.url(), "good"));
    let good = gateway.admin("GET", "routes/r", None).1;
    let cases = [
        ("no uri", json!({"plugins": {"ai-proxy": {"provider": "openai", "auth": {}}}})),
        ("an unknown member", json!({"uri": "/chat", "plugins": {}, "colour": "red"})),
        ("an unknown plugin", json!({"uri": "/chat", "plugins": {"no-such-plugin": {}}})),
        (
            "an unknown provider",
            json!({"uri": "/chat", "plugins": {"ai-proxy": {"provider": "nobody", "auth": {}}}}),
        ),
        ("no auth", json!({"uri": "/chat", "plugins": {"ai-proxy": {"provider": "openai"}}})),
        (
            "a wrong type",
            json!({"uri": "/chat", "plugins": {"ai-proxy": {"provider": "openai", "auth": {}, "timeout": "1"}}}),
        ),
        ("bad vars", json!({"uri": "/chat", "vars": ["arg_a", "==", "1"], "plugins": {}})),
        ("Lua", json!({"uri": "/chat", "filter_func": "function(vars) return true end", "plugins": {}})),
        ("an unknown service", json!({"uri": "/chat", "service_id": "nobody"})),
        ("another id", json!({"id": "other", "uri": "/chat", "plugins": {}})),
    ];
    for (name, body) in cases {
        let (status, answer) = gateway.admin("PUT", "routes/r", Some(&body));
        assert_eq!(status, 400, "{name}: {answer}");
        assert!(answer["error_msg"].as_str().is_some_and(|text| !text.is_empty()), "{name}: {answer}");
        assert_eq!(gateway.admin("GET", "routes/r", None).1, good, "{name}");
    }
    everybody_sees(&gateway, "/chat", 200, Some("good"), "after refused writes");
}

#[test]
fn a_thousand_changes_leave_twenty_streams_whole() {
    let gate = Gate::default();
    let mut script = vec![Step::Send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
        Transfer-Encoding: chunked\r\n\r\n"
            .to_vec(),
    )];
    let mut expected = String::new();
    for event in 0..=10 {
        let data = format!(
            "data: {}\n\n",
            json!({"choices": [{"index": 0, "delta": {"content": format!("<{event}>")}}]})
        );
        script.extend([Step::Await(gate.clone(), event), Step::Send(chunk(&data))]);
        expected.push_str(&data);
    }
    let end =
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    script.push(Step::Send([chunk(end), chunk("")].concat()));
    expected.push_str(end);

    let upstream = Scripted::start(script);
    let gateway = Setup::new().workers(4).start();
    gateway.put("routes/streams", &route("/streams", &upstream.url(), "at-first"));
    let body = support::chat_stream("tell").to_string();
    let request = support::request("POST", "/streams", &[], body.as_bytes());
    let mut calls: Vec<Call> = (0..20).map(|_| Call::send(gateway.data, &request)).collect();
    calls.iter_mut().for_each(|call| call.read_until("<0>"));

    let mut admin = Connection::open(gateway.admin);
    for change in 0..1_000 {
        let model = format!("model-{change}");
        let (method, path, body) = match change % 4 {
            0 => ("PUT", "routes/other", Some(route("/other", &upstream.url(), &model))),
            1 => ("PUT", "routes/streams", Some(route("/streams", &upstream.url(), &model))),
            2 => ("PUT", "services/s", Some(json!({"desc": model}))),
            _ => ("DELETE", if change == 999 { "routes/streams" } else { "routes/other" }, None),
        };
        let answer = gateway.admin_on(&mut admin, method, path, body.as_ref());
        assert!(matches!(answer.status, 200 | 201), "change {change}: {} {}", answer.status, answer.text());
        if change % 100 == 99 {
            gate.open_to(change / 100 + 1);
        }
    }
    for call in calls {
        let answer = call.finish();
        assert_eq!(answer.text(), expected);
        assert!(answer.clean_end, "the stream was cut");
    }
    for record in gateway.exactly(20) {
        assert_eq!(
            (&record["outcome"], &record["route_id"]),
            (&json!("complete"), &json!("streams")),
            "{record}"
        );
    }
}
