use std::time::{Duration, Instant};

use a6_resources::expr::{Operand, Variable, Variables};
use a6_resources::{Catalogue, ConfKind};
use http::HeaderMap;

use super::*;
use crate::support::testing;

fn compile(conf: &Value, owner: &str, shared: &Shared) -> Result<LimitCount, String> {
    LimitCount::compile(conf, &Site { owner, ..testing::site() }, shared)
}

/// The status that ends a request, 0 for none, the body of that answer, and the headers that were asked for.
fn ask(plugin: &LimitCount, headers: &[(&str, &str)], began: Instant) -> (u16, String, HeaderMap, Exchange) {
    let mut exchange = testing::exchange("GET", "/t", headers, "");
    exchange.record.started = began;
    let (status, body) = match testing::run(plugin.access(&mut exchange)) {
        Ok(()) => (0, String::new()),
        Err(Stop::Reply(reply)) => (reply.status.as_u16(), String::from_utf8(reply.body.to_vec()).unwrap()),
        Err(Stop::Fault(fault)) => (fault.status.as_u16(), fault.text.to_string()),
    };
    let mut headers = HeaderMap::new();
    exchange.answer.apply(&mut headers);
    (status, body, headers, exchange)
}

fn told(headers: &HeaderMap) -> String {
    let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        format!("{name}={}", value.to_str().unwrap()).replace("ratelimit-", "")
    };
    headers.iter().map(text).collect::<Vec<_>>().join(" ")
}

