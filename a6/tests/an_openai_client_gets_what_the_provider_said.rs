//! Promise: what the provider said reaches the client unchanged, and what the client said reaches the provider with only
//! the edits that the route asks for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Connection, Scripted, Setup, Step, ai_route, chat, chat_stream, chunk, sse};

const JSON_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
const SSE_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n";
/// JSON that any parse and print would change: spaces, key order, number forms, escapes, a number past 2^64.
const ODD_JSON: &str = "{ \"z\":1.0,\"a\" : 1e5, \"id\":123456789012345678901234567890,\n\t\"s\":\"h\\u00e9\\/ é 😀\",\
    \"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"hi\"},\"finish_reason\":\"stop\"}],\
    \"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1,\"total_tokens\":4} }\r\n";

#[test]
fn answers_pass_byte_for_byte() {
    let stop = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\n";
    let hi = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"h\u{e9} \u{1f600}\"}}]}\n\n";
    let whole = format!(": a comment\n\nevent: message\nid: 7\n{hi}{hi}{stop}{usage}data: [DONE]\n\n");
    let crlf = whole.replace('\n', "\r\n");
    let tight = whole.replace("data: ", "data:");
    let plain: [(&str, bool, &str, Vec<&[u8]>); 3] = [
        ("plain by length", false, ODD_JSON, vec![ODD_JSON.as_bytes()]),
        ("plain in chunks", true, ODD_JSON, ODD_JSON.as_bytes().chunks(7).collect()),
        ("plain text", false, "not JSON at all", vec!["not JSON at all".as_bytes()]),
    ];
    let streams: [(&str, bool, &str, Vec<&[u8]>); 5] = [
        ("a stream in one chunk", true, &whole, vec![whole.as_bytes()]),
        ("a stream in tiny chunks, characters split", true, &whole, whole.as_bytes().chunks(3).collect()),
        ("a stream with CRLF", true, &crlf, crlf.as_bytes().chunks(50).collect()),
        ("a stream without spaces", true, &tight, tight.as_bytes().chunks(64).collect()),
        ("a stream by length", false, &whole, vec![whole.as_bytes()]),
    ];
    let upstream = Scripted::start(Vec::new());
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &upstream.url(), json!({})));
    let cases = plain.into_iter().map(|case| (JSON_HEAD, chat("hello"), case));
    let cases = cases.chain(streams.into_iter().map(|case| (SSE_HEAD, chat_stream("hello"), case)));
    for (head, request, (name, chunked, expected, pieces)) in cases {
        upstream.set(if chunked {
            let head = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            let pieces = pieces.iter().map(chunk).chain([chunk("")]).map(Step::Send);
            std::iter::once(Step::Send(head)).chain(pieces).collect()
        } else {
            let head = format!("{head}Content-Length: {}\r\n\r\n", expected.len());
            vec![
                Step::Send(head.into_bytes()),
                Step::Pause(Duration::from_millis(5)),
                Step::Send(pieces.concat()),
            ]
        });
        let answer = support::post(gateway.data, "/chat", &[], &request);
        assert_eq!((answer.status, answer.clean_end), (200, true), "{name}: {}", answer.text());
        assert_eq!(answer.text(), expected, "{name}");
        let content_type = head.split(": ").nth(1).unwrap().trim_end();
        assert_eq!(answer.header("content-type"), Some(content_type), "{name}");
    }
}

#[test]
fn usage_is_always_counted_and_shown_to_those_who_asked() {
    let cases = [
        ("nothing said", Value::Null, false, json!({"include_usage": true})),
        ("asked for", json!({"include_usage": true}), true, json!({"include_usage": true})),
        ("not wanted", json!({"include_usage": false}), false, json!({"include_usage": true})),
        (
            "other options only",
            json!({"x": {"b": 1, "a": 2}}),
            false,
            json!({"x": {"b": 1, "a": 2}, "include_usage": true}),
        ),
        (
            "with other options",
            json!({"x": 1, "include_usage": true}),
            true,
            json!({"x": 1, "include_usage": true}),
        ),
        ("an empty object", json!({}), false, json!({"include_usage": true})),
    ];
    let mock = support::mock();
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    for (number, (name, options, shown, sent)) in cases.into_iter().enumerate() {
        let mut body = chat_stream("tell me about usage");
        body.as_object_mut().unwrap().remove("stream_options");
        if !options.is_null() {
            body["stream_options"] = options;
        }
        let answer = support::post(gateway.data, "/chat", &[("x-mock-chunks", "5")], &body);
        assert_eq!((answer.status, answer.clean_end), (200, true), "{name}: {}", answer.text());
        let exchange = support::ledger(&mock, number + 1).pop().unwrap();
        assert_eq!(exchange.json().unwrap()["stream_options"], sent, "{name}");
        assert_eq!(sse::content(&answer.body), exchange.content, "{name}");
        assert!(sse::is_done(&answer.body), "{name}");

        let empty = sse::json(&answer.body).iter().filter(|event| event["choices"] == json!([])).count();
        let (prompt, completion) = (exchange.prompt_tokens, exchange.completion_tokens);
        let usage = sse::usage(&answer.body)
            .map(|usage| (usage["prompt_tokens"].clone(), usage["completion_tokens"].clone()));
        assert_eq!(empty, usize::from(shown), "{name}: {}", answer.text());
        assert_eq!(usage, shown.then(|| (json!(prompt), json!(completion))), "{name}");
        let record = gateway.exactly(number + 1).pop().unwrap();
        assert_eq!(
            (&record["prompt_tokens"], &record["completion_tokens"]),
            (&json!(prompt), &json!(completion)),
            "{name}"
        );
    }
}

