//! Section 2: tenants told apart by key, group, host or header.

use serde_json::{Value, json};

use super::{Stage, passes, says};
use crate::support::{Answer, Connection, Echo, Gateway, Setup, request};

const EXCEEDED: &str = r#"{"error_msg":"Free tier quota exceeded"}"#;

fn quota(count: u32) -> Value {
    json!({
        "count": count, "time_window": 3600, "key_type": "var", "key": "consumer_name",
        "rejected_code": 429, "rejected_msg": "Free tier quota exceeded",
    })
}

/// Groups `free` (3 requests) and `pro` (100); `a` is in pro, `b` and `c` are in free; a route `/api` that asks for a key.
fn tiers(setup: Setup) -> Stage {
    let stage = Stage::on(setup);
    for (group, count) in [("free", 3), ("pro", 100)] {
        let group_plugins = json!({"plugins": {"limit-count": quota(count)}});
        stage.gateway.put(&format!("consumer_groups/{group}"), &group_plugins);
    }
    for (name, group) in [("a", "pro"), ("b", "free"), ("c", "free")] {
        stage.consumer_with(name, json!({}), json!({"group_id": group}));
    }
    stage.route("api", json!({"key-auth": {}}));
    stage
}

#[test]
fn row_2_1_each_consumer_has_the_quota_of_its_group() {
    let stage = tiers(Setup::new().workers(2));
    for left in ["2", "1", "0"] {
        let answer = stage.get_as("b", "/api");
        passes(&answer);
        assert_eq!(answer.header("x-ratelimit-limit"), Some("3"));
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(left));
    }
    for _ in 0..2 {
        says(&stage.get_as("b", "/api"), 429, EXCEEDED);
    }
    for _ in 0..3 {
        passes(&stage.get_as("c", "/api"));
    }
    says(&stage.get_as("c", "/api"), 429, EXCEEDED);
    for _ in 0..10 {
        let answer = stage.get_as("a", "/api");
        passes(&answer);
        assert_eq!(answer.header("x-ratelimit-limit"), Some("100"));
    }
    assert_eq!(stage.echo.count(), 16);
}

#[test]
fn row_2_2_nobody_enters_without_a_known_key() {
    let stage = tiers(Setup::new());
    let cases: [(&[(&str, &str)], &str); 2] = [
        (&[], r#"{"message":"Missing API key in request"}"#),
        (&[("apikey", "k-unknown")], r#"{"message":"Invalid API key in request"}"#),
    ];
    for (headers, body) in cases {
        let answer = stage.get("/api", headers);
        says(&answer, 401, body);
        assert_eq!(answer.header("www-authenticate"), Some("apikey realm=\"key\""));
    }
    assert_eq!(stage.echo.count(), 0);
}

#[test]
fn row_2_3_a_consumers_own_plugin_replaces_the_groups_whole() {
    let stage = tiers(Setup::new());
    let own = json!({
        "count": 10, "time_window": 3600, "key_type": "var", "key": "consumer_name", "rejected_code": 429,
    });
    stage.consumer_with("b", json!({"limit-count": own}), json!({"group_id": "free"}));
    for _ in 0..10 {
        let answer = stage.get_as("b", "/api");
        passes(&answer);
        assert_eq!(answer.header("x-ratelimit-limit"), Some("10"));
    }
    let answer = stage.get_as("b", "/api");
    assert_eq!(answer.status, 429);
    // The group's message is not mixed in.
    assert!(!answer.text().contains("Free tier"), "{}", answer.text());
}

#[test]
fn row_2_4_the_group_wins_over_the_route_but_for_what_has_run() {
    let stage = Stage::new();
    let plugins = |from: &str| {
        json!({
            "response-rewrite": {"headers": {"set": {"X-From": from}}},
            "proxy-rewrite": {"headers": {"set": {"X-From": from}}},
        })
    };
    stage.gateway.put("consumer_groups/g", &json!({"plugins": plugins("group")}));
    stage.consumer_with("a", json!({}), json!({"group_id": "g"}));
    stage.consumer("b", json!({}));
    let mut of_route = plugins("route");
    super::extend(&mut of_route, json!({"key-auth": {}}));
    stage.route("api", of_route);
    for (consumer, in_answer) in [("a", "group"), ("b", "route")] {
        let answer = stage.get_as(consumer, "/api");
        passes(&answer);
        assert_eq!(answer.header("x-from"), Some(in_answer), "{consumer}");
        assert_eq!(stage.echo.last().header("x-from"), Some("route"), "{consumer}");
    }
}

fn get(gateway: &Gateway, target: &str, headers: &[(&str, &str)]) -> Answer {
    Connection::open(gateway.data).answer(&request("GET", target, headers, b""))
}

#[test]
fn row_2_5_the_host_selects_the_backend() {
    let gateway = Setup::new().start();
    for tenant in ["tenant-a", "tenant-b"] {
        let host = format!("{tenant}.example.com");
        let route = json!({"uri": "/*", "host": host, "upstream": Echo::start(tenant).upstream()});
        gateway.put(&format!("routes/{tenant}"), &route);
    }
    let cases = [
        ("tenant-a.example.com", "tenant-a"),
        ("tenant-b.example.com", "tenant-b"),
        ("tenant-a.example.com:9080", "tenant-a"),
        ("Tenant-B.Example.com:80", "tenant-b"),
    ];
    for (host, backend) in cases {
        let answer = get(&gateway, "/any/path?x=1", &[("Host", host)]);
        passes(&answer);
        assert_eq!(answer.json()["answered_by"], backend, "{host}");
        assert_eq!(answer.json()["target"], "/any/path?x=1", "{host}");
    }
    for host in ["tenant-c.example.com", "example.com", "x.tenant-a.example.com"] {
        says(&get(&gateway, "/", &[("Host", host)]), 404, r#"{"error_msg":"404 Route Not Found"}"#);
    }
}

#[test]
fn row_2_6_a_header_selects_the_backend() {
    let gateway = Setup::new().start();
    let rules: Vec<Value> = ["tenant-a", "tenant-b"]
        .into_iter()
        .map(|tenant| {
            json!({
                "match": [{"vars": [["http_x_tenant_id", "==", tenant]]}],
                "weighted_upstreams": [{"upstream": Echo::start(tenant).upstream(), "weight": 1}],
            })
        })
        .collect();
    let route = json!({
        "uri": "/api",
        "plugins": {"traffic-split": {"rules": rules}},
        "upstream": Echo::start("default").upstream(),
    });
    gateway.put("routes/api", &route);
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("X-Tenant-ID", "tenant-a")], "tenant-a"),
        (&[("x-tenant-id", "tenant-b")], "tenant-b"),
        (&[("X-Tenant-ID", "tenant-c")], "default"),
        (&[("X-Tenant-ID", "Tenant-A")], "default"),
        (&[], "default"),
    ];
    for (headers, backend) in cases {
        // More than once, so that a weight cannot hide a wrong choice.
        for _ in 0..3 {
            let answer = get(&gateway, "/api", headers);
            passes(&answer);
            assert_eq!(answer.json()["answered_by"], backend, "{headers:?}");
        }
    }
}