#[test]
fn requests_are_counted_by_key_and_told_their_quota() {
    type Case = (Value, &'static [(&'static str, u16, &'static str)]);
    let cases: [Case; 7] = [
        (
            json!({"count": 2, "time_window": 60}),
            &[
                ("", 0, "x-limit=2 x-remaining=1 x-reset=60"),
                ("", 0, "x-limit=2 x-remaining=0 x-reset=60"),
                ("", 503, "x-limit=2 x-remaining=0 x-reset=60"),
            ],
        ),
        (
            json!({"count": 1, "time_window": 60, "show_limit_quota_header": false, "rejected_code": 429}),
            &[("", 0, ""), ("", 429, "")],
        ),
        (
            json!({"count": 1, "time_window": 9, "key": "http_a"}),
            &[
                ("1", 0, "x-limit=1 x-remaining=0 x-reset=9"),
                ("2", 0, "x-limit=1 x-remaining=0 x-reset=9"),
                ("1", 503, "x-limit=1 x-remaining=0 x-reset=9"),
            ],
        ),
        (
            json!({"count": 1, "time_window": 60, "key_type": "constant", "key": "all"}),
            &[
                ("1", 0, "x-limit=1 x-remaining=0 x-reset=60"),
                ("2", 503, "x-limit=1 x-remaining=0 x-reset=60"),
            ],
        ),
        (
            json!({"count": "$http_a", "time_window": "60"}),
            &[("3", 0, "x-limit=3 x-remaining=2 x-reset=60"), ("x", 500, ""), ("0", 500, "")],
        ),
        (
            json!({"count": "$http_a", "time_window": 60, "allow_degradation": true}),
            &[("x", 0, ""), ("", 0, "")],
        ),
        (json!({"rules": []}), &[("1", 500, "")]),
    ];
    for (conf, requests) in cases {
        let plugin = compile(&conf, "/routes/1", &testing::shared()).unwrap();
        let began = Instant::now();
        for (index, (header, status, headers)) in requests.iter().enumerate() {
            let (found, _, answer, _) = ask(&plugin, &[("a", *header)], began);
            assert_eq!((found, told(&answer).as_str()), (*status, *headers), "{conf}, request {index}");
        }
    }
}

#[test]
fn every_rule_counts_for_itself_and_the_first_that_refuses_ends() {
    let conf = json!({"rules": [
        {"count": 2, "time_window": 60, "key": "${http_a}"},
        {"count": 1, "time_window": 60, "key": "${http_b}", "header_prefix": "bee"},
        {"count": 1, "time_window": 60, "key": "constant"},
    ]});
    let plugin = compile(&conf, "/routes/1", &testing::shared()).unwrap();
    let (a, b, none): (&[_], &[_], &[_]) = (&[("a", "1")], &[("a", "1"), ("b", "1")], &[]);
    let first = "x-1-limit=2 x-1-remaining";
    let bee = "x-1-reset=60 x-bee-limit=1 x-bee-remaining=0 x-bee-reset=60";
    let cases = [
        (b, 0, format!("{first}=1 {bee}")),
        (b, 503, format!("{first}=0 {bee}")),
        (a, 503, format!("{first}=0 x-1-reset=60")),
        (none, 500, String::new()),
    ];
    let began = Instant::now();
    for (headers, status, expected) in cases {
        let (found, _, answer, _) = ask(&plugin, headers, began);
        assert_eq!((found, told(&answer)), (status, expected));
    }
}

#[test]
fn a_window_ends_and_another_begins() {
    for window_type in ["fixed", "sliding"] {
        let conf = json!({
            "count": 1, "time_window": 1, "window_type": window_type, "rejected_msg": "slow \"down\"",
        });
        let plugin = compile(&conf, "/routes/1", &testing::shared()).unwrap();
        let began = Instant::now() + Duration::from_secs(10);
        assert_eq!(ask(&plugin, &[], began).0, 0);
        let (status, body, ..) = ask(&plugin, &[], began);
        assert_eq!((status, body.as_str()), (503, "{\"error_msg\":\"slow \\\"down\\\"\"}\n"));
        let (status, _, headers, _) = ask(&plugin, &[], began + Duration::from_secs(3));
        assert_eq!((status, &headers["x-ratelimit-remaining"]), (0, &http::HeaderValue::from(0)));
    }
}

#[test]
fn counters_belong_to_owner_and_content_and_outlive_the_compiled() {
    let shared = testing::shared();
    let conf = json!({"count": 1, "time_window": 60});
    let changed = json!({"count": 1, "time_window": 60, "rejected_code": 429});
    let began = Instant::now();
    let cases = [
        (&conf, "/routes/1", 0),
        (&conf, "/routes/1", 503),
        (&conf, "/routes/2", 0),
        (&changed, "/routes/1", 0),
        (&changed, "/routes/1", 429),
        (&conf, "/routes/1", 503),
    ];
    for (conf, owner, expected) in cases {
        let plugin = compile(conf, owner, &shared).unwrap();
        assert_eq!(ask(&plugin, &[], began).0, expected, "{conf} on {owner}");
    }
}

#[test]
fn a_group_counts_together_and_must_agree() {
    let shared = testing::shared();
    let conf = json!({"count": 2, "time_window": 60, "group": "g"});
    let same = json!({"group": "g", "time_window": 60, "count": 2, "key": "remote_addr", "unknown": 1});
    let other = json!({"count": 3, "time_window": 60, "group": "g"});
    let first = compile(&conf, "/routes/1", &shared).unwrap();
    let second = compile(&same, "/routes/2", &shared).unwrap();
    assert_eq!(compile(&other, "/routes/3", &shared).unwrap_err(), "group conf mismatched");
    assert!(compile(&other, "", &shared).is_ok(), "a check does not know the owner");
    let began = Instant::now();
    for (plugin, expected) in [(&first, 0), (&second, 0), (&first, 503), (&second, 503)] {
        assert_eq!(ask(plugin, &[], began).0, expected);
    }
}

#[test]
fn metadata_name_the_headers_at_once() {
    let shared = testing::shared();
    let plugin = compile(&json!({"count": 9, "time_window": 60}), "/routes/1", &shared).unwrap();
    let began = Instant::now();
    shared.metadata.set(NAME, Some(&json!({"limit_header": "L"})));
    assert_eq!(told(&ask(&plugin, &[], began).2), "l=9 x-remaining=8 x-reset=60");
    shared.metadata.set(NAME, None);
    assert_eq!(told(&ask(&plugin, &[], began).2), "x-limit=9 x-remaining=7 x-reset=60");
}

#[test]
fn a_variable_tells_of_the_last_rule() {
    let conf = json!({"count": 1, "time_window": 60, "key": "http_a"});
    let plugin = compile(&conf, "/routes/1", &testing::shared()).unwrap();
    let began = Instant::now();
    for status in [0, 503] {
        let (found, _, _, exchange) = ask(&plugin, &[("a", "\"k\"")], began);
        let value = exchange.value(&Variable::Named("rate_limiting_info".to_string()));
        let expected = "{\"rate_limiting_key\":\"\\\"k\\\"\",\"rate_limiting_limit\":1,\
                        \"rate_limiting_remaining\":0,\"rate_limiting_reset\":60}";
        assert_eq!((found, value.map(Operand::into_text).as_deref()), (status, Some(expected)));
    }
}

#[test]
fn unusable_configurations_are_refused_by_name() {
    let none = "value should match only one schema, but matches none";
    let rule = json!({"count": 1, "time_window": 1, "key": "a"});
    let cases = [
        (json!({}), none.to_string()),
        (json!({"count": 1}), none.to_string()),
        (json!({"count": 0, "time_window": 1}), format!("property \"count\" validation failed: {none}")),
        (json!({"count": 1, "time_window": 60, "rules": [rule]}), BOTH_FORMS.to_string()),
        (json!({"count": 1, "rules": [rule]}), BOTH_FORMS.to_string()),
        (
            json!({"group": "g", "rules": [rule]}),
            "group and rules cannot be specified at the same time".to_string(),
        ),
        (json!({"rules": [rule, rule]}), "duplicate key 'a' in rules".to_string()),
        (
            json!({"count": 1, "time_window": 60, "sync_interval": 0.05}),
            "sync_interval should not be smaller than 0.1".to_string(),
        ),
        (
            json!({"count": 1, "time_window": 60, "sync_interval": 60}),
            "sync_interval should be smaller than time_window".to_string(),
        ),
        (json!({"count": 1, "time_window": 60, "policy": "redis"}), "then clause did not match".to_string()),
        (
            json!({"count": 1, "time_window": 60, "policy": "redis-cluster"}),
            "else clause did not match".to_string(),
        ),
        (
            json!({"count": 1, "time_window": 60, "policy": "redis", "redis_host": "127.0.0.1"}),
            "policy redis is not supported yet; use local".to_string(),
        ),
    ];
    let builtins = crate::Builtins::default();
    for (conf, expected) in cases {
        assert_eq!(builtins.check(NAME, &conf, ConfKind::Route).unwrap_err(), expected, "{conf}");
    }
    let accepted = [
        json!({"count": "a", "time_window": 60}),
        json!({"rules": []}),
        json!({"count": 1, "time_window": "$http_w", "sync_interval": 60, "group": "g"}),
        json!({"count": 1, "time_window": 60, "sync_interval": -1}),
    ];
    for conf in accepted {
        assert_eq!(builtins.check(NAME, &conf, ConfKind::Route), Ok(()), "{conf}");
    }
}
