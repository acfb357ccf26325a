//! Section 8: key-auth.

use serde_json::json;

use super::{Stage, passes, says};
use crate::support::Setup;

const MISSING: &str = r#"{"message":"Missing API key in request"}"#;
const INVALID: &str = r#"{"message":"Invalid API key in request"}"#;

/// The consumer jack with key `k-jack`, and a route `/t` that asks for a key.
fn jack() -> Stage {
    let stage = Stage::new();
    stage.consumer("jack", json!({}));
    stage.route("t", json!({"key-auth": {}}));
    stage
}

#[test]
fn row_8_1_the_key_comes_in_a_header_or_else_in_the_query() {
    let stage = jack();
    passes(&stage.get("/t", &[("apikey", "k-jack")]));
    assert_eq!(stage.echo.last().header("apikey"), Some("k-jack"));
    passes(&stage.get("/t?apikey=k-jack", &[]));
    assert_eq!(stage.echo.last().target, "/t?apikey=k-jack");
    passes(&stage.get("/t?x=1&apikey=k%2Djack", &[]));
    passes(&stage.get("/t?apikey=wrong", &[("apikey", "k-jack")]));
    assert_eq!(stage.echo.count(), 4);
    says(&stage.get("/t?apikey=k-jack", &[("apikey", "wrong")]), 401, INVALID);
    assert_eq!(stage.echo.count(), 4);
}

#[test]
fn row_8_2_without_a_right_key_there_is_a_challenge() {
    let stage = jack();
    let cases: [(&str, &[(&str, &str)], &str); 10] = [
        ("/t", &[], MISSING),
        ("/t?x=apikey", &[], MISSING),
        ("/t?APIKEY=k-jack", &[], MISSING),
        ("/t", &[("apikey", "wrong")], INVALID),
        ("/t", &[("apikey", "K-JACK")], INVALID),
        ("/t", &[("apikey", "k-jack2")], INVALID),
        ("/t?apikey=wrong", &[], INVALID),
        ("/t?apikey", &[], INVALID),
        ("/t?apikey=", &[], INVALID),
        ("/t?apikey=k-jack&apikey=k-jack", &[], INVALID),
    ];
    for (target, headers, body) in cases {
        let answer = stage.get(target, headers);
        assert_eq!((answer.status, answer.text()), (401, format!("{body}\n")), "{target} {headers:?}");
        assert_eq!(answer.header("www-authenticate"), Some("apikey realm=\"key\""), "{target} {headers:?}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{target} {headers:?}");
    }
    assert_eq!(stage.echo.count(), 0);
}

#[test]
fn row_8_3_header_query_and_realm_have_names_of_ones_own() {
    let stage = jack();
    let conf = json!({"header": "X-Api-Token", "query": "token", "realm": "my realm"});
    stage.route("own", json!({"key-auth": conf}));
    for name in ["X-Api-Token", "x-api-token", "X-API-TOKEN"] {
        passes(&stage.get("/own", &[(name, "k-jack")]));
    }
    passes(&stage.get("/own?token=k-jack", &[]));
    let others: [(&str, &[(&str, &str)]); 4] = [
        ("/own", &[("apikey", "k-jack")]),
        ("/own?apikey=k-jack", &[]),
        ("/own", &[("Cookie", "apikey=k-jack; token=k-jack; X-Api-Token=k-jack")]),
        ("/own", &[("Authorization", "k-jack")]),
    ];
    for (target, headers) in others {
        let answer = stage.get(target, headers);
        assert_eq!((answer.status, answer.text()), (401, format!("{MISSING}\n")), "{target} {headers:?}");
        assert_eq!(answer.header("www-authenticate"), Some("apikey realm=\"my realm\""));
    }
    says(&stage.get("/t", &[("Cookie", "apikey=k-jack")]), 401, MISSING);
}

#[test]
fn row_8_4_a_hidden_key_stays_with_the_gateway() {
    let stage = jack();
    stage.route("hide", json!({"key-auth": {"hide_credentials": true}}));
    passes(&stage.get("/hide?x=1", &[("apikey", "k-jack"), ("X-Other", "stays")]));
    let seen = stage.echo.last();
    assert_eq!((seen.header("apikey"), seen.header("x-other")), (None, Some("stays")));
    assert_eq!(seen.target, "/hide?x=1");
    let cases = [
        ("/hide?apikey=k-jack", "/hide"),
        ("/hide?apikey=k-jack&x=1&y=2", "/hide?x=1&y=2"),
        ("/hide?x=1&apikey=k-jack&y=2", "/hide?x=1&y=2"),
        ("/hide?x=a%20b&y=2&apikey=k-jack", "/hide?x=a%20b&y=2"),
    ];
    for (sent, seen) in cases {
        passes(&stage.get(sent, &[]));
        assert_eq!(stage.echo.last().target, seen, "{sent}");
    }
    assert!(!format!("{:?}", stage.echo.requests()).contains("k-jack"), "{:?}", stage.echo.requests());
}

