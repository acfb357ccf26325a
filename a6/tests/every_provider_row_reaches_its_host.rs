//! Promise: each provider of the table is reached at its own host, by its own path, over TLS that is checked.
//!
//! The mock holds a certificate for the real host names, and `a6.resolve` leads those names to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use a6_mock::{Mock, Options, TlsIdentity};
use serde_json::{Value, json};
use support::{Gateway, Setup, chat, chat_stream, sse};

const ROWS: [(&str, &str, &str); 6] = [
    ("openai", "api.openai.com", "/v1/chat/completions"),
    ("deepseek", "api.deepseek.com", "/chat/completions"),
    ("aimlapi", "api.aimlapi.com", "/chat/completions"),
    ("openrouter", "openrouter.ai", "/api/v1/chat/completions"),
    ("gemini", "generativelanguage.googleapis.com", "/v1beta/openai/chat/completions"),
    ("anthropic", "api.anthropic.com", "/v1/chat/completions"),
];
const AZURE: &str = "my-resource.openai.azure.com";
const VERTEX: &str = "us-central1-aiplatform.googleapis.com";
const BEDROCK: &str = "bedrock-runtime.eu-west-1.amazonaws.com";
const INTERNAL: &str = "llm.internal.example";

/// A TLS mock with a certificate for all hosts, and the authority to trust for it.
fn tls_mock() -> (Mock, String) {
    let hosts: Vec<&str> = ROWS.iter().map(|row| row.1).chain([AZURE, VERTEX, BEDROCK, INTERNAL]).collect();
    let identity = TlsIdentity::for_hosts(&hosts).unwrap();
    let ca_pem = identity.ca_pem.clone();
    let options = Options { port: 0, ledger: true, tls: Some(identity), ..Options::default() };
    (Mock::start(options).unwrap(), ca_pem)
}

/// A gateway to which every host of this file is the mock.
fn gateway(mock: &Mock, ca_pem: Option<&str>) -> Gateway {
    let hosts = ROWS.iter().map(|row| row.1).chain([AZURE, VERTEX, BEDROCK, INTERNAL]);
    let setup = hosts.fold(Setup::new(), |setup, host| setup.resolve(host, mock.addr));
    ca_pem.into_iter().fold(setup, |setup, pem| setup.trust(pem)).start()
}

fn route(provider: &str, extra: Value) -> Value {
    let mut plugin =
        json!({"provider": provider, "auth": {"header": {"Authorization": "Bearer sk-provider"}}});
    plugin.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({"uri": "/chat", "plugins": {"ai-proxy": plugin}})
}

#[test]
fn every_row_has_its_host_path_and_server_name() {
    let (mock, ca_pem) = tls_mock();
    let gateway = gateway(&mock, Some(&ca_pem));
    for (provider, host, path) in ROWS {
        gateway.put("routes/r", &route(provider, json!({"options": {"model": "the-model"}})));
        for stream in [false, true] {
            mock.clear();
            let body = if stream { chat_stream("where am I?") } else { chat("where am I?") };
            let answer = support::post(gateway.data, "/chat", &[], &body);
            assert_eq!((answer.status, answer.clean_end), (200, true), "{provider}: {}", answer.text());
            let exchange = support::ledger(&mock, 1).remove(0);
            assert_eq!(exchange.sni.as_deref(), Some(host), "{provider}");
            assert_eq!(exchange.target, path, "{provider}");
            assert_eq!(support::sent_once(&exchange, "host"), Some(host), "{provider}");
            assert_eq!(
                support::sent_once(&exchange, "authorization"),
                Some("Bearer sk-provider"),
                "{provider}"
            );
            assert_eq!(exchange.json().unwrap()["model"], "the-model", "{provider}");
            let content = if stream {
                sse::content(&answer.body)
            } else {
                answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_string()
            };
            assert_eq!(content, exchange.content, "{provider}");
        }
    }
}

