//! Upstreams that change, are missing or have no nodes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::{get, is_page, lead, start, who};
use crate::support::{Connection, Echo, request};

#[test]
fn a_change_reaches_all_routes_at_once() {
    let gateway = start();
    let [old, new] = ["old", "new"].map(Echo::start);
    gateway.put("upstreams/u", &old.upstream());
    gateway.put("services/s", &json!({"upstream_id": "u"}));
    gateway.put("services/inline", &json!({"upstream": old.upstream()}));
    let mut paths = Vec::new();
    for number in 0..30 {
        let path = format!("/r{number}");
        let members = match number % 3 {
            0 => json!({"uri": path, "upstream_id": "u"}),
            1 => json!({"uri": path, "service_id": "s"}),
            _ => json!({"uri": path, "service_id": "inline"}),
        };
        gateway.put(&format!("routes/r{number}"), &members);
        paths.push(path);
    }
    for round in [&new, &old, &new] {
        gateway.put("upstreams/u", &round.upstream());
        gateway.put("services/inline", &json!({"upstream": round.upstream()}));
        round.clear();
        for path in &paths {
            who(&get(&gateway, path));
        }
        assert_eq!(round.count(), paths.len(), "requests that went to the other one");
    }
    // A route's own, and PATCH.
    lead(&gateway, &old.upstream());
    assert_eq!(who(&get(&gateway, "/other")), "old");
    lead(&gateway, &new.upstream());
    assert_eq!(who(&get(&gateway, "/other")), "new");
    let (status, answer) = gateway.admin("PATCH", "routes/r", Some(&json!({"upstream": {"nodes": null}})));
    assert_eq!(status, 400, "an upstream without nodes and discovery: {answer}");
    assert_eq!(who(&get(&gateway, "/other")), "new");
}

/// Ends the load when it goes out of scope, also where a test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn no_request_fails_while_an_upstream_changes() {
    let gateway = start();
    let [a, b] = ["a", "b"].map(Echo::start);
    gateway.put("upstreams/u", &a.upstream());
    gateway.put("routes/r", &json!({"uri": "/*", "upstream_id": "u"}));
    let is_over = AtomicBool::new(false);
    let load = || {
        let mut connection = Connection::open(gateway.data);
        let mut count = 0_usize;
        while !is_over.load(Ordering::SeqCst) {
            who(&connection.answer(&request("GET", "/", &[], b"")));
            count += 1;
        }
        count
    };
    let served: usize = thread::scope(|scope| {
        let end = End(&is_over);
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        for echo in [&a, &b].into_iter().cycle().take(100) {
            gateway.put("upstreams/u", &echo.upstream());
        }
        drop(end);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(a.count() + b.count(), served, "each request reached a backend once");
}

#[test]
fn what_is_not_there_is_told_by_its_status() {
    let gateway = start();
    let echo = Echo::start("echo");
    // No upstream at all.
    gateway.put("routes/r", &json!({"uri": "/*", "plugins": {"proxy-rewrite": {"uri": "/x"}}}));
    is_page(&get(&gateway, "/"), 503);
    // An upstream without nodes.
    for nodes in [json!({}), json!([])] {
        lead(&gateway, &json!({"nodes": nodes}));
        is_page(&get(&gateway, "/"), 503);
    }
    // An upstream that was deleted although it is used, and comes back.
    gateway.put("upstreams/u", &echo.upstream());
    gateway.put("routes/r", &json!({"uri": "/*", "upstream_id": "u"}));
    assert_eq!(who(&get(&gateway, "/")), "echo");
    let (status, answer) = gateway.admin("DELETE", "upstreams/u", None);
    assert_eq!(status, 400, "it is in use: {answer}");
    gateway.delete("upstreams/u?force=true");
    is_page(&get(&gateway, "/"), 502);
    gateway.put("upstreams/u", &echo.upstream());
    assert_eq!(who(&get(&gateway, "/")), "echo");
    gateway.put("upstreams/u", &json!({"nodes": {}}));
    is_page(&get(&gateway, "/"), 503);

    let missing = json!({"uri": "/*", "upstream_id": "missing"});
    let (status, answer) = gateway.admin("PUT", "routes/other", Some(&missing));
    assert_eq!(status, 400, "{answer}");
    assert_eq!(echo.count(), 2, "what reached the backend");
}

#[test]
fn the_id_wins_and_the_route_wins_over_its_service() {
    let gateway = start();
    let [own, named, service] = ["own", "named", "service"].map(Echo::start);
    gateway.put("upstreams/u", &named.upstream());
    gateway.put("services/s", &json!({"upstream": service.upstream()}));
    let cases: [(Value, &str); 4] = [
        (json!({"upstream_id": "u", "upstream": own.upstream()}), "named"),
        (json!({"service_id": "s"}), "service"),
        (json!({"service_id": "s", "upstream": own.upstream()}), "own"),
        (json!({"service_id": "s", "upstream_id": "u"}), "named"),
    ];
    for (mut members, expected) in cases {
        members["uri"] = json!("/*");
        gateway.put("routes/r", &members);
        assert_eq!(who(&get(&gateway, "/")), expected, "{members}");
    }
}
