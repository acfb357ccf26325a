//! Every knob, as the client sees it.

use std::io::ErrorKind;

use serde_json::{Value, json};

use super::{Answered, CHAT, Client, ask, data, mock, post};
use crate::knobs::{CutWith, Framing, Garbage, Knobs};
use crate::ledger::Outcome;

fn hello(stream: bool) -> Value {
    json!({"messages": [{"role": "user", "content": "Hello"}], "stream": stream,
           "stream_options": {"include_usage": true}})
}

/// All bytes a connection gave for one request with these knobs, and how it ended.
fn raw(knobs: Knobs, stream: bool) -> (Vec<u8>, Option<ErrorKind>, Outcome) {
    let mock = mock(knobs);
    let mut client = Client::of(&mock);
    client.send(post(CHAT, "connection: close\r\n", &hello(stream).to_string()));
    let (bytes, error) = client.rest();
    let exchange = &mock.settled(1)[0];
    assert_eq!(exchange.response_bytes, bytes.len() as u64);
    (bytes, error, exchange.outcome)
}

/// What follows the head.
fn body(bytes: &[u8]) -> &[u8] {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    &bytes[head + 4..]
}

fn streamed(knobs: Knobs) -> Answered {
    ask(&mock(knobs), CHAT, "", &hello(true))
}

fn contents(reply: &Answered) -> Vec<String> {
    let events = data(&reply.body);
    let content = |event: &Value| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned());
    events.iter().filter_map(content).filter(|content| !content.is_empty()).collect()
}

#[test]
fn chunks_have_the_number_and_size_asked_for() {
    let sized = contents(&streamed(Knobs { chunks: Some(7), chunk_bytes: Some(30), ..Knobs::default() }));
    assert_eq!(sized.iter().map(String::len).collect::<Vec<_>>(), [30; 7]);
    assert_eq!(contents(&streamed(Knobs { chunks: Some(64), ..Knobs::default() })).len(), 64);
}

#[test]
fn parts_of_a_stream_can_be_left_out_or_added() {
    let whole = data(&streamed(Knobs::default()).body);
    let without = |knobs: Knobs| {
        let events = data(&streamed(knobs).body);
        let left: Vec<Value> = whole.iter().filter(|event| !events.contains(event)).cloned().collect();
        assert_eq!(events.len() + left.len(), whole.len());
        left
    };
    assert_eq!(without(Knobs { no_done: true, ..Knobs::default() }), [json!("[DONE]")]);
    let usage = without(Knobs { no_usage: true, ..Knobs::default() });
    assert!(usage.len() == 1 && usage[0]["usage"]["total_tokens"].is_u64(), "{usage:?}");
    let finish = without(Knobs { no_finish: true, ..Knobs::default() });
    assert!(finish.len() == 1 && finish[0]["choices"][0]["finish_reason"] == "stop", "{finish:?}");

    let with_null = data(&streamed(Knobs { usage_null: true, ..Knobs::default() }).body);
    let nulls = with_null.iter().filter(|event| event.get("usage") == Some(&Value::Null)).count();
    assert_eq!(nulls, whole.len() - 2, "all but the usage and [DONE]");

    let plain =
        ask(&mock(Knobs { no_usage: true, no_finish: true, ..Knobs::default() }), CHAT, "", &hello(false));
    assert!(plain.json().get("usage").is_none() && plain.json()["choices"][0]["finish_reason"].is_null());
}

#[test]
fn a_status_is_answered_with_an_error() {
    for (status, code, retry) in [
        (401, json!("invalid_api_key"), None),
        (429, json!("rate_limit_exceeded"), Some("1")),
        (500, json!(null), None),
        (503, json!(null), Some("1")),
    ] {
        let reply = ask(&mock(Knobs { status: Some(status), ..Knobs::default() }), CHAT, "", &hello(true));
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (status, &code));
        assert_eq!(reply.header("retry-after"), retry);
    }
    let knobs = Knobs { status: Some(201), retry_after: Some("7".to_owned()), ..Knobs::default() };
    let reply = ask(&mock(knobs), CHAT, "", &hello(false));
    assert_eq!((reply.status, reply.header("retry-after")), (201, Some("7")));
    assert!(reply.json()["choices"].is_array());
}

#[test]
fn a_reply_is_cut_at_the_byte_asked_for() {
    for framing in [Framing::Chunked, Framing::Length, Framing::Close] {
        let whole = raw(Knobs { framing: Some(framing), ..Knobs::default() }, true).0;
        for cut in [0, 1, 2, 50, body(&whole).len() - 1] {
            for (cut_with, error) in [(CutWith::Fin, None), (CutWith::Rst, Some(ErrorKind::ConnectionReset))]
            {
                let knobs = Knobs {
                    framing: Some(framing),
                    cut_after: Some(cut),
                    cut_with: Some(cut_with),
                    ..Knobs::default()
                };
                let (bytes, ended, outcome) = raw(knobs, true);
                assert_eq!(body(&bytes), &body(&whole)[..cut], "{framing:?}");
                assert_eq!((ended, outcome), (error, Outcome::Cut), "{framing:?} {cut_with:?}");
            }
        }
    }
}

