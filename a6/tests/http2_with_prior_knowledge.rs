//! Promise: a client that speaks HTTP/2 from the first byte on is served as any other: whole answers end, cut ones are
//! reset, many streams share a connection, and a client that floods harms nobody but itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::http2::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, End, GOAWAY, HEADERS, Http2, PING, RST_STREAM,
    SETTINGS, block, frame, post_block,
};
use support::{Gateway, Scripted, Setup, Step, ai_route, chat, chat_stream, chunk, eventually, sse};

/// What a flood may cost at most.
const ALLOWED: u64 = 20 << 20;

const SSE_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const BEGIN: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"begin\"}}]}\n\n";
const REST: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// A gateway with one route to the mock.
fn with_mock() -> (a6_mock::Mock, Gateway) {
    let mock = support::mock();
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    (mock, gateway)
}

/// A gateway with one route to this upstream.
fn before(upstream: &Scripted, settings: &str) -> Gateway {
    let gateway = Setup::new().settings(settings).start();
    gateway.put("routes/r", &ai_route("/chat", &upstream.url(), json!({})));
    gateway
}

#[test]
fn plain_and_streamed_answers_are_what_the_provider_said() {
    let (mock, gateway) = with_mock();
    let mut client = Http2::open(gateway.data);
    let stream = client.post("/chat", &[("x-mine", "yes"), ("cookie", "a=b")], &chat("hello"));
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.end), (200, End::Stream), "{}", answer.text());
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    let exchange = support::ledger(&mock, 1).remove(0);
    assert_eq!(told["choices"][0]["message"]["content"], exchange.content);
    assert_eq!(exchange.json(), Some(chat("hello")));
    let sent = |name: &str| support::sent_once(&exchange, name);
    assert_eq!((sent("x-mine"), sent("cookie")), (Some("yes"), None));
    // What HTTP/1.1 calls Host.
    assert_eq!(sent("x-forwarded-host"), Some("a6.test"), "{:?}", exchange.headers);

    let stream = client.post("/chat", &[("x-mock-chunks", "50")], &chat_stream("hello"));
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.end), (200, End::Stream), "{}", answer.text());
    let exchange = support::ledger(&mock, 2).remove(1);
    assert_eq!(sse::content(&answer.body), exchange.content);
    assert!(sse::is_done(&answer.body), "{}", answer.text());

    for (path, body, status) in [("/nothing", chat("hello"), 404), ("/chat", json!({}), 400)] {
        let stream = client.post(path, &[], &body);
        let answer = client.answer(stream);
        assert_eq!((answer.status, answer.end), (status, End::Stream), "{path}: {}", answer.text());
        assert!(!answer.body.is_empty(), "{path}: no reason was given");
    }
    let records = gateway.exactly(4);
    let statuses: Vec<&Value> = records.iter().map(|record| &record["status"]).collect();
    assert_eq!(statuses, [&json!(200), &json!(200), &json!(404), &json!(400)]);
    assert_eq!(records[1]["completion_tokens"], json!(exchange.completion_tokens), "{}", records[1]);
}

#[test]
fn many_streams_of_one_connection_do_not_mix() {
    let (mock, gateway) = with_mock();
    let mut client = Http2::open(gateway.data);
    let questions: Vec<String> = (0..50).map(|number| format!("question {number} of many")).collect();
    let headers = [("x-mock-chunk-delay-ms", "1")];
    let streams: Vec<u32> =
        questions.iter().map(|question| client.post("/chat", &headers, &chat_stream(question))).collect();
    let mut answers = client.answers(&streams);
    let exchanges = support::ledger(&mock, streams.len());
    for (stream, question) in streams.iter().zip(&questions) {
        let answer = answers.remove(stream).unwrap();
        assert_eq!((answer.status, answer.end), (200, End::Stream), "{question}: {}", answer.text());
        let asked = |exchange: &&a6_mock::Exchange| exchange.json() == Some(chat_stream(question));
        let exchange = exchanges.iter().find(asked).expect("the question reached the provider");
        assert_eq!(sse::content(&answer.body), exchange.content);
        assert!(sse::is_done(&answer.body), "{question}");
    }
    gateway.exactly(streams.len());
}

