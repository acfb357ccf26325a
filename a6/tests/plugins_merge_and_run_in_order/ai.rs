//! An AI route of four plugins: who asks, what is asked, in which words, and of whom.

use a6_mock::{Exchange, Mock};
use serde_json::{Value, json};

use crate::engine::{says, with};
use crate::support::{self, Answer, Gateway, Setup, post, sse};

const URI: &str = "/v1/chat/completions";
const KEY: &str = "k-of-jack-0123456789";
/// `jack-login:k-of-jack-0123456789`.
const BASIC: &str = "amFjay1sb2dpbjprLW9mLWphY2stMDEyMzQ1Njc4OQ==";
/// The key `j-jack`, signed with `jwt-secret-of-jack` (HS256).
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqLWphY2sifQ.\
    TUkzJpnmPl-p2dw-s5DmSkyfMhIX_rFj6_njVT8ti8M";

/// What is no text of JSON as it stands, and what looks like a placeholder.
const SUBJECT: &str = "\"quotes\", \\, <b>&'/' and\na second line {{question}}";

struct Stage {
    gateway: Gateway,
    mock: Mock,
}

impl Stage {
    /// A caller who can be known in three ways.
    fn new() -> Self {
        let stage = Self { gateway: Setup::new().start(), mock: support::mock() };
        let plugins = json!({
            "key-auth": {"key": KEY},
            "basic-auth": {"username": "jack-login", "password": KEY},
            "jwt-auth": {"key": "j-jack", "secret": "jwt-secret-of-jack"},
        });
        stage.gateway.put("consumers", &json!({"username": "jack", "plugins": plugins}));
        stage
    }

    /// The route: `who` finds out who asks; the provider's key goes where `auth` says.
    fn route(&self, who: Value, auth: Value) {
        let proxy = json!({
            "provider": "openai",
            "auth": auth,
            "options": {"model": "gpt-forced"},
            "override": {"endpoint": self.mock.url()},
        });
        let plugins = json!({
            "ai-prompt-template": {"templates": [template("whole", false), template("stream", true)]},
            "ai-prompt-decorator": {
                "prepend": [{"role": "system", "content": "Be kind."}],
                "append": [{"role": "user", "content": "Be short."}],
            },
            "ai-proxy": proxy,
        });
        self.gateway.put("routes/r", &json!({"uri": URI, "plugins": with(plugins, who)}));
    }

    fn ask(&self, query: &str, headers: &[(&str, &str)], template: &str) -> Answer {
        self.mock.clear();
        let body = json!({
            "template_name": template, "subject": SUBJECT, "question": "why?", "model": "gpt-client",
            "messages": [{"role": "system", "content": "Obey me."}],
        });
        post(self.gateway.data, &format!("{URI}{query}"), headers, &body)
    }

    fn exchange(&self) -> Exchange {
        support::ledger(&self.mock, 1).remove(0)
    }
}

fn template(name: &str, stream: bool) -> Value {
    let messages = json!([
        {"role": "system", "content": "You know {{ subject }}."},
        {"role": "user", "content": "{{question}}"},
    ]);
    json!({"name": name, "template": {"model": "gpt-template", "messages": messages, "stream": stream}})
}

/// What the provider must see: of the client only the values.
fn decorated() -> Value {
    json!([
        {"role": "system", "content": "Be kind."},
        {"role": "system", "content": format!("You know {SUBJECT}.")},
        {"role": "user", "content": "why?"},
        {"role": "user", "content": "Be short."},
    ])
}

fn bearer() -> Value {
    json!({"header": {"Authorization": "Bearer sk-provider"}})
}

#[test]
fn the_provider_sees_the_template_filled_in_and_decorated() {
    let stage = Stage::new();
    stage.route(json!({"key-auth": {}}), bearer());
    let answer = stage.ask("", &[("apikey", KEY)], "whole");
    let whole = stage.exchange();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let expected = json!({"model": "gpt-forced", "messages": decorated(), "stream": false});
    assert_eq!(whole.json(), Some(expected));
    assert_eq!(answer.json()["choices"][0]["message"]["content"], json!(whole.content));
    assert_eq!(support::sent_once(&whole, "authorization"), Some("Bearer sk-provider"));

    let answer = stage.ask("", &[("apikey", KEY)], "stream");
    let exchange = stage.exchange();
    assert_eq!((answer.status, answer.clean_end), (200, true), "{}", answer.text());
    let body = exchange.json().unwrap_or_default();
    assert_eq!((&body["stream"], &body["messages"]), (&json!(true), &decorated()));
    assert_eq!(sse::content(&answer.body), exchange.content);
    assert!(sse::is_done(&answer.body), "{}", answer.text());

    for (record, tokens) in stage.gateway.exactly(2).iter().zip([whole.prompt_tokens, exchange.prompt_tokens])
    {
        let told = (&record["route_id"], &record["status"], &record["outcome"], &record["prompt_tokens"]);
        assert_eq!(told, (&json!("r"), &json!(200), &json!("complete"), &json!(tokens)), "{record}");
    }
}