#[test]
fn the_record_tells_what_the_ledger_tells() {
    let mock = support::mock();
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({"options": {"model": "large"}})));
    for (number, stream) in [false, true].into_iter().enumerate() {
        let body = if stream { chat_stream("count this") } else { chat("count this, too") };
        let answer = support::post(gateway.data, "/chat", &[], &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let exchange = support::ledger(&mock, number + 1).pop().unwrap();
        let record = gateway.exactly(number + 1).pop().unwrap();
        assert!(exchange.prompt_tokens > 0 && exchange.completion_tokens > 0, "{exchange:?}");
        let expected = json!({
            "route_id": "r", "status": 200, "upstream_status": 200, "outcome": "complete", "error": null,
            "stream": stream, "model": "large", "request_model": "gpt-test",
            "prompt_tokens": exchange.prompt_tokens, "completion_tokens": exchange.completion_tokens,
            "total_tokens": exchange.prompt_tokens + exchange.completion_tokens,
        });
        for (member, value) in expected.as_object().unwrap() {
            assert_eq!(&record[member], value, "{member} in {record}");
        }
        let (first, whole) = (record["ttft_ms"].as_f64().unwrap(), record["duration_ms"].as_f64().unwrap());
        assert!(0.0 <= first && first <= whole, "{record}");
    }
}

