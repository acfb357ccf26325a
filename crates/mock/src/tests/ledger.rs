//! The ledger, hang-ups, and what is no request.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{CHAT, Client, ask, mock, post};
use crate::knobs::Knobs;
use crate::ledger::{Exchange, Outcome};
use crate::server::{Mock, Options};

fn hello() -> String {
    json!({"messages": [{"role": "user", "content": "Hello"}], "stream": true}).to_string()
}

/// The latest exchange once it is as wanted.
fn awaited(mock: &Mock, wanted: impl Fn(&Exchange) -> bool) -> Exchange {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let latest = mock.ledger().pop();
        if let Some(exchange) = &latest
            && wanted(exchange)
        {
            return exchange.clone();
        }
        assert!(Instant::now() < deadline, "the ledger stayed at {latest:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn requests_are_entered_as_they_came() {
    let mock = mock(Knobs::default());
    let mut client = Client::of(&mock);
    client.send(
        "POST /v1/x?q=1 HTTP/1.1\r\nX-Two: b\r\nx-two: A\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n",
    );
    client.send("4\r\na\":1\r\n1\r\n}\r\n0\r\n\r\n");
    assert_eq!(client.reply().json()["body"], json!({"a": 1}));
    client.send(post("/v1/y", "", "\u{e9}"));
    client.reply();
    Client::of(&mock).send(b"POST /v1/z HTTP/1.1\r\ncontent-length: 1\r\n\r\n\xff");

    let ledger = mock.settled(3);
    let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    assert_eq!(ledger[0].headers, pairs(&[("x-two", "b"), ("x-two", "A"), ("transfer-encoding", "chunked")]));
    assert_eq!((ledger[0].method.as_str(), ledger[0].target.as_str()), ("POST", "/v1/x?q=1"));
    assert_eq!(
        (ledger[0].body.as_str(), ledger[0].body_len, ledger[0].header("x-two")),
        ("{\"a\":1}", 7, Some("b"))
    );
    assert_eq!((ledger[1].body.as_str(), ledger[1].body_len), ("\u{e9}", 2));
    assert_eq!(ledger[2].body_hex.as_deref(), Some("ff"));
    let connections: Vec<u64> = ledger.iter().map(|exchange| exchange.connection).collect();
    assert_eq!((connections, mock.connections()), (vec![1, 1, 2], 2));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mock = mock(Knobs { chunk_delay_ms: Some(1), ..Knobs::default() });
    let mut client = Client::of(&mock);
    client.send([post(CHAT, "", &hello()), post("/v1/x", "", "{}"), post(CHAT, "", &hello())].concat());
    let bytes: Vec<u64> = (0..3).map(|_| client.reply().bytes).collect();
    let ledger = mock.settled(3);
    assert_eq!(ledger.iter().map(|exchange| exchange.response_bytes).collect::<Vec<_>>(), bytes);
    assert_eq!(ledger.iter().map(|exchange| exchange.outcome).collect::<Vec<_>>(), [Outcome::Complete; 3]);
}

#[test]
fn the_ledger_is_read_and_cleared_over_http() {
    let mock = mock(Knobs { status: Some(500), ..Knobs::default() });
    ask(&mock, CHAT, "", &json!({}));
    let mut client = Client::of(&mock);
    client.send("GET /__ledger HTTP/1.1\r\n\r\n");
    let reply = client.reply();
    let listed: Vec<Exchange> = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status, listed.len(), listed[0].status), (200, 1, 500));
    let value: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(value[0]["outcome"], "complete");
    assert_eq!(listed[0].seq, mock.ledger()[0].seq);
    client.send("DELETE /__ledger HTTP/1.1\r\n\r\n");
    assert_eq!(client.reply().status, 204);
    assert!(mock.ledger().is_empty());
}

