//! Which copy of a plugin counts, by where it is written.

use serde_json::{Value, json};

use crate::engine::{Stage, passes, says, tag, with};
use crate::support::Answer;

/// Where a plugin may be written, the strongest last.
const LAYERS: [&str; 5] = ["service", "config", "route", "group", "consumer"];

/// What the anonymous consumer of a route is called.
const GUEST: &str = "guest";

/// Writes a route `/t` with key-auth and all that it may be made of, and its caller `jack`; each layer brings what
/// `plugins` says of it.
fn write(stage: &Stage, plugins: impl Fn(&str) -> Value) {
    stage.put("services/s", json!({"plugins": plugins("service"), "upstream": stage.echo.upstream()}));
    stage.put("plugin_configs/c", json!({"plugins": plugins("config")}));
    let own = with(json!({"key-auth": {}}), plugins("route"));
    let route = json!({"uri": "/t", "service_id": "s", "plugin_config_id": "c", "plugins": own});
    stage.put("routes/t", route);
    stage.put("consumer_groups/g", json!({"plugins": plugins("group")}));
    stage.consumer("jack", plugins("consumer"), json!({"group_id": "g"}));
}

/// The headers whose names begin with `x-from-`, without that beginning.
fn from(headers: &[(String, String)]) -> Vec<&str> {
    headers.iter().filter_map(|(name, _)| name.strip_prefix("x-from-")).collect()
}

/// Two headers: one that all layers set, and one of the layer's own, which is lost where another copy counts.
fn two_headers(layer: &str) -> Value {
    json!({"set": {"X-Layer": layer, format!("X-From-{layer}"): "1"}})
}

/// Calls `each` with every set of layers, as a function that tells whether a layer is in it.
fn every_set(mut each: impl FnMut(&dyn Fn(&str) -> bool)) {
    for set in 0..1 << LAYERS.len() {
        each(&|layer: &str| {
            let place = LAYERS.iter().position(|known| *known == layer);
            place.is_some_and(|place| (set >> place) & 1 == 1)
        });
    }
}

fn strongest<'l>(layers: &[&'l str], is_in: &dyn Fn(&str) -> bool) -> Option<&'l str> {
    layers.iter().rev().find(|layer| is_in(layer)).copied()
}

#[test]
fn the_strongest_copy_counts_whole() {
    let stage = Stage::new();
    every_set(|is_in| {
        write(&stage, |layer| match is_in(layer) {
            true => json!({
                // Of the access phase; it answers in the backend's place.
                "mocking": {"response_example": layer, "content_type": "text/plain"},
                // Of the header_filter phase.
                "response-rewrite": {"headers": two_headers(layer)},
            }),
            false => json!({}),
        });
        let answer = stage.get_as("jack", "/t");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let expected = strongest(&LAYERS, is_in);
        assert_eq!(from(&answer.head.headers), expected.as_slice());
        assert_eq!(answer.header("x-layer"), expected);
        match expected {
            Some(layer) => assert_eq!(answer.text(), layer),
            None => passes(&answer),
        }
    });
}

#[test]
fn what_the_route_has_rewritten_the_caller_does_not_rewrite_again() {
    let stage = Stage::new();
    every_set(|is_in| {
        write(&stage, |layer| match is_in(layer) {
            true => json!({"proxy-rewrite": {"headers": two_headers(layer)}}),
            false => json!({}),
        });
        passes(&stage.get_as("jack", "/t"));
        let seen = stage.echo.last();
        // The caller's plugins come when the rewrite phase of the route's is over.
        let expected = strongest(&LAYERS[..3], is_in).or(strongest(&LAYERS[3..], is_in));
        assert_eq!(from(&seen.headers), expected.as_slice());
        assert_eq!(seen.header("x-layer"), expected);
    });
}

#[test]
fn a_copy_that_is_disabled_switches_the_weaker_ones_off() {
    let stage = Stage::new();
    for (strongest, name) in LAYERS.iter().enumerate() {
        let is_weaker = |layer: &str| LAYERS[..strongest].contains(&layer);
        write(&stage, |layer| match layer == *name {
            // What is switched off need not be right, or even there.
            true => {
                json!({"response-rewrite": {"_meta": {"disable": true}}, "mocking": {"_meta": {"disable": true}}})
            }
            false if is_weaker(layer) => json!({
                "response-rewrite": {"headers": two_headers(layer)},
                "mocking": {"response_example": layer},
            }),
            false => json!({}),
        });
        let answer = stage.get_as("jack", "/t");
        passes(&answer);
        assert_eq!(from(&answer.head.headers), Vec::<&str>::new(), "{name}");
    }
}

#[test]
fn a_disabled_copy_and_the_rewrite_phase() {
    let off = || json!({"proxy-rewrite": {"_meta": {"disable": true}}});
    let on = |layer: &str| json!({"proxy-rewrite": {"headers": two_headers(layer)}});
    let stage = Stage::new();
    let cases = [
        // What is off, and what is on; which copy has run.
        ("service", "route", Some("route")),
        ("route", "service", None),
        // The route's copy has run before the caller's plugins came.
        ("consumer", "route", Some("route")),
        ("group", "config", Some("config")),
        // The caller's copy takes the place of one whose phase is over.
        ("route", "consumer", None),
        ("group", "consumer", Some("consumer")),
        ("consumer", "group", None),
    ];
    for (is_off, is_on, expected) in cases {
        write(&stage, |layer| match layer {
            layer if layer == is_off => off(),
            layer if layer == is_on => on(layer),
            _ => json!({}),
        });
        passes(&stage.get_as("jack", "/t"));
        let seen = stage.echo.last();
        assert_eq!(from(&seen.headers), expected.as_slice(), "{is_off} is off, {is_on} is on");
    }
}