#[test]
fn row_8_4_a_wrong_key_is_hidden_too_where_anybody_may_enter() {
    let stage = jack();
    stage.gateway.put("consumers", &json!({"username": "guest"}));
    let conf = json!({"hide_credentials": true, "anonymous_consumer": "guest"});
    stage.route("hide", json!({"key-auth": conf}));
    passes(&stage.get("/hide?x=1&apikey=wrong-2", &[("apikey", "wrong-1")]));
    let seen = stage.echo.last();
    assert_eq!((seen.header("apikey"), seen.target.as_str()), (None, "/hide?x=1"));
    assert_eq!(seen.header("x-consumer-username"), Some("guest"));
}

#[test]
fn row_8_5_the_key_is_the_consumers_or_a_credentials() {
    let stage = jack();
    let credential = json!({"plugins": {"key-auth": {"key": "k-credential"}}});
    stage.gateway.put("consumers/jack/credentials/c1", &credential);
    for (key, credential) in [("k-jack", None), ("k-credential", Some("c1")), ("k-jack", None)] {
        passes(&stage.get("/t", &[("apikey", key), ("X-Credential-Identifier", "evil")]));
        let seen = stage.echo.last();
        assert_eq!(seen.header("x-consumer-username"), Some("jack"), "{key}");
        assert_eq!(seen.header("x-credential-identifier"), credential, "{key}");
    }
}

#[test]
fn row_8_6_a_label_is_sent_as_the_customers_id() {
    let stage = jack();
    stage.consumer_with("rose", json!({}), json!({"labels": {"custom_id": "c-42", "team": "x"}}));
    let credential = json!({"plugins": {"key-auth": {"key": "k-credential"}}});
    stage.gateway.put("consumers/rose/credentials/c1", &credential);
    for (key, id) in [("k-rose", Some("c-42")), ("k-credential", Some("c-42")), ("k-jack", None)] {
        passes(&stage.get("/t", &[("apikey", key), ("X-Consumer-Custom-ID", "evil")]));
        assert_eq!(stage.echo.last().header("x-consumer-custom-id"), id, "{key}");
    }
}

