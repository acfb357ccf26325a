//! Section 9: limit-count.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::{Stage, extend, passes, says};
use crate::support::{Answer, eventually, request};

/// What the Admin API says before the reason.
const REFUSED: &str = "failed to check the configuration of plugin limit-count err: ";

/// The plugin with a count in a window that ends in no test, refusing with 429; members of `more` are added.
fn limit(count: u64, more: Value) -> Value {
    let mut conf = json!({"count": count, "time_window": 3600, "rejected_code": 429});
    extend(&mut conf, more);
    json!({"limit-count": conf})
}

/// The statuses of requests with these headers, one after the other.
fn statuses(stage: &Stage, target: &str, headers: &[&[(&str, &str)]]) -> Vec<u16> {
    headers.iter().map(|headers| stage.get(target, headers).status).collect()
}

/// Insists on so many requests that pass before the next is refused.
#[track_caller]
fn exactly(stage: &Stage, target: &str, headers: &[(&str, &str)], count: usize) {
    let told = statuses(stage, target, &vec![headers; count + 1]);
    let mut expected = vec![200; count];
    expected.push(429);
    assert_eq!(told, expected, "{target} {headers:?}");
}

/// The quota that an answer tells: limit, remaining, reset.
fn quota(answer: &Answer) -> (Option<&str>, Option<&str>, Option<f64>) {
    let header = |name| answer.header(name);
    let reset = header("x-ratelimit-reset").map(|reset| reset.parse().expect("a number of seconds"));
    (header("x-ratelimit-limit"), header("x-ratelimit-remaining"), reset)
}

#[track_caller]
fn tells(answer: &Answer, status: u16, limit: &str, remaining: &str, window: f64) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let (told_limit, told_remaining, reset) = quota(answer);
    assert_eq!((told_limit, told_remaining), (Some(limit), Some(remaining)));
    assert!(reset.is_some_and(|reset| reset > 0.0 && reset <= window), "{reset:?}");
}

/// Insists on a status and a page for people that says it.
#[track_caller]
fn is_page(answer: &Answer, status: u16, title: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(
        answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")),
        "{:?}",
        answer.head
    );
    assert!(answer.text().contains(&format!("<title>{status} {title}</title>")), "{}", answer.text());
}

#[test]
fn row_9_1_quota_headers_and_refusals() {
    let stage = Stage::new();
    stage.route("code", json!({"limit-count": {"count": 3, "time_window": 60, "rejected_code": 429}}));
    for remaining in ["2", "1", "0"] {
        tells(&stage.get("/code", &[]), 200, "3", remaining, 60.0);
    }
    let refused = stage.get("/code", &[]);
    tells(&refused, 429, "3", "0", 60.0);
    is_page(&refused, 429, "Too Many Requests");
    assert_eq!(stage.echo.count(), 3, "what reached the backend");

    stage.route("default", json!({"limit-count": {"count": 1, "time_window": 60}}));
    passes(&stage.get("/default", &[]));
    let refused = stage.get("/default", &[]);
    tells(&refused, 503, "1", "0", 60.0);
    assert!(refused.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));

    stage.route("message", limit(1, json!({"rejected_msg": "slow \"down\""})));
    passes(&stage.get("/message", &[]));
    says(&stage.get("/message", &[]), 429, r#"{"error_msg":"slow \"down\""}"#);
}

#[test]
fn row_9_2_the_window_starts_at_the_first_request_and_ends() {
    let stage = Stage::new();
    stage.route("short", limit(1, json!({"time_window": 2})));
    for window in 1..=2 {
        // The first request that passes is the first of its window, so that all of it is left.
        let first = eventually("a window to begin", || {
            Some(stage.get("/short", &[])).filter(|answer| answer.status == 200)
        });
        assert_eq!(first.header("x-ratelimit-reset"), Some("2"), "window {window}");
    }
    stage.route("long", limit(1, json!({})));
    exactly(&stage, "/long", &[], 1);
}