#[test]
fn who_asks_is_found_out_first_and_the_provider_is_asked_last() {
    let stage = Stage::new();
    stage.route(json!({"key-auth": {}}), bearer());
    let body = json!({"template_name": "no such", "subject": 1});
    let cases: [(&[(&str, &str)], Value, u16, &str); 4] = [
        (&[], body.clone(), 401, r#"{"message":"Missing API key in request"}"#),
        (&[("apikey", "wrong")], body.clone(), 401, r#"{"message":"Invalid API key in request"}"#),
        (&[("apikey", KEY)], body, 400, r#"{"message":"template: no such not configured."}"#),
        (&[("apikey", KEY)], json!({"a": 1}), 400, r#"{"message":"template name is missing in request."}"#),
    ];
    for (headers, body, status, text) in cases {
        says(&post(stage.gateway.data, URI, headers, &body), status, text);
    }
    assert_eq!(stage.mock.ledger(), Vec::new());
}

#[test]
fn no_credential_of_the_client_reaches_the_provider() {
    let stage = Stage::new();
    let (basic, bearer_token) = (format!("Basic {BASIC}"), format!("Bearer {TOKEN}"));
    let cookie = format!("a=b; jwt={TOKEN}; session=of-the-client");
    let (in_key_query, in_jwt_query) = (format!("?x=1&apikey={KEY}"), format!("?jwt={TOKEN}"));
    type Headers<'a> = Vec<(&'a str, &'a str)>;
    let places: [(Value, &str, Headers<'_>); 9] = [
        (json!({"key-auth": {}}), "", vec![("apikey", KEY)]),
        (json!({"key-auth": {"header": "X-My-Key"}}), "", vec![("X-My-Key", KEY)]),
        (json!({"key-auth": {"header": "Authorization"}}), "", vec![("Authorization", KEY)]),
        (json!({"key-auth": {}}), in_key_query.as_str(), vec![]),
        (json!({"key-auth": {}}), "", vec![("apikey", KEY), ("Cookie", "session=of-the-client")]),
        (json!({"basic-auth": {}}), "", vec![("Authorization", basic.as_str())]),
        (json!({"jwt-auth": {}}), "", vec![("Authorization", bearer_token.as_str())]),
        (json!({"jwt-auth": {}}), "", vec![("Cookie", cookie.as_str())]),
        (json!({"jwt-auth": {}}), in_jwt_query.as_str(), vec![]),
    ];
    let auths = [
        bearer(),
        json!({"header": {"x-api-key": "sk-provider"}}),
        json!({"query": {"key": "sk-provider"}}),
        // No key of the provider's: then the client's own credential is the more tempting.
        json!({}),
    ];
    for (who, query, headers) in &places {
        for auth in &auths {
            stage.route(who.clone(), auth.clone());
            let own = [("X-Own", "stays"), ("User-Agent", "client/1")];
            let headers: Vec<(&str, &str)> = headers.iter().copied().chain(own).collect();
            let answer = stage.ask(query, &headers, "whole");
            assert_eq!(answer.status, 200, "{who} {auth}: {}", answer.text());
            let exchange = stage.exchange();
            let sent = format!("{} {:?} {}", exchange.target, exchange.headers, exchange.body);
            for secret in [KEY, BASIC, TOKEN, "of-the-client", "jwt-secret"] {
                assert!(!sent.contains(secret), "{who} {auth}: the provider saw {secret}: {sent}");
            }
            assert_eq!(exchange.header("cookie"), None, "{who} {auth}");
            assert_eq!(support::sent_once(&exchange, "x-own"), Some("stays"), "{who} {auth}");
            assert_eq!(support::sent_once(&exchange, "user-agent"), Some("client/1"), "{who} {auth}");
            let provider_key = if auth.get("query").is_some() { "?key=sk-provider" } else { "" };
            assert_eq!(exchange.target, format!("{URI}{provider_key}"), "{who}");
            let authorization = (*auth == bearer()).then_some("Bearer sk-provider");
            assert_eq!(support::sent_once(&exchange, "authorization"), authorization, "{who} {auth}");
            let api_key = auth.pointer("/header/x-api-key").and_then(Value::as_str);
            assert_eq!(support::sent_once(&exchange, "x-api-key"), api_key, "{who} {auth}");
        }
    }
}

#[test]
fn the_caller_brings_words_and_a_provider_of_its_own() {
    let stage = Stage::new();
    let other = support::mock();
    let own = json!({
        "key-auth": {"key": "k-rose"},
        "ai-proxy": {
            "provider": "openai",
            "auth": {"header": {"Authorization": "Bearer sk-of-rose"}},
            "options": {"model": "gpt-rose"},
            "override": {"endpoint": other.url()},
        },
        "ai-prompt-decorator": {"append": [{"role": "user", "content": "Call me Rose."}]},
    });
    stage.gateway.put("consumers", &json!({"username": "rose", "plugins": own}));
    let plugins = json!({"key-auth": {}});
    let route = support::ai_route(URI, &stage.mock.url(), json!({"options": {"model": "gpt-route"}}));
    let plugins = with(route["plugins"].clone(), plugins);
    stage.gateway.put("routes/r", &with(route, json!({"plugins": plugins})));
    let hello = json!({"role": "user", "content": "hello"});
    for (key, mock, silent, model, provider_key, words) in [
        (KEY, &stage.mock, &other, "gpt-route", "Bearer sk-provider", json!([hello])),
        (
            "k-rose",
            &other,
            &stage.mock,
            "gpt-rose",
            "Bearer sk-of-rose",
            json!([hello, {"role": "user", "content": "Call me Rose."}]),
        ),
    ] {
        [mock, silent].iter().for_each(|mock| mock.clear());
        let answer = post(stage.gateway.data, URI, &[("apikey", key)], &support::chat("hello"));
        assert_eq!(answer.status, 200, "{key}: {}", answer.text());
        let exchange = support::ledger(mock, 1).remove(0);
        assert_eq!(exchange.json(), Some(json!({"model": model, "messages": words})), "{key}");
        assert_eq!(support::sent_once(&exchange, "authorization"), Some(provider_key), "{key}");
        assert_eq!(silent.ledger(), Vec::new(), "{key}");
    }
}
