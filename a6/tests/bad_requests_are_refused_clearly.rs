//! Promise: a request that cannot be served is refused with APISIX's words, and nothing of it reaches the provider.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use serde_json::json;
use support::{Connection, Setup, ai_route, chat, chunk};

const NO_PROTOCOL: &str = "no matching AI protocol for the request";
const EMPTY: &str = "{\"message\":\"could not get body: request body is empty\"}\n";
const BAD_JSON: &str = "{\"message\":\"could not parse JSON request body: ";

#[test]
fn a_body_that_is_no_ai_request_gets_400_with_the_reason() {
    let wrong_type = |content_type: &str| {
        format!("unsupported content-type: {content_type}, only application/json is supported")
    };
    let good = chat("hello").to_string();
    let (good, json) = (good.as_str(), "application/json");
    // Content type (nothing: not sent), body, how the answer's text begins, and whether that is all of it.
    let cases = [
        ("text/plain", good, wrong_type("text/plain"), true),
        ("Application/JSON", good, wrong_type("Application/JSON"), true),
        ("text/json; application/json", good, wrong_type("text/json; application/json"), true),
        ("text/plain", "", wrong_type("text/plain"), true),
        (json, "", EMPTY.into(), true),
        ("", "", EMPTY.into(), true),
        (json, "{bad", BAD_JSON.into(), false),
        (json, "{\"messages\":[]", BAD_JSON.into(), false),
        (json, "{\"messages\":[]} x", BAD_JSON.into(), false),
        (json, "{\"messages\":[],}", BAD_JSON.into(), false),
        (json, "{'messages':[]}", BAD_JSON.into(), false),
        (json, " \n\t ", BAD_JSON.into(), false),
        (json, "{}", NO_PROTOCOL.into(), true),
        (json, "[]", NO_PROTOCOL.into(), true),
        (json, "\"messages\"", NO_PROTOCOL.into(), true),
        (json, "5", NO_PROTOCOL.into(), true),
        (json, "true", NO_PROTOCOL.into(), true),
        (json, "null", NO_PROTOCOL.into(), true),
    ];
    let mock = support::mock();
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    let mut connection = Connection::open(gateway.data);
    let count = cases.len();
    for (content_type, body, expected, whole) in cases {
        let request = support::request("POST", "/chat", &[("Content-Type", content_type)], body.as_bytes());
        let answer = connection.answer(&request);
        assert_eq!(answer.status, 400, "{content_type} {body}: {}", answer.text());
        assert!(answer.text().starts_with(&expected), "{content_type} {body}: {}", answer.text());
        assert!(!whole || answer.text() == expected, "{content_type} {body}: {}", answer.text());
        if expected == BAD_JSON {
            assert!(answer.json()["message"].is_string(), "{body}: {}", answer.text());
        }
    }
    assert_eq!(mock.ledger().len(), 0, "{:#?}", mock.ledger());
    for record in gateway.exactly(count) {
        let told = (&record["route_id"], &record["status"], &record["outcome"]);
        assert_eq!(told, (&json!("r"), &json!(400), &json!("failed")), "{record}");
    }

    for (method, content_type) in [("POST", ""), ("POST", "application/json; charset=utf-8"), ("GET", json)] {
        let request = support::request(method, "/chat", &[("Content-Type", content_type)], good.as_bytes());
        let answer = connection.answer(&request);
        assert_eq!(answer.status, 200, "{method} {content_type}: {}", answer.text());
    }
    assert!(support::ledger(&mock, 3).iter().all(|exchange| exchange.method == "POST"));
}

#[test]
fn a_body_of_no_known_protocol_is_refused() {
    let mock = support::mock();
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({"provider": "deepseek"})));
    for body in [json!({}), json!([]), json!(3)] {
        let answer = support::post(gateway.data, "/chat", &[], &body);
        let expected = "no matching AI protocol for the request".to_string();
        assert_eq!((answer.status, answer.text()), (400, expected), "{body}");
    }
    assert_eq!(mock.ledger().len(), 0);
}

#[test]
fn a_body_that_is_too_large_is_not_read() {
    let mock = support::mock();
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({"max_req_body_size": 200})));
    let too_large = |size: usize| {
        format!(
            "{{\"message\":\"could not get body: request size {size} is greater than the maximum size 200 allowed\"}}\n"
        )
    };
    // The length alone is enough: not one byte of the body is sent.
    for size in [201, 200 << 20] {
        let length = size.to_string();
        let request = support::request("POST", "/chat", &[("Content-Length", length.as_str())], b"");
        let answer = Connection::open(gateway.data).answer(&request);
        assert_eq!((answer.status, answer.text()), (413, too_large(size)));
    }
    let body = chat(&"x".repeat(400)).to_string();
    let chunks: Vec<u8> = [chunk(&body), chunk("")].concat();
    let request = support::request("POST", "/chat", &[("Transfer-Encoding", "chunked")], &chunks);
    let answer = Connection::open(gateway.data).answer(&request);
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(
        answer.text().ends_with(" is greater than the maximum size 200 allowed\"}\n"),
        "{}",
        answer.text()
    );
    assert_eq!(mock.ledger().len(), 0);

    let body = chat("x").to_string();
    let body = body.replace("\"x\"", &format!("\"{}\"", "x".repeat(200 - body.len() + 1)));
    assert_eq!(body.len(), 200);
    let answer =
        Connection::open(gateway.data).answer(&support::request("POST", "/chat", &[], body.as_bytes()));
    assert_eq!(answer.status, 200, "the limit itself is allowed: {}", answer.text());
}

#[test]
fn a_head_that_can_be_read_in_two_ways_is_refused_and_the_connection_closed() {
    let body = chat("hello").to_string();
    let length = body.len();
    let two = format!("Host: a\r\nContent-Length: {length}\r\nContent-Length: {}\r\n", length + 1);
    let cases = [
        ("no Host", format!("Content-Length: {length}\r\n")),
        ("two Hosts", format!("Host: a\r\nHost: b\r\nContent-Length: {length}\r\n")),
        ("two lengths", two),
        ("no number", "Host: a\r\nContent-Length: many\r\n".to_string()),
        ("a signed number", format!("Host: a\r\nContent-Length: +{length}\r\n")),
        ("a folded line", format!("Host: a\r\nX-Long: a\r\n b\r\nContent-Length: {length}\r\n")),
        ("a space before the colon", format!("Host: a\r\nContent-Length : {length}\r\n")),
        (
            "length and chunks",
            format!("Host: a\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        ),
        ("an unknown coding", "Host: a\r\nTransfer-Encoding: gzip\r\n".to_string()),
    ];
    let mock = support::mock();
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    for (name, head) in cases {
        let mut connection = Connection::open(gateway.data);
        let request = format!("POST /chat HTTP/1.1\r\nContent-Type: application/json\r\n{head}\r\n{body}");
        // What follows must not be taken for a request of its own.
        let smuggled = support::request("POST", "/chat", &[], chat("smuggled").to_string().as_bytes());
        let answer = connection.answer(&[request.as_bytes(), &smuggled].concat());
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
        assert!(connection.is_closed_by_the_other_side(), "{name}: the connection stays open");
        assert_eq!(mock.ledger().len(), 0, "{name}: {:#?}", mock.ledger());
    }
}