#[test]
fn a_body_in_pieces_and_trailers_is_one_request() {
    let (mock, gateway) = with_mock();
    let mut client = Http2::open(gateway.data);
    let stream = client.next_stream();
    let body = chat("in pieces").to_string();
    // The head in two frames, the body in frames of seven bytes, then trailers that no provider needs.
    let head = post_block("/chat", &[]);
    let (one, two) = head.split_at(20);
    client.write(&frame(HEADERS, 0, stream, one));
    client.write(&frame(CONTINUATION, END_HEADERS, stream, two));
    for piece in body.as_bytes().chunks(7) {
        client.write(&frame(DATA, 0, stream, piece));
    }
    let trailers = block(&[("x-trailer", "late")]);
    client.write(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &trailers));
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.end), (200, End::Stream), "{}", answer.text());
    let exchange = support::ledger(&mock, 1).remove(0);
    assert_eq!(exchange.body, body);
    assert_eq!(support::sent_once(&exchange, "x-trailer"), None);
    assert_eq!(support::sent_once(&exchange, "content-length"), Some(body.len().to_string().as_str()));
}

#[test]
fn an_answer_that_is_cut_is_reset() {
    let upstream = Scripted::start(Vec::new());
    let gateway = before(&upstream, "");
    let plain = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{\"choices\"";
    let streamed = [SSE_HEAD.as_bytes(), &chunk(BEGIN)].concat();
    let pause = Step::Pause(Duration::from_millis(30));
    let cases = [
        ("a stream, FIN", chat_stream("hello"), streamed.clone(), Step::Fin),
        ("a stream, RST", chat_stream("hello"), streamed.clone(), Step::Reset),
        ("a stream that ends properly", chat_stream("hello"), [streamed, chunk("")].concat(), Step::Fin),
        ("a plain answer, FIN", chat("hello"), plain.into(), Step::Fin),
        ("a plain answer, RST", chat("hello"), plain.into(), Step::Reset),
    ];
    let mut client = Http2::open(gateway.data);
    for (number, (name, body, bytes, end)) in cases.into_iter().enumerate() {
        upstream.set(vec![Step::Send(bytes), pause.clone(), end]);
        let stream = client.post("/chat", &[], &body);
        let answer = client.answer(stream);
        assert_eq!(answer.status, 200, "{name}");
        assert!(matches!(answer.end, End::Reset(_)), "{name}: {:?} {}", answer.end, answer.text());
        if name.starts_with("a stream") {
            let mut events = sse::data(&answer.body);
            let error: Value = serde_json::from_str(&events.pop().unwrap()).unwrap();
            assert_eq!(error["error"]["type"], "upstream_truncated", "{name}: {error}");
            assert_eq!(events, sse::data(BEGIN.as_bytes()), "{name}");
        }
        let record = gateway.exactly(number + 1).pop().unwrap();
        assert_eq!(record["outcome"], "upstream_truncated", "{name}: {record}");
    }
    // The other streams of the connection are not meant.
    let whole = [SSE_HEAD.as_bytes(), &chunk(BEGIN), &chunk(REST), &chunk("")].concat();
    upstream.set(vec![Step::Send(whole)]);
    let stream = client.post("/chat", &[], &chat_stream("hello"));
    let answer = client.answer(stream);
    assert_eq!((answer.end, answer.text()), (End::Stream, format!("{BEGIN}{REST}")));
}

#[test]
fn a_stream_that_the_client_resets_ends_at_the_provider() {
    let begin = [SSE_HEAD.as_bytes(), &chunk(BEGIN)].concat();
    let upstream = Scripted::start(vec![Step::Send(begin), Step::AwaitHangUp]);
    let gateway = before(&upstream, "");
    let mut client = Http2::open(gateway.data);
    let stream = client.post("/chat", &[], &chat_stream("hello"));
    client.first_data(stream);
    client.write(&frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    eventually("the provider to see the hang-up", || (upstream.hang_ups() == 1).then_some(()));
    let record = gateway.exactly(1).remove(0);
    assert_eq!(record["outcome"], "client_gone", "{record}");
    // The connection is not at fault.
    let stream = client.post("/nothing", &[], &json!({}));
    assert_eq!(client.answer(stream).status, 404);
}

#[test]
fn a_client_that_opens_no_window_does_not_keep_the_provider() {
    let begin = [SSE_HEAD.as_bytes(), &chunk(BEGIN)].concat();
    // The client is waited for once there is something that it could take.
    let more = Step::Send(chunk(BEGIN));
    let pause = Step::Pause(Duration::from_millis(100));
    let upstream = Scripted::start(vec![Step::Send(begin), pause, more, Step::AwaitHangUp]);
    let gateway = before(&upstream, "nginx_config:\n  http:\n    send_timeout: 300ms\n");
    // Nothing of the answer may be sent, or a piece of its first event.
    for (number, window) in [0, 5].into_iter().enumerate() {
        let mut client = Http2::with_window(gateway.data, window);
        let streams: Vec<u32> = (0..3).map(|_| client.post("/chat", &[], &chat_stream("hello"))).collect();
        let count = (number + 1) * streams.len();
        eventually("the provider to see the hang-ups", || (upstream.hang_ups() == count).then_some(()));
        for record in gateway.exactly(count) {
            let told = (&record["outcome"], &record["status"]);
            assert_eq!(told, (&json!("client_gone"), &json!(200)), "window {window}: {record}");
        }
        drop(client);
    }
    // It is not the client that is slow where the provider is.
    let pause = Step::Pause(Duration::from_millis(200));
    let head = Step::Send(SSE_HEAD.into());
    let piece = |text: &str| Step::Send(chunk(text));
    upstream.set(vec![head, piece(BEGIN), pause.clone(), pause.clone(), pause, piece(REST), piece("")]);
    let mut client = Http2::open(gateway.data);
    let stream = client.post("/chat", &[], &chat_stream("hello"));
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.end), (200, End::Stream), "{}", answer.text());
    assert_eq!(answer.text(), format!("{BEGIN}{REST}"));
}

