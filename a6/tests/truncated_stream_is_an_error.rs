//! Promise: a stream that ends before its end is an error to the client, never a clean end.
//!
//! openai-chat is whole on `[DONE]`, or when every choice has a finish reason and the HTTP framing ended properly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Answer, Gateway, Scripted, Setup, Step, ai_route, chat, chat_stream, chunk, sse};

const HI: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"caf\u{e9} \u{1f600}\"}}]}\n\n";
const HI_TWO: &str = "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"two\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2,\"total_tokens\":7}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// How the upstream ends its HTTP message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    LastChunk,
    LengthMet,
    LengthShort,
    LengthShortReset,
    ChunkedFin,
    ChunkedReset,
    ReadToClose,
}

const ENDINGS: [Ending; 7] = [
    Ending::LastChunk,
    Ending::LengthMet,
    Ending::LengthShort,
    Ending::LengthShortReset,
    Ending::ChunkedFin,
    Ending::ChunkedReset,
    Ending::ReadToClose,
];

/// What an upstream does to send these pieces, each in a write of its own, and to end like this.
fn script(content_type: &str, pieces: &[&[u8]], ending: Ending) -> Vec<Step> {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let framing = match ending {
        Ending::LastChunk | Ending::ChunkedFin | Ending::ChunkedReset => {
            "Transfer-Encoding: chunked\r\n".to_string()
        }
        Ending::LengthMet => format!("Content-Length: {length}\r\n"),
        Ending::LengthShort | Ending::LengthShortReset => format!("Content-Length: {}\r\n", length + 50),
        Ending::ReadToClose => String::new(),
    };
    let chunked = framing.starts_with("Transfer");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n{framing}\r\n");
    let mut steps = vec![Step::Send(head.into_bytes())];
    for piece in pieces {
        // So that the pieces arrive one by one, and what was sent before a reset has been read.
        steps.push(Step::Pause(Duration::from_millis(4)));
        steps.push(Step::Send(if chunked { chunk(piece) } else { piece.to_vec() }));
    }
    steps.push(Step::Pause(Duration::from_millis(20)));
    match ending {
        Ending::LastChunk => steps.push(Step::Send(chunk(""))),
        Ending::LengthMet => {}
        Ending::LengthShort | Ending::ChunkedFin | Ending::ReadToClose => steps.push(Step::Fin),
        Ending::LengthShortReset | Ending::ChunkedReset => steps.push(Step::Reset),
    }
    steps
}

/// A gateway with one route to an upstream, and how many requests it has had.
struct Stage {
    upstream: Scripted,
    gateway: Gateway,
    requests: usize,
}

impl Stage {
    fn new() -> Self {
        let stage =
            Self { upstream: Scripted::start(Vec::new()), gateway: Setup::new().start(), requests: 0 };
        stage.gateway.put("routes/r", &ai_route("/chat", &stage.upstream.url(), json!({})));
        stage
    }

    /// One request against this script: the answer and its record.
    fn ask(&mut self, script: Vec<Step>, body: &Value) -> (Answer, Value) {
        self.upstream.set(script);
        let answer = support::post(self.gateway.data, "/chat", &[], body);
        self.requests += 1;
        (answer, self.gateway.exactly(self.requests).pop().unwrap())
    }
}

/// The client got these events and nothing else, and then a clean end.
fn is_whole(name: &str, answer: &Answer, record: &Value, events: &str) {
    assert_eq!((answer.status, answer.clean_end), (200, true), "{name}: {}", answer.text());
    assert_eq!(answer.text(), events, "{name}");
    assert_eq!(record["outcome"], "complete", "{name}: {record}");
    let error = if events.contains(DONE) { Value::Null } else { json!("upstream_no_done") };
    assert_eq!(record["error"], error, "{name}: {record}");
}

