//! Promise: SIGTERM under load loses nothing: two hundred streams end whole, or are cut so that nobody takes them for
//! whole, and each leaves one line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;

use a6_mock::{Mock, Outcome};
use serde_json::{Value, json};
use support::{
    Answer, Call, Connection, Gateway, Scripted, Setup, Step, ai_route, chat, chat_stream, chunk, eventually,
    request, sse,
};

const STREAMS: usize = 200;

/// One line per request: which it was, and how it ended.
const LOG: &str = "nginx_config:\n  http:\n    access_log: access.log\n    access_log_format: '$arg_n $status $a6_outcome'\n";

fn setup(mock: &Mock, setup: Setup) -> Gateway {
    let gateway = setup.settings(LOG).workers(2).start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    gateway
}

fn question(number: usize) -> Value {
    chat_stream(&format!("question {number} of many"))
}

/// Opens so many streams, of so many chunks 100 ms apart, and waits until each has begun.
fn open(gateway: &Gateway, mock: &Mock, chunks: &str) -> Vec<Call> {
    let headers = [("x-mock-chunks", chunks), ("x-mock-chunk-delay-ms", "100")];
    let ask = |number: usize| {
        let body = question(number).to_string();
        Call::send(gateway.data, &request("POST", &format!("/chat?n={number}"), &headers, body.as_bytes()))
    };
    let mut calls: Vec<Call> = (0..STREAMS).map(ask).collect();
    calls.iter_mut().for_each(|call| call.read_until("\"content\""));
    let ended = mock.ledger().iter().filter(|exchange| exchange.outcome != Outcome::Open).count();
    assert_eq!(ended, 0, "streams were over before the last had begun");
    calls
}

/// The lines of the access log of a process that has ended, by the number of the request; each has one.
fn lines(gateway: &Gateway) -> BTreeMap<usize, String> {
    let text = fs::read_to_string(gateway.home.path().join("access.log")).unwrap();
    let mut lines = BTreeMap::new();
    for line in text.lines() {
        let (number, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        let before = lines.insert(number.parse().expect("a number"), rest.to_string());
        assert_eq!(before, None, "{number} stands twice");
    }
    assert_eq!(lines.keys().copied().collect::<Vec<_>>(), (0..STREAMS).collect::<Vec<_>>());
    lines
}

#[test]
fn all_end_whole_and_each_leaves_a_line() {
    let mock = support::mock();
    let mut gateway = setup(&mock, Setup::new());
    let calls = open(&gateway, &mock, "50");
    gateway.terminate();
    let data = gateway.data;
    eventually("new connections to be refused", || TcpStream::connect(data).is_err().then_some(()));
    let answers: Vec<Answer> = calls.into_iter().map(Call::finish).collect();
    let status = gateway.wait();
    assert!(status.success(), "{status}\n{}", gateway.output());

    let exchanges = support::ledger(&mock, STREAMS);
    for (number, answer) in answers.iter().enumerate() {
        assert!(answer.clean_end && sse::is_done(&answer.body), "{number}: {}", answer.text());
        let asked = Some(question(number));
        let exchange = exchanges.iter().find(|exchange| exchange.json() == asked).expect("the exchange");
        assert_eq!(sse::content(&answer.body), exchange.content, "{number}");
        assert_eq!(exchange.outcome, Outcome::Complete, "{number}");
    }
    for (number, line) in lines(&gateway) {
        assert_eq!(line, "200 complete", "{number}");
    }
}

#[test]
fn past_the_drain_timeout_they_are_cut_visibly_and_each_leaves_a_line() {
    let mock = support::mock();
    let mut gateway = setup(&mock, Setup::new().flag("--drain-timeout", "1"));
    let calls = open(&gateway, &mock, "300");
    gateway.terminate();
    for (number, call) in calls.into_iter().enumerate() {
        let answer = call.finish();
        assert!(!answer.clean_end && !answer.text().contains("[DONE]"), "{number}: {}", answer.text());
    }
    let status = gateway.wait();
    assert!(status.success(), "{status}\n{}", gateway.output());
    for (number, line) in lines(&gateway) {
        assert!(line.starts_with("200 ") && !line.contains("complete"), "{number}: {line}");
    }
    // The provider is told, so that it does not go on for nobody.
    let exchanges = support::ledger(&mock, STREAMS);
    assert!(exchanges.iter().all(|exchange| exchange.outcome == Outcome::ClientGone), "{exchanges:#?}");
}

const BEGIN: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"begin\"}}]}\n\n";

/// An upstream whose streams begin and then wait for whoever leaves first.
fn endless() -> Scripted {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    Scripted::start(vec![Step::Send([head.as_bytes(), &chunk(BEGIN)].concat()), Step::AwaitHangUp])
}

#[test]
fn a_cut_by_the_gateway_is_not_put_down_to_the_client() {
    let upstream = endless();
    let mut gateway = Setup::new().settings(LOG).flag("--drain-timeout", "1").start();
    gateway.put("routes/r", &ai_route("/chat", &upstream.url(), json!({})));
    let body = chat_stream("hello").to_string();
    let mut call = Call::send(gateway.data, &request("POST", "/chat?n=0", &[], body.as_bytes()));
    call.read_until("begin");
    gateway.terminate();
    assert!(!call.finish().clean_end);
    assert!(gateway.wait().success(), "{}", gateway.output());
    let text = fs::read_to_string(gateway.home.path().join("access.log")).unwrap();
    assert_eq!(text, "0 200 aborted\n");
}

#[test]
fn a_client_of_http_1_0_sees_the_cut_too() {
    let upstream = endless();
    let mut gateway = Setup::new().flag("--drain-timeout", "1").start();
    gateway.put("routes/r", &ai_route("/chat", &upstream.url(), json!({})));
    let body = chat_stream("hello").to_string();
    let asked = String::from_utf8(request("POST", "/chat", &[], body.as_bytes())).unwrap();
    let mut call = Call::send(gateway.data, asked.replacen("HTTP/1.1", "HTTP/1.0", 1).as_bytes());
    call.read_until("begin");
    gateway.terminate();
    let answer = call.finish();
    assert_eq!(answer.header("transfer-encoding"), None, "chunks are not for HTTP/1.0");
    // Its answer ends with the connection: a plain close would say that it is whole.
    assert!(answer.reset, "a cut stream ends as a whole one would: {}", answer.text());
    assert!(gateway.wait().success(), "{}", gateway.output());
}

#[test]
fn a_request_that_is_being_sent_is_still_served() {
    let mock = support::mock();
    let mut gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    let whole = request("POST", "/chat", &[], chat("hello").to_string().as_bytes());
    let (begin, end) = whole.split_at(whole.len() - 10);
    let mut client = Connection::open(gateway.data);
    client.write(begin);
    // The head has been read once another request behind it is answered.
    assert_eq!(support::post(gateway.data, "/chat", &[], &chat("other")).status, 200);
    gateway.terminate();
    let data = gateway.data;
    eventually("new connections to be refused", || TcpStream::connect(data).is_err().then_some(()));
    let answer = client.answer(end);
    assert_eq!((answer.status, answer.clean_end), (200, true), "{}", answer.text());
    assert!(client.is_closed_by_the_other_side(), "the connection holds the process");
    assert!(gateway.wait().success(), "{}", gateway.output());
    assert_eq!(support::ledger(&mock, 2).len(), 2);
}
