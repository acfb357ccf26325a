//! Promise: a service account of Google's is all that Vertex AI needs: its token is fetched once, kept, and replaced; where
//! there is none, the client hears which endpoint failed and why; the key shows nowhere.
//!
//! The mock checks assertions (signature, audience, times) and takes only tokens that it gave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use a6_mock::{Exchange, Mock, Options};
use serde_json::{Value, json};
use support::{Blackhole, Gateway, Scripted, Setup, Step, chat, closed_port};

const RSA_KEY: &str = include_str!("../../crates/upstream/src/google/rsa.pem");

/// A service account whose tokens come from there.
fn account(at: SocketAddr) -> Value {
    json!({
        "type": "service_account",
        "client_email": "a6@project.test",
        "private_key": RSA_KEY,
        "token_uri": format!("http://{at}/token"),
    })
}

/// A mock that gives tokens for so many seconds.
fn mock(lifetime: u64) -> Mock {
    let account = json!({
        "client_email": "a6@project.test",
        "private_key": RSA_KEY,
        "mock_token_lifetime": lifetime,
    });
    let google_account = Some(account.to_string());
    Mock::start(Options { ledger: true, google_account, ..Options::default() }).unwrap()
}

fn route(mock: &Mock, gcp: &Value, timeout: u64) -> Value {
    let plugin = json!({
        "provider": "vertex-ai",
        "auth": {"gcp": gcp},
        "override": {"endpoint": format!("{}/v1beta1/projects/p/locations/l/endpoints/openapi/chat/completions", mock.url())},
        "timeout": timeout,
    });
    json!({"uri": "/*", "plugins": {"ai-proxy": plugin}})
}

fn with_account(mock: &Mock, account: &Value) -> Value {
    route(mock, &json!({"service_account_json": account.to_string()}), 30_000)
}

fn ask(gateway: &Gateway) -> support::Answer {
    support::post(gateway.data, "/chat", &[("Authorization", "Bearer client")], &chat("hi"))
}

fn tokens(ledger: &[Exchange]) -> usize {
    ledger.iter().filter(|exchange| exchange.target == "/token").count()
}

#[test]
fn however_many_ask_at_once_one_token_serves_them_all() {
    const CLIENTS: usize = 12;
    let mock = mock(3600);
    let gateway = Setup::new().workers(2).start();
    gateway.put("routes/r", &with_account(&mock, &account(mock.addr)));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let answer = ask(&gateway);
                assert_eq!(answer.status, 200, "{}", answer.text());
            });
        }
    });
    assert_eq!(ask(&gateway).status, 200);
    let ledger = support::ledger(&mock, CLIENTS + 2);
    assert_eq!(tokens(&ledger), 1);
    for exchange in ledger.iter().filter(|exchange| exchange.target != "/token") {
        let authorization = support::sent_once(exchange, "authorization").unwrap();
        assert!(authorization.starts_with("Bearer ya29.mock-"), "{authorization}");
    }
    assert!(!gateway.output().contains("PRIVATE KEY") && !gateway.output().contains("ya29."));
}

#[test]
fn a_token_that_has_run_out_is_replaced() {
    let mock = mock(1);
    let gateway = Setup::new().start();
    gateway.put("routes/r", &with_account(&mock, &account(mock.addr)));
    assert_eq!(ask(&gateway).status, 200);
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(ask(&gateway).status, 200);
    assert!(tokens(&mock.settled(4)) >= 2, "{:#?}", mock.ledger());
}

#[test]
fn the_environment_may_have_the_account() {
    let mock = mock(3600);
    let gateway = Setup::new().variable("GCP_SERVICE_ACCOUNT", &account(mock.addr).to_string()).start();
    gateway.put("routes/r", &route(&mock, &json!({}), 30_000));
    let answer = ask(&gateway);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(tokens(&support::ledger(&mock, 2)), 1);
}

