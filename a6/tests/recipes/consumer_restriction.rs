//! Section 13: consumer-restriction.

use serde_json::{Value, json};

use super::{Stage, passes, says};
use crate::support::Answer;

const FORBIDDEN: &str = r#"{"message":"The consumer_name is forbidden."}"#;

fn rejected(kind: &str) -> String {
    format!(r#"{{"message":"The request is rejected, please check the {kind} for this request"}}"#)
}

/// The consumers jack1 and jack2, and a route `/t` that asks for a key and has this restriction.
fn restricted(conf: Value) -> Stage {
    let stage = Stage::new();
    stage.consumer("jack1", json!({}));
    stage.consumer("jack2", json!({}));
    stage.route("t", json!({"key-auth": {}, "consumer-restriction": conf}));
    stage
}

/// A request with the key of a consumer.
fn send_as(stage: &Stage, consumer: &str, method: &str) -> Answer {
    stage.send(method, "/t", &[("apikey", super::key(consumer).as_str())])
}

#[test]
fn row_13_1_who_is_on_the_whitelist_passes() {
    let stage = restricted(json!({"whitelist": ["jack1"]}));
    passes(&stage.get_as("jack1", "/t"));
    says(&stage.get_as("jack2", "/t"), 403, FORBIDDEN);
    // Names are compared whole.
    stage.consumer("jack", json!({}));
    says(&stage.get_as("jack", "/t"), 403, FORBIDDEN);
    assert_eq!(stage.echo.count(), 1);
}

#[test]
fn row_13_2_who_is_on_the_blacklist_does_not() {
    let stage = restricted(json!({"blacklist": ["bad"], "rejected_msg": "Access denied"}));
    stage.consumer("bad", json!({}));
    says(&stage.get_as("bad", "/t"), 403, r#"{"message":"Access denied"}"#);
    passes(&stage.get_as("jack1", "/t"));
    passes(&stage.get_as("jack2", "/t"));
    assert_eq!(stage.echo.count(), 2);
}

#[test]
fn row_13_3_groups_are_told_apart() {
    let stage = restricted(json!({"type": "consumer_group_id", "whitelist": ["company"]}));
    for group in ["company", "guests"] {
        stage.gateway.put(&format!("consumer_groups/{group}"), &json!({"plugins": {}}));
    }
    stage.consumer_with("jack1", json!({}), json!({"group_id": "company"}));
    stage.consumer_with("guest", json!({}), json!({"group_id": "guests"}));
    passes(&stage.get_as("jack1", "/t"));
    says(&stage.get_as("guest", "/t"), 403, r#"{"message":"The consumer_group_id is forbidden."}"#);
    says(&stage.get_as("jack2", "/t"), 401, &rejected("consumer_group_id"));
}

#[test]
fn row_13_4_who_is_nobody_is_rejected() {
    let stage = Stage::new();
    stage.consumer("jack1", json!({}));
    let confs = [
        json!({"whitelist": ["jack1"]}),
        json!({"blacklist": ["bad"]}),
        // Neither is asked for where there is nobody to judge.
        json!({"blacklist": ["bad"], "rejected_code": 402, "rejected_msg": "Access denied"}),
    ];
    for conf in confs {
        stage.route("t", json!({"consumer-restriction": conf}));
        says(&stage.get("/t", &[]), 401, &rejected("consumer_name"));
        // A key that nobody looks at, and a name that the client gives itself, make nobody somebody.
        let headers = [("apikey", "k-jack1"), ("X-Consumer-Username", "jack1")];
        says(&stage.get("/t", &headers), 401, &rejected("consumer_name"));
    }
    assert_eq!(stage.echo.count(), 0);
}

#[test]
fn row_13_5_methods_are_allowed_one_by_one() {
    let stage = restricted(json!({"allowed_by_methods": [{"user": "jack1", "methods": ["POST"]}]}));
    says(&send_as(&stage, "jack1", "GET"), 403, FORBIDDEN);
    says(&send_as(&stage, "jack1", "PUT"), 403, FORBIDDEN);
    passes(&send_as(&stage, "jack1", "POST"));
    for method in ["GET", "POST", "DELETE"] {
        passes(&send_as(&stage, "jack2", method));
    }
    let methods: Vec<String> = stage.echo.requests().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["POST", "GET", "POST", "DELETE"]);
}

#[test]
fn row_13_6_methods_do_not_count_beside_a_whitelist() {
    let by_methods =
        json!([{"user": "jack1", "methods": ["POST"]}, {"user": "jack2", "methods": ["GET", "POST"]}]);
    let stage = restricted(json!({"whitelist": ["jack1"], "allowed_by_methods": by_methods}));
    for method in ["GET", "POST", "DELETE"] {
        passes(&send_as(&stage, "jack1", method));
        says(&send_as(&stage, "jack2", method), 403, FORBIDDEN);
    }
}

#[test]
fn row_13_7_the_blacklist_wins() {
    let stage = restricted(json!({"blacklist": ["jack1"], "whitelist": ["jack1", "jack2"]}));
    says(&stage.get_as("jack1", "/t"), 403, FORBIDDEN);
    passes(&stage.get_as("jack2", "/t"));
}

#[test]
fn row_13_8_a_consumer_may_be_held_to_a_service_or_a_route() {
    let stage = Stage::new();
    for service in ["1", "2"] {
        stage.gateway.put(&format!("services/{service}"), &json!({"upstream": stage.echo.upstream()}));
    }
    let services = [("1", Some("1")), ("2", Some("2")), ("3", None)];
    for (id, service) in services {
        let more = service.map_or(json!({}), |service| json!({"service_id": service}));
        stage.route_with(id, json!({"key-auth": {}}), more);
    }
    for (name, kind) in [("of-service", "service_id"), ("of-route", "route_id")] {
        let conf = json!({"type": kind, "whitelist": ["1"]});
        stage.consumer(name, json!({"consumer-restriction": conf}));
    }
    stage.consumer("free", json!({}));
    passes(&stage.get_as("of-service", "/1"));
    says(&stage.get_as("of-service", "/2"), 403, r#"{"message":"The service_id is forbidden."}"#);
    says(&stage.get_as("of-service", "/3"), 401, &rejected("service_id"));
    passes(&stage.get_as("of-route", "/1"));
    for target in ["/2", "/3"] {
        says(&stage.get_as("of-route", target), 403, r#"{"message":"The route_id is forbidden."}"#);
    }
    for target in ["/1", "/2", "/3"] {
        passes(&stage.get_as("free", target));
    }
}

#[test]
fn row_13_9_the_status_is_a_choice() {
    for code in [402, 404] {
        let stage = restricted(json!({"whitelist": ["jack1"], "rejected_code": code}));
        says(&stage.get_as("jack2", "/t"), code, FORBIDDEN);
        passes(&stage.get_as("jack1", "/t"));
    }
}

#[test]
fn row_13_10_one_of_three_lists_must_be_there() {
    let stage = Stage::new();
    for conf in [json!({}), json!({"type": "consumer_name", "rejected_code": 402})] {
        let route = json!({
            "uri": "/t", "plugins": {"consumer-restriction": conf}, "upstream": stage.echo.upstream(),
        });
        assert_eq!(
            stage.refusal("routes/t", &route),
            "failed to check the configuration of plugin consumer-restriction err: object matches none of \
             the required: [\"blacklist\"] or [\"whitelist\"] or [\"allowed_by_methods\"]"
        );
    }
}

#[test]
fn row_13_11_a_wrong_key_is_judged_first() {
    let stage = restricted(json!({"whitelist": ["jack1"]}));
    let answer = stage.get_as("nobody", "/t");
    says(&answer, 401, r#"{"message":"Invalid API key in request"}"#);
    assert_eq!(answer.header("www-authenticate"), Some("apikey realm=\"key\""));
    assert_eq!(stage.echo.count(), 0);
}
