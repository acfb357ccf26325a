//! Promise: a client does not see that a stream failed before its first word, nor that an instance is slow where another is
//! asked beside it; and a prompt goes to the instance whose examples are like it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Duration;

use a6_mock::Knobs;
use serde_json::{Value, json};
use support::{Answer, Gateway, Scripted, Setup, Step, chat, chat_stream, chunk, eventually, post, sse};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const ROLE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
const WORD: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"from a\"},\"finish_reason\":null}]}\n\n";
const ERROR: &str = "data: {\"error\":{\"message\":\"slow down\",\"type\":\"requests\",\"code\":\"rate_limit_exceeded\"}}\n\n";

fn instance(name: &str, url: &str, priority: i64) -> Value {
    json!({
        "name": name, "provider": "openai", "weight": 1, "priority": priority,
        "auth": {"header": {"Authorization": "Bearer sk-provider"}}, "override": {"endpoint": url},
    })
}

fn route(instances: &[Value], more: Value) -> Value {
    let mut plugin = json!({"instances": instances, "breaker": {"enabled": false}});
    plugin.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"uri": "/chat", "plugins": {"ai-proxy-multi": plugin}})
}

fn begin(events: &[&str]) -> Step {
    let chunks: Vec<u8> = events.iter().flat_map(chunk).collect();
    Step::Send([HEAD.as_bytes(), &chunks].concat())
}

/// Instance, status and error of each attempt.
fn attempts(record: &Value) -> Vec<[Value; 3]> {
    let attempts = record["attempts"].as_array().unwrap();
    attempts.iter().map(|one| ["instance", "status", "error"].map(|member| one[member].clone())).collect()
}

fn is_whole(answer: &Answer, text: &str) -> bool {
    answer.status == 200
        && answer.clean_end
        && sse::is_done(&answer.body)
        && sse::content(&answer.body) == format!("You said: {text}")
}

#[test]
fn a_stream_that_fails_before_its_first_word_is_answered_by_another() {
    let (a, b) = (Scripted::start(Vec::new()), support::mock());
    let gateway = Setup::new().start();
    let instances = [instance("a", &a.url(), 1), instance("b", &b.url(), 0)];
    let both = json!({"fallback_strategy": ["http_429", "http_5xx"], "timeout": 500});
    gateway.put("routes/r", &route(&instances, both));
    let end = || Step::Send(b"0\r\n\r\n".to_vec());
    let cases = [
        ("an error", vec![begin(&[ROLE, ERROR]), end()], "upstream_error"),
        ("an error at once", vec![begin(&[ERROR]), end()], "upstream_error"),
        ("a cut", vec![begin(&[ROLE]), Step::Fin], "upstream_truncated"),
        (
            "a reset",
            vec![begin(&[": ping\n\n", ROLE]), Step::Pause(Duration::from_millis(50)), Step::Reset],
            "upstream_truncated",
        ),
        ("an end", vec![begin(&[ROLE]), end()], "upstream_truncated"),
        ("nothing", vec![begin(&[]), Step::AwaitHangUp], "upstream_timeout"),
    ];
    for (number, (name, script, error)) in cases.into_iter().enumerate() {
        a.set(script);
        let answer = post(gateway.data, "/chat", &[], &chat_stream("hello"));
        assert!(is_whole(&answer, "hello"), "{name}: {} {}", answer.status, answer.text());
        let record = gateway.exactly(number + 1).pop().unwrap();
        let told = attempts(&record);
        assert_eq!(told.len(), 2, "{name}: {record:#}");
        assert_eq!((&told[0][2], &told[1][0]), (&json!(error), &json!("b")), "{name}: {record:#}");
        assert_eq!(record["outcome"], "complete", "{name}");
    }
    assert_eq!(b.settled(6).len(), 6);
}