#[test]
fn nobody_who_is_not_known_brings_plugins() {
    let stage = Stage::new();
    let brings = |name: &str| {
        with(tag("X-Brought", name), json!({"proxy-rewrite": {"headers": {"set": {"X-Brought": name}}}}))
    };
    stage.put("consumer_groups/g", json!({"plugins": tag("X-Of-Group", "g")}));
    stage.consumer("jack", brings("jack"), json!({"group_id": "g"}));
    stage.consumer("rose", json!({}), json!({}));
    stage.route("open", json!({}));
    stage.route("closed", json!({"key-auth": {}}));
    let credential = json!({"plugins": {"key-auth": {"key": "k-credential"}}});
    stage.put("consumers/jack/credentials/c1", credential);
    // Path and key; what jack's and what the group's plugins have done.
    let cases = [
        ("/open", "k-jack", None),
        ("/open", "k-credential", None),
        ("/closed", "k-jack", Some("jack")),
        ("/closed", "k-rose", None),
        ("/closed", "k-credential", Some("jack")),
        ("/closed", "k-jack", Some("jack")),
        ("/open", "k-jack", None),
    ];
    for (path, key, brought) in cases {
        let answer = stage.get(path, &[("apikey", key)]);
        passes(&answer);
        assert_eq!(answer.header("x-brought"), brought, "{path} {key}");
        // The group's copy of response-rewrite gives way to the consumer's.
        assert_eq!(answer.header("x-of-group"), None, "{path} {key}");
        assert_eq!(stage.echo.last().header("x-brought"), brought, "{path} {key}");
    }
    let refused = stage.get("/closed", &[("apikey", "k-nobody")]);
    assert_eq!((refused.status, refused.header("x-brought")), (401, None));
}

#[test]
fn whoever_is_not_known_brings_the_anonymous_consumers_plugins() {
    let stage = Stage::new();
    let group =
        with(tag("X-Layer", "group"), json!({"proxy-rewrite": {"headers": {"set": {"X-Group": "1"}}}}));
    stage.put("consumer_groups/g", json!({"plugins": group}));
    stage.put("consumers", json!({"username": GUEST, "group_id": "g", "plugins": tag("X-Layer", GUEST)}));
    stage.consumer("jack", tag("X-Layer", "jack"), json!({}));
    let key_auth = json!({"key-auth": {"anonymous_consumer": GUEST}});
    stage.route("t", with(key_auth, tag("X-Layer", "route")));
    let cases: [(&[(&str, &str)], &str); 3] =
        [(&[], GUEST), (&[("apikey", "wrong")], GUEST), (&[("apikey", "k-jack")], "jack")];
    for (headers, name) in cases {
        let answer = stage.get("/t", headers);
        passes(&answer);
        assert_eq!(answer.header("x-layer"), Some(name), "{headers:?}");
        let seen = stage.echo.last();
        assert_eq!(seen.header("x-consumer-username"), Some(name), "{headers:?}");
        assert_eq!(seen.header("x-group"), (name == GUEST).then_some("1"), "{headers:?}");
    }
}

#[test]
fn a_caller_whose_group_is_gone_is_not_served() {
    let stage = Stage::new();
    stage.put("consumer_groups/g", json!({"plugins": tag("X-Group", "1")}));
    stage.consumer("jack", json!({}), json!({"group_id": "g"}));
    stage.consumer("rose", json!({}), json!({}));
    stage.put("consumers", json!({"username": GUEST, "group_id": "g"}));
    stage.route("t", json!({"key-auth": {}}));
    stage.route("open", json!({"key-auth": {"anonymous_consumer": GUEST}}));
    stage.route("free", json!({}));
    let in_group = |answer: Answer| {
        passes(&answer);
        assert_eq!(answer.header("x-group"), Some("1"));
    };
    in_group(stage.get_as("jack", "/t"));
    in_group(stage.get("/open", &[]));

    let (status, answer) = stage.gateway.admin("DELETE", "consumer_groups/g", None);
    let in_use = answer["error_msg"].as_str().unwrap_or_default();
    assert_eq!(status, 400, "{answer}");
    assert!(in_use.starts_with("can not delete this consumer group, consumer ["), "{answer}");
    stage.gateway.delete("consumer_groups/g?force=true");
    let served = stage.echo.count();
    for answer in [stage.get_as("jack", "/t"), stage.get("/open", &[])] {
        assert_eq!(answer.status, 503, "{}", answer.text());
        let text = answer.json()["error_msg"].as_str().unwrap_or_default().to_string();
        assert!(text.contains("group g "), "the text does not name the group: {text}");
    }
    assert_eq!(stage.echo.count(), served, "a caller without its group reached the backend");
    says(&stage.get("/t", &[]), 401, r#"{"message":"Missing API key in request"}"#);
    passes(&stage.get_as("rose", "/t"));
    passes(&stage.get_as("jack", "/free"));

    stage.put("consumer_groups/g", json!({"plugins": tag("X-Group", "1")}));
    in_group(stage.get_as("jack", "/t"));
    in_group(stage.get("/open", &[]));
}
