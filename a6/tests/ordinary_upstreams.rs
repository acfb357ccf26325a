//! Promise: an ordinary upstream gets the client's request and the client gets its answer, whole or told to be cut; the
//! node is the one that the upstream's configuration says, and a node that is down is passed over.
//!
//! - `ordinary_upstreams/balance.rs`: which node is picked.
//! - `ordinary_upstreams/changes.rs`: upstreams that change, are missing or have no nodes.
//! - `ordinary_upstreams/faults.rs`: nodes that are down, silent or break off; retries and time limits.
//! - `ordinary_upstreams/heads.rs`: heads on their way there and back.
//! - `ordinary_upstreams/health.rs`: health checks.
//! - `ordinary_upstreams/tls.rs`: who the nodes are over TLS, and who is asking.
//! - `ordinary_upstreams/bodies.rs`: bodies on their way there and back.
//! - `ordinary_upstreams/upgrade.rs`: WebSocket.
//! - `ordinary_upstreams/grpc.rs`: gRPC.
//! - this file: what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "ordinary_upstreams/balance.rs"]
mod balance;
#[path = "ordinary_upstreams/bodies.rs"]
mod bodies;
#[path = "ordinary_upstreams/changes.rs"]
mod changes;
#[path = "ordinary_upstreams/faults.rs"]
mod faults;
#[path = "ordinary_upstreams/grpc.rs"]
mod grpc;
#[path = "ordinary_upstreams/heads.rs"]
mod heads;
#[path = "ordinary_upstreams/health.rs"]
mod health;
mod support;
#[path = "ordinary_upstreams/tls.rs"]
mod tls;
#[path = "ordinary_upstreams/upgrade.rs"]
mod upgrade;

use std::io::BufRead;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use serde_json::{Map, Value, json};
use support::{Answer, Connection, Gateway, Setup, request};

/// A gateway with two data threads.
fn start() -> Gateway {
    Setup::new().workers(2).start()
}

/// Addresses and their weights, as the member `nodes` has them.
fn nodes(nodes: &[(SocketAddr, u64)]) -> Value {
    let nodes: Map<_, _> =
        nodes.iter().map(|(address, weight)| (address.to_string(), json!(weight))).collect();
    Value::Object(nodes)
}

/// Leads every request to this upstream.
fn lead(gateway: &Gateway, upstream: &Value) {
    gateway.put("routes/r", &json!({"uri": "/*", "upstream": upstream}));
}

/// A request without a body on a connection of its own.
fn send(gateway: &Gateway, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    Connection::open(gateway.data).answer(&request(method, target, headers, b""))
}

fn get(gateway: &Gateway, target: &str) -> Answer {
    send(gateway, "GET", target, &[])
}

/// The name of the `Echo` that gave this answer.
#[track_caller]
fn who(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["answered_by"].as_str().expect("the backend's name").to_string()
}

/// Insists on a status and a page for people.
#[track_caller]
fn is_page(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(&format!("<title>{status} ")), "{}", answer.text());
    assert!(
        answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")),
        "{:?}",
        answer.head
    );
}

/// Insists on a status and on JSON that names this host.
#[track_caller]
fn is_told(answer: &Answer, status: u16, host: SocketAddr) {
    assert_eq!((answer.status, answer.clean_end), (status, true), "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"), "{}", answer.text());
    assert!(answer.json().is_object() && answer.text().contains(&host.to_string()), "{}", answer.text());
}

/// A backend that does this with each of its connections, on a thread for each.
fn backend(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// The lines of a head, the empty one at its end left out; `None` where the connection ends first.
fn read_head(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end_matches(['\r', '\n']) {
            "" => return Some(lines),
            line => lines.push(line.to_string()),
        }
    }
}
