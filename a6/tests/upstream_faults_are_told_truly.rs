//! Promise: when the provider fails, the client hears what happened, where, and never that all is well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Blackhole, Scripted, Setup, Step, ai_route, chat, chat_stream, closed_port, sse};

fn send(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Send(bytes.into())
}

#[test]
fn no_answer_is_an_error_with_host_and_cause() {
    let (closed, blackhole) = (closed_port(), Blackhole::start());
    let half_a_head = "HTTP/1.1 200 OK\r\nContent-Ty";
    let faults = [
        ("no answer", vec![Step::AwaitHangUp], "upstream_timeout"),
        ("half a head", vec![send(half_a_head), Step::AwaitHangUp], "upstream_timeout"),
        ("closed at once", vec![Step::Fin], "upstream_connect_error"),
        ("reset at once", vec![Step::Reset], "upstream_connect_error"),
        ("not HTTP", vec![send("220 mail.example ESMTP\r\n\r\n"), Step::Fin], "upstream_protocol_error"),
        (
            "a bad length",
            vec![send("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n")],
            "upstream_protocol_error",
        ),
        (
            "an endless head",
            vec![send(format!("{half_a_head}{}", "pe: x\r\nX: y".repeat(90_000)))],
            "upstream_protocol_error",
        ),
        (
            "interim only",
            vec![send("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10_000))],
            "upstream_protocol_error",
        ),
    ];
    let upstreams: Vec<Scripted> =
        faults.iter().map(|(_, script, _)| Scripted::start(script.clone())).collect();
    let scripted = faults
        .iter()
        .zip(&upstreams)
        .map(|((name, _, kind), upstream)| (*name, upstream.address.to_string(), *kind));
    let cases = [
        ("nobody listens", closed.to_string(), "upstream_connect_error"),
        ("no connection", blackhole.address.to_string(), "upstream_timeout"),
        ("no such name", "no-such-host.invalid".to_string(), "upstream_dns_error"),
    ];
    let gateway = Setup::new().start();
    for (number, (name, host, kind)) in cases.into_iter().chain(scripted).enumerate() {
        let (status, timeout) = if kind == "upstream_timeout" { (504, 300) } else { (502, 3_000) };
        gateway.put("routes/r", &ai_route("/chat", &format!("http://{host}"), json!({"timeout": timeout})));
        let answer = support::post(gateway.data, "/chat", &[], &chat("hello"));
        assert_eq!((answer.status, answer.clean_end), (status, true), "{name}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/json"), "{name}");
        let error = answer.json()["error"].clone();
        assert_eq!(error["type"], kind, "{name}: {error}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(&host)), "{name}: {error}");
        let record = gateway.exactly(number + 1).pop().unwrap();
        let told = (&record["outcome"], &record["status"], &record["error"]);
        assert_eq!(told, (&json!("failed"), &json!(status), &json!(kind)), "{name}: {record}");
    }
}

#[test]
fn a_head_that_is_cut_is_no_answer() {
    let upstream = Scripted::start(vec![send("HTTP/1.1 200 OK\r\nContent-Ty"), Step::Fin]);
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &upstream.url(), json!({})));
    let answer = support::post(gateway.data, "/chat", &[], &chat("hello"));
    // Whether that is a broken connection, broken HTTP or a truncated answer is a matter of taste.
    let kind = answer.json()["error"]["type"].clone();
    let kinds = ["upstream_connect_error", "upstream_protocol_error", "upstream_truncated"];
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(kinds.iter().any(|possible| kind == *possible), "{kind}");
}