#[test]
fn what_nobody_else_is_asked_for_passes_as_it_came() {
    let (a, b) = (Scripted::start(Vec::new()), support::mock());
    let gateway = Setup::new().start();
    let instances = [instance("a", &a.url(), 1), instance("b", &b.url(), 0)];
    let failed = vec![begin(&[ROLE, ERROR]), Step::Send(b"0\r\n\r\n".to_vec())];
    let cases = [
        ("another strategy", json!({"fallback_strategy": "http_5xx"}), &instances[..]),
        ("none", json!({}), &instances[..]),
        ("no retries", json!({"fallback_strategy": ["http_429"], "max_retries": 0}), &instances[..]),
        ("no other", json!({"fallback_strategy": ["http_429"]}), &instances[..1]),
    ];
    a.set(failed);
    for (name, more, instances) in cases {
        gateway.put("routes/r", &route(instances, more));
        let answer = post(gateway.data, "/chat", &[], &chat_stream("hello"));
        assert_eq!(answer.text(), [ROLE, ERROR].concat(), "{name}");
    }
    // A word has left: nobody else can go on.
    a.set(vec![begin(&[ROLE, WORD]), Step::Fin]);
    gateway.put("routes/r", &route(&instances, json!({"fallback_strategy": ["http_5xx"]})));
    let answer = post(gateway.data, "/chat", &[], &chat_stream("hello"));
    assert!(answer.text().contains("from a") && !answer.clean_end, "{}", answer.text());
    assert_eq!(b.ledger().len(), 0);
}

#[test]
fn a_beginning_is_not_held_for_long() {
    // It says nothing more until its client has left: the role has to come all the same.
    let a = Scripted::start(vec![begin(&[ROLE]), Step::AwaitHangUp]);
    let b = support::mock();
    let gateway = Setup::new().start();
    let instances = [instance("a", &a.url(), 1), instance("b", &b.url(), 0)];
    gateway.put("routes/r", &route(&instances, json!({"fallback_strategy": "http_5xx", "timeout": 60_000})));
    let body = chat_stream("hello").to_string();
    let mut call =
        support::Call::send(gateway.data, &support::request("POST", "/chat", &[], body.as_bytes()));
    call.read_until("assistant");
    drop(call);
    eventually("the provider to see the hang-up", || (a.hang_ups() == 1).then_some(()));
    assert_eq!(b.ledger().len(), 0);
}

fn hedged(gateway: &Gateway, instances: &[Value], more: Value) {
    let mut options = json!({"hedge_after_ms": 50, "timeout": 60_000});
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    gateway.put("routes/r", &route(instances, options));
}

#[test]
fn a_slow_instance_is_overtaken_by_another_and_left() {
    let (slow, quick) = (Scripted::start(vec![Step::AwaitHangUp]), support::mock());
    let gateway = Setup::new().start();
    let instances = [instance("slow", &slow.url(), 1), instance("quick", &quick.url(), 0)];
    hedged(&gateway, &instances, json!({}));
    for (number, body) in [chat("hello"), chat_stream("hello")].iter().enumerate() {
        let answer = post(gateway.data, "/chat", &[], body);
        assert_eq!((answer.status, answer.clean_end), (200, true), "{}", answer.text());
        eventually("the slow one to be left", || (slow.hang_ups() == number + 1).then_some(()));
        let record = gateway.exactly(number + 1).pop().unwrap();
        let lost = [json!("slow"), Value::Null, json!("hedge_lost")];
        let taken = [json!("quick"), json!(200), Value::Null];
        assert_eq!(attempts(&record), [lost, taken], "{record:#}");
        assert!(record["total_tokens"].is_u64(), "{record:#}");
    }
    assert_eq!((slow.received().len(), quick.settled(2).len()), (2, 2));

    // Where no retry is allowed nobody is asked beside it.
    hedged(&gateway, &instances, json!({"max_retries": 0, "timeout": 300}));
    assert_eq!(post(gateway.data, "/chat", &[], &chat("hello")).status, 504);
    assert_eq!(quick.ledger().len(), 2);
}