/// The client got the events that came whole, then one that tells of the error, then a cut.
fn is_truncated(name: &str, answer: &Answer, record: &Value, events: &str) {
    assert_eq!((answer.status, answer.clean_end), (200, false), "{name}: {}", answer.text());
    let mut told = sse::data(&answer.body);
    let error: Value = serde_json::from_str(&told.pop().expect("an event")).expect("the last event is JSON");
    assert_eq!(error["error"]["type"], "upstream_truncated", "{name}: {}", answer.text());
    assert!(error["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{name}: {error}");
    assert_eq!(told, sse::data(events.as_bytes()), "{name}: {}", answer.text());
    assert!(!answer.text().contains("[DONE]"), "{name}: {}", answer.text());
    assert_eq!(record["outcome"], "upstream_truncated", "{name}: {record}");
    assert_eq!(record["error"], "upstream_truncated", "{name}: {record}");
    assert_eq!(record["status"], 200, "{name}: {record}");
}

#[test]
fn only_done_or_a_finish_and_a_proper_end_make_a_stream_whole() {
    let mut stage = Stage::new();
    let terminals: [(&str, &[&str]); 3] = [
        ("[DONE]", &[HI, HI, STOP, USAGE, DONE]),
        ("finish only", &[HI, HI, STOP, USAGE]),
        ("neither", &[HI, HI]),
    ];
    for (terminal, events) in terminals {
        for ending in ENDINGS {
            let name = format!("{terminal}, {ending:?}");
            let pieces: Vec<&[u8]> = events.iter().map(|event| event.as_bytes()).collect();
            let (answer, record) =
                stage.ask(script("text/event-stream", &pieces, ending), &chat_stream("hello"));
            let proper = matches!(ending, Ending::LastChunk | Ending::LengthMet);
            match terminal {
                "[DONE]" => is_whole(&name, &answer, &record, &events.concat()),
                "finish only" if proper => is_whole(&name, &answer, &record, &events.concat()),
                _ => is_truncated(&name, &answer, &record, &events.concat()),
            }
            let tokens = if terminal == "neither" { Value::Null } else { json!(2) };
            assert_eq!(record["completion_tokens"], tokens, "{name}: {record}");
        }
    }
}

#[test]
fn every_choice_must_have_finished() {
    let mut stage = Stage::new();
    let stop_two = STOP.replace("\"index\":0", "\"index\":1");
    let null = HI.replace("}}]", "},\"finish_reason\":null}]");
    let cases: [(&str, &[&str], bool); 5] = [
        ("one of two", &[HI, HI_TWO, STOP], false),
        ("both", &[HI, HI_TWO, STOP, &stop_two], true),
        ("the other alone", &[HI, HI_TWO, &stop_two], false),
        ("null is no reason", &[HI, &null], false),
        ("none seen", &[USAGE], false),
    ];
    for (name, events, whole) in cases {
        let pieces: Vec<&[u8]> = events.iter().map(|event| event.as_bytes()).collect();
        let script = script("text/event-stream", &pieces, Ending::LastChunk);
        let (answer, record) = stage.ask(script, &chat_stream("hello"));
        let check = if whole { is_whole } else { is_truncated };
        check(name, &answer, &record, &events.concat());
    }
}

#[test]
fn a_cut_inside_an_event_shows_no_half_event() {
    let mut stage = Stage::new();
    let inside_a_character = HI.find('\u{e9}').unwrap() + 1;
    let cases: [(&str, &[u8]); 7] = [
        ("inside the data prefix", b"dat"),
        ("behind the data prefix", b"data: "),
        ("inside a character", &HI.as_bytes()[..inside_a_character]),
        ("inside JSON", b"data: {\"choices\":[{\"index\":0,\"del"),
        ("behind the line", HI.trim_end().as_bytes()),
        ("between the two line feeds", &HI.as_bytes()[..HI.len() - 1]),
        ("inside [DONE]", b"data: [DO"),
    ];
    for (name, tail) in cases {
        for ending in ENDINGS {
            let name = format!("{name}, {ending:?}");
            let script = script("text/event-stream", &[HI.as_bytes(), tail], ending);
            let (answer, record) = stage.ask(script, &chat_stream("hello"));
            is_truncated(&name, &answer, &record, HI);
        }
    }
}

#[test]
fn a_cut_inside_the_chunk_framing_is_a_cut() {
    let mut stage = Stage::new();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let whole = [chunk(HI), chunk(STOP)].concat();
    let cases: [(&str, &[u8]); 5] = [
        ("inside a chunk-size line", b"1"),
        ("inside its line end", b"1f\r"),
        ("behind the chunk-size line", b"1f\r\n"),
        ("behind a chunk's data", b"5\r\ndata:"),
        ("inside the last chunk", b"0\r\n"),
    ];
    for (name, tail) in cases {
        for close in [Step::Fin, Step::Reset] {
            let pause = Step::Pause(Duration::from_millis(20));
            let script = vec![Step::Send([head.as_bytes(), &whole, tail].concat()), pause, close];
            let (answer, record) = stage.ask(script, &chat_stream("hello"));
            is_truncated(name, &answer, &record, &format!("{HI}{STOP}"));
        }
    }
}

#[test]
fn nonsense_in_the_chunk_framing_is_an_error() {
    let mut stage = Stage::new();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let whole = [chunk(HI), chunk(STOP)].concat();
    for nonsense in ["xyz\r\n", "-5\r\ndata:\r\n", "fffffffffffffffff1\r\n", "5\r\ndata:XX5\r\n"] {
        let script =
            vec![Step::Send([head.as_bytes(), &whole, nonsense.as_bytes()].concat()), Step::AwaitHangUp];
        let (answer, record) = stage.ask(script, &chat_stream("hello"));
        assert_eq!((answer.status, answer.clean_end), (200, false), "{nonsense:?}: {}", answer.text());
        let error = sse::json(&answer.body).pop().expect("an event");
        assert!(error["error"]["message"].is_string(), "{nonsense:?}: {}", answer.text());
        assert!(answer.text().starts_with(&format!("{HI}{STOP}")), "{nonsense:?}: {}", answer.text());
        assert_ne!(record["outcome"], "complete", "{nonsense:?}: {record}");
    }
}

#[test]
fn usage_that_the_client_did_not_ask_for_stays_hidden_in_a_truncated_stream() {
    let mut stage = Stage::new();
    let pieces = [HI, USAGE].map(str::as_bytes);
    let mut body = chat_stream("hello");
    body.as_object_mut().unwrap().remove("stream_options");
    let (answer, record) = stage.ask(script("text/event-stream", &pieces, Ending::ChunkedFin), &body);
    is_truncated("usage before a cut", &answer, &record, HI);
    assert_eq!((&record["prompt_tokens"], &record["completion_tokens"]), (&json!(5), &json!(2)), "{record}");
}

#[test]
fn a_plain_answer_that_is_cut_is_cut_for_the_client_too() {
    let mut stage = Stage::new();
    let body = "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}";
    for ending in [Ending::LengthShort, Ending::LengthShortReset, Ending::ChunkedFin, Ending::ChunkedReset] {
        let script = script("application/json", &[&body.as_bytes()[..20], &body.as_bytes()[20..]], ending);
        let (answer, record) = stage.ask(script, &chat("hello"));
        assert!(!answer.clean_end, "{ending:?}: {}", answer.text());
        assert_eq!(record["outcome"], "upstream_truncated", "{ending:?}: {record}");
        assert_eq!(record["error"], "upstream_truncated", "{ending:?}: {record}");
    }
}