#[test]
fn where_there_is_no_token_the_client_hears_which_endpoint_failed_and_why() {
    let mock = mock(3600);
    let gateway = Setup::new().start();
    let stranger = json!({"client_email": "b@project.test"});
    let mut unknown = account(mock.addr);
    unknown.as_object_mut().unwrap().extend(stranger.as_object().unwrap().clone());
    let closed = closed_port();
    let hole = Blackhole::start();
    let refused = format!("{} answered 400 Bad Request: invalid_grant", mock.addr);
    let cases = [
        (unknown, 500, refused.as_str(), 30_000),
        (account(closed), 502, "Connection refused", 30_000),
        (account(hole.address), 504, "took longer than 300 ms", 300),
    ];
    for (account, status, expected, timeout) in cases {
        let gcp = json!({"service_account_json": account.to_string()});
        gateway.put("routes/r", &route(&mock, &gcp, timeout));
        for _ in 0..2 {
            let answer = ask(&gateway);
            assert_eq!(answer.status, status, "{}", answer.text());
            let text = answer.json()["error_msg"].as_str().unwrap_or_default().to_string();
            let host = account["token_uri"]
                .as_str()
                .unwrap()
                .trim_start_matches("http://")
                .trim_end_matches("/token");
            assert!(text.starts_with("failed to get gcp access token: "), "{text}");
            assert!(text.contains(host) && text.contains(expected), "{text}");
            assert!(!text.contains("eyJ"), "{text}");
        }
    }
    assert!(
        mock.ledger().iter().all(|exchange| exchange.target == "/token"),
        "nothing was asked without a token"
    );
    assert!(!gateway.output().contains("PRIVATE KEY") && !gateway.output().contains("eyJ"));
}

#[test]
fn an_account_that_cannot_be_used_is_refused_when_it_is_written() {
    let mock = mock(3600);
    let gateway = Setup::new().start();
    let mut broken = account(mock.addr);
    broken["private_key"] = json!("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n");
    let cases = [
        (json!({}), "neither service_account_json nor a service account in the environment variable"),
        (json!({"service_account_json": "{"}), "invalid gcp service_account_json: EOF while parsing"),
        (json!({"service_account_json": "{}"}), "invalid gcp service_account_json: client_email is missing"),
        (
            json!({"service_account_json": broken.to_string()}),
            "private_key: it is no RSA key of 2048 to 4096 bits",
        ),
    ];
    for (gcp, expected) in cases {
        let (status, answer) = gateway.admin("PUT", "routes/r", Some(&route(&mock, &gcp, 30_000)));
        let text = answer.to_string();
        assert!(status == 400 && text.contains(expected) && !text.contains("c2Vj"), "{status} {text}");
    }
}

#[test]
fn an_answer_without_a_usable_token_is_told_once_and_not_asked_for_again_at_once() {
    let provider = mock(3600);
    let gateway = Setup::new().start();
    let plain = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{\"access_token\":\"half".to_vec();
    let over = r#"{"access_token":"t","expires_in":0}"#;
    let cases = [
        ("nonsense", plain("200 OK", "<html>"), "there is no usable access_token"),
        ("another type", plain("200 OK", r#"{"access_token":7}"#), "there is no usable access_token"),
        ("a line end", plain("200 OK", r#"{"access_token":"a\r\nb: c"}"#), "there is no usable access_token"),
        ("over at once", plain("200 OK", over), "was over when it came"),
        ("too long", plain("200 OK", &"x".repeat(70_000)), "is longer than 65536 bytes"),
        ("overloaded", plain("503 Service Unavailable", "later"), "answered 503 Service Unavailable"),
        ("cut", cut, "closed"),
    ];
    for (name, answer, expected) in cases {
        let endpoint = Scripted::start(vec![Step::Send(answer), Step::Fin]);
        let account: SocketAddr = endpoint.url().trim_start_matches("http://").parse().unwrap();
        let conf = json!({"service_account_json": self::account(account).to_string()});
        gateway.put("routes/r", &route(&provider, &conf, 5_000));
        for _ in 0..3 {
            let answer = ask(&gateway);
            assert_eq!(answer.status, 502, "{name}: {}", answer.text());
            assert!(answer.text().contains(expected), "{name}: {}", answer.text());
        }
        assert_eq!(endpoint.received().len(), 1, "{name}");
    }
    assert!(provider.ledger().is_empty());
}