#[test]
fn heads_that_http2_forbids_reach_nobody() {
    let upstream = Scripted::start(Vec::new());
    let gateway = before(&upstream, "");
    let long = "a".repeat(10_000);
    let (short, more) = (("content-length", "3"), ("content-length", "3000"));
    let cases: [(&str, Vec<(&str, &str)>); 8] = [
        ("a header of the connection", vec![("connection", "close")]),
        ("a coding", vec![("transfer-encoding", "chunked")]),
        ("a capital letter", vec![("X-Mine", "yes")]),
        ("a line break in a value", vec![("x-mine", "a\r\nx-other: b")]),
        ("a zero byte in a value", vec![("x-mine", "a\0b")]),
        ("a length that is too short", vec![short]),
        ("a length that is too long", vec![more]),
        ("a pseudo-header of no request", vec![(":status", "200")]),
    ];
    for (name, headers) in cases {
        let mut client = Http2::open(gateway.data);
        let stream = client.post("/chat", &headers, &chat("hello"));
        let answer = client.answer(stream);
        // Reset, refused, or the whole connection ended: only an answer of a provider would be wrong.
        assert!(answer.end != End::Stream || (400..500).contains(&answer.status), "{name}: {answer:?}");
        assert_eq!(upstream.received().len(), 0, "{name}");
    }
    // Past the limit that SETTINGS told: 431, or the stream is reset.
    let mut client = Http2::open(gateway.data);
    let stream = client.next_stream();
    let head = post_block("/chat", &[("x-long", long.as_str()); 8]);
    let mut pieces = head.chunks(16_000);
    client.write(&frame(HEADERS, 0, stream, pieces.next().unwrap()));
    for piece in pieces {
        client.write(&frame(CONTINUATION, 0, stream, piece));
    }
    client.write(&frame(CONTINUATION, END_HEADERS, stream, &[]));
    client.write(&frame(DATA, END_STREAM, stream, chat("hello").to_string().as_bytes()));
    let answer = client.answer(stream);
    assert!(answer.end != End::Stream || answer.status == 431, "{answer:?}");
    assert_eq!(upstream.received().len(), 0, "a head of 80 KB");
}

