//! Which node is picked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{get, is_page, lead, nodes, send, start, who};
use crate::support::{Connection, Echo, Gateway, Manner, closed_port, eventually, request};

#[test]
fn ten_requests_are_split_exactly_whatever_thread_serves_them() {
    let gateway = start();
    let [a, b] = ["a", "b"].map(Echo::start);
    lead(&gateway, &json!({"type": "roundrobin", "nodes": nodes(&[(a.address, 2), (b.address, 8)])}));
    for round in 1..=5 {
        (0..10).for_each(|_| drop(who(&get(&gateway, "/"))));
        assert_eq!((a.count(), b.count()), (2 * round, 8 * round), "after {round} rounds");
    }
}

#[test]
fn a_thousand_concurrent_requests_are_split_exactly() {
    let gateway = start();
    let [a, b] = ["a", "b"].map(Echo::start);
    lead(&gateway, &json!({"nodes": nodes(&[(a.address, 2), (b.address, 8)])}));
    let next = AtomicUsize::new(0);
    let ask = || {
        let mut connection = Connection::open(gateway.data);
        while next.fetch_add(1, Ordering::SeqCst) < 1_000 {
            who(&connection.answer(&request("GET", "/", &[], b"")));
        }
    };
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(ask);
        }
    });
    assert_eq!((a.count(), b.count()), (200, 800));
}

#[test]
fn a_node_of_weight_zero_waits_until_there_is_no_other() {
    let gateway = start();
    let [a, b] = ["a", "b"].map(Echo::start);
    let cases = [
        (nodes(&[(a.address, 0), (b.address, 1)]), (0, 10)),
        (nodes(&[(a.address, 1), (b.address, 0)]), (10, 0)),
        (nodes(&[(a.address, 0)]), (10, 0)),
        (nodes(&[(a.address, 1), (b.address, 1)]), (5, 5)),
    ];
    for (nodes, expected) in cases {
        a.clear();
        b.clear();
        lead(&gateway, &json!({"nodes": nodes}));
        (0..10).for_each(|_| drop(who(&get(&gateway, "/"))));
        assert_eq!((a.count(), b.count()), expected, "{nodes}");
    }
}

/// Nodes as an array, with priorities.
fn ranked(ranked: &[(SocketAddr, i64)]) -> Value {
    let node = |(address, priority): &(SocketAddr, i64)| {
        let host = address.ip().to_string();
        json!({"host": host, "port": address.port(), "weight": 1, "priority": priority})
    };
    Value::Array(ranked.iter().map(node).collect())
}

#[test]
fn a_lower_priority_is_for_when_all_of_the_higher_were_tried() {
    let gateway = start();
    let [a, b, c] = ["a", "b", "c"].map(Echo::start);
    lead(&gateway, &json!({"nodes": ranked(&[(a.address, 0), (b.address, 10), (c.address, 10)])}));
    (0..20).for_each(|_| drop(who(&get(&gateway, "/"))));
    assert_eq!((a.count(), b.count(), c.count()), (0, 10, 10));

    let closed = [closed_port(), closed_port()];
    lead(
        &gateway,
        &json!({"nodes": ranked(&[(closed[0], 2), (closed[1], 2), (a.address, 1), (b.address, -1)])}),
    );
    for _ in 0..10 {
        assert_eq!(who(&get(&gateway, "/")), "a");
    }
    lead(
        &gateway,
        &json!({"nodes": ranked(&[(closed[0], 2), (closed[1], 2), (a.address, 1)]), "retries": 1}),
    );
    assert_eq!(get(&gateway, "/").status, 502, "one more try than `retries` allows");
}

