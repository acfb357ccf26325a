//! Promise: a stream of any protocol that ends before its terminal event is an error to the client, in the form that its
//! protocol has for errors, and never a clean end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Answer, Gateway, Scripted, Setup, Step, ai_route, chunk};

/// A protocol, and a stream of it: what comes first, and what ends it.
struct Stream {
    provider: &'static str,
    path: &'static str,
    body: Value,
    events: &'static [&'static str],
    terminal: &'static str,
    /// How an error event begins.
    error: &'static str,
    completion_tokens: Option<u64>,
}

fn streams() -> [Stream; 2] {
    [
        Stream {
            provider: "anthropic",
            path: "/v1/messages",
            body: json!({"model": "m", "max_tokens": 1, "messages": [], "stream": true}),
            events: &[
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\
                 \"output_tokens\":1}}}\n\n",
                "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":\
                 {\"type\":\"text_delta\",\"text\":\"caf\u{e9}\"}}\n\n",
                "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\
                 \"usage\":{\"output_tokens\":4}}\n\n",
            ],
            terminal: "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            error: "event: error\ndata: {\"type\":\"error\",\"error\":{",
            completion_tokens: Some(4),
        },
        Stream {
            provider: "openai",
            path: "/v1/responses",
            body: json!({"model": "m", "input": "x", "stream": true}),
            events: &[
                "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0}\n\n",
                "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\
                 \"sequence_number\":1,\"delta\":\"caf\u{e9}\"}\n\n",
            ],
            terminal: "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":2,\
                       \"response\":{\"usage\":{\"input_tokens\":5,\"output_tokens\":4}}}\n\n",
            error: "event: error\ndata: {\"type\":\"error\",\"code\":\"upstream_truncated\",",
            completion_tokens: None,
        },
    ]
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

struct Stage {
    upstream: Scripted,
    gateway: Gateway,
    requests: usize,
}

impl Stage {
    fn for_provider(provider: &str) -> Self {
        let upstream = Scripted::start(Vec::new());
        let gateway = Setup::new().start();
        gateway.put("routes/r", &ai_route("/*", &upstream.url(), json!({"provider": provider})));
        Self { upstream, gateway, requests: 0 }
    }

    /// One request against an upstream that sends these events, each in a write of its own, and ends like this.
    fn ask(&mut self, stream: &Stream, events: &[&[u8]], ending: Step) -> (Answer, Value) {
        let mut steps = vec![Step::Send(HEAD.as_bytes().to_vec())];
        for event in events {
            steps.push(Step::Pause(Duration::from_millis(2)));
            steps.push(Step::Send(chunk(event)));
        }
        // So that what was sent before a reset has been read.
        steps.extend([Step::Pause(Duration::from_millis(20)), ending]);
        self.upstream.set(steps);
        let answer = support::post(self.gateway.data, stream.path, &[], &stream.body);
        self.requests += 1;
        (answer, self.gateway.exactly(self.requests).pop().unwrap())
    }
}

fn endings() -> [(&'static str, Step); 3] {
    [("a proper end", Step::Send(chunk(""))), ("a close", Step::Fin), ("a reset", Step::Reset)]
}

#[test]
fn only_the_terminal_event_makes_a_stream_whole() {
    for stream in streams() {
        let mut stage = Stage::for_provider(stream.provider);
        let events: Vec<&[u8]> = stream.events.iter().map(|event| event.as_bytes()).collect();
        let begun = stream.events.concat();
        for (ending, step) in endings() {
            let name = format!("{} with {ending}", stream.path);
            let all: Vec<&[u8]> = events.iter().copied().chain([stream.terminal.as_bytes()]).collect();
            let (answer, record) = stage.ask(&stream, &all, step.clone());
            assert_eq!((answer.status, answer.clean_end), (200, true), "{name}: {}", answer.text());
            assert_eq!(answer.text(), format!("{begun}{}", stream.terminal), "{name}");
            assert_eq!(
                (&record["outcome"], &record["error"]),
                (&json!("complete"), &Value::Null),
                "{record}"
            );
            assert_eq!(
                (&record["prompt_tokens"], &record["completion_tokens"]),
                (&json!(5), &json!(4)),
                "{record}"
            );

            let (answer, record) = stage.ask(&stream, &events, step);
            let text = answer.text();
            let error = text.strip_prefix(&begun).unwrap_or_else(|| panic!("{name}: {text}"));
            assert!(!answer.clean_end && error.starts_with(stream.error), "{name}: {text}");
            assert!(error.ends_with("\n\n") && error.contains("upstream_truncated"), "{name}: {text}");
            let outcome = json!("upstream_truncated");
            assert_eq!((&record["outcome"], &record["error"]), (&outcome, &outcome), "{name}: {record}");
            assert_eq!(record["completion_tokens"], json!(stream.completion_tokens), "{name}: {record}");
        }
    }
}

#[test]
fn a_terminal_event_that_is_cut_ends_nothing() {
    for stream in streams() {
        let mut stage = Stage::for_provider(stream.provider);
        let begun = stream.events[0];
        let data = stream.terminal.find("data: ").unwrap();
        let cuts = [3, data - 1, data, data + 8, stream.terminal.len() - 3];
        for (cut, (ending, step)) in cuts.into_iter().flat_map(|cut| endings().map(|ending| (cut, ending))) {
            let tail = &stream.terminal.as_bytes()[..cut];
            let (answer, record) = stage.ask(&stream, &[begun.as_bytes(), tail], step);
            let name = format!("{} cut at {cut} with {ending}: {}", stream.path, answer.text());
            assert!(!answer.clean_end, "{name}");
            assert!(answer.text().starts_with(&format!("{begun}{}", stream.error)), "{name}");
            assert_eq!(record["outcome"], "upstream_truncated", "{name}: {record}");
        }
    }
}

#[test]
fn an_error_of_the_provider_passes_as_it_is() {
    let errors = [
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n",
        "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"x\"}}}\n\n",
    ];
    for (stream, error) in streams().into_iter().zip(errors) {
        let mut stage = Stage::for_provider(stream.provider);
        let events = [stream.events[0].as_bytes(), error.as_bytes()];
        let (answer, record) = stage.ask(&stream, &events, Step::Send(chunk("")));
        assert!(answer.clean_end, "{}: {}", stream.path, answer.text());
        assert_eq!(answer.text(), format!("{}{error}", stream.events[0]), "{}", stream.path);
        assert_eq!(record["outcome"], "upstream_error", "{}: {record}", stream.path);
    }
}

#[test]
fn a_stream_that_nobody_knows_ends_where_its_transport_does() {
    let stream = Stream {
        provider: "openai",
        path: "/v1/completions",
        body: json!({"prompt": "x", "stream": true}),
        events: &["data: {\"text\":\"a\"}\n\n", "data: {\"text\":\"b\"}\n\n"],
        terminal: "",
        error: "event: error\ndata: {\"error\":{",
        completion_tokens: None,
    };
    let mut stage = Stage::for_provider(stream.provider);
    let events: Vec<&[u8]> = stream.events.iter().map(|event| event.as_bytes()).collect();
    for (ending, step) in endings() {
        let is_proper = matches!(step, Step::Send(_));
        let (answer, record) = stage.ask(&stream, &events, step);
        assert_eq!(answer.clean_end, is_proper, "{ending}: {}", answer.text());
        let rest = answer.text().strip_prefix(&stream.events.concat()).unwrap().to_string();
        assert!(if is_proper { rest.is_empty() } else { rest.starts_with(stream.error) }, "{ending}: {rest}");
        let outcome = if is_proper { "complete" } else { "upstream_truncated" };
        assert_eq!(
            (&record["outcome"], &record["prompt_tokens"]),
            (&json!(outcome), &Value::Null),
            "{record}"
        );
    }
}

/// A text within gzip, stored as it is.
fn gzip(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let mut crc = !0u32;
    for byte in text {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1));
        }
    }
    let stored = [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), text].concat();
    let trailer = [(!crc).to_le_bytes(), u32::from(length).to_le_bytes()].concat();
    [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255][..], &stored, &trailer].concat()
}

