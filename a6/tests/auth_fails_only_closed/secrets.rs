//! What logs, records and error texts say of credentials: nothing.

use std::fs;

use serde_json::{Value, json};

use crate::encode::base64;
use crate::engine::{Stage, with};
use crate::support::{Answer, Setup, ai_route, chat, closed_port, eventually};
use crate::tokens;

const KEY: &str = "right-key-of-jack-000";
const WRONG_KEY: &str = "wrong-key-of-mallory-111";
const PASSWORD: &str = "right-password-222";
const WRONG_PASSWORD: &str = "wrong-password-333";
const PROVIDER_KEY: &str = "sk-of-the-provider-444";

/// Every variable that could hold one.
const LOG: &str = "nginx_config:\n  http:\n    access_log: access.log\n    access_log_buffer: 4k\n    access_log_format: \
    '$request | $status | $uri | $request_uri | $real_request_uri | $args | $query_string | $http_apikey | $http_x_my_key \
    | $http_authorization | $http_cookie | $cookie_my_cookie | $cookie_jwt | $arg_apikey | $arg_my_key | $arg_jwt \
    | $arg_my_jwt | $upstream_uri | $upstream_addr | $remote_user | $consumer_name'\n";

/// What nobody may be told, in every form in which it is sent.
fn secrets() -> Vec<String> {
    let mut all =
        [KEY, WRONG_KEY, PASSWORD, WRONG_PASSWORD, PROVIDER_KEY, tokens::SECRET].map(str::to_string).to_vec();
    all.extend([basic(PASSWORD), basic(WRONG_PASSWORD)].map(|header| header.replace("Basic ", "")));
    // A token's parts too: what it says and its signature.
    all.extend(
        [tokens::TOKEN, wrong_token()].iter().flat_map(|token| token.split('.').skip(1)).map(str::to_string),
    );
    all
}

fn basic(password: &str) -> String {
    format!("Basic {}", base64(format!("jack-login:{password}").as_bytes()))
}

/// One that is signed with another secret.
fn wrong_token() -> &'static str {
    tokens::WRONG[0].1
}

#[track_caller]
fn tells_nothing(what: &str, text: &str) {
    for secret in secrets() {
        assert!(!text.contains(&secret), "{what} tells {secret}: {text}");
    }
}

/// A caller who can be known in three ways, and routes of every fate.
fn stage() -> Stage {
    let stage = Stage::on(Setup::new().settings(LOG));
    let plugins = json!({
        "key-auth": {"key": KEY},
        "basic-auth": {"username": "jack-login", "password": PASSWORD},
        "jwt-auth": {"key": tokens::KEY, "secret": tokens::SECRET},
    });
    stage.put("consumers", json!({"username": "jack", "plugins": plugins}));
    let places = json!({"key-auth": {"header": "X-My-Key", "query": "my_key"}});
    let tokens = json!({"jwt-auth": {"query": "my_jwt", "cookie": "my_cookie"}});
    stage.route("key", json!({"key-auth": {}}));
    // Its answer comes before anybody asks who is there; what is sent is a key all the same.
    let fault = json!({"fault-injection": {"abort": {"http_status": 418, "body": "early"}}});
    stage.route("early", with(fault, places.clone()));
    stage.route("my", places.clone());
    stage.route("basic", json!({"basic-auth": {}}));
    stage.route("jwt", json!({"jwt-auth": {}}));
    stage.route("my-jwt", tokens);
    let nobody = json!({"nodes": {closed_port().to_string(): 1}});
    stage.put("routes/down", json!({"uri": "/down", "plugins": places.clone(), "upstream": nobody}));
    let auth = json!({"auth": {"header": {"Authorization": format!("Bearer {PROVIDER_KEY}")}}});
    let ai = ai_route("/ai", &format!("http://{}", closed_port()), auth);
    let plugins = with(ai["plugins"].clone(), places);
    stage.put("routes/ai", with(ai, json!({"plugins": plugins})));
    stage
}