#[test]
fn row_9_3_keys_are_variables_combinations_or_constants() {
    let stage = Stage::new();
    let (a, b): (&[_], &[_]) = (&[("X-User", "a")], &[("X-User", "b")]);
    stage.route("var", limit(2, json!({"key_type": "var", "key": "http_x_user"})));
    exactly(&stage, "/var", a, 2);
    exactly(&stage, "/var", b, 2);
    // Without a value it is the address.
    assert_eq!(statuses(&stage, "/var", &[&[], &[], &[]]), [200, 200, 429]);

    let combination = json!({"key_type": "var_combination", "key": "$http_x_user $arg_z"});
    stage.route("combination", limit(1, combination));
    exactly(&stage, "/combination?z=1", a, 1);
    exactly(&stage, "/combination?z=2", a, 1);
    exactly(&stage, "/combination?z=1", b, 1);
    exactly(&stage, "/combination", a, 1);
    exactly(&stage, "/combination", &[], 1);
    let unresolved = json!({"key_type": "var_combination", "key": "$http_x_none $arg_none"});
    stage.route("unresolved", limit(1, unresolved));
    assert_eq!(statuses(&stage, "/unresolved", &[a, b]), [200, 429]);

    stage.route("constant", limit(2, json!({"key_type": "constant", "key": "http_x_user"})));
    assert_eq!(statuses(&stage, "/constant", &[a, b, &[]]), [200, 200, 429]);

    stage.consumer("jack", json!({}));
    stage.consumer("rose", json!({}));
    let mut plugins = limit(1, json!({"key_type": "var_combination", "key": "$remote_addr $consumer_name"}));
    extend(&mut plugins, json!({"key-auth": {}}));
    stage.route("people", plugins);
    for name in ["jack", "rose"] {
        passes(&stage.get_as(name, "/people"));
        assert_eq!(stage.get_as(name, "/people").status, 429, "{name}");
    }
}

/// A GET from this address of the loopback network; its status.
fn get_from(source: Ipv4Addr, gateway: SocketAddr, target: &str) -> u16 {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into()).unwrap();
    socket.connect(&gateway.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream.write_all(&request("GET", target, &[("Connection", "close")], b"")).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("not an answer: {answer:?}"))
}

#[test]
fn row_9_4_the_default_key_is_the_address() {
    let stage = Stage::new();
    stage.route("r", limit(2, json!({})));
    // One address, several connections and users.
    assert_eq!(statuses(&stage, "/r", &[&[("X-User", "a")], &[("X-User", "b")], &[]]), [200, 200, 429]);
    let other = Ipv4Addr::new(127, 0, 0, 2);
    let told: Vec<u16> = (0..3).map(|_| get_from(other, stage.gateway.data, "/r")).collect();
    assert_eq!(told, [200, 200, 429]);
}

#[test]
fn row_9_5_the_headers_can_be_switched_off() {
    let stage = Stage::new();
    stage.route("r", limit(1, json!({"show_limit_quota_header": false})));
    for status in [200, 429] {
        let answer = stage.get("/r", &[]);
        assert_eq!(answer.status, status);
        let told = answer.head.headers.iter().find(|(name, _)| name.contains("ratelimit"));
        assert_eq!(told, None, "{status}");
    }
}

#[test]
fn row_9_6_a_group_shares_one_counter() {
    let stage = Stage::new();
    for id in ["one", "two"] {
        stage.route(id, limit(3, json!({"group": "g"})));
    }
    tells(&stage.get("/one", &[]), 200, "3", "2", 3600.0);
    tells(&stage.get("/two", &[]), 200, "3", "1", 3600.0);
    tells(&stage.get("/one", &[]), 200, "3", "0", 3600.0);
    for id in ["/one", "/two"] {
        tells(&stage.get(id, &[]), 429, "3", "0", 3600.0);
    }
    for more in [json!({"group": "g", "time_window": 60}), json!({"group": "g", "key": "http_x_user"})] {
        let route = json!({"uri": "/three", "plugins": limit(3, more), "upstream": stage.echo.upstream()});
        let reason = stage.refusal("routes/three", &route);
        assert_eq!(reason, format!("{REFUSED}group conf mismatched"));
    }
    assert_eq!(stage.get("/three", &[]).status, 404);
    stage.route("other", limit(3, json!({"group": "h"})));
    exactly(&stage, "/other", &[], 3);
}

