//! Promise: whatever protocol a client speaks, a provider that speaks it too gets the request as it came, the client gets
//! the answer as it came, and what it cost is known.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use a6_mock::Mock;
use serde_json::{Value, json};
use support::{
    Answer, Call, Connection, Gate, Scripted, Setup, Step, ai_route, chat, chat_stream, chunk, request,
};

/// Provider, path, body, the protocol's name.
type Case = (&'static str, &'static str, Value, &'static str);

fn cases() -> Vec<Case> {
    let messages = json!([{"role": "user", "content": "h\u{e9} there"}]);
    let message = json!({"model": "claude", "max_tokens": 9, "messages": messages});
    let response = json!({"model": "gpt", "input": "h\u{e9} there", "metadata": {"usage": "no"}});
    let streamed = |body: &Value| {
        let mut body = body.clone();
        body["stream"] = json!(true);
        body
    };
    vec![
        ("openai", "/v1/chat/completions", chat("hi there"), "openai-chat"),
        ("openai", "/v1/chat/completions", chat_stream("hi there"), "openai-chat"),
        ("openai", "/v1/responses", response.clone(), "openai-responses"),
        ("openai", "/v1/responses", streamed(&response), "openai-responses"),
        ("openai-compatible", "/v1/responses", streamed(&response), "openai-responses"),
        ("openai", "/v1/embeddings", json!({"model": "e", "input": ["a b", "c"]}), "openai-embeddings"),
        ("anthropic", "/v1/messages", message.clone(), "anthropic-messages"),
        ("anthropic", "/v1/messages", streamed(&message), "anthropic-messages"),
    ]
}

/// What the mock says to a request that comes straight to it.
fn straight(mock: &Mock, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    Connection::open(mock.addr).answer(&request(method, target, headers, body))
}

#[test]
fn every_protocol_passes_byte_for_byte_and_tells_what_it_cost() {
    let mock = support::mock();
    let gateway = Setup::new().start();
    for (number, (provider, path, body, protocol)) in cases().into_iter().enumerate() {
        let name = format!("{provider} {path} {body}");
        mock.clear();
        gateway.put("routes/r", &ai_route("/*", &mock.url(), json!({"provider": provider})));
        let answer = support::post(gateway.data, path, &[], &body);
        let exchange = support::ledger(&mock, 1).remove(0);
        assert_eq!((answer.status, answer.clean_end), (200, true), "{name}: {}", answer.text());
        assert_eq!((exchange.target.as_str(), &exchange.body), (path, &body.to_string()), "{name}");
        let expected = straight(&mock, "POST", path, &[], body.to_string().as_bytes());
        assert_eq!(answer.text(), expected.text(), "{name}");
        assert_eq!(answer.header("content-type"), expected.header("content-type"), "{name}");

        let record = gateway.exactly(number + 1).pop().unwrap();
        assert_eq!(
            (&record["protocol"], &record["outcome"]),
            (&json!(protocol), &json!("complete")),
            "{record}"
        );
        assert_eq!(record["stream"], body["stream"] == true, "{name}: {record}");
        assert_eq!(
            (&record["prompt_tokens"], &record["completion_tokens"], &record["total_tokens"]),
            (
                &json!(exchange.prompt_tokens),
                &json!(exchange.completion_tokens),
                &json!(exchange.prompt_tokens + exchange.completion_tokens)
            ),
            "{name}: {record}"
        );
        assert_eq!(
            (&record["request_model"], &record["model"]),
            (&body["model"], &body["model"]),
            "{record}"
        );
        assert!(record["ttft_ms"].is_u64(), "{name}: {record}");
    }
}

#[test]
fn a_cost_that_nobody_told_is_unknown() {
    let mock = support::mock();
    let gateway = Setup::new().start();
    let silent = cases().into_iter().filter(|(_, _, _, protocol)| *protocol != "openai-embeddings");
    for (number, (provider, path, body, _)) in silent.enumerate() {
        gateway.put("routes/r", &ai_route("/*", &mock.url(), json!({"provider": provider})));
        let answer = support::post(gateway.data, path, &[("x-mock-no-usage", "1")], &body);
        assert_eq!((answer.status, answer.clean_end), (200, true), "{path}: {}", answer.text());
        let record = gateway.exactly(number + 1).pop().unwrap();
        assert_eq!(
            (&record["prompt_tokens"], &record["completion_tokens"]),
            (&Value::Null, &Value::Null),
            "{record}"
        );
    }
}

#[test]
fn options_and_limits_go_where_each_protocol_has_them() {
    let mock = support::mock();
    let gateway = Setup::new().start();
    let limited = json!({"options": {"model": "forced"}, "override": {
        "endpoint": mock.url(),
        "llm_options": {"max_tokens": 7},
        "request_body": {"openai-responses": {"store": false}, "anthropic-messages": {"top_k": 3}},
    }});
    let expected = [
        ("/v1/chat/completions", "openai", "max_completion_tokens", Value::Null, Value::Null),
        ("/v1/responses", "openai", "max_output_tokens", json!(false), Value::Null),
        ("/v1/messages", "anthropic", "max_tokens", Value::Null, json!(3)),
    ];
    for (path, provider, member, store, top_k) in expected {
        let (_, _, body, _) = cases().into_iter().find(|case| case.1 == path && case.0 == provider).unwrap();
        let mut extra = limited.clone();
        extra["provider"] = json!(provider);
        gateway.put("routes/r", &ai_route("/*", &mock.url(), extra));
        mock.clear();
        support::post(gateway.data, path, &[], &body);
        let sent = support::ledger(&mock, 1).remove(0).json().unwrap();
        assert_eq!((&sent["model"], &sent[member]), (&json!("forced"), &json!(7)), "{path}: {sent}");
        assert_eq!((&sent["store"], &sent["top_k"]), (&store, &top_k), "{path}: {sent}");
    }
}

#[test]
fn the_rest_passes_with_its_method_path_and_query() {
    let mock = support::mock();
    let gateway = Setup::new().start();
    let auth = json!({"header": {"Authorization": "Bearer sk"}, "query": {"k": "auth"}});
    gateway.put("routes/r", &ai_route("/*", &mock.url(), json!({"auth": auth, "provider": "gemini"})));
    let form = [("content-type", "multipart/form-data; boundary=x")];
    let sound = b"--x\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\n\xff\x00\xfe\r\n--x--\r\n";
    let json = b"{\"query\": 1.0, \"documents\":[]}".as_slice();
    let cases: [(&str, &str, &[(&str, &str)], &[u8]); 7] = [
        ("POST", "/v1/rerank?top=1&k=client", &[], json),
        ("PUT", "/v1/anything", &[], b"[1, 2]"),
        ("POST", "/v1/audio/speech", &[], b"{\"voice\":\"a\", \"input\":\"b\"}"),
        ("POST", "/v1/audio/transcriptions", &form, sound),
        ("POST", "/v1/images/edits", &form, sound),
        ("GET", "/v1/files/f/content", &[], b""),
        ("GET", "/v1/models", &[], b""),
    ];
    for (number, (method, target, headers, body)) in cases.into_iter().enumerate() {
        mock.clear();
        let answer = Connection::open(gateway.data).answer(&request(method, target, headers, body));
        let exchange = support::ledger(&mock, 1).remove(0);
        assert_eq!((answer.status, answer.clean_end), (200, true), "{target}: {}", answer.text());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let sent = if query.is_empty() { format!("{path}?k=auth") } else { format!("{path}?k=auth&top=1") };
        assert_eq!((exchange.method.as_str(), exchange.target.as_str()), (method, sent.as_str()), "{target}");
        assert_eq!(exchange.body_len, body.len(), "{target}");
        let kind = match body {
            b"" => None,
            _ => Some(headers.first().map_or("application/json", |(_, kind)| *kind)),
        };
        assert_eq!(exchange.header("content-type"), kind, "{target}");
        if !answer.text().contains("\"target\"") {
            let expected = straight(&mock, method, &exchange_target(path), headers, body);
            assert_eq!(answer.body, expected.body, "{target}");
            assert_eq!(answer.header("content-type"), expected.header("content-type"), "{target}");
        }
        let record = gateway.exactly(number + 1).pop().unwrap();
        assert_eq!(
            (&record["protocol"], &record["outcome"]),
            (&json!("passthrough"), &json!("complete")),
            "{record}"
        );
        assert_eq!(record["prompt_tokens"], Value::Null, "{record}");
    }
}

/// What the gateway asks for at this path.
fn exchange_target(path: &str) -> String {
    format!("{path}?k=auth")
}

#[test]
fn who_cannot_be_served_is_told_in_his_own_words() {
    let gateway = Setup::new().start();
    let closed = format!("http://{}", support::closed_port());
    let refused = |provider: &str, path: &str, body: &Value| {
        gateway.put("routes/r", &ai_route("/*", &closed, json!({"provider": provider})));
        support::post(gateway.data, path, &[], body)
    };
    let (_, path, body, _) = cases().pop().unwrap();
    let anthropic = refused("anthropic", path, &body);
    assert_eq!((anthropic.status, &anthropic.json()["type"]), (502, &json!("error")), "{}", anthropic.text());
    assert_eq!(anthropic.json()["error"]["type"], "upstream_connect_error", "{}", anthropic.text());
    let openai = refused("openai", "/v1/responses", &json!({"input": "x"}));
    assert_eq!(openai.json()["error"]["type"], "upstream_connect_error", "{}", openai.text());
    let unknown = refused("deepseek", "/v1/responses", &json!({"input": "x"}));
    assert_eq!(unknown.status, 400);
    let text = "provider deepseek does not support openai-responses protocol (supported: openai-chat)";
    assert_eq!(
        (unknown.text().as_str(), unknown.header("content-type")),
        (text, Some("text/plain; charset=utf-8"))
    );
}

/// gzip of a chat stream and of a plain answer, both of which tell 5 and 2 tokens.
const GZIP_STREAM: &str = "1f8b08000000000002ff658cb10a02311005fb7c85bc3a850822a4d6563fe008b25c162f98cb066f05e1c8bf5fae\
    49633bc34c20257758314e12475ee086153107fec11d2d022725b8a6252b6785c31451abafc684bfd25b7c177af11e948fcc459f2a6fcecd9d6\
    d5bcc25b146c99d9e2c5494520797dac7c3f571bf7963361e2ffbe1a1000000";
const GZIP_PLAIN: &str = "1f8b08000000000002ffab564acec8cf4c4e2d56b28a8ed5512a2d4e4c4f55b2aa562a28cacf2d28892fc9cf4ecd03\
    ca99ea2825030572524b32f3f3e0a2463a4a25f92589397001f3da5a0088324d0051000000";
const CHAT_STREAM: &str = concat!(
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2,\"total_tokens\":7}}\n\n",
    "data: [DONE]\n\n"
);

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

#[test]
fn what_an_answer_cost_is_known_though_it_is_compressed() {
    let upstream = Scripted::start(Vec::new());
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &upstream.url(), json!({})));
    let head = |kind: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
    };
    let script = |kind: &str, body: &[u8], whole: bool| {
        let pieces = body.chunks(20).map(chunk).chain(whole.then(|| chunk(""))).map(Step::Send);
        let mut steps = vec![Step::Send(head(kind).into_bytes())];
        steps.extend(pieces);
        steps.extend((!whole).then_some(Step::Fin));
        steps
    };
    let (stream, plain) = (from_hex(GZIP_STREAM), from_hex(GZIP_PLAIN));

    upstream.set(script("application/json", &plain, true));
    let answer = support::post(gateway.data, "/chat", &[], &chat("hi"));
    assert_eq!((&answer.body, answer.header("content-encoding")), (&plain, Some("gzip")));

    upstream.set(script("text/event-stream", &stream, true));
    let answer = support::post(gateway.data, "/chat", &[], &chat_stream("hi"));
    assert_eq!((answer.text().as_str(), answer.header("content-encoding")), (CHAT_STREAM, None));
    assert!(answer.clean_end);
    for record in gateway.exactly(2) {
        assert_eq!(
            (&record["prompt_tokens"], &record["completion_tokens"]),
            (&json!(5), &json!(2)),
            "{record}"
        );
        assert_eq!(record["outcome"], "complete", "{record}");
    }

    let mut broken = stream.clone();
    broken[12..40].fill(0xff);
    for (name, body, whole) in [("cut", &stream[..stream.len() / 2], false), ("broken", &broken[..], true)] {
        upstream.set(script("text/event-stream", body, whole));
        let answer = support::post(gateway.data, "/chat", &[], &chat_stream("hi"));
        assert!(!answer.clean_end && !answer.text().contains("[DONE]"), "{name}: {}", answer.text());
        let error = support::sse::json(&answer.body).pop().expect("an error event");
        assert_eq!(error["error"]["type"], "upstream_truncated", "{name}: {}", answer.text());
    }
}