/// Where the requests of each of these users go, each user asking twice.
fn places(
    gateway: &Gateway,
    ask: &dyn Fn(&str) -> (String, Vec<(&'static str, String)>),
) -> HashMap<String, String> {
    let place = |user: String| {
        let (target, headers) = ask(&user);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let name = who(&send(gateway, "GET", &target, &headers));
        assert_eq!(who(&send(gateway, "GET", &target, &headers)), name, "{user} goes to and fro");
        (user, name)
    };
    (0..60).map(|number| place(format!("user-{number}"))).collect()
}

#[test]
fn consistent_hashing_sticks_and_moves_little() {
    let gateway = start();
    let echoes = ["a", "b", "c", "d"].map(Echo::start);
    type Ask = fn(&str) -> (String, Vec<(&'static str, String)>);
    let cases: [(&str, Value, Ask); 5] = [
        ("a header", json!({"hash_on": "header", "key": "X-User"}), |user| {
            ("/".into(), vec![("X-User", user.into())])
        }),
        ("a cookie", json!({"hash_on": "cookie", "key": "user"}), |user| {
            ("/".into(), vec![("Cookie", format!("theme=dark; user={user}"))])
        }),
        ("an argument", json!({"hash_on": "vars", "key": "arg_user"}), |user| {
            (format!("/?page=1&user={user}"), Vec::new())
        }),
        ("the path, by default on variables", json!({"key": "uri"}), |user| (format!("/{user}"), Vec::new())),
        ("a combination", json!({"hash_on": "vars_combinations", "key": "$http_x_user-$arg_z"}), |user| {
            ("/?z=1".into(), vec![("X-User", user.into())])
        }),
    ];
    for (name, members, ask) in cases {
        let upstream = |count: usize| {
            let all: Vec<_> = echoes.iter().take(count).map(|echo| (echo.address, 1)).collect();
            let mut upstream = members.clone();
            upstream["type"] = json!("chash");
            upstream["nodes"] = nodes(&all);
            upstream
        };
        lead(&gateway, &upstream(4));
        let before = places(&gateway, &ask);
        let used: BTreeSet<&String> = before.values().collect();
        assert_eq!(used.len(), 4, "{name}: only {used:?} are used");
        // Another thread, another connection, the same configuration again: nothing moves.
        lead(&gateway, &upstream(4));
        assert_eq!(places(&gateway, &ask), before, "{name}");
        // One leaves: its users go elsewhere, the others stay.
        lead(&gateway, &upstream(3));
        let after = places(&gateway, &ask);
        let moved = before.iter().filter(|(user, place)| *place != "d" && after[*user] != **place).count();
        assert!(moved <= 1, "{name}: {moved} users moved although their node is still there");
    }
}

#[test]
fn a_dead_nodes_share_of_the_ring_goes_elsewhere() {
    let gateway = start();
    let [a, b] = ["a", "b"].map(Echo::start);
    let all = nodes(&[(a.address, 1), (closed_port(), 1), (b.address, 1)]);
    lead(&gateway, &json!({"type": "chash", "hash_on": "header", "key": "X-User", "nodes": all}));
    let ask = |user: &str| ("/".to_string(), vec![("X-User", user.to_string())]);
    let used: BTreeSet<String> = places(&gateway, &ask).into_values().collect();
    assert_eq!(used, BTreeSet::from(["a".to_string(), "b".to_string()]));
}

#[test]
fn least_conn_looks_at_what_is_under_way() {
    let gateway = start();
    let [a, b] = ["a", "b"].map(Echo::start);
    let cases = [((1, 1), (2, 2)), ((1, 3), (1, 3))];
    for (weights, expected) in cases {
        a.clear();
        b.clear();
        for echo in [&a, &b] {
            echo.answer(Manner::Status(200), Duration::from_secs(3));
        }
        let all = nodes(&[(a.address, weights.0), (b.address, weights.1)]);
        lead(&gateway, &json!({"type": "least_conn", "nodes": all}));
        let mut clients = Vec::new();
        for number in 1..=4 {
            let mut client = Connection::open(gateway.data);
            client.write(&request("GET", "/", &[], b""));
            clients.push(client);
            let there = || (a.count() + b.count() == number).then_some(());
            eventually("the request at a backend", there);
        }
        assert_eq!((a.count(), b.count()), expected, "weights {weights:?}");
        for mut client in clients {
            assert_eq!(client.next_answer().status, 200);
        }
    }
}

#[test]
fn kinds_of_balancing_are_checked_where_they_matter() {
    let gateway = start();
    let [a, b] = ["a", "b"].map(Echo::start);
    let (one, two) = (nodes(&[(a.address, 1)]), nodes(&[(a.address, 1), (b.address, 1)]));
    for kind in ["roundrobin", "least_conn", "ewma"] {
        lead(&gateway, &json!({"type": kind, "nodes": two}));
        let mut tally = BTreeMap::new();
        for _ in 0..20 {
            *tally.entry(who(&get(&gateway, "/"))).or_insert(0) += 1;
        }
        assert_eq!(tally.values().sum::<i32>(), 20, "{kind}");
    }
    // A kind that does not exist is not asked where there is nothing to choose.
    lead(&gateway, &json!({"type": "magic", "nodes": one}));
    assert_eq!(who(&get(&gateway, "/")), "a");
    lead(&gateway, &json!({"type": "magic", "nodes": two}));
    is_page(&get(&gateway, "/"), 500);
}