#[test]
fn row_9_7_without_a_group_each_route_counts_for_itself() {
    let stage = Stage::new();
    for id in ["one", "two"] {
        stage.route(id, limit(2, json!({})));
    }
    exactly(&stage, "/one", &[], 2);
    exactly(&stage, "/two", &[], 2);
}

#[test]
fn row_9_8_on_a_consumer_it_counts_over_all_routes() {
    let stage = Stage::new();
    stage.consumer("jack", limit(3, json!({})));
    stage.consumer("rose", limit(1, json!({})));
    stage.route("one", json!({"key-auth": {}}));
    stage.route("two", json!({"key-auth": {}}));
    let told = ["/one", "/two", "/one", "/two", "/one"].map(|target| stage.get_as("jack", target).status);
    assert_eq!(told, [200, 200, 200, 429, 429]);
    let told = ["/two", "/one"].map(|target| stage.get_as("rose", target).status);
    assert_eq!(told, [200, 429]);
}

#[test]
fn row_9_9_a_changed_limit_counts_anew_and_nothing_else_does() {
    let stage = Stage::new();
    let first = limit(1, json!({}));
    let write = |plugins: &Value, more: Value| stage.route_with("r", plugins.clone(), more);
    write(&first, json!({}));
    exactly(&stage, "/r", &[], 1);

    let unrelated = [
        json!({"desc": "written again"}),
        json!({"priority": 7, "labels": {"team": "a"}}),
        json!({"methods": ["GET", "POST"]}),
    ];
    for more in unrelated {
        write(&first, more.clone());
        assert_eq!(stage.get("/r", &[]).status, 429, "{more}");
    }
    let mut with_another_plugin = first.clone();
    extend(&mut with_another_plugin, json!({"proxy-rewrite": {"uri": "/x"}}));
    write(&with_another_plugin, json!({}));
    assert_eq!(stage.get("/r", &[]).status, 429, "another plugin");
    stage.gateway.delete("routes/r");
    assert_eq!(stage.get("/r", &[]).status, 404);
    write(&first, json!({}));
    assert_eq!(stage.get("/r", &[]).status, 429, "deleted and written again");

    let changes = [
        json!({"count": 2}),
        json!({"time_window": 1800}),
        json!({"rejected_msg": "later"}),
        json!({"rejected_code": 503}),
    ];
    for change in changes {
        write(&limit(1, change.clone()), json!({}));
        tells(
            &stage.get("/r", &[]),
            200,
            if change["count"] == 2 { "2" } else { "1" },
            first_left(&change),
            3600.0,
        );
    }
    write(&first, json!({}));
    assert_eq!(stage.get("/r", &[]).status, 429, "the first content again");
}

/// What is left after the first request of a changed limit.
fn first_left(change: &Value) -> &'static str {
    if change["count"] == 2 { "1" } else { "0" }
}

