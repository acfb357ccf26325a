//! Promise: SIGTERM ends the process, not the work: what is open ends whole, and nothing new begins.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::net::TcpStream;

use serde_json::json;
use support::{
    Call, Connection, Gate, Scripted, Setup, Step, ai_route, chat, chat_stream, chunk, eventually,
};

#[test]
fn open_streams_end_whole_and_the_exit_code_is_zero() {
    let gate = Gate::default();
    let begin = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"begin\"}}]}\n\n";
    let end =
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let streaming = Scripted::start(vec![
        Step::Send([head.as_bytes(), &chunk(begin)].concat()),
        Step::Await(gate.clone(), 1),
        Step::Send([chunk(end), chunk("")].concat()),
    ]);
    let plain = "{\"choices\":[]}";
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let answering = Scripted::start(vec![
        Step::Await(gate.clone(), 1),
        Step::Send(format!("{head}Content-Length: {}\r\n\r\n{plain}", plain.len()).into_bytes()),
    ]);
    let mut gateway = Setup::new().workers(2).start();
    gateway.put("routes/stream", &ai_route("/stream", &streaming.url(), json!({})));
    gateway.put("routes/plain", &ai_route("/plain", &answering.url(), json!({})));

    let request = support::request("POST", "/stream", &[], chat_stream("begin").to_string().as_bytes());
    let mut calls: Vec<Call> = (0..20).map(|_| Call::send(gateway.data, &request)).collect();
    calls.iter_mut().for_each(|call| call.read_until("begin"));
    let mut waiting = Connection::open(gateway.data);
    waiting.write(&support::request("POST", "/plain", &[], chat("hello").to_string().as_bytes()));
    eventually("the plain request at the provider", || (answering.received().len() == 1).then_some(()));
    let mut idle = Connection::open(gateway.data);
    assert_eq!(idle.answer(&support::request("GET", "/nothing", &[], b"")).status, 404);

    gateway.terminate();
    let data = gateway.data;
    eventually("new connections to be refused", || TcpStream::connect(data).is_err().then_some(()));
    assert!(idle.is_closed_by_the_other_side(), "an idle connection must not hold the process");
    gate.open_to(1);
    for call in calls {
        let answer = call.finish();
        assert_eq!((answer.text(), answer.clean_end), (format!("{begin}{end}"), true));
    }
    assert_eq!(waiting.head().map(|head| head.status), Some(200), "the plain request was dropped");
    let status = gateway.wait();
    assert!(status.success(), "{status}\n{}", gateway.output());
}

#[test]
fn with_nothing_open_it_ends_at_once_and_starts_again_with_its_data() {
    let mock = support::mock();
    let mut gateway = Setup::new().start();
    let home = std::sync::Arc::clone(&gateway.home);
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    let before = gateway.admin("GET", "routes/r", None).1;
    let kept_open = Connection::open(gateway.data);
    gateway.terminate();
    let status = gateway.wait();
    assert!(status.success(), "{status}\n{}", gateway.output());
    drop(kept_open);

    let gateway = Setup::new().home(&home).start();
    assert_eq!(gateway.admin("GET", "routes/r", None).1, before);
    assert_eq!(support::post(gateway.data, "/chat", &[], &chat("hello")).status, 200);
}
