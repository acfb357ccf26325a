//! Promise: what is sent to Bedrock is signed as it is sent, so that AWS takes it; an AWS event stream passes frame by frame, is
//! accounted for, and never looks whole when it is cut; the key shows nowhere.
//!
//! The mock checks signatures with code of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use a6_mock::{Mock, Options};
use serde_json::{Value, json};
use support::{Answer, Connection, Gateway, Scripted, Setup, Step, chunk, request};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "a-session-token/+==";

fn mock() -> Mock {
    let aws_key = Some(format!("us-east-1:AKIDEXAMPLE:{SECRET}:{TOKEN}").parse().unwrap());
    Mock::start(Options { ledger: true, aws_key, ..Options::default() }).unwrap()
}

fn aws() -> Value {
    json!({"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET, "session_token": TOKEN})
}

fn route(endpoint: &str, extra: &Value) -> Value {
    let mut plugin = json!({
        "provider": "bedrock",
        "auth": {"aws": aws()},
        "provider_conf": {"region": "us-east-1"},
        "override": {"endpoint": endpoint},
    });
    plugin.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({"uri": "/*", "plugins": {"ai-proxy": plugin}})
}

fn conversation(extra: &Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": [{"text": "h\u{e9} there"}]}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

fn gateway(mock: &Mock, extra: &Value) -> Gateway {
    let gateway = Setup::new().start();
    gateway.put("routes/r", &route(&mock.url(), extra));
    gateway
}

fn ask(gateway: &Gateway, body: &Value, headers: &[(&str, &str)]) -> Answer {
    support::post(gateway.data, "/model/x/converse", headers, body)
}

/// The frames of a stream: name and payload. It must end where a frame ends.
fn frames(body: &[u8]) -> Vec<(String, Value)> {
    let number = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap()) as usize;
    let mut frames = Vec::new();
    let mut at = 0;
    while at < body.len() {
        let (length, headers) = (number(at), number(at + 4));
        let head = String::from_utf8_lossy(&body[at + 12..at + 12 + headers]).into_owned();
        let payload = &body[at + 12 + headers..at + length - 4];
        // A header is a name, a type, a length of two bytes, and a value; the first one names the frame.
        let name = head.split_once("-type\u{7}\0").unwrap().1;
        let name = name[1..=usize::from(name.as_bytes()[0])].to_string();
        frames.push((name, serde_json::from_slice(payload).unwrap()));
        at += length;
    }
    frames
}

fn text(frames: &[(String, Value)]) -> String {
    frames.iter().filter_map(|(_, payload)| payload["delta"]["text"].as_str()).collect()
}

#[test]
fn aws_takes_what_is_sent_whatever_the_model_is_called() {
    let mock = mock();
    let gateway = gateway(&mock, &json!({}));
    let models = [
        ("anthropic.claude-v2:1", "anthropic.claude-v2%3A1"),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.x-y_z",
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x-y_z",
        ),
        ("h\u{e9} & more?", "h%C3%A9%20%26%20more%3F"),
    ];
    // A client's own are not believed and do not disturb.
    let headers = [
        ("Authorization", "Bearer client"),
        ("X-Amz-Date", "20150830T123600Z"),
        ("X-Amz-Security-Token", "client"),
        ("X-Amz-Content-Sha256", "client"),
        ("X-Amz-Other", " spaces   within "),
    ];
    for (number, (model, segment)) in models.into_iter().enumerate() {
        mock.clear();
        let plain = ask(&gateway, &conversation(&json!({"model": model})), &headers);
        assert_eq!(plain.status, 200, "{model}: {}", plain.text());
        let streamed = ask(&gateway, &conversation(&json!({"model": model, "stream": true})), &headers);
        assert_eq!((streamed.status, streamed.clean_end), (200, true), "{model}: {}", streamed.text());
        assert_eq!(streamed.header("content-type"), Some("application/vnd.amazon.eventstream"));

        let ledger = support::ledger(&mock, 2);
        assert_eq!(ledger[0].target, format!("/model/{segment}/converse"));
        assert_eq!(ledger[1].target, format!("/model/{segment}/converse-stream"));
        assert_eq!(ledger[1].body, conversation(&json!({})).to_string());
        for exchange in &ledger {
            assert_eq!(support::sent_once(exchange, "x-amz-security-token"), Some(TOKEN));
            assert_eq!(support::sent_once(exchange, "x-amz-content-sha256"), None);
            assert_eq!(support::sent_once(exchange, "host"), Some("127.0.0.1"));
            let authorization = support::sent_once(exchange, "authorization").unwrap();
            assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{authorization}");
        }
        assert_eq!(plain.json()["output"]["message"]["content"][0]["text"], ledger[0].content);
        assert_eq!(text(&frames(&streamed.body)), ledger[1].content);
        let records = gateway.exactly(2 * number + 2);
        for (record, exchange) in records[2 * number..].iter().zip(&ledger) {
            assert_eq!(record["outcome"], "complete", "{record}");
            assert_eq!(
                (&record["prompt_tokens"], &record["completion_tokens"]),
                (&json!(exchange.prompt_tokens), &json!(exchange.completion_tokens)),
                "{record}"
            );
        }
    }
    assert!(!gateway.output().contains(SECRET) && !gateway.output().contains(TOKEN));
}

#[test]
fn the_body_is_signed_as_it_is_after_all_edits() {
    let mock = mock();
    let extra = json!({
        "options": {"model": "m:0"},
        "override": {"endpoint": mock.url(), "llm_options": {"max_tokens": 9}},
    });
    let gateway = gateway(&mock, &extra);
    let answer = ask(&gateway, &conversation(&json!({"inferenceConfig": {"temperature": 1.0}})), &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let exchange = support::ledger(&mock, 1).remove(0);
    assert_eq!(exchange.target, "/model/m%3A0/converse");
    let body = exchange.json().unwrap();
    assert_eq!(body["inferenceConfig"], json!({"temperature": 1.0, "maxTokens": 9}));
    assert!(body.get("model").is_none(), "{body}");

    mock.clear();
    gateway.put(
        "routes/r",
        &route(
            &format!("{}/model/a:b%2fc/converse?d=e f&b=1&a=/", mock.url()).replace(' ', "%20"),
            &json!({}),
        ),
    );
    let answer = ask(&gateway, &conversation(&json!({})), &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let exchange = support::ledger(&mock, 1).remove(0);
    assert_eq!(exchange.target, "/model/a%3Ab%2Fc/converse?d=e%20f&b=1&a=%2F");
}

#[test]
fn what_passes_through_is_signed_too() {
    let mock = mock();
    let gateway = gateway(&mock, &json!({}));
    let answer = support::post(gateway.data, "/model/a:b/invoke?z=1&y=%2F", &[], &json!({"x": 1}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let exchange = support::ledger(&mock, 1).remove(0);
    assert_eq!(
        (exchange.target.as_str(), exchange.body.as_str()),
        ("/model/a%3Ab/invoke?z=1&y=%2F", "{\"x\":1}")
    );
    let large = json!({"x": "y".repeat(3 << 20)});
    assert_eq!(support::post(gateway.data, "/model/m/invoke", &[], &large).status, 200);
}

#[test]
fn a_key_that_aws_does_not_know_is_awss_own_refusal() {
    let mock = mock();
    let gateway = Setup::new().start();
    let wrong = [
        ("secret_access_key", "another-secret", "The request signature we calculated does not match"),
        ("session_token", "another-token", "The security token included in the request is invalid."),
        ("access_key_id", "AKIDOTHER", "The security token included in the request is invalid."),
    ];
    for (member, value, expected) in wrong {
        let mut key = aws();
        key[member] = json!(value);
        gateway
            .put("routes/r", &route(&mock.url(), &json!({"auth": {"aws": key}, "options": {"model": "m"}})));
        let answer = ask(&gateway, &conversation(&json!({})), &[]);
        assert_eq!(answer.status, 403, "{member}: {}", answer.text());
        assert!(answer.json()["message"].as_str().unwrap().starts_with(expected), "{}", answer.text());
        assert!(!answer.text().contains(value), "{}", answer.text());
    }
    assert!(!gateway.output().contains("another-"));
}

#[test]
fn a_cut_stream_ends_with_an_exception_and_no_proper_end() {
    let mock = mock();
    let gateway = gateway(&mock, &json!({"options": {"model": "m"}}));
    let body = conversation(&json!({"stream": true}));
    let whole = ask(&gateway, &body, &[]);
    let all = frames(&whole.body);
    let faults = [("x-mock-cut-after", "200"), ("x-mock-cut-after", "1")];
    for (number, fault) in faults.into_iter().enumerate() {
        let answer = ask(&gateway, &body, &[fault]);
        assert_eq!((answer.status, answer.clean_end), (200, false), "{fault:?}");
        let mut seen = frames(&answer.body);
        let (name, payload) = seen.pop().unwrap();
        assert_eq!(name, "modelStreamErrorException");
        assert_eq!(payload["type"], "upstream_truncated", "{fault:?}: {payload}");
        assert_eq!(seen, all[..seen.len()], "{fault:?}");
        let record = gateway.exactly(number + 2).pop().unwrap();
        assert_eq!(record["outcome"], "upstream_truncated", "{record}");
    }
    let left_out = [("x-mock-no-done", "1"), ("x-mock-no-finish", "1")];
    let answer = ask(&gateway, &body, &left_out);
    assert!(!answer.clean_end, "a stream without its end: {:?}", frames(&answer.body));
    let answer = ask(&gateway, &body, &left_out[..1]);
    assert!(answer.clean_end, "messageStop and a proper end are enough");
}

#[test]
fn what_cannot_be_signed_is_refused_when_it_is_written() {
    let gateway = Setup::new().start();
    let cases = [
        (json!({"provider_conf": {}}), "bedrock requires provider_conf.region"),
        (json!({"auth": {}}), "bedrock requires auth.aws"),
        (json!({"auth": {"aws": {"access_key_id": "a"}}}), "property \"secret_access_key\" is required"),
        (json!({"provider": "openai"}), "auth.aws: requests to openai are not signed; take it out"),
    ];
    for (extra, expected) in cases {
        let (status, answer) = gateway.admin("PUT", "routes/r", Some(&route("http://127.0.0.1:1", &extra)));
        let text = answer.to_string();
        assert!(status == 400 && text.contains(&expected.replace('"', "\\\"")), "{status} {text}");
        assert!(!text.contains(SECRET), "{text}");
    }
    let answer = Connection::open(gateway.data).answer(&request("POST", "/model/m/converse", &[], b"{}"));
    assert_eq!(answer.status, 404);
}

#[test]
fn broken_frames_end_a_stream_with_an_exception_behind_the_whole_ones() {
    let mock = mock();
    let body = conversation(&json!({"stream": true}));
    let whole = ask(&gateway(&mock, &json!({"options": {"model": "m"}})), &body, &[]);
    let all = frames(&whole.body);
    let first = u32::from_be_bytes(whole.body[..4].try_into().unwrap()) as usize;
    let mut altered = whole.body.clone();
    altered[first + 20] ^= 1;
    let garbage = [&whole.body[..first], &b"{\"message\":\"no frame at all\"}"[..]].concat();
    let upstream = Scripted::start(Vec::new());
    let gateway = Setup::new().start();
    gateway.put(
        "routes/r",
        &route(&upstream.url(), &json!({"auth": {"aws": aws()}, "options": {"model": "m"}})),
    );
    for (number, sent) in [altered, garbage].into_iter().enumerate() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\nTransfer-Encoding: chunked\r\n\r\n";
        upstream.set(vec![Step::Send([head.as_bytes(), &chunk(sent), &chunk("")].concat())]);
        let answer = ask(&gateway, &body, &[]);
        assert_eq!((answer.status, answer.clean_end), (200, false));
        let mut seen = frames(&answer.body);
        let (name, payload) = seen.pop().unwrap();
        assert_eq!(
            (name.as_str(), &payload["type"]),
            ("modelStreamErrorException", &json!("upstream_protocol_error"))
        );
        assert_eq!(seen, all[..1]);
        assert_eq!(gateway.exactly(number + 1).pop().unwrap()["outcome"], "upstream_truncated");
    }
}