#[test]
fn row_9_10_every_rule_that_concerns_a_request_counts() {
    let stage = Stage::new();
    let rule = |count: u64, key: &str| json!({"count": count, "time_window": 3600, "key": key});
    let mut named = rule(1, "${http_b}");
    extend(&mut named, json!({"header_prefix": "Bee"}));
    let rules = json!({"rejected_code": 429, "rules": [rule(3, "${http_a}"), named]});
    stage.route("r", json!({"limit-count": rules}));
    let left = |answer: &Answer| {
        ["x-1-ratelimit-remaining", "x-bee-ratelimit-remaining"]
            .map(|name| answer.header(name).map(str::to_string))
    };
    let some = |text: &str| Some(text.to_string());

    // Both rules' keys are the same text, and yet each counts for itself.
    let answer = stage.get("/r", &[("a", "1"), ("b", "1")]);
    passes(&answer);
    assert_eq!(left(&answer), [some("2"), some("0")]);
    assert_eq!(answer.header("x-1-ratelimit-limit"), Some("3"));
    assert_eq!(answer.header("x-bee-ratelimit-limit"), Some("1"));
    assert!(answer.header("x-bee-ratelimit-reset").is_some());
    assert_eq!(quota(&answer), (None, None, None), "a name without its rule");
    // The first rule has counted this one before the second refuses it.
    let answer = stage.get("/r", &[("a", "1"), ("b", "1")]);
    assert_eq!((answer.status, left(&answer)), (429, [some("1"), some("0")]));
    let answer = stage.get("/r", &[("a", "1")]);
    assert_eq!((answer.status, left(&answer)), (200, [some("0"), None]));
    // The first that refuses is the last that is asked.
    let answer = stage.get("/r", &[("a", "1"), ("b", "2")]);
    assert_eq!((answer.status, left(&answer)), (429, [some("0"), None]));
    let answer = stage.get("/r", &[("b", "2")]);
    assert_eq!((answer.status, left(&answer)), (200, [None, some("0")]));
    is_page(&stage.get("/r", &[]), 500, "Internal Server Error");

    let cases = [
        (json!({"rules": [rule(1, "$http_a"), rule(2, "$http_a")]}), "duplicate key '$http_a' in rules"),
        (
            json!({"rules": [rule(1, "$http_a")], "count": 1, "time_window": 1}),
            "count/time_window and rules cannot be specified at the same time",
        ),
    ];
    for (conf, reason) in cases {
        let route = json!({"uri": "/bad", "plugins": {"limit-count": conf}});
        assert_eq!(stage.refusal("routes/bad", &route), format!("{REFUSED}{reason}"), "{route}");
    }
}

#[test]
fn row_9_11_limits_may_come_with_the_request() {
    let stage = Stage::new();
    let conf = json!({"count": "$http_x_count", "time_window": "${http_x_window ?? 3600}"});
    stage.route("r", limit(1, conf.clone()));
    exactly(&stage, "/r", &[("X-Count", "2")], 2);
    tells(&stage.get("/r", &[("X-Count", "9"), ("X-Window", "60")]), 200, "9", "5", 3600.0);
    for invalid in ["0", "-1", "1.5", "many"] {
        is_page(&stage.get("/r", &[("X-Count", invalid)]), 500, "Internal Server Error");
    }
    is_page(&stage.get("/r", &[]), 500, "Internal Server Error");
    is_page(&stage.get("/r", &[("X-Count", "9"), ("X-Window", "0")]), 500, "Internal Server Error");

    let mut lenient = conf;
    extend(&mut lenient, json!({"allow_degradation": true}));
    stage.route("lenient", limit(1, lenient));
    for _ in 0..3 {
        let answer = stage.get("/lenient", &[("X-Count", "many")]);
        passes(&answer);
        assert_eq!(quota(&answer), (None, None, None));
    }
    exactly(&stage, "/lenient", &[("X-Count", "1")], 1);
}

/// Seconds since the window of this length began in which we are.
fn into_window(length: f64) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs_f64() % length
}

