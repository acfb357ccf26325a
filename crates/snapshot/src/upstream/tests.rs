use serde_json::{Value, json};

use super::*;

fn compile(document: Value, previous: Option<&Upstream>) -> Result<Upstream, String> {
    let conf: a6_resources::Upstream = serde_json::from_value(document).unwrap();
    Upstream::compile(&conf, "/upstreams/1", previous)
}

#[test]
fn defaults() {
    let upstream = compile(json!({"nodes": {"a.test": 1, "b.test": 1, "c.test": 0}}), None).unwrap();
    assert!(matches!(upstream.balancer, Balancer::RoundRobin));
    assert_eq!((upstream.scheme, &upstream.pass_host), (UpstreamScheme::Http, &PassHost::Pass));
    assert_eq!((upstream.retries, upstream.retry_timeout), (2, None));
    let minute = Duration::from_secs(60);
    assert_eq!(upstream.timeouts, Timeouts { connect: minute, send: minute, read: minute });
    assert_eq!(upstream.keepalive, Some(Keepalive { size: 320, idle: minute }));
    assert_eq!((upstream.keepalive_requests, &*upstream.key), (1000, "/upstreams/1"));
    assert_eq!((&upstream.name, &upstream.client_certificate), (&None, &None));
}

#[test]
fn members_are_read() {
    let document = json!({
        "name": "u",
        "nodes": [{"host": "a.test", "weight": 1}, {"host": "b.test", "weight": 1}],
        "retries": 0,
        "retry_timeout": 1.5,
        "timeout": {"connect": 0.5, "send": 2, "read": 3},
        "pass_host": "rewrite",
        "upstream_host": "c.test:81",
        "keepalive_pool": {"size": 1, "idle_timeout": 2, "requests": 3},
        "tls": {"client_cert": "CERT", "client_key": "hidden", "verify": true},
        "scheme": "grpcs",
    });
    let upstream = compile(document, None).unwrap();
    assert_eq!(upstream.name.as_deref(), Some("u"));
    assert_eq!((upstream.retries, upstream.retry_timeout), (0, Some(Duration::from_millis(1500))));
    let [connect, send, read] = [500, 2000, 3000].map(Duration::from_millis);
    assert_eq!(upstream.timeouts, Timeouts { connect, send, read });
    assert_eq!(upstream.pass_host, PassHost::Rewrite("c.test:81".into()));
    assert_eq!(upstream.keepalive, Some(Keepalive { size: 1, idle: Duration::from_secs(2) }));
    assert_eq!(upstream.keepalive_requests, 3);
    assert!(upstream.scheme.is_grpc() && upstream.nodes[0].target.verify);
    assert!(!format!("{upstream:?}").contains("hidden"));
    let certificate = upstream.client_certificate.unwrap();
    assert_eq!((&*certificate.chain, &**certificate.key.expose()), ("CERT", "hidden"));
}

#[test]
fn a_node_has_an_address_and_a_host() {
    let cases = [
        ("http", "a.test", "a.test", 80, "a.test:80", "a.test"),
        ("http", "a.test:80", "a.test", 80, "a.test:80", "a.test"),
        ("http", "A.test:443", "a.test", 443, "a.test:443", "A.test:443"),
        ("https", "a.test", "a.test", 443, "a.test:443", "a.test"),
        ("https", "a.test:80", "a.test", 80, "a.test:80", "a.test:80"),
        ("grpc", "a.test", "a.test", 80, "a.test:80", "a.test"),
        ("grpcs", "a.test", "a.test", 443, "a.test:443", "a.test"),
        ("http", "[::1]", "::1", 80, "[::1]:80", "[::1]"),
        ("http", "[::1]:8080", "::1", 8080, "[::1]:8080", "[::1]:8080"),
    ];
    for (scheme, written, host, port, address, host_header) in cases {
        let upstream = compile(json!({"scheme": scheme, "nodes": {written: 3}}), None).unwrap();
        let node = &upstream.nodes[0];
        assert_eq!((&*node.target.host, node.target.port), (host, port), "{scheme} {written}");
        assert_eq!((&*node.address, &*node.host_header), (address, host_header), "{scheme} {written}");
        assert_eq!((node.target.scheme, node.target.verify), (upstream.scheme.transport(), false));
        assert_eq!((node.weight, node.priority), (3, 0));
    }
}