#[test]
fn a_region_is_a_part_of_host_and_path() {
    let (mock, ca_pem) = tls_mock();
    let gateway = gateway(&mock, Some(&ca_pem));
    let place = json!({"project_id": "proj", "region": "us-central1"});
    gateway.put("routes/r", &route("vertex-ai", json!({"provider_conf": place})));
    let answer = support::post(gateway.data, "/chat", &[], &chat("where am I?"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let exchange = support::ledger(&mock, 1).remove(0);
    let path = "/v1beta1/projects/proj/locations/us-central1/endpoints/openapi/chat/completions";
    assert_eq!((exchange.sni.as_deref(), exchange.target.as_str()), (Some(VERTEX), path));
    assert_eq!(support::sent_once(&exchange, "host"), Some(VERTEX));
}

#[test]
fn a_signed_request_reaches_the_host_of_its_region() {
    let (mock, ca_pem) = tls_mock();
    let gateway = gateway(&mock, Some(&ca_pem));
    let extra = json!({
        "auth": {"aws": {"access_key_id": "AKID", "secret_access_key": "secret"}},
        "provider_conf": {"region": "eu-west-1"},
        "options": {"model": "m:1"},
    });
    let mut route = route("bedrock", extra);
    route["uri"] = json!("/*");
    gateway.put("routes/r", &route);
    let body = json!({"messages": [{"role": "user", "content": [{"text": "where am I?"}]}]});
    let answer = support::post(gateway.data, "/model/x/converse", &[], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let exchange = support::ledger(&mock, 1).remove(0);
    assert_eq!((exchange.sni.as_deref(), exchange.target.as_str()), (Some(BEDROCK), "/model/m%3A1/converse"));
    assert_eq!(support::sent_once(&exchange, "host"), Some(BEDROCK));
    let authorization = support::sent_once(&exchange, "authorization").unwrap();
    assert!(authorization.contains("/eu-west-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, "));
}

#[test]
fn an_endpoint_replaces_what_it_names() {
    let azure =
        "https://my-resource.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21";
    let query = "/openai/deployments/d/chat/completions?api-version=2024-10-21";
    let port = "https://llm.internal.example:8443";
    let cases = [
        ("azure-openai", azure, AZURE, AZURE, query, None),
        ("azure-openai", "https://my-resource.openai.azure.com", AZURE, AZURE, "/completions", None),
        (
            "openai-compatible",
            "https://llm.internal.example",
            INTERNAL,
            INTERNAL,
            "/v1/chat/completions",
            Some("gpt-test"),
        ),
        (
            "openai-compatible",
            "HTTPS://llm.internal.example/x/y",
            INTERNAL,
            INTERNAL,
            "/x/y",
            Some("gpt-test"),
        ),
        ("openai-compatible", "https://llm.internal.example/", INTERNAL, INTERNAL, "/", Some("gpt-test")),
        ("openai", port, INTERNAL, "llm.internal.example:8443", "/v1/chat/completions", Some("gpt-test")),
        ("deepseek", "https://llm.internal.example/v9#top", INTERNAL, INTERNAL, "/v9", Some("gpt-test")),
    ];
    let (mock, ca_pem) = tls_mock();
    let gateway = gateway(&mock, Some(&ca_pem));
    for (provider, endpoint, sni, host, target, model) in cases {
        gateway.put("routes/r", &route(provider, json!({"override": {"endpoint": endpoint}})));
        mock.clear();
        let answer = support::post(gateway.data, "/chat", &[], &chat("hello"));
        let exchange = support::ledger(&mock, 1).remove(0);
        assert_eq!(answer.status, exchange.status, "{endpoint}: {}", answer.text());
        assert_eq!(exchange.sni.as_deref(), Some(sni), "{endpoint}");
        assert_eq!(support::sent_once(&exchange, "host"), Some(host), "{endpoint}");
        assert_eq!(exchange.target, target, "{endpoint}");
        assert_eq!(exchange.json().unwrap()["model"].as_str(), model, "{provider} {endpoint}");
    }
}

#[test]
fn a_server_that_cannot_prove_its_name_gets_nothing() {
    let (mock, ca_pem) = tls_mock();
    let stranger = TlsIdentity::for_hosts(&["somebody.else.example"]).unwrap();
    let stranger_ca = stranger.ca_pem.clone();
    let stranger =
        Mock::start(Options { port: 0, ledger: true, tls: Some(stranger), ..Options::default() }).unwrap();
    let plain = support::mock();
    let host = ROWS[0].1;
    let cases = [
        ("an unknown authority", &mock, None, json!({}), 502),
        ("an authority for others", &mock, Some(stranger_ca.as_str()), json!({}), 502),
        ("a certificate for another name", &stranger, Some(stranger_ca.as_str()), json!({}), 502),
        ("no TLS at all", &plain, Some(ca_pem.as_str()), json!({}), 502),
        ("the right authority", &mock, Some(ca_pem.as_str()), json!({"ssl_verify": true}), 200),
        ("unknown, but not checked", &mock, None, json!({"ssl_verify": false}), 200),
        ("another name, but not checked", &stranger, None, json!({"ssl_verify": false}), 200),
    ];
    for (name, mock, ca_pem, extra, status) in cases {
        mock.clear();
        let gateway = gateway(mock, ca_pem);
        gateway.put("routes/r", &route("openai", extra));
        let answer = support::post(gateway.data, "/chat", &[], &chat("hello"));
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        let record = gateway.exactly(1).remove(0);
        let asked = mock.ledger().into_iter().filter(|exchange| !exchange.method.is_empty()).count();
        if status == 200 {
            assert_eq!((asked, &record["error"]), (1, &Value::Null), "{name}: {record}");
            continue;
        }
        let error = answer.json()["error"].clone();
        assert_eq!(error["type"], "upstream_tls_error", "{name}: {error}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(host)), "{name}: {error}");
        assert_eq!((&error["param"], &error["code"]), (&Value::Null, &Value::Null), "{name}: {error}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{name}");
        assert_eq!((asked, &record["error"]), (0, &json!("upstream_tls_error")), "{name}: {record}");
        assert_eq!(
            (&record["status"], &record["outcome"]),
            (&json!(502), &json!("failed")),
            "{name}: {record}"
        );
    }
}
