//! Keys that have been taken away are good for nothing, at once and on every thread.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::encode::base64;
use crate::engine::Stage;
use crate::support::{Connection, Setup, request};
use crate::tokens;

/// With two threads, one is missed by chance once in 30,000 rounds of so many fresh connections.
const CONNECTIONS: usize = 16;

struct Everybody {
    stage: Stage,
    /// Connections on which requests have passed before.
    kept: Vec<Connection>,
}

impl Everybody {
    fn new() -> Self {
        let stage = Stage::on(Setup::new().workers(2));
        for plugin in ["key-auth", "basic-auth", "jwt-auth"] {
            stage.route(plugin, json!({plugin: {}}));
        }
        let kept = (0..CONNECTIONS).map(|_| Connection::open(stage.gateway.data)).collect();
        Self { stage, kept }
    }

    /// Insists that a request has this status, on every connection that is kept and on as many fresh ones.
    #[track_caller]
    fn get(&mut self, way: &Way, status: u16, when: &str) {
        let mut statuses = BTreeSet::new();
        for connection in &mut self.kept {
            statuses.insert(connection.answer(&way.request).status);
        }
        for _ in 0..CONNECTIONS {
            statuses.insert(Connection::open(self.stage.gateway.data).answer(&way.request).status);
        }
        assert_eq!(statuses, BTreeSet::from([status]), "{when}: {}", way.name);
    }
}

/// A way to say who one is.
struct Way {
    name: &'static str,
    request: Vec<u8>,
}

fn key(key: &str) -> Way {
    Way { name: "key-auth", request: request("GET", &format!("/key-auth?apikey={key}"), &[], b"") }
}

fn basic(name: &str, password: &str) -> Way {
    let header = format!("Basic {}", base64(format!("{name}:{password}").as_bytes()));
    Way {
        name: "basic-auth",
        request: request("GET", "/basic-auth", &[("Authorization", header.as_str())], b""),
    }
}

fn jwt(token: &str) -> Way {
    Way { name: "jwt-auth", request: request("GET", "/jwt-auth", &[("Authorization", token)], b"") }
}

fn jack(key: &str, password: &str, secret: &str) -> Value {
    json!({"username": "jack", "plugins": {
        "key-auth": {"key": key},
        "basic-auth": {"username": "jack", "password": password},
        "jwt-auth": {"key": tokens::KEY, "secret": secret},
    }})
}

#[test]
fn what_is_rotated_or_deleted_is_refused_at_once() {
    let mut all = Everybody::new();
    let first = [key("k1"), basic("jack", "p1"), jwt(tokens::TOKEN)];
    let second = [key("k2"), basic("jack", "p2"), jwt(tokens::SECOND_TOKEN)];
    let credentials = [key("c1"), basic("by-credential", "c2")];
    first
        .iter()
        .chain(&second)
        .chain(&credentials)
        .for_each(|way| all.get(way, 401, "before anything is written"));

    all.stage.put("consumers", jack("k1", "p1", tokens::SECRET));
    all.stage.put("consumers/jack/credentials/c1", json!({"plugins": {"key-auth": {"key": "c1"}}}));
    let conf = json!({"username": "by-credential", "password": "c2"});
    all.stage.put("consumers/jack/credentials/c2", json!({"plugins": {"basic-auth": conf}}));
    first.iter().chain(&credentials).for_each(|way| all.get(way, 200, "once it is written"));
    second.iter().for_each(|way| all.get(way, 401, "before the keys are rotated"));

    all.stage.put("consumers", jack("k2", "p2", tokens::SECOND_SECRET));
    first.iter().for_each(|way| all.get(way, 401, "once the keys are rotated"));
    second.iter().chain(&credentials).for_each(|way| all.get(way, 200, "once the keys are rotated"));

    // A kind of credential that is left out.
    all.stage.put("consumers", json!({"username": "jack", "plugins": {"key-auth": {"key": "k2"}}}));
    all.get(&second[0], 200, "with one kind of credential");
    second[1..].iter().for_each(|way| all.get(way, 401, "with one kind of credential"));
    all.stage.put("consumers", jack("k2", "p2", tokens::SECOND_SECRET));

    all.stage.put("consumers/jack/credentials/c1", json!({"plugins": {"key-auth": {"key": "c3"}}}));
    all.get(&credentials[0], 401, "once the credential's key is rotated");
    all.get(&key("c3"), 200, "once the credential's key is rotated");
    all.stage.gateway.delete("consumers/jack/credentials/c1");
    all.get(&key("c3"), 401, "once the credential is deleted");
    second.iter().chain(&credentials[1..]).for_each(|way| all.get(way, 200, "once a credential is deleted"));

    all.stage.gateway.delete("consumers/jack");
    let every = first.iter().chain(&second).chain(&credentials);
    every.for_each(|way| all.get(way, 401, "once the consumer is deleted"));
    all.stage.put("consumers", json!({"username": "jack"}));
    let every = first.iter().chain(&second).chain(&credentials);
    every.for_each(|way| all.get(way, 401, "once a consumer of that name is there again"));
}

#[test]
fn a_key_that_changes_hands_names_its_new_owner() {
    let mut all = Everybody::new();
    let consumer = |name: &str, key: &str| json!({"username": name, "plugins": {"key-auth": {"key": key}}});
    all.stage.put("consumers", consumer("jack", "shared"));
    all.get(&key("shared"), 200, "as jack's");
    all.stage.put("consumers", consumer("jack", "other"));
    all.get(&key("shared"), 401, "as nobody's");
    all.stage.put("consumers", consumer("rose", "shared"));
    all.stage.echo.clear();
    all.get(&key("shared"), 200, "as rose's");
    let names: BTreeSet<_> = all
        .stage
        .echo
        .requests()
        .iter()
        .map(|seen| seen.header("x-consumer-username").map(str::to_string))
        .collect();
    assert_eq!(names, BTreeSet::from([Some("rose".to_string())]));
}