#[test]
fn row_8_7_who_has_no_right_key_is_the_anonymous_consumer() {
    let stage = jack();
    let limit = json!({"count": 2, "time_window": 3600, "rejected_code": 429, "rejected_msg": "guests wait"});
    stage.gateway.put("consumers", &json!({"username": "guest", "plugins": {"limit-count": limit}}));
    stage.route("open", json!({"key-auth": {"anonymous_consumer": "guest"}}));
    let strangers: [&[(&str, &str)]; 2] = [&[], &[("apikey", "wrong")]];
    for headers in strangers {
        let answer = stage.get("/open", headers);
        passes(&answer);
        assert_eq!(answer.header("x-ratelimit-limit"), Some("2"), "{headers:?}");
        assert_eq!(answer.header("www-authenticate"), None, "{headers:?}");
        assert_eq!(stage.echo.last().header("x-consumer-username"), Some("guest"), "{headers:?}");
    }
    for headers in strangers {
        says(&stage.get("/open", headers), 429, r#"{"error_msg":"guests wait"}"#);
    }
    let answer = stage.get_as("jack", "/open");
    passes(&answer);
    assert_eq!(answer.header("x-ratelimit-limit"), None);
    assert_eq!(stage.echo.last().header("x-consumer-username"), Some("jack"));
}

#[test]
fn row_8_8_an_anonymous_consumer_that_is_not_there_lets_nobody_in() {
    let stage = jack();
    stage.route("open", json!({"key-auth": {"anonymous_consumer": "nobody"}}));
    let strangers: [&[(&str, &str)]; 2] = [&[], &[("apikey", "wrong")]];
    for headers in strangers {
        let answer = stage.get("/open", headers);
        says(&answer, 401, r#"{"message":"Invalid user authorization"}"#);
        assert_eq!(answer.header("www-authenticate"), Some("apikey realm=\"key\""), "{headers:?}");
    }
    passes(&stage.get_as("jack", "/open"));
    assert_eq!(stage.echo.count(), 1);
}

#[test]
fn row_8_9_two_consumers_do_not_share_a_key() {
    let stage = jack();
    let rose = json!({"username": "rose", "plugins": {"key-auth": {"key": "k-jack"}}});
    let why = "duplicate key of plugin key-auth found with consumer: jack";
    assert_eq!(stage.refusal("consumers", &rose), why);
    passes(&stage.get_as("jack", "/t"));
    assert_eq!(stage.echo.last().header("x-consumer-username"), Some("jack"));
    // One's own key is no other's.
    stage.consumer("jack", json!({}));
}

#[test]
fn row_8_10_a_key_may_stand_in_the_environment() {
    let stage = Stage::on(Setup::new().variable("A6_TEST_KEY", "sesame"));
    for (name, variable) in [("jack", "A6_TEST_KEY"), ("rose", "A6_TEST_UNSET")] {
        stage.consumer(name, json!({"key-auth": {"key": format!("$env://{variable}")}}));
    }
    stage.route("t", json!({"key-auth": {}}));
    passes(&stage.get("/t", &[("apikey", "sesame")]));
    assert_eq!(stage.echo.last().header("x-consumer-username"), Some("jack"));
    let literal = ["$env://A6_TEST_KEY", "$env://A6_TEST_UNSET", "A6_TEST_KEY", "A6_TEST_UNSET"];
    for key in literal {
        says(&stage.get("/t", &[("apikey", key)]), 401, INVALID);
    }
    says(&stage.get("/t?apikey=", &[]), 401, INVALID);
    assert_eq!(stage.echo.count(), 1);
}

#[test]
fn row_8_11_a_consumers_plugin_has_a_key() {
    let stage = Stage::new();
    let consumer = json!({"username": "jack", "plugins": {"key-auth": {}}});
    assert_eq!(
        stage.refusal("consumers", &consumer),
        "invalid plugins configuration: failed to check the configuration of plugin key-auth err: \
         property \"key\" is required"
    );
}

#[test]
fn row_8_12_reading_a_consumer_shows_its_key() {
    let stage = jack();
    let (status, consumer) = stage.gateway.admin("GET", "consumers/jack", None);
    assert_eq!((status, &consumer["value"]["plugins"]["key-auth"]["key"]), (200, &json!("k-jack")));
    let (status, list) = stage.gateway.admin("GET", "consumers", None);
    assert_eq!((status, &list["list"][0]["value"]["plugins"]["key-auth"]["key"]), (200, &json!("k-jack")));
}

#[test]
fn row_8_12_the_answer_to_a_write_shows_no_key() {
    let stage = Stage::new();
    let consumer = json!({"username": "jack", "plugins": {"key-auth": {"key": "k-jack"}}});
    let (status, answer) = stage.gateway.admin("PUT", "consumers", Some(&consumer));
    assert_eq!(status, 201, "{answer}");
    let shown = answer["value"]["plugins"]["key-auth"]["key"].as_str().unwrap_or_default();
    assert!(!shown.is_empty() && !answer.to_string().contains("k-jack"), "{answer}");
    // What is shown is no key either.
    stage.route("t", json!({"key-auth": {}}));
    says(&stage.get("/t", &[("apikey", shown)]), 401, INVALID);
    passes(&stage.get_as("jack", "/t"));
}

#[test]
fn row_8_13_a_new_key_replaces_the_old_one() {
    let stage = jack();
    passes(&stage.get("/t", &[("apikey", "k-jack")]));
    for (old, new) in [("k-jack", "second"), ("second", "third")] {
        stage.consumer("jack", json!({"key-auth": {"key": new}}));
        says(&stage.get("/t", &[("apikey", old)]), 401, INVALID);
        passes(&stage.get("/t", &[("apikey", new)]));
    }
}

#[test]
fn row_8_14_a_consumer_goes_with_its_credentials() {
    let stage = jack();
    stage.consumer("rose", json!({}));
    let credential = json!({"plugins": {"key-auth": {"key": "k-credential"}}});
    stage.gateway.put("consumers/jack/credentials/c1", &credential);
    passes(&stage.get("/t", &[("apikey", "k-credential")]));
    stage.gateway.delete("consumers/jack");
    for key in ["k-jack", "k-credential"] {
        says(&stage.get("/t", &[("apikey", key)]), 401, INVALID);
    }
    passes(&stage.get_as("rose", "/t"));
    for path in ["consumers/jack/credentials/c1", "consumers/jack/credentials"] {
        assert_eq!(stage.gateway.admin("GET", path, None).0, 404, "{path}");
    }
    // Nor do they come back with the consumer.
    stage.consumer("jack", json!({}));
    says(&stage.get("/t", &[("apikey", "k-credential")]), 401, INVALID);
}