#[test]
fn a_failure_of_one_waits_for_the_other() {
    let (first, second) = (support::mock(), support::mock());
    let gateway = Setup::new().start();
    let instances = [instance("first", &first.url(), 1), instance("second", &second.url(), 0)];
    hedged(&gateway, &instances, json!({}));
    first.set_knobs(Knobs { first_delay_ms: Some(600), ..Knobs::default() });
    second.set_knobs(Knobs { status: Some(503), ..Knobs::default() });
    let answer = post(gateway.data, "/chat", &[], &chat("hello"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let record = gateway.exactly(1).pop().unwrap();
    let failed = [json!("second"), json!(503), Value::Null];
    let taken = [json!("first"), json!(200), Value::Null];
    assert_eq!(attempts(&record), [failed, taken], "{record:#}");
    assert_eq!(record["attempts"][0]["class"], "overload");

    // Both fail: the client is told by the one that was asked last.
    first.set_knobs(Knobs { first_delay_ms: Some(600), status: Some(500), ..Knobs::default() });
    assert_eq!(post(gateway.data, "/chat", &[], &chat("hello")).status, 503);
    assert_eq!((first.settled(2).len(), second.settled(2).len()), (2, 2));
}

#[test]
fn a_prompt_goes_to_the_instance_whose_examples_are_like_it() {
    // The mock's vectors depend on the text alone: a prompt is like the example that says the same.
    let (embeddings, a, b) = (support::mock(), support::mock(), support::mock());
    let gateway = Setup::new().workers(2).start();
    let mut instances = [instance("a", &a.url(), 0), instance("b", &b.url(), 0)];
    instances[0]["examples"] = json!(["write a loop", "fix this bug"]);
    instances[1]["examples"] = json!(["sing of spring"]);
    let semantic = json!({
        "balancer": {"algorithm": "semantic"},
        "semantic_opts": {
            "embeddings": {
                "provider": "openai", "model": "text-embedding-3-small",
                "endpoint": format!("{}/v1/embeddings", embeddings.url()),
                "auth": {"header": {"Authorization": "Bearer sk-embed"}},
            },
            "threshold": 0.99, "fallback": "b", "debugging": true,
        },
    });
    gateway.put("routes/r", &route(&instances, semantic));
    let cases = [
        ("fix this bug", "a"),
        ("sing of spring", "b"),
        ("write a loop", "a"),
        ("none of these", "fallback"),
    ];
    for (prompt, expected) in cases {
        let answer = post(gateway.data, "/chat", &[("x-client", "1")], &chat(prompt));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-ai-semantic-picked-instance"), Some(expected), "{prompt}");
        let scores = answer.header("x-ai-semantic-scores").unwrap();
        assert!(expected == "fallback" || scores.starts_with(&format!("{expected}:1.0000,")), "{scores}");
    }
    assert_eq!((a.settled(2).len(), b.settled(2).len()), (2, 2));
    let asked = embeddings.settled(5);
    let inputs: Vec<Value> = asked.iter().map(|one| one.json().unwrap()["input"].clone()).collect();
    assert_eq!(inputs[0], json!(["write a loop", "fix this bug", "sing of spring"]));
    assert_eq!(inputs[1..], cases.map(|(prompt, _)| json!([prompt])));
    for exchange in &asked {
        assert_eq!(exchange.header("authorization"), Some("Bearer sk-embed"));
        assert_eq!(exchange.header("x-client"), None, "the client's headers are not for the service");
    }

    embeddings.set_knobs(Knobs { status: Some(500), ..Knobs::default() });
    for _ in 0..2 {
        let answer = post(gateway.data, "/chat", &[], &chat("write a loop"));
        assert_eq!((answer.status, answer.header("x-ai-semantic-picked-instance")), (200, None));
    }
    assert_eq!(b.settled(4).len(), 4, "the fallback takes them");
    std::thread::sleep(Duration::from_millis(50));
    let output = gateway.output();
    assert_eq!(output.matches("no embeddings").count(), 1, "it is told once: {output}");
    assert!(!output.contains("sk-embed") && !output.contains("write a loop"), "{output}");
}
