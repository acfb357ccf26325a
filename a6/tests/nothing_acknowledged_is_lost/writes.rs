//! Clients that write and remember what was acknowledged, and the comparison with what a gateway has.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::process::{Process, ask};
use crate::support::{Random, ai_route};

/// Ids of each kind that one client writes to.
const SLOTS: u64 = 8;
/// Bytes in a large document; some of these make SQLite write its log back into the file.
const LARGE: usize = 150_000;

type Documents = BTreeMap<String, Value>;

/// A client with ids of its own; it writes one thing at a time.
pub(crate) struct Client {
    number: usize,
    random: Random,
    /// One in so many documents is large.
    large: u64,
    serial: u64,
    /// What was acknowledged.
    stored: Documents,
    /// How many writes were acknowledged since the last comparison.
    acknowledged: u64,
    /// The write whose answer never came: the path, and the document that may be there now.
    open: Option<(String, Option<Value>)>,
}

impl Client {
    pub(crate) fn new(number: usize, random: Random, large: u64) -> Self {
        let stored = Documents::new();
        Self { number, random, large, serial: 0, stored, acknowledged: 0, open: None }
    }

    /// Does one write; false where the gateway went before it answered.
    pub(crate) fn write(&mut self, admin: SocketAddr) -> bool {
        self.serial += 1;
        let kind = ["routes", "services", "upstreams"][self.random.below(3) as usize];
        let path = format!("{kind}/c{}-{}", self.number, self.random.below(SLOTS));
        let (method, body) = match (self.stored.contains_key(&path), self.random.below(10)) {
            (true, 0..2) => ("DELETE", None),
            (true, 2..5) => ("PATCH", Some(self.patch())),
            _ => ("PUT", Some(self.document(kind, &path))),
        };
        let after = match (method, body.clone()) {
            ("PATCH", Some(patch)) => Some(patched(&self.stored[&path], &patch)),
            (_, body) => body,
        };
        let Some(reply) = ask(admin, method, &path, body.as_ref()) else {
            self.open = Some((path, after));
            return false;
        };
        assert!(matches!(reply.status, 200 | 201), "{method} {path}: {reply:?}");
        take(&mut self.stored, path, after);
        self.acknowledged += 1;
        true
    }

    fn patch(&self) -> Value {
        json!({"desc": format!("patch {}", self.serial), "labels": {"patched": self.serial.to_string()}})
    }

    fn document(&mut self, kind: &str, path: &str) -> Value {
        let size = if self.random.below(self.large) == 0 { LARGE } else { 100 };
        let mut document = match kind {
            "upstreams" => json!({"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}}),
            _ => {
                let options = json!({"options": {"model": "m".repeat(size)}});
                ai_route(&format!("/{path}"), "http://127.0.0.1:1980", options)
            }
        };
        if let Value::Object(members) = &mut document {
            if kind == "services" {
                members.remove("uri");
            }
            members.insert("desc".to_string(), json!(format!("put {}", self.serial)));
        }
        document
    }

    /// Takes this client's documents out of what was found, and holds them against what was acknowledged. Gives how many
    /// unanswered writes are there: none or one.
    fn compare(&mut self, found: &mut Documents, when: &str) -> u64 {
        let mark = format!("/c{}-", self.number);
        let (own, others): (Documents, Documents) =
            std::mem::take(found).into_iter().partition(|(path, _)| path.contains(&mark));
        *found = others;
        let open = self.open.take();
        if own == self.stored {
            return 0;
        }
        let mut with_open = self.stored.clone();
        if let Some((path, after)) = open.clone() {
            take(&mut with_open, path, after);
        }
        assert!(
            own == with_open,
            "{when}: client {} has {:#?}\nacknowledged was {:#?}\nnot answered was {:?}",
            self.number,
            brief(&own),
            brief(&self.stored),
            open.map(|(path, after)| (path, after.map(|after| after["desc"].clone()))),
        );
        self.stored = own;
        1
    }
}

/// Holds everything that the gateway has against what its clients were told. `revision` is the one of the last
/// comparison: each commit since then must have been acknowledged or is one that was not answered.
pub(crate) fn compare(process: &Process, clients: &mut [Client], revision: &mut u64, when: &str) {
    let mut found = everything(process);
    let mut expected = *revision;
    for client in clients {
        expected += client.compare(&mut found, when) + client.acknowledged;
        client.acknowledged = 0;
    }
    assert!(found.is_empty(), "{when}: nobody wrote {:#?}", brief(&found));
    *revision = process.revision();
    assert_eq!(*revision, expected, "{when}: the revision counts every commit");
}

/// All documents by path, without the members that the gateway adds.
pub(crate) fn everything(process: &Process) -> BTreeMap<String, Value> {
    let mut found = Documents::new();
    for kind in ["routes", "services", "upstreams"] {
        let reply = process.ask("GET", kind, None);
        assert_eq!(reply.status, 200, "GET {kind}: {reply:?}");
        for entry in reply.body["list"].as_array().unwrap() {
            let path = entry["key"].as_str().unwrap().trim_start_matches("/apisix/").to_string();
            let mut document = entry["value"].clone();
            if let Value::Object(members) = &mut document {
                members.retain(|name, _| !matches!(name.as_str(), "id" | "create_time" | "update_time"));
            }
            found.insert(path, document);
        }
    }
    found
}

fn take(documents: &mut Documents, path: String, after: Option<Value>) {
    match after {
        Some(document) => documents.insert(path, document),
        None => documents.remove(&path),
    };
}

fn patched(document: &Value, patch: &Value) -> Value {
    let mut document = document.clone();
    document["desc"] = patch["desc"].clone();
    document["labels"] = patch["labels"].clone();
    document
}

fn brief(documents: &Documents) -> Vec<String> {
    documents.iter().map(|(path, document)| format!("{path}: {}", document["desc"])).collect()
}