#[test]
fn more_streams_than_are_allowed_are_refused_one_by_one() {
    let mock = support::mock();
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    let mut client = Http2::open(gateway.data);
    let headers = [("x-mock-first-delay-ms", "700")];
    let streams: Vec<u32> = (0..250).map(|_| client.post("/chat", &headers, &chat("hello"))).collect();
    let answers = client.answers(&streams);
    let whole = answers.values().filter(|answer| answer.status == 200 && answer.end == End::Stream).count();
    // REFUSED_STREAM: it may be asked again.
    let refused = answers.values().filter(|answer| answer.end == End::Reset(7)).count();
    assert_eq!((whole, refused), (200, 50), "{:?}", answers.values().map(|a| a.end).collect::<Vec<_>>());
    assert_eq!(support::ledger(&mock, 200).len(), 200);
    gateway.exactly(200);
}

/// Frames that a client sends on and on; true while the connection takes more.
type Flood = fn(&mut Http2, usize) -> bool;

fn rapid_reset(client: &mut Http2, _round: usize) -> bool {
    let body = chat("hello").to_string();
    let mut bytes = Vec::new();
    for _ in 0..10 {
        let stream = client.next_stream();
        bytes.extend(frame(HEADERS, END_HEADERS, stream, &post_block("/chat", &[])));
        bytes.extend(frame(DATA, END_STREAM, stream, body.as_bytes()));
        bytes.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    }
    client.write(&bytes)
}

fn reset_before_the_body(client: &mut Http2, _round: usize) -> bool {
    let mut bytes = Vec::new();
    for _ in 0..10 {
        let stream = client.next_stream();
        bytes.extend(frame(HEADERS, END_HEADERS, stream, &post_block("/chat", &[])));
        bytes.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    }
    client.write(&bytes)
}

/// A head that goes on: the first round begins it.
fn continuation(client: &mut Http2, round: usize) -> bool {
    if round == 0 {
        return client.write(&frame(HEADERS, 0, 1, &post_block("/chat", &[])));
    }
    let more = block(&[(format!("x-{round}").as_str(), "a".repeat(10_000).as_str())]);
    client.write(&frame(CONTINUATION, 0, 1, &more))
}

fn empty_continuation(client: &mut Http2, round: usize) -> bool {
    if round == 0 {
        return client.write(&frame(HEADERS, 0, 1, &post_block("/chat", &[])));
    }
    client.write(&frame(CONTINUATION, 0, 1, &[]).repeat(100))
}

fn settings(client: &mut Http2, _round: usize) -> bool {
    client.write(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(100))
}

fn pings(client: &mut Http2, _round: usize) -> bool {
    client.write(&frame(PING, 0, 0, b"a6 tests").repeat(100))
}

fn empty_data(client: &mut Http2, round: usize) -> bool {
    if round == 0 {
        return client.write(&frame(HEADERS, END_HEADERS, 1, &post_block("/chat", &[])));
    }
    client.write(&frame(DATA, 0, 1, &[]).repeat(100))
}

fn unknown_frames(client: &mut Http2, _round: usize) -> bool {
    client.write(&frame(0x77, 0, 0, &[b'x'; 100]).repeat(100))
}

#[test]
fn a_flood_costs_little_and_harms_nobody_else() {
    // Whether the connection must end, and not only may.
    let floods: [(&str, Flood, bool); 8] = [
        // A reset that comes after its stream was taken up is an ordinary hang-up: it depends on who is faster.
        ("rapid reset", rapid_reset, false),
        ("reset before the body", reset_before_the_body, false),
        ("CONTINUATION", continuation, true),
        ("empty CONTINUATION", empty_continuation, true),
        ("SETTINGS", settings, false),
        ("PING", pings, false),
        ("empty DATA", empty_data, false),
        ("unknown frames", unknown_frames, false),
    ];
    let (_mock, gateway) = with_mock();
    let mut other = Http2::open(gateway.data);
    let serves = |other: &mut Http2, name: &str| {
        let stream = other.post("/chat", &[], &chat("hello"));
        let answer = other.answer(stream);
        assert_eq!((answer.status, answer.end), (200, End::Stream), "{name}: {}", answer.text());
        let answer = support::post(gateway.data, "/chat", &[], &chat("hello"));
        assert_eq!((answer.status, answer.clean_end), (200, true), "{name}: {}", answer.text());
    };
    serves(&mut other, "before");
    for (name, flood, ends) in floods {
        let before = gateway.memory("VmRSS");
        let mut client = Http2::open(gateway.data);
        let mut round = 0;
        // At most 10,000 frames of the expensive kinds, 100,000 of the others.
        while round < 1_000 && flood(&mut client, round) {
            round += 1;
            if round.is_multiple_of(250) {
                serves(&mut other, name);
            }
        }
        serves(&mut other, name);
        assert!(!ends || round < 1_000, "{name}: all of it was taken");
        let grown = gateway.memory("VmRSS").saturating_sub(before);
        assert!(grown <= ALLOWED, "{name}: memory grew by {} MiB in {round} rounds", grown >> 20);
    }
}