#[test]
fn a_request_leaves_no_credential_behind() {
    let stage = stage();
    let (right, wrong) = (basic(PASSWORD), basic(WRONG_PASSWORD));
    let cookies = [tokens::TOKEN, wrong_token()].map(|token| format!("a=b; jwt={token}; my_cookie={token}"));
    let mut targets: Vec<String> = Vec::new();
    for key in [KEY, WRONG_KEY] {
        for path in ["/my", "/down", "/ai", "/early"] {
            targets.extend([format!("{path}?my_key={key}"), format!("{path}?a=1&my%5Fkey={key}&b=2")]);
        }
        targets.extend([
            format!("/key?apikey={key}"),
            format!("/key?api%6Bey={key}&apikey={WRONG_KEY}"),
            format!("/my?my_key={WRONG_KEY}&my_key={key}"),
            // Nobody asks there, but the name says enough.
            format!("/nowhere?apikey={key}"),
            format!("/basic?apikey={key}"),
        ]);
    }
    for token in [tokens::TOKEN, wrong_token()] {
        targets.extend([format!("/jwt?jwt={token}"), format!("/my-jwt?my_jwt={token}&a=1")]);
    }
    let headers: [&[(&str, &str)]; 9] = [
        &[],
        &[("apikey", KEY), ("X-My-Key", KEY)],
        // The header decides; what is in the query is a credential all the same.
        &[("apikey", WRONG_KEY), ("X-My-Key", WRONG_KEY)],
        &[("Authorization", right.as_str())],
        &[("Authorization", wrong.as_str()), ("Cookie", cookies[0].as_str())],
        &[("Authorization", tokens::TOKEN)],
        &[("Authorization", wrong_token())],
        &[("Cookie", cookies[0].as_str())],
        &[("Cookie", cookies[1].as_str()), ("X-My-Key", KEY)],
    ];
    let bodies = [chat("hello").to_string(), "{not JSON".to_string()];
    let mut asked = 0;
    for target in &targets {
        for headers in headers {
            // A key in a header that nobody on the route asks for is no key to the gateway.
            let asks_mine = ["/my?", "/down", "/ai", "/early"].iter().any(|path| target.starts_with(path));
            if !asks_mine && headers.iter().any(|(name, _)| *name == "X-My-Key") {
                continue;
            }
            let body = &bodies[asked % bodies.len()];
            let answer = stage.send("POST", target, headers, body.as_bytes());
            asked += 1;
            // The backend tells what it got, which is all.
            if answer.header("x-answered-by").is_none() {
                tells_nothing("an answer", &whole(&answer));
            }
        }
    }
    let log = || fs::read_to_string(stage.gateway.home.path().join("access.log")).unwrap_or_default();
    let log = eventually("all lines of the log", || Some(log()).filter(|log| log.lines().count() >= asked));
    assert_eq!(log.lines().count(), asked);
    assert!(log.contains("***") && log.contains(" 200 ") && log.contains(" 502 "), "a strange log: {log}");
    log.lines().for_each(|line| tells_nothing("the access log", line));
    stage.gateway.records().iter().for_each(|record| tells_nothing("a record", &record.to_string()));
    tells_nothing("the program", &stage.gateway.output());
}

fn whole(answer: &Answer) -> String {
    format!("{:?} {}", answer.head.headers, answer.text())
}

#[test]
fn a_write_that_is_refused_does_not_say_the_secret_again() {
    let stage = stage();
    let consumer = |plugins: Value| json!({"username": "rose", "plugins": plugins});
    let writes = [
        ("consumers", json!({"username": "no name", "plugins": {"key-auth": {"key": WRONG_KEY}}})),
        ("consumers", consumer(json!({"key-auth": WRONG_KEY}))),
        ("consumers", consumer(json!({"key-auth": [WRONG_KEY]}))),
        ("consumers", consumer(json!({"key-auth": {"key": [WRONG_KEY]}}))),
        ("consumers", consumer(json!({"key-auth": {"key": WRONG_KEY, "_meta": {"what": 1}}}))),
        ("consumers", consumer(json!({"key-auth": {"key": WRONG_KEY, "_meta": {"filter": ["a"]}}}))),
        ("consumers", consumer(json!({"key-auth": {"key": WRONG_KEY}, "no-such-plugin": {}}))),
        ("consumers", consumer(json!({"key-auth": {"key": KEY}}))),
        ("consumers", consumer(json!({"basic-auth": {"username": 5, "password": WRONG_PASSWORD}}))),
        (
            "consumers",
            consumer(json!({"basic-auth": {"username": "jack-login", "password": WRONG_PASSWORD}})),
        ),
        (
            "consumers",
            consumer(json!({"jwt-auth": {"key": "a", "secret": tokens::SECRET, "algorithm": "RS256"}})),
        ),
        (
            "consumers",
            consumer(json!({"jwt-auth": {"key": "a", "secret": tokens::SECRET, "base64_secret": true}})),
        ),
        ("consumers/jack/credentials/c", json!({"plugins": {"key-auth": {"key": KEY}, "cors": {}}})),
        ("consumers/nobody/credentials/c", json!({"plugins": {"key-auth": {"key": WRONG_KEY}}})),
        (
            "routes/r",
            ai_route("/r", "nonsense", json!({"auth": {"header": {"Authorization": PROVIDER_KEY}}})),
        ),
        (
            "routes/r",
            ai_route(
                "/r",
                "http://h",
                json!({"auth": {"header": {"Authorization": format!("{PROVIDER_KEY}\n")}}}),
            ),
        ),
        ("routes/r", ai_route("/r", "http://h", json!({"auth": {"header": [PROVIDER_KEY]}}))),
        ("routes/r", ai_route("/r", "http://h", json!({"auth": PROVIDER_KEY}))),
    ];
    for (path, body) in writes {
        let (status, answer) = stage.gateway.admin("PUT", path, Some(&body));
        assert!(matches!(status, 400 | 404), "PUT {path} {body}: {status} {answer}");
        tells_nothing(&format!("the answer to PUT {path} {body}"), &answer.to_string());
    }
    tells_nothing("the program", &stage.gateway.output());
}