#[test]
fn a_compression_that_breaks_off_is_no_end_however_the_transport_ends() {
    let upstream = Scripted::start(Vec::new());
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/*", &upstream.url(), json!({"provider": "openai"})));
    let text = "data: {\"text\":\"a\"}\n\ndata: {\"text\":\"b\"}\n\n";
    let packed = gzip(text.as_bytes());
    let head = HEAD.replace("Transfer", "Content-Encoding: gzip\r\nTransfer");
    for cut in [packed.len(), packed.len() - 1, packed.len() - 8, packed.len() - 9, 20] {
        let body = chunk(&packed[..cut]);
        upstream.set(vec![Step::Send([head.clone().into_bytes(), body, chunk("")].concat())]);
        let body = json!({"prompt": "x", "stream": true});
        let answer = support::post(gateway.data, "/v1/completions", &[], &body);
        let is_whole = cut == packed.len();
        assert_eq!(answer.clean_end, is_whole, "{cut}: {}", answer.text());
        assert_eq!(answer.text() == text, is_whole, "{cut}: {}", answer.text());
    }
    let outcomes: Vec<_> = gateway.exactly(5).iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes[0], "complete");
    assert!(outcomes[1..].iter().all(|outcome| outcome == "upstream_truncated"), "{outcomes:?}");
}

#[test]
fn what_ends_with_the_connection_is_judged_by_what_it_is() {
    let upstream = Scripted::start(Vec::new());
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/*", &upstream.url(), json!({"provider": "openai"})));
    let large = format!("{{\"image\":\"{}\"}}", "x".repeat(5 << 20));
    let cases: [(&str, &str, bool); 6] = [
        ("text/event-stream", "data: {\"text\":\"a\"}\n\n", true),
        ("text/event-stream", "data: {\"text\":\"a\"}\n\ndata: {\"te", false),
        ("application/x-ndjson", "{\"a\":1}\n{\"a\":2}\n", true),
        ("application/json; charset=utf-8", "{\"a\":1}", true),
        ("application/json", "{\"a\":1", false),
        // Too long to be read: nobody but the transport can tell.
        ("application/json", &large, true),
    ];
    for (kind, body, is_whole) in cases {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n");
        upstream.set(vec![Step::Send([head.as_bytes(), body.as_bytes()].concat()), Step::Fin]);
        let asked = json!({"prompt": "x", "stream": kind.starts_with("text/")});
        let answer = support::post(gateway.data, "/v1/completions", &[], &asked);
        assert_eq!((answer.status, answer.clean_end), (200, is_whole), "{kind} {:.60}", answer.text());
        // Half an event goes to nobody.
        let seen = body.strip_suffix("data: {\"te").unwrap_or(body);
        assert!(answer.text().starts_with(seen), "{kind} {:.60}", answer.text());
    }
}