#[test]
fn a_body_is_edited_in_place() {
    let odd = "{ \"metadata\":{\"model\":\"keep\"},\"model\" : \"small\" ,\n \"messages\":[{\"role\":\"user\",\
        \"content\":\"h\\u00e9 \\ud83d\\ude00 é \\\"model\\\":\\\"small\\\"\"}], \"temperature\":1.0,\
        \"seed\":12345678901234567890, \"x\":{\"b\":1e5,\"a\":-0} }\n";
    let cases = [
        ("no options", json!({}), odd.to_string()),
        ("empty options", json!({"options": {}}), odd.to_string()),
        (
            "model",
            json!({"options": {"model": "large"}}),
            odd.replace("\"model\" : \"small\"", "\"model\" : \"large\""),
        ),
        (
            "number",
            json!({"options": {"temperature": 0.5}}),
            odd.replace("\"temperature\":1.0", "\"temperature\":0.5"),
        ),
        ("object", json!({"options": {"x": {"c": [1]}}}), odd.replace("{\"b\":1e5,\"a\":-0}", "{\"c\":[1]}")),
    ];
    let mock = support::mock();
    let gateway = Setup::new().start();
    for (name, extra, expected) in cases {
        gateway.put("routes/r", &ai_route("/chat", &mock.url(), extra));
        mock.clear();
        let answer =
            Connection::open(gateway.data).answer(&support::request("POST", "/chat", &[], odd.as_bytes()));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert_eq!(support::ledger(&mock, 1)[0].body, expected, "{name}");
    }

    // Where the body has no such member, or spells its name otherwise, the place is free; the meaning is not.
    for body in [
        r#"{"messages":[{"role":"user","content":"hi"}]}"#,
        r#"{"messages":[{"role":"user","content":"hi"}],"mod\u0065l":"small"}"#,
        r#"{"model":"small","messages":[{"role":"user","content":"hi"}],"model":"small"}"#,
    ] {
        gateway.put(
            "routes/r",
            &ai_route("/chat", &mock.url(), json!({"options": {"model": "large", "top_p": 0.1}})),
        );
        mock.clear();
        let answer =
            Connection::open(gateway.data).answer(&support::request("POST", "/chat", &[], body.as_bytes()));
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        let sent = support::ledger(&mock, 1).remove(0);
        let json = sent.json().unwrap();
        assert_eq!((&json["model"], &json["top_p"]), (&json!("large"), &json!(0.1)), "{}", sent.body);
        assert!(!sent.body.contains("small"), "{}", sent.body);
        assert!(sent.body.contains(r#""messages":[{"role":"user","content":"hi"}]"#), "{}", sent.body);
    }
}

#[test]
fn a_body_in_chunks_and_a_large_body_arrive_whole() {
    let mock = support::mock();
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    for (name, size, chunked) in
        [("small, chunked", 10, true), ("2 MiB", 2 << 20, false), ("2 MiB, chunked", 2 << 20, true)]
    {
        let body = chat(&"a long story ".repeat(size / 13 + 1)).to_string();
        let request = if chunked {
            let chunks: Vec<u8> = body.as_bytes().chunks(60_000).chain([&[][..]]).flat_map(chunk).collect();
            support::request("POST", "/chat", &[("Transfer-Encoding", "chunked")], &chunks)
        } else {
            support::request("POST", "/chat", &[], body.as_bytes())
        };
        mock.clear();
        let answer = Connection::open(gateway.data).answer(&request);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let exchange = support::ledger(&mock, 1).remove(0);
        assert!(exchange.body == body, "{name}: {} bytes arrived of {}", exchange.body_len, body.len());
        assert_eq!(
            support::sent_once(&exchange, "content-length"),
            Some(body.len().to_string().as_str()),
            "{name}"
        );
        assert_eq!(support::sent_once(&exchange, "transfer-encoding"), None, "{name}");
    }
}

#[test]
fn only_what_is_the_providers_business_reaches_it() {
    let sent = [
        ("Authorization", "Bearer client-key"),
        ("Cookie", "session=1"),
        ("Accept-Encoding", "gzip"),
        ("TE", "trailers"),
        ("Connection", "keep-alive, X-Hop"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("X-Hop", "1"),
        ("Content-Type", "application/json; charset=utf-8"),
        ("User-Agent", "a client/1.0"),
        ("X-Custom", "Kept As It Is"),
    ];
    let own = json!({"header": {"Authorization": "Bearer sk-provider", "X-Extra": "1"}, "query": {"api-version": "7"}});
    let cases = [
        (
            "auth of the route",
            own,
            Some("Bearer sk-provider"),
            Some("1"),
            "/v1/chat/completions?api-version=7",
        ),
        ("no auth", json!({}), Some("Bearer client-key"), None, "/v1/chat/completions"),
    ];
    let mock = support::mock();
    let gateway = Setup::new().start();
    for (name, auth, authorization, extra, target) in cases {
        gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({"auth": auth})));
        mock.clear();
        let answer = support::post(gateway.data, "/chat?client=1", &sent, &chat("hello"));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let exchange = support::ledger(&mock, 1).remove(0);
        assert_eq!((exchange.method.as_str(), exchange.target.as_str()), ("POST", target), "{name}");
        let host = mock.addr.to_string();
        for (header, value) in [
            ("host", Some(host.as_str())),
            ("authorization", authorization),
            ("x-extra", extra),
            ("content-type", Some("application/json")),
            ("user-agent", Some("a client/1.0")),
            ("x-custom", Some("Kept As It Is")),
            ("cookie", None),
            ("accept-encoding", None),
            ("te", None),
            ("keep-alive", None),
            ("proxy-connection", None),
            ("x-hop", None),
            ("transfer-encoding", None),
        ] {
            assert_eq!(
                support::sent_once(&exchange, header),
                value,
                "{name}: {header} in {:?}",
                exchange.headers
            );
        }
        let connection = support::sent_once(&exchange, "connection").unwrap_or_default().to_lowercase();
        assert!(!connection.contains("x-hop"), "{name}: {connection}");
    }
}

#[test]
fn the_providers_headers_reach_the_client_without_those_of_the_hop() {
    let upstream = Scripted::answering(format!(
        "{JSON_HEAD}Content-Length: {}\r\nx-request-id: req_123\r\nx-ratelimit-remaining-requests: 99\r\n\
         openai-processing-ms: 12\r\nServer: provider\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
         Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n\r\n{ODD_JSON}",
        ODD_JSON.len()
    ));
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &upstream.url(), json!({})));
    let answer = support::post(gateway.data, "/chat", &[], &chat("hello"));
    assert_eq!((answer.status, answer.text().as_str()), (200, ODD_JSON));
    for (header, value) in [
        ("x-request-id", Some("req_123")),
        ("x-ratelimit-remaining-requests", Some("99")),
        ("openai-processing-ms", Some("12")),
        ("content-type", Some("application/json")),
        ("x-hop", None),
        ("keep-alive", None),
        ("proxy-authenticate", None),
    ] {
        assert_eq!(answer.header(header), value, "{header} in {:?}", answer.head.headers);
    }
    assert!(
        answer.header("server").is_some_and(|server| server.starts_with("APISIX/")),
        "{:?}",
        answer.head.headers
    );
}

#[test]
fn connections_to_the_provider_are_kept_unless_told_otherwise() {
    for (name, extra, connections) in [
        ("by default", json!({}), 1),
        ("keepalive", json!({"keepalive": true}), 1),
        ("no keepalive", json!({"keepalive": false}), 6),
    ] {
        let mock = support::mock();
        let gateway = Setup::new().workers(1).start();
        gateway.put("routes/r", &ai_route("/chat", &mock.url(), extra));
        let mut client = Connection::open(gateway.data);
        for number in 0..6 {
            let body = if number % 2 == 0 { chat("hello") } else { chat_stream("hello") };
            let answer = client.answer(&support::request("POST", "/chat", &[], body.to_string().as_bytes()));
            assert_eq!((answer.status, answer.clean_end), (200, true), "{name}: {}", answer.text());
        }
        assert_eq!(mock.connections(), connections, "{name}");
        assert_eq!(support::ledger(&mock, 6).len(), 6, "{name}");
    }
}