#[test]
fn an_ended_connection_says_why() {
    let (_mock, gateway) = with_mock();
    let mut client = Http2::open(gateway.data);
    let mut bytes = Vec::new();
    for _ in 0..1_000 {
        let stream = client.next_stream();
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &post_block("/nothing", &[])));
        bytes.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    }
    // All in one write, so that the frame that tells of the end is not lost to a reset.
    client.write(&bytes);
    client.until_closed();
    let told: Vec<u32> = client.farewells.iter().map(|farewell| farewell.error_code()).collect();
    // ENHANCE_YOUR_CALM, where it came through at all.
    assert!(told.is_empty() || told.contains(&11), "{told:?}");
}

#[test]
fn sigterm_says_goodbye_and_lets_streams_end_whole() {
    let gate = support::Gate::default();
    let upstream = Scripted::start(vec![
        Step::Send([SSE_HEAD.as_bytes(), &chunk(BEGIN)].concat()),
        Step::Await(gate.clone(), 1),
        Step::Send([chunk(REST), chunk("")].concat()),
    ]);
    let mut gateway = before(&upstream, "");
    let mut client = Http2::open(gateway.data);
    let mut idle = Http2::open(gateway.data);
    let asked = idle.post("/nothing", &[], &json!({}));
    assert_eq!(idle.answer(asked).status, 404);
    let streams: Vec<u32> = (0..20).map(|_| client.post("/chat", &[], &chat_stream("hello"))).collect();
    // All have begun: as many requests are at the provider.
    eventually("all streams at the provider", || (upstream.received().len() == 20).then_some(()));

    gateway.terminate();
    idle.until_closed();
    let farewell = idle.farewells.last().expect("GOAWAY to an idle connection");
    assert_eq!((farewell.kind, farewell.error_code()), (GOAWAY, 0));
    gate.open_to(1);
    for (stream, answer) in client.answers(&streams) {
        assert_eq!((answer.status, answer.end), (200, End::Stream), "{stream}: {}", answer.text());
        assert_eq!(answer.text(), format!("{BEGIN}{REST}"), "{stream}");
    }
    client.until_closed();
    let farewell = client.farewells.last().expect("GOAWAY");
    assert_eq!(farewell.error_code(), 0, "{farewell:?}");
    assert!(farewell.last_stream() >= streams[19], "{farewell:?}");
    let status = gateway.wait();
    assert!(status.success(), "{status}\n{}", gateway.output());
}

#[test]
fn a_stream_that_outlives_the_drain_does_not_end_properly() {
    let begin = [SSE_HEAD.as_bytes(), &chunk(BEGIN)].concat();
    let upstream = Scripted::start(vec![Step::Send(begin), Step::AwaitHangUp]);
    let mut gateway = Setup::new().flag("--drain-timeout", "1").start();
    gateway.put("routes/r", &ai_route("/chat", &upstream.url(), json!({})));
    let mut client = Http2::open(gateway.data);
    let stream = client.post("/chat", &[], &chat_stream("hello"));
    assert_eq!(client.first_data(stream), BEGIN.as_bytes());
    gateway.terminate();
    let answer = client.answer(stream);
    assert_ne!(answer.end, End::Stream, "{}", answer.text());
    eventually("the provider to see the hang-up", || (upstream.hang_ups() == 1).then_some(()));
    assert!(gateway.wait().success(), "{}", gateway.output());
}