#[test]
fn row_2_7_the_backend_is_told_consumer_and_group() {
    let stage = tiers(Setup::new());
    let headers = json!({"X-Consumer-Name": "$consumer_name", "X-Consumer-Group": "$consumer_group_id"});
    stage.route("api", json!({"key-auth": {}, "proxy-rewrite": {"headers": {"set": headers}}}));
    for (consumer, group) in [("a", "pro"), ("b", "free"), ("c", "free")] {
        passes(&stage.get_as(consumer, "/api"));
        let seen = stage.echo.last();
        assert_eq!(seen.header("x-consumer-name"), Some(consumer));
        assert_eq!(seen.header("x-consumer-group"), Some(group));
        assert_eq!(seen.header("x-consumer-username"), Some(consumer));
    }
}

#[test]
fn row_2_8_a_client_cannot_name_itself() {
    let stage = tiers(Setup::new());
    let headers = [
        ("apikey", "k-b"),
        ("X-Consumer-Username", "evil"),
        ("x-consumer-username", "root"),
        ("X-Credential-Identifier", "evil"),
        ("X-Consumer-Custom-ID", "evil"),
    ];
    passes(&stage.get("/api", &headers));
    let seen = stage.echo.last();
    assert_eq!(seen.all("x-consumer-username"), ["b"]);
    assert_eq!(seen.all("x-credential-identifier"), [""; 0]);
    assert_eq!(seen.all("x-consumer-custom-id"), [""; 0]);
}

#[test]
fn row_2_9_a_group_in_use_stays() {
    let stage = tiers(Setup::new());
    let (status, answer) = stage.gateway.admin("DELETE", "consumer_groups/pro", None);
    let told = json!({"error_msg": "can not delete this consumer group, consumer [a] is still using it now"});
    assert_eq!((status, answer), (400, told));
    passes(&stage.get_as("a", "/api"));
    stage.gateway.delete("consumers/a");
    stage.gateway.delete("consumer_groups/pro");
}

#[test]
fn row_2_10_a_group_must_be_there() {
    let stage = Stage::new();
    let consumer = json!({"username": "a", "group_id": "x", "plugins": {"key-auth": {"key": "k-a"}}});
    assert_eq!(
        stage.refusal("consumers", &consumer),
        "failed to fetch consumer group info by consumer group id [x], response code: 404"
    );
    stage.route("api", json!({"key-auth": {}}));
    assert_eq!(stage.get_as("a", "/api").status, 401);
}

#[test]
fn row_2_11_restriction_limit_and_rewrite_on_one_route() {
    let stage = Stage::new();
    for name in ["a", "b", "c"] {
        stage.consumer(name, json!({}));
    }
    let plugins = json!({
        "key-auth": {},
        "consumer-restriction": {"whitelist": ["a", "b"]},
        "limit-count": quota(2),
        "proxy-rewrite": {"regex_uri": ["^/api/(.*)", "/$1"]},
    });
    stage.route_with("api", plugins, json!({"uri": "/api/*"}));
    for consumer in ["a", "b"] {
        for left in ["1", "0"] {
            let answer = stage.get_as(consumer, "/api/users?page=2");
            passes(&answer);
            assert_eq!(answer.header("x-ratelimit-remaining"), Some(left), "{consumer}");
            assert_eq!(stage.echo.last().target, "/users?page=2");
        }
        says(&stage.get_as(consumer, "/api/users"), 429, EXCEEDED);
    }
    says(&stage.get_as("c", "/api/users"), 403, r#"{"message":"The consumer_name is forbidden."}"#);
    says(&stage.get_as("nobody", "/api/users"), 401, r#"{"message":"Invalid API key in request"}"#);
    assert_eq!(stage.echo.count(), 4);
}