#[test]
fn a_client_of_a_silent_stream_gets_a_sign_of_life() {
    let (first, rest) = CHAT_STREAM.split_at(CHAT_STREAM.find("\n\n").unwrap() + 2);
    let gate = Gate::default();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (half, other) = rest.split_at(20);
    let upstream = Scripted::start(vec![
        Step::Send(head.as_bytes().to_vec()),
        Step::Await(gate.clone(), 1),
        Step::Send(chunk(first)),
        // Within an event: what has come of it waits for its end.
        Step::Send(chunk(half)),
        Step::Await(gate.clone(), 2),
        Step::Send(chunk(other)),
        Step::Send(chunk("")),
    ]);
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &upstream.url(), json!({"streaming_keepalive_ms": 20})));
    let body = chat_stream("hi").to_string();
    let mut call = Call::send(gateway.data, &request("POST", "/chat", &[], body.as_bytes()));
    call.read_until(": keep-alive\n\n: keep-alive\n\n");
    gate.open_to(1);
    call.read_until(&format!("{first}: keep-alive\n\n"));
    gate.open_to(2);
    let answer = call.finish();
    assert!(answer.clean_end, "{}", answer.text());
    assert_eq!(answer.text().replace(": keep-alive\n\n", ""), CHAT_STREAM);
    let record = gateway.exactly(1).pop().unwrap();
    assert_eq!(
        (&record["outcome"], &record["completion_tokens"]),
        (&json!("complete"), &json!(2)),
        "{record}"
    );
}
