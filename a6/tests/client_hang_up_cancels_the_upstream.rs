//! Promise: a client that leaves costs nothing more: the provider is told at once, and there is one record of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Instant;

use a6_mock::Outcome;
use serde_json::{Value, json};
use support::{Call, Connection, Scripted, Setup, Step, ai_route, chat, chat_stream, chunk, eventually};

#[test]
fn leaving_mid_stream_is_seen_by_the_provider_within_a_second() {
    let mock = support::mock();
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    let headers = [("x-mock-chunks", "2000"), ("x-mock-chunk-delay-ms", "10")];
    let request = support::request("POST", "/chat", &headers, chat_stream("talk on").to_string().as_bytes());
    let mut call = Call::send(gateway.data, &request);
    call.read_until("\"content\"");
    assert_eq!(mock.ledger()[0].outcome, Outcome::Open);

    drop(call);
    let left = Instant::now();
    let exchange = support::ledger(&mock, 1).remove(0);
    assert!(left.elapsed().as_millis() < 1_000, "it took {:?}", left.elapsed());
    assert_eq!((exchange.outcome, exchange.client_closed), (Outcome::ClientGone, true));
    assert!(exchange.events_written < 1_000, "{} events were still written", exchange.events_written);
    let record = gateway.exactly(1).remove(0);
    assert_eq!(
        (&record["outcome"], &record["error"]),
        (&json!("client_gone"), &json!("client_gone")),
        "{record}"
    );

    // The thread is free and serves the next one.
    assert_eq!(support::post(gateway.data, "/chat", &[], &chat("still there?")).status, 200);
    gateway.exactly(2);
}

#[test]
fn the_tokens_so_far_are_kept() {
    let event = |number: u32| {
        let usage = json!({"prompt_tokens": 7, "completion_tokens": number, "total_tokens": 7 + number});
        let delta = json!({"index": 0, "delta": {"content": format!("<{number}>")}});
        chunk(format!("data: {}\n\n", json!({"choices": [delta], "usage": usage})))
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let script = [head.into(), event(1), event(2), event(3)].map(Step::Send);
    let upstream = Scripted::start(script.into_iter().chain([Step::AwaitHangUp]).collect());
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &upstream.url(), json!({})));

    let request = support::request("POST", "/chat", &[], chat_stream("count").to_string().as_bytes());
    let mut call = Call::send(gateway.data, &request);
    call.read_until("<3>");
    drop(call);
    eventually("the provider to see the hang-up", || (upstream.hang_ups() == 1).then_some(()));
    let record = gateway.exactly(1).remove(0);
    let told =
        (&record["outcome"], &record["prompt_tokens"], &record["completion_tokens"], &record["total_tokens"]);
    assert_eq!(told, (&json!("client_gone"), &json!(7), &json!(3), &json!(10)), "{record}");
}

#[test]
fn leaving_at_any_stage_leaves_one_record() {
    let quiet = Scripted::start(vec![Step::AwaitHangUp]);
    let mock = support::mock();
    let gateway = Setup::new().start();
    gateway.put("routes/quiet", &ai_route("/quiet", &quiet.url(), json!({})));
    gateway.put("routes/mock", &ai_route("/mock", &mock.url(), json!({})));
    let body = chat("hello").to_string();

    // Half of the body is sent.
    let mut client = Connection::open(gateway.data);
    let whole = support::request("POST", "/quiet", &[], body.as_bytes());
    client.write(&whole[..whole.len() - 10]);
    std::thread::sleep(std::time::Duration::from_millis(50));
    drop(client);
    let record = gateway.exactly(1).pop().unwrap();
    assert_eq!(
        (&record["outcome"], &record["upstream_status"]),
        (&json!("client_gone"), &Value::Null),
        "{record}"
    );
    assert_eq!(quiet.received().len(), 0, "half a request was sent on");

    // The provider has not answered yet.
    let mut client = Connection::open(gateway.data);
    client.write(&whole);
    eventually("the request at the provider", || (quiet.received().len() == 1).then_some(()));
    drop(client);
    eventually("the provider to see the hang-up", || (quiet.hang_ups() == 1).then_some(()));
    let record = gateway.exactly(2).pop().unwrap();
    assert_eq!(
        (&record["outcome"], &record["upstream_status"]),
        (&json!("client_gone"), &Value::Null),
        "{record}"
    );

    // The last byte is read.
    let answer = support::post(gateway.data, "/mock", &[], &chat("hello"));
    assert_eq!((answer.status, answer.clean_end), (200, true));
    let record = gateway.exactly(3).pop().unwrap();
    assert_eq!(record["outcome"], "complete", "{record}");
}
