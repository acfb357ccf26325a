//! Health checks: who is ill gets no requests, who is well again does.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::{get, lead, nodes, send, start, who};
use crate::support::{Echo, Gateway, Manner, Setup, closed_port, eventually};

/// Two nodes in turns, with these checks.
fn checked(addresses: [SocketAddr; 2], checks: Value) -> Value {
    json!({"type": "roundrobin", "retries": 0, "nodes": nodes(&addresses.map(|address| (address, 1))), "checks": checks})
}

/// What the Control API tells of the node at that address.
fn node(gateway: &Gateway, address: SocketAddr) -> Option<Value> {
    let told = gateway.control_json("/v1/healthcheck/routes/r");
    assert_eq!(told["name"], "/apisix/routes/r");
    let nodes = told["nodes"].as_array().expect("a list of nodes").clone();
    nodes.into_iter().find(|node| node["port"] == address.port())
}

#[track_caller]
fn until(gateway: &Gateway, address: SocketAddr, status: &str) {
    eventually(&format!("{address} to be {status}"), || {
        node(gateway, address).filter(|node| node["status"] == status)
    });
}

/// The requests among those that came which clients sent.
fn clients(echo: &Echo) -> usize {
    echo.requests().iter().filter(|seen| seen.target != "/probe").count()
}

#[test]
fn a_node_whose_probes_fail_gets_no_requests_until_they_succeed() {
    let gateway = start();
    let [a, b] = ["a", "b"].map(Echo::start);
    b.answer(Manner::Status(500), Duration::ZERO);
    let checks = json!({"active": {
        "http_path": "/probe",
        "healthy": {"interval": 1, "successes": 1},
        "unhealthy": {"interval": 1, "http_failures": 2},
    }});
    lead(&gateway, &checked([a.address, b.address], checks));
    until(&gateway, b.address, "unhealthy");
    assert_eq!(node(&gateway, a.address).map(|node| node["status"].clone()), Some(json!("healthy")));
    assert!((0..10).all(|_| who(&get(&gateway, "/")) == "a"));
    assert_eq!(clients(&b), 0);
    // The change of something else is no reason to forget who is ill.
    gateway.put("routes/other", &json!({"uri": "/other", "upstream": a.upstream()}));
    assert!((0..10).all(|_| who(&get(&gateway, "/")) == "a"));

    b.answer(Manner::Status(200), Duration::ZERO);
    until(&gateway, b.address, "healthy");
    (0..10).for_each(|_| drop(who(&get(&gateway, "/"))));
    assert_eq!(clients(&b), 5);
}

#[test]
fn a_connection_that_fails_is_enough_for_tcp_and_all_ill_means_all_are_used() {
    let gateway = start();
    let a = Echo::start("a");
    let dead = closed_port();
    let checks = json!({"active": {"type": "tcp", "unhealthy": {"interval": 1, "tcp_failures": 1}}});
    lead(&gateway, &checked([a.address, dead], checks.clone()));
    until(&gateway, dead, "unhealthy");
    assert!((0..6).all(|_| who(&get(&gateway, "/")) == "a"));
    assert_eq!(a.count(), 6, "a connection is all that a TCP check makes");

    let other = closed_port();
    lead(&gateway, &checked([other, dead], checks));
    until(&gateway, other, "unhealthy");
    assert_eq!(get(&gateway, "/").status, 502, "with nobody well, somebody is asked");
}

#[test]
fn what_hangs_is_a_timeout() {
    let gateway = start();
    let [a, b] = ["a", "b"].map(Echo::start);
    b.answer(Manner::Status(200), Duration::from_secs(30));
    let checks = json!({"active": {
        "http_path": "/probe",
        "timeout": 0.2,
        "unhealthy": {"interval": 1, "timeouts": 1, "tcp_failures": 254},
    }});
    lead(&gateway, &checked([a.address, b.address], checks));
    until(&gateway, b.address, "unhealthy");
    assert!((0..4).all(|_| who(&get(&gateway, "/")) == "a"));
}