#[test]
fn row_9_12_a_sliding_window_weighs_the_one_before() {
    const WINDOW: f64 = 3.0;
    let stage = Stage::new();
    let conf = json!({"time_window": 3, "window_type": "sliding", "key": "http_x_try"});
    stage.route("r", limit(10, conf));
    // Ten requests within one window; should the machine be too slow for that, again with another key.
    let filled = (0..5).map(|number| number.to_string()).find(|key| {
        // The gateway's clock and ours may differ by a little.
        thread::sleep(Duration::from_secs_f64(WINDOW - into_window(WINDOW) + 0.05));
        let told = statuses(&stage, "/r", &[&[("X-Try", key.as_str())][..]; 10]);
        let is_one_window = into_window(WINDOW) < WINDOW / 2.0;
        assert!(!is_one_window || told == [200; 10], "{told:?}");
        is_one_window
    });
    let filled = filled.expect("ten requests take longer than a second");
    let key = [("X-Try", filled.as_str())];
    // A fixed window would let ten pass as soon as the next one begins; of this one's ten, most still count.
    let answer =
        eventually("the next window", || Some(stage.get("/r", &key)).filter(|answer| answer.status == 200));
    let (_, remaining, reset) = quota(&answer);
    let remaining: f64 = remaining.unwrap().parse().unwrap();
    let counts = 10.0 / WINDOW * reset.unwrap();
    assert!((remaining - (10.0 - 1.0 - counts).floor()).abs() <= 1.0, "{remaining} are left, {counts} count");
    assert!(remaining < 9.0, "nothing counts of the window before");

    stage.route("alone", limit(3, json!({"window_type": "sliding", "time_window": 100_000_000})));
    exactly(&stage, "/alone", &[], 3);
}

#[test]
fn row_9_13_redis_policies_are_refused_until_they_are_served() {
    let stage = Stage::new();
    let cases = [
        (
            json!({"policy": "redis", "redis_host": "127.0.0.1"}),
            "policy redis is not supported yet; use local",
        ),
        (
            json!({"policy": "redis-cluster", "redis_cluster_name": "c", "redis_cluster_nodes": ["127.0.0.1:1"]}),
            "policy redis-cluster is not supported yet; use local",
        ),
        (
            json!({"policy": "redis-sentinel", "redis_master_name": "m",
                "redis_sentinels": [{"host": "127.0.0.1", "port": 1}]}),
            "policy redis-sentinel is not supported yet; use local",
        ),
        (json!({"policy": "redis"}), "then clause did not match"),
        (json!({"policy": "redis-cluster"}), "else clause did not match"),
    ];
    for (more, reason) in cases {
        let route = json!({"uri": "/r", "plugins": limit(1, more), "upstream": stage.echo.upstream()});
        assert_eq!(stage.refusal("routes/r", &route), format!("{REFUSED}{reason}"), "{route}");
    }
    assert_eq!(stage.get("/r", &[]).status, 404, "a refused route is in force");
}

#[test]
fn row_9_14_metadata_names_the_headers() {
    let stage = Stage::new();
    stage.route("r", limit(9, json!({})));
    tells(&stage.get("/r", &[]), 200, "9", "8", 3600.0);
    let names = json!({"limit_header": "A-Limit", "remaining_header": "A-Left", "reset_header": "A-Reset"});
    stage.gateway.put("plugin_metadata/limit-count", &names);
    let answer = stage.get("/r", &[]);
    assert_eq!((answer.header("a-limit"), answer.header("a-left")), (Some("9"), Some("7")));
    assert!(answer.header("a-reset").is_some(), "{:?}", answer.head);
    assert_eq!(quota(&answer), (None, None, None));
    stage.gateway.delete("plugin_metadata/limit-count");
    tells(&stage.get("/r", &[]), 200, "9", "6", 3600.0);
}

#[test]
fn row_9_15_one_of_both_forms_is_needed() {
    let stage = Stage::new();
    for conf in [json!({}), json!({"count": 1}), json!({"time_window": 60}), json!({"rejected_code": 429})] {
        let route = json!({"uri": "/r", "plugins": {"limit-count": conf}});
        let reason = stage.refusal("routes/r", &route);
        let none = "value should match only one schema, but matches none";
        assert_eq!(reason, format!("{REFUSED}{none}"), "{route}");
    }
}
