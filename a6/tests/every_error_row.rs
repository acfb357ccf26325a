//! Promise: each row of APISIX's table of errors that an OpenAI chat request can reach has its status, its body and its
//! content type; where a6 decided otherwise (`docs/compatibility.md`), the decision is what is held to. What the route
//! does to a request's body is here too: it decides what the provider can object to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    Answer, Connection, Gateway, Scripted, Setup, Step, ai_route, chat, chat_stream, chunk, closed_port,
    eventually, request, sse,
};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const NO_PROTOCOL: &str = "no matching AI protocol for the request";

const GOOD: &str = "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"good\"},\"finish_reason\":\"stop\"}]}";
const SSE_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const BEGIN: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"begin\"}}]}\n\n";
const MIDDLE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"middle\"}}]}\n\n";
const REST: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// An answer of this status with a length; `headers` are whole lines.
fn reply(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn good() -> Vec<u8> {
    reply("200 OK", "Content-Type: application/json\r\n", GOOD)
}

/// A gateway before a provider whose script a test chooses.
struct Stage {
    provider: Scripted,
    gateway: Gateway,
}

impl Stage {
    /// The route has these members of the plugin besides the usual ones.
    fn new(extra: Value) -> Self {
        let stage = Self { provider: Scripted::answering(good()), gateway: Setup::new().start() };
        stage.route(extra);
        stage
    }

    fn route(&self, extra: Value) {
        self.gateway.put("routes/r", &ai_route("/chat", &self.provider.url(), extra));
    }

    fn ask(&self, script: Vec<Step>, body: &Value) -> Answer {
        self.provider.set(script);
        support::post(self.gateway.data, "/chat", &[], body)
    }

    /// What the provider receives of a request with this body.
    fn received(&self, body: &str) -> String {
        let seen = self.provider.received().len();
        let answer =
            Connection::open(self.gateway.data).answer(&request("POST", "/chat", &[], body.as_bytes()));
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        let received = self.provider.received();
        assert_eq!(received.len(), seen + 1, "{body}");
        received[seen].body.clone()
    }

    /// The last record, once there are so many.
    fn record(&self, count: usize) -> Value {
        self.gateway.exactly(count).pop().expect("a record")
    }
}

fn is(name: &str, answer: &Answer, status: u16, content_type: &str, text: &str) {
    let told = (answer.status, answer.header("content-type"), answer.text());
    assert_eq!(told, (status, Some(content_type), text.to_string()), "{name}");
    assert!(answer.clean_end, "{name}");
    assert_eq!(answer.header("server"), Some("APISIX/3.18.0"), "{name}");
}

#[test]
fn reading_and_detecting() {
    let stage = Stage::new(json!({"max_req_body_size": 200}));
    let good = chat("hello").to_string();
    let good = good.as_str();
    let wrong =
        |found: &str| format!("unsupported content-type: {found}, only application/json is supported");
    let empty = "{\"message\":\"could not get body: request body is empty\"}\n";
    let large = "{\"message\":\"could not get body: request size 201 is greater than the maximum size 200 allowed\"}\n";
    let long = format!("{{\"messages\":[],\"x\":\"{}\"}}", "x".repeat(201 - 22));
    let long = long.as_str();
    assert_eq!(long.len(), 201);
    // Content type (nothing: not sent), body, status, text.
    let cases = [
        ("text/plain", good, 400, wrong("text/plain")),
        ("multipart/form-data; boundary=x", good, 400, wrong("multipart/form-data; boundary=x")),
        ("Application/JSON", good, 400, wrong("Application/JSON")),
        // The content type comes before the size, the size before the emptiness.
        ("text/plain", long, 400, wrong("text/plain")),
        (JSON, long, 413, large.into()),
        (JSON, "", 400, empty.into()),
        ("", "", 400, empty.into()),
        (JSON, "{}", 400, NO_PROTOCOL.into()),
        (JSON, "[]", 400, NO_PROTOCOL.into()),
        (JSON, "\"text\"", 400, NO_PROTOCOL.into()),
        // APISIX fails with a 500 page.
        (JSON, "5", 400, NO_PROTOCOL.into()),
        (JSON, "null", 400, NO_PROTOCOL.into()),
    ];
    for (content_type, body, status, text) in &cases {
        let bytes = request("POST", "/chat", &[("Content-Type", *content_type)], body.as_bytes());
        let answer = Connection::open(stage.gateway.data).answer(&bytes);
        is(&format!("{content_type} {body}"), &answer, *status, TEXT, text);
    }
    // An empty content type is one that is not supported.
    let head =
        format!("POST /chat HTTP/1.1\r\nHost: a\r\nContent-Type: \r\nContent-Length: {}\r\n\r\n", good.len());
    let answer = Connection::open(stage.gateway.data).answer(&[head.as_bytes(), good.as_bytes()].concat());
    is("an empty content type", &answer, 400, TEXT, &wrong(""));

    for body in ["{bad", "{\"messages\":[]} x", "{\"messages\":[],}", "{\"messages\":[\"\\u12\"]}", " "] {
        let bytes = request("POST", "/chat", &[], body.as_bytes());
        let answer = Connection::open(stage.gateway.data).answer(&bytes);
        assert_eq!((answer.status, answer.header("content-type")), (400, Some(TEXT)), "{body}");
        let text = answer.text();
        assert!(text.starts_with("{\"message\":\"could not parse JSON request body: "), "{body}: {text}");
        assert!(text.ends_with("\"}\n") && answer.json()["message"].is_string(), "{body}: {text}");
    }
    assert_eq!(stage.provider.received().len(), 0);
}

#[test]
fn every_content_type_that_begins_right_and_every_method_is_served() {
    let stage = Stage::new(json!({}));
    let body = chat("hello").to_string();
    for content_type in ["", "application/json", "application/json; charset=utf-8", "application/jsonish"] {
        for method in ["POST", "GET", "PUT", "DELETE"] {
            let bytes = request(method, "/chat?a=b", &[("Content-Type", content_type)], body.as_bytes());
            let answer = Connection::open(stage.gateway.data).answer(&bytes);
            is(&format!("{method} {content_type}"), &answer, 200, JSON, GOOD);
            let received = stage.provider.received().pop().unwrap();
            // The client's query is not the provider's.
            assert_eq!(received.line, "POST /v1/chat/completions HTTP/1.1", "{method} {content_type}");
            let types: Vec<&(String, String)> =
                received.headers.iter().filter(|(name, _)| name == "content-type").collect();
            assert_eq!(types, [&("content-type".to_string(), JSON.to_string())], "{method} {content_type}");
        }
    }
}

#[test]
fn transport() {
    let stage = Stage::new(json!({}));
    let silent = Scripted::start(vec![Step::AwaitHangUp]);
    let closing = Scripted::start(vec![Step::Fin]);
    // APISIX answers 500 or 504 with a page of HTML. Where the route leads, and what is told: status and type.
    let cases = [
        ("refused", closed_port().to_string(), 502, "upstream_connect_error"),
        ("no such name", "no-such-host.invalid:80".to_string(), 502, "upstream_dns_error"),
        ("closed", closing.address.to_string(), 502, "upstream_connect_error"),
        ("silence", silent.address.to_string(), 504, "upstream_timeout"),
    ];
    for (number, (name, host, status, kind)) in cases.into_iter().enumerate() {
        let timeout = if status == 504 { 300 } else { 5_000 };
        let route = ai_route("/chat", &format!("http://{host}"), json!({"timeout": timeout}));
        stage.gateway.put("routes/r", &route);
        for (half, body) in [chat("hello"), chat_stream("hello")].iter().enumerate() {
            let answer = support::post(stage.gateway.data, "/chat", &[], body);
            assert_eq!((answer.status, answer.header("content-type")), (status, Some(JSON)), "{name}");
            assert_eq!(answer.header("x-apisix-upstream-status"), None, "{name}: no status came");
            let told = answer.json();
            let members: Vec<&String> = told["error"].as_object().expect("an error").keys().collect();
            assert_eq!(members, ["message", "type", "param", "code"], "{name}: {told}");
            assert_eq!(told["error"]["type"], kind, "{name}: {told}");
            let message = told["error"]["message"].as_str().expect("a message");
            assert!(message.contains(host.trim_end_matches(":80")), "{name}: {message}");
            let record = stage.record(2 * number + half + 1);
            let told = (&record["outcome"], &record["status"], &record["error"]);
            assert_eq!(told, (&json!("failed"), &json!(status), &json!(kind)), "{name}: {record}");
        }
    }
}

#[test]
fn statuses_of_the_provider() {
    let stage = Stage::new(json!({}));
    let html = "<html><body>oops</body></html>";
    let told = "{\"error\":{\"message\":\"boom\",\"type\":\"server_boom\",\"code\":\"c1\"}}";
    let private = "Set-Cookie: a=b\r\nLocation: http://elsewhere.test/\r\nServer: theirs\r\nX-Account: 7\r\n";
    // The status, the content type that is sent (nothing: none), the body.
    let cases = [
        ("200 OK", "text/plain", "plain text"),
        ("200 OK", "application/json", "{\"a\":"),
        ("200 OK", "application/json", "[1,2]"),
        ("200 OK", "application/json", ""),
        ("201 Created", "application/json;charset=utf-8", GOOD),
        ("301 Moved", "text/html", html),
        ("400 Bad Request", "application/json", told),
        ("401 Unauthorized", "application/json", told),
        ("404 Not Found", "text/html; charset=utf-8", html),
        ("413 Too Large", "application/json", told),
        ("422 Unprocessable", "application/json", told),
        ("429 Too Many Requests", "text/html; charset=utf-8", html),
        ("500 Internal", "application/json", told),
        ("503 Unavailable", "text/plain", "later"),
        ("529 Overloaded", "application/json", told),
    ];
    for (status, content_type, body) in cases {
        for asked in [chat("hello"), chat_stream("hello")] {
            let headers = format!("Content-Type: {content_type}\r\nRetry-After: 7\r\n{private}");
            let answer = stage.ask(vec![Step::Send(reply(status, &headers, body))], &asked);
            let code: u16 = status[..3].parse().unwrap();
            // As nginx does, which APISIX is built on.
            let told = match content_type {
                "text/plain" | "text/html" => format!("{content_type}; charset=utf-8"),
                _ => content_type.to_string(),
            };
            is(status, &answer, code, &told, body);
            assert_eq!(answer.header("retry-after"), Some("7"), "{status}");
            for name in ["set-cookie", "location", "x-account"] {
                assert_eq!(answer.header(name), None, "{status}");
            }
            let shown = (code >= 500).then(|| code.to_string());
            assert_eq!(answer.header("x-apisix-upstream-status"), shown.as_deref(), "{status}");
        }
    }
    // Statuses without a body.
    for (status, bytes) in [
        (204, "HTTP/1.1 204 No Content\r\n\r\n"),
        (304, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ] {
        let answer = stage.ask(vec![Step::Send(bytes.into())], &chat("hello"));
        assert_eq!((answer.status, answer.body.len(), answer.clean_end), (status, 0, true));
    }
}

#[test]
fn an_answer_without_a_content_type_is_json() {
    let stage = Stage::new(json!({}));
    for status in ["200 OK", "400 Bad Request", "500 Internal"] {
        let answer = stage.ask(vec![Step::Send(reply(status, "", GOOD))], &chat("hello"));
        is(status, &answer, status[..3].parse().unwrap(), JSON, GOOD);
    }
}

#[test]
fn the_providers_content_type_decides_what_a_stream_is() {
    let stage = Stage::new(json!({}));
    let plain = stage.ask(vec![Step::Send(good())], &chat_stream("hello"));
    is("JSON to a request for a stream", &plain, 200, JSON, GOOD);
    // Comments, other fields and line ends pass as they are.
    let odd = "event: x\r\nid: 1\r\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"begin\"}}]}\r\n\r\n: ping\n\nretry: 5\n\n";
    let bytes = [SSE_HEAD.as_bytes(), &chunk(odd), &chunk(REST), &chunk("")].concat();
    for body in [chat("hello"), chat_stream("hello")] {
        let answer = stage.ask(vec![Step::Send(bytes.clone())], &body);
        is("a stream", &answer, 200, "text/event-stream", &format!("{odd}{REST}"));
    }
    // APISIX closes without an answer; a stream that said nothing is a truncated one.
    let nothing = [SSE_HEAD.as_bytes(), &chunk("")].concat();
    let answer = stage.ask(vec![Step::Send(nothing)], &chat_stream("hello"));
    assert_eq!((answer.status, answer.clean_end), (200, false), "{}", answer.text());
    assert_eq!(sse::json(&answer.body)[0]["error"]["type"], "upstream_truncated", "{}", answer.text());
}

#[test]
fn max_response_bytes() {
    let stage = Stage::new(json!({"max_response_bytes": GOOD.len()}));
    let exceeded = "max_response_bytes exceeded";
    let json = "Content-Type: application/json\r\n";
    is("the limit itself", &stage.ask(vec![Step::Send(good())], &chat("hello")), 200, JSON, GOOD);

    // Announced: not read at all. The text is no JSON, and not labelled so, as it is in APISIX.
    let longer = format!("{GOOD} ");
    let mut count = 1;
    for status in ["200 OK", "400 Bad Request", "500 Internal"] {
        let script = vec![Step::Send(reply(status, json, &longer))];
        is(status, &stage.ask(script, &chat("hello")), 502, TEXT, exceeded);
        count += 1;
        let record = stage.record(count);
        let told = (&record["outcome"], &record["error"], &record["error_text"]);
        assert_eq!(told, (&json!("failed"), &json!("limit_exceeded"), &json!(exceeded)), "{record}");
    }

    // Not announced: it is read so far before anything is sent.
    let head = format!("HTTP/1.1 200 OK\r\n{json}Transfer-Encoding: chunked\r\n\r\n");
    let exactly = [head.as_bytes(), &chunk(&GOOD[..30]), &chunk(&GOOD[30..]), &chunk("")].concat();
    is("the limit itself in chunks", &stage.ask(vec![Step::Send(exactly)], &chat("hello")), 200, JSON, GOOD);
    let too_much = [head.as_bytes(), &chunk(&GOOD[..30]), &chunk(&longer[30..]), &chunk("")].concat();
    let answer = stage.ask(vec![Step::Send(too_much)], &chat("hello"));
    is("too much in chunks", &answer, 502, TEXT, exceeded);
    let record = stage.record(count + 2);
    let told = (&record["outcome"], &record["error"], &record["error_text"]);
    assert_eq!(told, (&json!("failed"), &json!("limit_exceeded"), &json!(exceeded)), "{record}");
}

/// The client got these events, one that tells of the limit, and a cut; the provider was told.
fn is_cut(stage: &Stage, answer: &Answer, events: &str, limit: &str, cuts: usize) {
    assert_eq!((answer.status, answer.clean_end), (200, false), "{}", answer.text());
    let mut told = sse::data(&answer.body);
    let error: Value = serde_json::from_str(&told.pop().expect("an event")).unwrap();
    let expected = json!({"error": {"message": format!("{limit} exceeded"), "type": "limit_exceeded", "param": null, "code": null}});
    assert_eq!(error, expected);
    assert_eq!(told, sse::data(events.as_bytes()));
    eventually("the provider to see the hang-up", || (stage.provider.hang_ups() == cuts).then_some(()));
    let record = stage.record(cuts);
    let told = (&record["outcome"], &record["status"], &record["error"]);
    assert_eq!(told, (&json!("aborted"), &json!(200), &json!("limit_exceeded")), "{record}");
}

#[test]
fn a_stream_past_a_limit_is_cut_behind_the_piece_that_crossed_it() {
    let send = |text: &str| Step::Send(chunk(text));
    let head = Step::Send(SSE_HEAD.into());
    let pause = Step::Pause(Duration::from_millis(60));
    let stage = Stage::new(json!({"max_response_bytes": BEGIN.len() + 5}));
    let script = vec![head.clone(), send(BEGIN), pause, send(MIDDLE), Step::AwaitHangUp];
    let answer = stage.ask(script, &chat_stream("hello"));
    is_cut(&stage, &answer, &[BEGIN, MIDDLE].concat(), "max_response_bytes", 1);

    let stage = Stage::new(json!({"max_stream_duration_ms": 300}));
    let late = Step::Pause(Duration::from_millis(400));
    let script = vec![head.clone(), send(BEGIN), late.clone(), send(MIDDLE), Step::AwaitHangUp];
    let answer = stage.ask(script, &chat_stream("hello"));
    is_cut(&stage, &answer, &[BEGIN, MIDDLE].concat(), "max_stream_duration_ms", 1);
    // Where nothing was sent the status can still tell.
    let script = vec![head, late.clone(), send(BEGIN), Step::AwaitHangUp];
    let answer = stage.ask(script, &chat_stream("hello"));
    is("a limit before the first event", &answer, 504, TEXT, "max_stream_duration_ms exceeded");
    // It is a limit for streams alone.
    let answer = stage.ask(vec![late, Step::Send(good())], &chat("hello"));
    is("a plain answer", &answer, 200, JSON, GOOD);
}

#[test]
fn llm_options_are_named_as_each_provider_names_them() {
    // Members of the request that are asked for, before and after.
    let both = json!({"messages": [], "max_tokens": 5, "max_completion_tokens": 6});
    let new = json!({"max_completion_tokens": 9});
    let old = json!({"max_tokens": 9, "max_completion_tokens": 6});
    let kept = json!({"max_tokens": 5, "max_completion_tokens": 9});
    let cases = [
        ("openai", &new, "max_completion_tokens"),
        ("openai-compatible", &old, "max_tokens"),
        ("azure-openai", &old, "max_tokens"),
        ("deepseek", &old, "max_tokens"),
        ("aimlapi", &old, "max_tokens"),
        ("openrouter", &old, "max_tokens"),
        ("anthropic", &old, "max_tokens"),
        ("gemini", &kept, "max_completion_tokens"),
    ];
    let stage = Stage::new(json!({}));
    for (provider, expected, name) in cases {
        let overrides = json!({"endpoint": stage.provider.url(), "llm_options": {"max_tokens": 9}});
        stage.route(json!({"provider": provider, "override": overrides}));
        let mut sent: Value = serde_json::from_str(&stage.received(&both.to_string())).unwrap();
        sent.as_object_mut().unwrap().remove("messages");
        assert_eq!(&sent, expected, "{provider}");
        let sent: Value = serde_json::from_str(&stage.received("{\"messages\":[]}")).unwrap();
        assert_eq!(sent, json!({"messages": [], name: 9}), "{provider}");
    }
}

#[test]
fn request_body_fills_what_is_absent_and_with_force_replaces_what_is_there() {
    let body = "{\"messages\":[], \"a\":{\"b\":1}, \"list\":[2, 3], \"s\":\"x\"}";
    let client: Value = serde_json::from_str(body).unwrap();
    let with = |members: Value| {
        let mut whole = client.clone();
        whole.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        whole
    };
    // What the route has; what the provider gets then, and with force.
    let cases = [
        (json!({}), json!({}), json!({})),
        (json!({"n": 1}), json!({"n": 1}), json!({"n": 1})),
        (json!({"s": "y"}), json!({}), json!({"s": "y"})),
        (json!({"a": {"b": 2, "c": 3}}), json!({"a": {"b": 1, "c": 3}}), json!({"a": {"b": 2, "c": 3}})),
        (json!({"a": {}}), json!({}), json!({})),
        (json!({"a": 5}), json!({}), json!({"a": 5})),
        (json!({"s": {"k": 1}}), json!({}), json!({"s": {"k": 1}})),
        (json!({"list": [1]}), json!({}), json!({"list": [1]})),
        (json!({"n": null, "s": null}), json!({"n": null}), json!({"n": null, "s": null})),
        (
            json!({"n": {"deep": {"er": [1]}}}),
            json!({"n": {"deep": {"er": [1]}}}),
            json!({"n": {"deep": {"er": [1]}}}),
        ),
    ];
    let stage = Stage::new(json!({}));
    for (patch, filled, forced) in cases {
        for (force, expected) in [(false, &filled), (true, &forced)] {
            let overrides = json!({
                "endpoint": stage.provider.url(),
                "request_body": {"openai-chat": patch},
                "request_body_force_override": force,
            });
            stage.route(json!({"override": overrides}));
            let sent = stage.received(body);
            let told: Value = serde_json::from_str(&sent).unwrap();
            assert_eq!(told, with(expected.clone()), "{patch}, force {force}: {sent}");
            // What is not touched stays as the client wrote it.
            assert!(sent.starts_with("{\"messages\":[], "), "{patch}, force {force}: {sent}");
            assert!(*expected != json!({}) || sent == body, "{patch}, force {force}: {sent}");
        }
    }
    // Another protocol's body is not this one's.
    let overrides = json!({
        "endpoint": stage.provider.url(),
        "request_body": {"openai-responses": {"n": 1}, "passthrough": {"s": "y"}},
        "request_body_force_override": true,
    });
    stage.route(json!({"override": overrides}));
    assert_eq!(stage.received(body), body);
}

#[test]
fn later_steps_of_shaping_win() {
    let stage = Stage::new(json!({}));
    let endpoint = stage.provider.url();
    let client = json!({"messages": [], "model": "client", "temperature": 1, "max_completion_tokens": 1});
    let filled = json!({"max_completion_tokens": 4, "top_p": 4});
    // Options, override, and what comes of them.
    let cases = [
        (json!({"model": "route", "temperature": 2}), json!({}), json!({"model": "route", "temperature": 2})),
        (
            json!({"max_completion_tokens": 2}),
            json!({"llm_options": {"max_tokens": 3}}),
            json!({"max_completion_tokens": 3}),
        ),
        (
            json!({}),
            json!({"llm_options": {"max_tokens": 3}, "request_body": {"openai-chat": filled}}),
            json!({"max_completion_tokens": 3, "top_p": 4}),
        ),
        (
            json!({"top_p": 2}),
            json!({
                "llm_options": {"max_tokens": 3},
                "request_body": {"openai-chat": filled},
                "request_body_force_override": true,
            }),
            json!({"max_completion_tokens": 4, "top_p": 4}),
        ),
    ];
    for (options, mut overrides, expected) in cases {
        overrides["endpoint"] = json!(endpoint);
        stage.route(json!({"options": options, "override": overrides}));
        let sent: Value = serde_json::from_str(&stage.received(&client.to_string())).unwrap();
        let mut whole = client.clone();
        whole.as_object_mut().unwrap().extend(expected.as_object().unwrap().clone());
        assert_eq!(sent, whole, "{options} {overrides}");
    }
    // What cannot be meant is refused when it is written.
    for (overrides, part) in [
        (json!({"llm_options": {"max_tokens": 0}}), "max_tokens"),
        (json!({"llm_options": {"temperature": 1}}), "temperature"),
        (json!({"request_body": {"vertex-predict": {}}}), "vertex-predict"),
        (json!({"request_body": {"openai-chat": 5}}), "openai-chat"),
    ] {
        let route = ai_route("/bad", &endpoint, json!({"override": overrides}));
        let (status, answer) = stage.gateway.admin("PUT", "routes/bad", Some(&route));
        let told = answer["error_msg"].as_str().unwrap_or_default();
        assert!(status == 400 && told.contains(part), "{overrides}: {status} {answer}");
    }
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it_or_the_final_answer() {
    let stage = Stage::new(json!({"max_req_body_size": 1000}));
    let body = chat("hello").to_string();
    let length = body.len().to_string();
    let framings = [
        ("Content-Length", length.as_str(), body.clone().into_bytes()),
        ("Transfer-Encoding", "chunked", [chunk(&body), chunk("")].concat()),
    ];
    for (number, (framing, value, bytes)) in framings.into_iter().enumerate() {
        let mut client = Connection::open(stage.gateway.data);
        let headers = [("Content-Type", JSON), ("Expect", "100-continue"), (framing, value)];
        client.write(&request("POST", "/chat", &headers, b""));
        // Nothing of the body is sent before this is read.
        let interim = client.any_head().expect("an interim answer");
        assert_eq!(interim.status, 100, "{framing}: {interim:?}");
        let answer = client.answer(&bytes);
        is(framing, &answer, 200, JSON, GOOD);
        let received = stage.provider.received();
        assert_eq!(
            (received.len(), received[number].body.as_str()),
            (number + 1, body.as_str()),
            "{framing}"
        );
        assert!(received[number].headers.iter().all(|(name, _)| name != "expect"), "{framing}");
    }

    // A request that is refused for its head is told so at once; the body that may or may not follow ends the connection.
    for (target, content_type, length, status) in [
        ("/nothing", JSON, "50", 404),
        ("/chat", "text/plain", "50", 400),
        ("/chat", JSON, "1001", 413),
        ("/chat", JSON, "209715200", 413),
    ] {
        let mut client = Connection::open(stage.gateway.data);
        let headers =
            [("Content-Type", content_type), ("Expect", "100-continue"), ("Content-Length", length)];
        client.write(&request("POST", target, &headers, b""));
        let first = client.any_head().expect("an answer");
        assert_eq!(first.status, status, "{target} {content_type} {length}: {first:?}");
        assert_eq!(first.header("connection"), Some("close"), "{target} {content_type} {length}");
        let rest = client.until_closed(Duration::from_secs(5));
        assert!(
            rest.is_some_and(|rest| !rest.is_empty()),
            "{target} {content_type} {length}: no reason, or no close"
        );
    }
    assert_eq!(stage.provider.received().len(), 2);

    // One that does not wait.
    let headers = [("Expect", "100-continue")];
    let answer =
        Connection::open(stage.gateway.data).answer(&request("POST", "/chat", &headers, body.as_bytes()));
    is("a client that does not wait", &answer, 200, JSON, GOOD);
}