#[test]
fn a_clients_request_tells_too_where_passive_checks_are_asked_for() {
    let gateway = start();
    let [a, b] = ["a", "b"].map(Echo::start);
    b.answer(Manner::Status(503), Duration::ZERO);
    // The active check asks elsewhere, where all is well: it gives the node back once the client's request has taken it.
    let well = Echo::start("well");
    let checks = json!({
        "active": {"port": well.address.port(), "healthy": {"interval": 3600}, "unhealthy": {"interval": 3}},
        "passive": {"unhealthy": {"http_failures": 1}},
    });
    lead(&gateway, &checked([a.address, b.address], checks));
    eventually("both nodes' first probes", || Some(()).filter(|()| well.count() == 2));
    let mut statuses = [get(&gateway, "/").status, get(&gateway, "/").status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
    until(&gateway, b.address, "unhealthy");
    assert!((0..6).all(|_| who(&get(&gateway, "/")) == "a"));
    assert_eq!(clients(&b), 1);
}

#[test]
fn a_probe_is_what_the_checks_say() {
    let gateway = start();
    let [a, b] = ["a", "b"].map(Echo::start);
    let checks = json!({"active": {
        "http_method": "POST",
        "http_path": "/probe?deep=1",
        "http_req_body": "{\"a\":1}",
        "host": "health.example",
        "req_headers": ["X-Token: t1", "User-Agent: prober"],
    }});
    lead(&gateway, &checked([a.address, b.address], checks));
    let seen = eventually("a probe", || a.requests().first().cloned());
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/probe?deep=1"));
    assert_eq!(seen.body, "{\"a\":1}");
    for (name, value) in [("host", "health.example"), ("x-token", "t1"), ("user-agent", "prober")] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
}

#[test]
fn without_checks_nobody_is_ill() {
    let gateway = start();
    let [a, b] = ["a", "b"].map(Echo::start);
    b.answer(Manner::Status(500), Duration::ZERO);
    let checks = json!({"active": {"http_path": "/probe", "unhealthy": {"http_failures": 1}}});
    lead(&gateway, &checked([a.address, b.address], checks));
    until(&gateway, b.address, "unhealthy");
    lead(&gateway, &json!({"retries": 0, "nodes": nodes(&[(a.address, 1), (b.address, 1)])}));
    let statuses = [0; 4].map(|_| send(&gateway, "GET", "/", &[]).status);
    assert_eq!(statuses.iter().filter(|status| **status == 500).count(), 2, "{statuses:?}");
}

#[test]
fn checks_can_be_switched_off_for_the_whole_gateway() {
    let gateway = Setup::new().variable("A6_CONF_APISIX__DISABLE_UPSTREAM_HEALTHCHECK", "true").start();
    let [a, b] = ["a", "b"].map(Echo::start);
    b.answer(Manner::Status(500), Duration::ZERO);
    let checks = json!({"active": {"http_path": "/probe", "unhealthy": {"interval": 1, "http_failures": 1}}});
    lead(&gateway, &checked([a.address, b.address], checks));
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!((a.count(), b.count()), (0, 0));
    assert_eq!(node(&gateway, b.address).map(|node| node["status"].clone()), Some(json!("healthy")));
}

#[test]
fn more_nodes_than_may_be_asked_at_once_are_all_asked() {
    let gateway = start();
    let well = Echo::start("well");
    // Connections are made to each of them, and nobody answers.
    let quiet: Vec<_> = (0..12).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let mut all: Vec<_> = quiet.iter().map(|quiet| (quiet.local_addr().unwrap(), 1)).collect();
    all.push((well.address, 1));
    let checks = json!({"active": {
        "timeout": 0.1, "concurrency": 2, "http_path": "/probe",
        "unhealthy": {"interval": 3600, "timeouts": 1},
    }});
    lead(&gateway, &json!({"retries": 0, "nodes": nodes(&all), "checks": checks}));
    for (address, _) in &all[..12] {
        until(&gateway, *address, "unhealthy");
    }
    assert_eq!(who(&get(&gateway, "/")), "well");
}

#[test]
fn an_answer_that_is_none_is_a_failed_connection() {
    let gateway = start();
    let a = Echo::start("a");
    let garbage = super::backend(|mut stream| {
        use std::io::{Read, Write};
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
    });
    let checks = json!({"active": {"http_path": "/probe", "unhealthy": {"interval": 1, "tcp_failures": 1}}});
    lead(&gateway, &checked([a.address, garbage], checks));
    until(&gateway, garbage, "unhealthy");
    assert!((0..4).all(|_| who(&get(&gateway, "/")) == "a"));
}