#[test]
fn what_is_hashed() {
    let cases = [
        (json!({"key": "arg_user"}), r#"Variable(Arg("user"))"#),
        (json!({"hash_on": "vars", "key": "remote_addr"}), r#"Variable(Named("remote_addr"))"#),
        (json!({"hash_on": "header", "key": "X-User"}), r#"Header("x-user")"#),
        (json!({"hash_on": "cookie", "key": "sid"}), r#"Cookie("sid")"#),
        (json!({"hash_on": "consumer"}), "Consumer"),
    ];
    for (members, expected) in cases {
        let mut document = members.clone();
        document["type"] = json!("chash");
        document["nodes"] = json!([]);
        match compile(document, None).unwrap().balancer {
            Balancer::ConsistentHash(hash_on) => assert_eq!(format!("{hash_on:?}"), expected),
            other => panic!("{members}: {other:?}"),
        }
    }
    let combination =
        json!({"type": "chash", "nodes": [], "hash_on": "vars_combinations", "key": "$host$uri"});
    match compile(combination, None).unwrap().balancer {
        Balancer::ConsistentHash(HashOn::Combination(template)) => assert!(template.has_variables()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn errors_name_the_member() {
    let cases = [
        (json!({"scheme": "tcp"}), r#"scheme: "tcp" is not served; use http, https, grpc or grpcs"#),
        (json!({"type": "chash"}), "key: it is missing, and chash on vars needs it"),
        (
            json!({"type": "chash", "hash_on": "header", "key": "a b"}),
            r#"key: "a b" is not the name of a header"#,
        ),
        (
            json!({"type": "chash", "hash_on": "x", "key": "a"}),
            r#"hash_on: "x" is unknown; use vars, header, cookie, consumer or vars_combinations"#,
        ),
        (json!({"pass_host": "x"}), r#"pass_host: "x" is unknown; use pass, node or rewrite"#),
        (json!({"pass_host": "rewrite"}), "upstream_host: it must not be empty where pass_host is rewrite"),
    ];
    for (document, expected) in cases {
        assert_eq!(compile(document.clone(), None).unwrap_err(), expected, "{document}");
    }
    let unknown = compile(json!({"type": "fastest", "nodes": {"a": 1}}), None).unwrap();
    assert!(matches!(unknown.balancer, Balancer::Unknown(name) if &*name == "fastest"));
}

#[test]
fn connections_are_closed_where_none_may_be_idle() {
    let upstream = compile(json!({"nodes": [], "keepalive_pool": {"idle_timeout": 0}}), None).unwrap();
    assert_eq!(upstream.keepalive, None);
}

#[test]
fn states_are_kept_as_long_as_they_mean_the_same() {
    let first = compile(json!({"nodes": {"a": 1, "b": 2}}), None).unwrap();
    // Next configuration; whether a keeps its state, whether b does, whether the balancer does.
    let cases = [
        (json!({"nodes": {"a": 1, "b": 2}, "retries": 7}), true, true, true),
        (
            json!({"nodes": [{"host": "a", "port": 80, "weight": 1}, {"host": "b", "weight": 2}]}),
            true,
            true,
            true,
        ),
        (json!({"nodes": {"a": 1, "b": 3}}), true, true, false),
        (json!({"nodes": {"a": 1, "b:81": 2}}), true, false, false),
        (json!({"nodes": {"a": 1, "b": 2, "c": 1}}), true, true, false),
        (json!({"nodes": {"a": 1, "b": 2}, "type": "ewma"}), true, true, false),
        (json!({"nodes": {"a:80": 1, "b:80": 2}, "scheme": "https"}), false, false, false),
    ];
    for (document, keeps_a, keeps_b, keeps_balancer) in cases {
        let next = compile(document.clone(), Some(&first)).unwrap();
        let kept = [0, 1].map(|place| Arc::ptr_eq(&first.nodes[place].state, &next.nodes[place].state));
        assert_eq!(kept, [keeps_a, keeps_b], "{document}");
        assert_eq!(Arc::ptr_eq(&first.state, &next.state), keeps_balancer, "{document}");
    }
    let twice = json!({"nodes": [{"host": "x", "weight": 1}, {"host": "x", "weight": 1}]});
    let twice = compile(twice, None).unwrap();
    assert!(Arc::ptr_eq(&twice.nodes[0].state, &twice.nodes[1].state));
}

#[test]
fn requests_in_flight_are_counted_until_their_guards_go() {
    let state = Arc::new(NodeState::default());
    let (one, two) = (state.enter(), state.enter());
    assert_eq!(state.in_flight(), 2);
    drop(one);
    assert_eq!(state.in_flight(), 1);
    drop(two);
    assert_eq!(state.in_flight(), 0);
}

#[test]
fn latency_is_a_moving_average_that_fades() {
    let is_near = |found: f32, expected: f32| (found - expected).abs() < 0.001;
    let e = std::f32::consts::E;
    let state = NodeState::default();
    assert_eq!(state.latency_at(5), 0.0);
    state.observe_at(Duration::from_secs(2), 1_000);
    assert!(is_near(state.latency_at(1_000), 2.0));
    assert!(is_near(state.latency_at(11_000), 2.0 / e));
    // A clock that was read a little earlier.
    assert!(is_near(state.latency_at(900), 2.0));
    // After 10 s, 1/e of the old and the rest of the new.
    state.observe_at(Duration::from_secs(4), 11_000);
    assert!(is_near(state.latency_at(11_000), 2.0 / e + 4.0 * (1.0 - 1.0 / e)));
    // Over the clock's new beginning.
    let state = NodeState::default();
    state.observe_at(Duration::from_secs(1), u32::MAX - 4_999);
    assert!(is_near(state.latency_at(5_000), 1.0 / e));
}