#[test]
fn an_exchange_is_open_until_the_client_hangs_up() {
    let long = Some(600_000);
    for (knobs, outcome, events) in [
        (Knobs { first_delay_ms: long, ..Knobs::default() }, Outcome::ClientGone, 0),
        (Knobs { first_delay_ms: long, comment_ms: long, ..Knobs::default() }, Outcome::ClientGone, 0),
        (Knobs { chunk_delay_ms: long, ..Knobs::default() }, Outcome::ClientGone, 1),
        (Knobs { stall_after: Some(0), ..Knobs::default() }, Outcome::Stalled, 0),
    ] {
        let mock = mock(knobs);
        let mut client = Client::of(&mock);
        client.send(post(CHAT, "", &hello()));
        let open = awaited(&mock, |exchange| exchange.body_len > 0 && exchange.events_written == events);
        assert_eq!((open.outcome, open.client_closed), (Outcome::Open, false));
        drop(client);
        let ended = awaited(&mock, |exchange| exchange.outcome != Outcome::Open);
        assert_eq!((ended.outcome, ended.client_closed, ended.events_written), (outcome, true, events));
    }
}

#[test]
fn a_request_that_stays_half_is_entered() {
    let mock = mock(Knobs::default());
    for (bytes, method, body) in [
        ("POST /v1/x HTTP/1.1\r\ncontent-length: 9\r\n\r\nhalf", "POST", "half"),
        ("POST /v1/x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n5\r\nx", "POST", "half"),
        ("GET /v1/mod", "", "GET /v1/mod"),
    ] {
        mock.clear();
        Client::of(&mock).send(bytes);
        let exchange = awaited(&mock, |exchange| exchange.outcome != Outcome::Open && exchange.client_closed);
        assert_eq!((exchange.method.as_str(), exchange.body.as_str()), (method, body));
        assert_eq!((exchange.outcome, exchange.status), (Outcome::ClientGone, 0));
    }
}

#[test]
fn what_is_no_request_is_answered_400_and_entered() {
    let mock = mock(Knobs::default());
    for (bytes, entered) in [
        ("POST /x HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", ""),
        ("POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "POST"),
        ("G\0T / HTTP/1.1\r\n\r\n", ""),
    ] {
        mock.clear();
        let mut client = Client::of(&mock);
        client.send(bytes);
        let reply = client.reply();
        assert_eq!((reply.status, reply.header("connection")), (400, Some("close")), "{bytes:?}");
        assert_eq!(client.rest(), (Vec::new(), None));
        let ledger = mock.settled(1);
        assert_eq!(
            (ledger.len(), ledger[0].status, ledger[0].method.as_str()),
            (1, 400, entered),
            "{bytes:?}"
        );
    }
}

#[test]
fn a_client_that_waits_to_continue_is_told_to() {
    let mock = mock(Knobs::default());
    let mut client = Client::of(&mock);
    client.send("POST /v1/x HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
    let interim = client.reply();
    assert_eq!(interim.status, 100);
    client.send("{}");
    let reply = client.reply();
    assert_eq!((reply.status, mock.settled(1)[0].response_bytes), (200, interim.bytes + reply.bytes));
}

#[test]
fn a_client_that_leaves_after_its_reply_is_noticed() {
    let mock = mock(Knobs::default());
    let reply = ask(&mock, CHAT, "", &json!({"messages": [{"role": "user", "content": "Hi"}]}));
    let exchange = awaited(&mock, |exchange| exchange.client_closed);
    assert_eq!((exchange.outcome, exchange.response_bytes), (Outcome::Complete, reply.bytes));
}

#[test]
fn without_a_ledger_equal_requests_get_the_remembered_bytes() {
    let mock = Mock::start(Options { ledger: false, ..Options::default() }).unwrap();
    let mut client = Client::of(&mock);
    for said in ["a", "a", "b", "a"] {
        let body = json!({"messages": [{"role": "user", "content": said}]}).to_string();
        let request = post(CHAT, "", &body);
        // In two parts, so that the remembered request is recognised however it arrives.
        let (first, second) = request.split_at(request.len() - 3);
        client.send(first);
        client.send(second);
        assert_eq!(client.reply().json()["choices"][0]["message"]["content"], format!("You said: {said}"));
        client.send(&request);
        assert_eq!(client.reply().json()["choices"][0]["message"]["content"], format!("You said: {said}"));
    }
    mock.set_knobs(Knobs { status: Some(500), ..Knobs::default() });
    client.send(post(CHAT, "", &json!({"messages": [{"role": "user", "content": "a"}]}).to_string()));
    assert_eq!(client.reply().status, 500);
    assert!(mock.ledger().is_empty());
}