#[test]
fn the_framing_can_be_chosen_and_the_content_stays() {
    let chunked = contents(&streamed(Knobs::default()));
    for (framing, header) in [(Framing::Length, "content-length"), (Framing::Close, "connection")] {
        let reply = streamed(Knobs { framing: Some(framing), ..Knobs::default() });
        assert!(
            reply.header(header).is_some() && reply.header("transfer-encoding").is_none(),
            "{}",
            reply.head
        );
        assert_eq!(contents(&reply), chunked);
    }
    let plain =
        ask(&mock(Knobs { framing: Some(Framing::Chunked), ..Knobs::default() }), CHAT, "", &hello(false));
    assert_eq!(plain.header("transfer-encoding"), Some("chunked"));
    assert!(plain.json()["choices"].is_array());
}

#[test]
fn garbage_is_where_it_was_asked_for() {
    for (garbage, stream, expected) in [
        (Garbage::StatusLine, false, "SMTP/7 220 "),
        (Garbage::Head, false, "HTTP/1.1 200 OK\r\nthis line has no colon\r\n"),
        (Garbage::ChunkSize, true, "\r\n\r\nzz\r\ndata: "),
        (Garbage::Sse, true, "this is no event"),
        (Garbage::Sse, false, "content-type: text/event-stream\r\n"),
    ] {
        let (bytes, _, outcome) = raw(Knobs { garbage: Some(garbage), ..Knobs::default() }, stream);
        assert!(String::from_utf8_lossy(&bytes).contains(expected), "{garbage:?}");
        assert_eq!(outcome, Outcome::Garbage, "{garbage:?}");
    }
    let mock = mock(Knobs { garbage: Some(Garbage::Json), ..Knobs::default() });
    let plain = ask(&mock, CHAT, "", &hello(false));
    assert!(serde_json::from_slice::<Value>(&plain.body).is_err());
    let events = data(&ask(&mock, CHAT, "", &hello(true)).body);
    assert!(events[0].is_object() && events[1].is_string() && events[2].is_object(), "{events:?}");
}

#[test]
fn all_events_can_be_one_chunk() {
    let (bytes, ..) = raw(Knobs { one_write: true, ..Knobs::default() }, true);
    let text = String::from_utf8(body(&bytes).to_vec()).unwrap();
    let (size, rest) = text.split_once("\r\n").unwrap();
    assert_eq!(usize::from_str_radix(size, 16).unwrap() + "\r\n0\r\n\r\n".len(), rest.len());
}

#[test]
fn a_plain_reply_is_padded() {
    for bytes in [1_000, 100_000] {
        let mock = mock(Knobs { body_bytes: Some(bytes), ..Knobs::default() });
        let reply = ask(&mock, CHAT, "", &hello(false));
        assert!(reply.body.len().abs_diff(bytes) < 16, "{}", reply.body.len());
        assert_eq!(reply.json()["usage"]["completion_tokens"], mock.settled(1)[0].completion_tokens);
    }
}

#[test]
fn interim_responses_come_before_the_head() {
    let mock = mock(Knobs { early_hints: Some(3), ..Knobs::default() });
    let mut client = Client::of(&mock);
    client.send(post(CHAT, "", &hello(false).to_string()));
    let statuses: Vec<u16> = (0..4).map(|_| client.reply().status).collect();
    assert_eq!(statuses, [103, 103, 103, 200]);
}

#[test]
fn comments_come_while_the_first_token_is_awaited() {
    let knobs = Knobs { first_delay_ms: Some(32), comment_ms: Some(10), ..Knobs::default() };
    let reply = streamed(knobs);
    assert!(reply.body.starts_with(b": ping\n\n: ping\n\n: ping\n\ndata: "));
}

#[test]
fn connections_end_when_told() {
    let (_, error, _) = raw(Knobs { close: true, ..Knobs::default() }, false);
    assert_eq!(error, None);
    let closing = ask(&mock(Knobs { close: true, ..Knobs::default() }), CHAT, "", &hello(false));
    assert_eq!(closing.header("connection"), Some("close"));

    let refusing = mock(Knobs { refuse: true, ..Knobs::default() });
    assert_eq!(Client::of(&refusing).rest(), (Vec::new(), None));
    assert_eq!((refusing.connections(), refusing.ledger().len()), (1, 0));

    let mock = mock(Knobs::default());
    let mut client = Client::of(&mock);
    client.send(post(CHAT, "x-mock-refuse: 1\r\nx-mock-cut-with: rst\r\n", &hello(false).to_string()));
    assert_eq!(client.rest(), (Vec::new(), Some(ErrorKind::ConnectionReset)));
    assert_eq!((mock.settled(1)[0].outcome, mock.settled(1)[0].response_bytes), (Outcome::Cut, 0));
}

#[test]
fn knobs_come_by_header_query_and_call() {
    let mock = mock(Knobs::default());
    let target = format!("{CHAT}?mock-chunks=2&mock-status=201");
    let reply = ask(&mock, &target, "x-mock-chunks: 3\r\n", &hello(true));
    assert_eq!((reply.status, contents(&reply).len()), (201, 3));

    mock.set_knobs(Knobs { status: Some(500), ..Knobs::default() });
    assert_eq!(ask(&mock, CHAT, "", &hello(true)).status, 500);

    let reply = ask(&mock, CHAT, "x-mock-chunk: 3\r\n", &hello(true));
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (400, &json!("bad_knob")));
}