#[test]
fn the_providers_own_errors_pass_as_they_are() {
    let upstream = Scripted::start(Vec::new());
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &upstream.url(), json!({})));
    let statuses = [201, 301, 400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 529];
    let cases = statuses.iter().flat_map(|status| [(status, false), (status, true)]);
    for (number, (&status, stream)) in cases.enumerate() {
        let body =
            format!("{{ \"error\" : {{\"message\":\"told by the provider\",\"code\":\"c{status}\"}}}}\n");
        let head = format!(
            "HTTP/1.1 {status} Some Reason\r\nContent-Type: application/problem+json\r\nRetry-After: 7\r\n"
        );
        upstream.set(vec![send(format!(
            "{head}x-request-id: req-{number}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))]);
        let request = if stream { chat_stream("hello") } else { chat("hello") };
        let answer = support::post(gateway.data, "/chat", &[], &request);
        assert_eq!((answer.status, answer.text(), answer.clean_end), (status, body, true));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{status}");
        assert_eq!(answer.header("retry-after"), Some("7"), "{status}");
        assert_eq!(answer.header("x-request-id"), Some(format!("req-{number}").as_str()), "{status}");
        let shown = (status >= 500).then(|| status.to_string());
        assert_eq!(answer.header("x-apisix-upstream-status"), shown.as_deref(), "{status}");
        let record = gateway.exactly(number + 1).pop().unwrap();
        let told = (&record["outcome"], &record["status"], &record["upstream_status"]);
        assert_eq!(told, (&json!("complete"), &json!(status), &json!(status)), "{record}");
        assert_eq!(upstream.received().len(), number + 1, "{status}: it was tried again");
    }
}

#[test]
fn a_stream_with_a_fault_ends_as_it_is() {
    let (complete, truncated) = (Some("complete"), Some("upstream_truncated"));
    let timeout = json!("upstream_timeout");
    // Knobs of the mock; whether the stream ends cleanly; outcome and error of the record.
    let cases = [
        ("whole", vec![], true, complete, Value::Null),
        ("no [DONE]", vec![("no-done", "1")], true, complete, json!("upstream_no_done")),
        ("no usage", vec![("no-usage", "1")], true, complete, Value::Null),
        ("no end", vec![("no-done", "1"), ("no-finish", "1")], false, truncated, json!("upstream_truncated")),
        ("cut, FIN", vec![("cut-after", "700")], false, truncated, json!("upstream_truncated")),
        (
            "cut, RST",
            vec![("cut-after", "700"), ("cut-with", "rst")],
            false,
            truncated,
            json!("upstream_truncated"),
        ),
        ("a stall", vec![("stall-after", "700")], false, None, timeout),
    ];
    let mock = support::mock();
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({"timeout": 400})));
    for (number, (name, mut knobs, clean, outcome, error)) in cases.into_iter().enumerate() {
        mock.clear();
        knobs.push(("chunks", "20"));
        let knobs: Vec<(String, &str)> =
            knobs.iter().map(|(knob, value)| (format!("x-mock-{knob}"), *value)).collect();
        let headers: Vec<(&str, &str)> = knobs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let answer = support::post(gateway.data, "/chat", &headers, &chat_stream("tell me a story"));
        let exchange = support::ledger(&mock, 1).remove(0);
        let record = gateway.exactly(number + 1).pop().unwrap();
        assert_eq!((answer.status, answer.clean_end), (200, clean), "{name}: {}", answer.text());
        assert_eq!(record["error"], error, "{name}: {record}");
        assert_eq!(record["outcome"] == "complete", clean, "{name}: {record}");
        assert!(outcome.is_none_or(|outcome| record["outcome"] == outcome), "{name}: {record}");

        let text = sse::content(&answer.body);
        assert!(
            exchange.content.starts_with(&text),
            "{name}: {text:?} is not how {:?} begins",
            exchange.content
        );
        if name != "no end" {
            assert_eq!(text == exchange.content, clean, "{name}: the client has {text:?}");
        }
        if clean {
            assert_eq!(sse::is_done(&answer.body), name != "no [DONE]", "{name}");
            // What is not known is null, never a silent zero.
            let known = |tokens: u64| if name == "no usage" { Value::Null } else { json!(tokens) };
            assert_eq!(record["prompt_tokens"], known(exchange.prompt_tokens), "{name}: {record}");
            assert_eq!(record["completion_tokens"], known(exchange.completion_tokens), "{name}: {record}");
        } else {
            let last = sse::json(&answer.body).pop().unwrap();
            assert_eq!(last["error"]["type"], error, "{name}: {last}");
            assert!(last["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{name}: {last}");
            assert!(!sse::is_done(&answer.body), "{name}");
        }
    }
}

#[test]
fn a_fault_of_one_answer_does_not_reach_the_next() {
    let upstream = Scripted::start(Vec::new());
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &upstream.url(), json!({})));
    let good = "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"good\"},\"finish_reason\":\"stop\"}]}";
    let good = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{good}",
        good.len()
    );
    let cases = [
        (
            "more than its Content-Length",
            vec![send(format!("{good}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"))],
        ),
        ("closes after the answer", vec![send(good.clone()), Step::Fin]),
        (
            "resets after the answer",
            vec![send(good.clone()), Step::Pause(Duration::from_millis(20)), Step::Reset],
        ),
    ];
    for (name, script) in cases {
        for round in 0..3 {
            upstream.set(script.clone());
            let answer = support::post(gateway.data, "/chat", &[], &chat("hello"));
            assert_eq!(answer.status, 200, "{name}, round {round}: {}", answer.text());
            assert_eq!(answer.json()["choices"][0]["message"]["content"], "good", "{name}, round {round}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}
