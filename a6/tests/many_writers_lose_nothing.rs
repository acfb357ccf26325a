//! Promise: sixteen clients that write at once lose nothing: what is there at the end is what each of them wrote last, every
//! write has a `modifiedIndex` of its own, above all before it, and with `If-Match` no update is overwritten unseen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use serde_json::{Value, json};
use support::{ADMIN_KEY, Answer, Connection, Gateway, Random, Setup, request};

const CLIENTS: u64 = 16;
const OPERATIONS: u64 = 5_000;
/// Ids of each kind that one client puts to.
const SLOTS: u64 = 4;
/// What all clients count up, one at a time.
const COUNTERS: [&str; 3] = ["upstreams/counter-0", "upstreams/counter-1", "upstreams/counter-2"];
/// In which each client has a label of its own.
const TOGETHER: &str = "upstreams/together";

/// The kinds that are written, and whether they know PATCH and POST.
const KINDS: [(&str, bool, bool); 6] = [
    ("routes", true, true),
    ("services", true, true),
    ("upstreams", true, true),
    ("plugin_configs", true, false),
    ("consumer_groups", true, false),
    ("consumers", false, false),
];

type Documents = BTreeMap<String, Value>;

struct Client<'g> {
    gateway: &'g Gateway,
    connection: Connection,
    number: u64,
    random: Random,
    serial: u64,
    /// What it has written to ids that no other client writes to, by `«collection»/«id»`.
    own: Documents,
    /// The `modifiedIndex` of each of them.
    modified: BTreeMap<String, u64>,
    /// The largest `modifiedIndex` that it was shown of a write of its own.
    last: u64,
    /// How many of its writes were done.
    commits: u64,
    /// How often it has counted up, and how often another was faster.
    counted: BTreeMap<&'static str, u64>,
    overtaken: u64,
    /// Its label in what all write together.
    label: Option<String>,
}

impl<'g> Client<'g> {
    fn new(gateway: &'g Gateway, number: u64, random: Random) -> Self {
        Self {
            gateway,
            connection: Connection::open(gateway.admin),
            number,
            random,
            serial: 0,
            own: Documents::new(),
            modified: BTreeMap::new(),
            last: 0,
            commits: 0,
            counted: BTreeMap::new(),
            overtaken: 0,
            label: None,
        }
    }

    fn ask(&mut self, method: &str, path: &str, if_match: Option<u64>, body: Option<&Value>) -> Answer {
        let host = self.gateway.admin.to_string();
        let if_match = if_match.map(|index| index.to_string()).unwrap_or_default();
        let headers = [("Host", host.as_str()), ("X-API-KEY", ADMIN_KEY), ("If-Match", if_match.as_str())];
        let body = body.map(Value::to_string).unwrap_or_default();
        self.connection.answer(&request(method, &format!("/apisix/admin/{path}"), &headers, body.as_bytes()))
    }

    /// A write that must be done.
    fn write(&mut self, method: &str, path: &str, if_match: Option<u64>, body: Option<&Value>) -> Answer {
        let answer = self.ask(method, path, if_match, body);
        assert!(matches!(answer.status, 200 | 201), "{method} {path} {body:?}: {}", answer.text());
        self.commits += 1;
        answer
    }

    /// The document, as it was written, and its `modifiedIndex`.
    fn read(&mut self, path: &str) -> (Value, u64) {
        let answer = self.ask("GET", path, None, None);
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        let entry = answer.json();
        (written(&entry["value"]), entry["modifiedIndex"].as_u64().expect("an index"))
    }

    fn operate(&mut self) {
        self.serial += 1;
        match self.random.below(20) {
            0..5 => self.count(),
            5..8 => self.label(),
            8..11 => self.post(),
            11..13 => self.patch(),
            13..15 => self.patch_below(),
            15..16 => self.delete(),
            16..18 => self.write_on_condition(),
            _ => self.put(),
        }
    }

    /// Counts up what all count up: read, add, write if nobody else has written.
    fn count(&mut self) {
        let path = *self.random.of(&COUNTERS);
        let (mut document, modified) = self.read(path);
        let count: u64 = document["labels"]["count"].as_str().unwrap().parse().unwrap();
        document["labels"]["count"] = Value::from((count + 1).to_string());
        let labels = json!({"labels": {"count": (count + 1).to_string()}});
        let (method, body) = if self.random.below(2) == 0 { ("PUT", document) } else { ("PATCH", labels) };
        let answer = self.ask(method, path, Some(modified), Some(&body));
        match answer.status {
            200 => {
                self.commits += 1;
                *self.counted.entry(path).or_default() += 1;
            }
            412 => self.overtaken += 1,
            _ => panic!("{method} {path}: {}", answer.text()),
        }
    }

    /// Merges its label into what all write to, without looking at it.
    fn label(&mut self) {
        let label = self.serial.to_string();
        let name = format!("client-{}", self.number);
        let mut labels = serde_json::Map::new();
        labels.insert(name, Value::from(label.as_str()));
        self.write("PATCH", TOGETHER, None, Some(&json!({"labels": labels})));
        self.label = Some(label);
    }

    fn document(&mut self, kind: &str, id: &str) -> Value {
        let upstream = json!({"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1 + self.random.below(9)}});
        let mut document = match kind {
            "routes" => json!({"uri": format!("/{id}"), "upstream": upstream}),
            "services" => json!({"upstream": upstream}),
            "upstreams" => upstream,
            "consumers" => json!({"username": id}),
            _ => json!({"plugins": {"request-id": {"header_name": format!("X-{}", self.serial)}}}),
        };
        document["desc"] = json!(format!("put {}", self.serial));
        document["labels"] = json!({"put": self.serial.to_string()});
        document
    }

    fn put(&mut self) {
        let (kind, ..) = *self.random.of(&KINDS);
        let id = format!("c{}_{}", self.number, self.random.below(SLOTS));
        let document = self.document(kind, &id);
        let path = format!("{kind}/{id}");
        let is_new = !self.own.contains_key(&path);
        let answer = self.write("PUT", &path, None, Some(&document));
        assert_eq!(answer.status == 201, is_new, "{path}: {}", answer.text());
        self.keep(path, document);
    }

    fn post(&mut self) {
        let (kind, ..) = *self.random.of(&KINDS[..3]);
        let document = self.document(kind, &format!("c{}_post_{}", self.number, self.serial));
        let answer = self.write("POST", kind, None, Some(&document)).json();
        let path =
            answer["key"].as_str().and_then(|key| key.strip_prefix("/apisix/")).expect("a key").to_string();
        assert!(!self.own.contains_key(&path), "POST gave {path} twice");
        self.keep(path, document);
    }

    /// One of its own that knows PATCH; none if it has none yet.
    fn any_patched(&mut self) -> Option<String> {
        let knows_patch =
            |path: &&String| KINDS.iter().any(|(kind, patch, _)| *patch && path.starts_with(kind));
        let all: Vec<String> = self.own.keys().filter(knows_patch).cloned().collect();
        (!all.is_empty()).then(|| self.random.of(&all).clone())
    }

    fn patch(&mut self) {
        let Some(path) = self.any_patched() else { return self.put() };
        let serial = self.serial.to_string();
        let patch = json!({"desc": format!("patch {serial}"), "labels": {"patched": serial, "put": null}});
        self.write("PATCH", &path, None, Some(&patch));
        let mut document = self.own[&path].clone();
        document["desc"] = patch["desc"].clone();
        let labels = document["labels"].as_object_mut().expect("labels");
        labels.insert("patched".to_string(), Value::from(serial));
        labels.remove("put");
        self.keep(path, document);
    }

    fn patch_below(&mut self) {
        let Some(path) = self.any_patched() else { return self.put() };
        let value = Value::from(format!("below-{}", self.serial));
        self.write("PATCH", &format!("{path}/labels/below"), None, Some(&value));
        let mut document = self.own[&path].clone();
        document["labels"]["below"] = value;
        self.keep(path, document);
    }

    fn delete(&mut self) {
        let all: Vec<String> = self.own.keys().cloned().collect();
        if all.is_empty() {
            return self.put();
        }
        let path = self.random.of(&all).clone();
        self.write("DELETE", &path, None, None);
        self.own.remove(&path);
        self.modified.remove(&path);
        let answer = self.ask("GET", &path, None, None);
        assert_eq!(answer.status, 404, "{path} after its deletion: {}", answer.text());
    }

    /// A write with the right index is done; one with another is not, whatever it is.
    fn write_on_condition(&mut self) {
        let all: Vec<String> = self.own.keys().cloned().collect();
        if all.is_empty() {
            return self.put();
        }
        let path = self.random.of(&all).clone();
        let (kind, id) = path.split_once('/').expect("a collection and an id");
        let document = self.document(kind, id);
        let modified = self.modified[&path];
        let stale = if self.random.below(2) == 0 { modified - 1 } else { modified + 1 };
        let methods: &[&str] =
            if kind == "consumers" { &["PUT", "DELETE"] } else { &["PUT", "PATCH", "DELETE"] };
        let method = *self.random.of(methods);
        let body = (method != "DELETE").then_some(&document);
        let answer = self.ask(method, &path, Some(stale), body);
        assert_eq!(answer.status, 412, "{method} {path} at {modified} with {stale}: {}", answer.text());
        assert_eq!(self.read(&path), (self.own[&path].clone(), modified), "{path} after a refused {method}");
        self.write("PUT", &path, Some(modified), Some(&document));
        self.keep(path.clone(), document);
    }

    /// Remembers what it has written, and insists that it is there, with an index above all that it was shown before.
    fn keep(&mut self, path: String, document: Value) {
        let (found, modified) = self.read(&path);
        assert_eq!(found, document, "{path} after its write");
        assert!(modified > self.last, "{path}: modifiedIndex {modified} after {}", self.last);
        self.last = modified;
        self.modified.insert(path.clone(), modified);
        self.own.insert(path, document);
    }
}

/// A stored document without what the gateway adds.
fn written(value: &Value) -> Value {
    let mut value = value.clone();
    let members = value.as_object_mut().expect("an object");
    for name in ["id", "create_time", "update_time"] {
        members.remove(name);
    }
    value
}

fn revision(gateway: &Gateway) -> u64 {
    let host = gateway.control.to_string();
    let ask = request("GET", "/v1/config/status", &[("Host", host.as_str())], b"");
    Connection::open(gateway.control).answer(&ask).json()["revision"].as_u64().expect("a revision")
}

/// All documents of the kinds that are written, by `«collection»/«id»`. No two may have the same `modifiedIndex`, and none one
/// above the gateway's revision.
fn everything(gateway: &Gateway) -> Documents {
    let (revision, mut indexes) = (revision(gateway), BTreeSet::new());
    let mut all = Documents::new();
    for (kind, ..) in KINDS {
        let (status, listing) = gateway.admin("GET", kind, None);
        assert_eq!(status, 200, "{listing}");
        for entry in listing["list"].as_array().expect("a list") {
            let modified = entry["modifiedIndex"].as_u64().expect("an index");
            assert!(entry["createdIndex"].as_u64() <= Some(modified) && modified <= revision, "{entry}");
            assert!(indexes.insert(modified), "modifiedIndex {modified} is there twice");
            let key = entry["key"].as_str().and_then(|key| key.strip_prefix("/apisix/")).expect("a key");
            all.insert(key.to_string(), written(&entry["value"]));
        }
    }
    all
}

#[test]
fn sixteen_clients_find_what_they_wrote() {
    let gateway = Setup::new().start();
    let shared =
        |labels: Value| json!({"nodes": {"127.0.0.1:1980": 1}, "type": "roundrobin", "labels": labels});
    for path in COUNTERS {
        gateway.put(path, &shared(json!({"count": "0"})));
    }
    gateway.put(TOGETHER, &shared(json!({"nobody": "0"})));
    let before = revision(&gateway);
    let mut random = Random::seeded();
    let clients: Vec<Client<'_>> =
        (0..CLIENTS).map(|number| Client::new(&gateway, number, random.fork())).collect();
    let clients: Vec<Client<'_>> = thread::scope(|scope| {
        let running: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                scope.spawn(move || {
                    for _ in 0..OPERATIONS.div_ceil(CLIENTS) {
                        client.operate();
                    }
                    client
                })
            })
            .collect();
        running.into_iter().map(|client| client.join().expect("a client whose writes were right")).collect()
    });

    let commits: u64 = clients.iter().map(|client| client.commits).sum();
    let overtaken: u64 = clients.iter().map(|client| client.overtaken).sum();
    assert_eq!(
        revision(&gateway),
        before + commits,
        "each write has a revision of its own, and nothing else has"
    );
    assert!(overtaken > 0, "nobody was overtaken, so nothing was shown");
    let mut expected = Documents::new();
    for client in &clients {
        expected.extend(client.own.clone());
    }
    for path in COUNTERS {
        let count: u64 = clients.iter().filter_map(|client| client.counted.get(path)).sum();
        assert!(count > 0, "nobody has counted {path} up");
        expected.insert(path.to_string(), shared(json!({"count": count.to_string()})));
    }
    let mut labels = serde_json::Map::new();
    labels.insert("nobody".to_string(), json!("0"));
    for client in &clients {
        let label =
            client.label.clone().map(|label| (format!("client-{}", client.number), Value::from(label)));
        labels.extend(label);
    }
    expected.insert(TOGETHER.to_string(), shared(Value::Object(labels)));
    same(&everything(&gateway), &expected, "at the end");
    println!(
        "{commits} writes, {overtaken} of those who counted were overtaken, {} documents",
        expected.len()
    );

    let home = gateway.home.clone();
    drop(clients);
    drop(gateway);
    let gateway = Setup::new().home(&home).start();
    same(&everything(&gateway), &expected, "after a kill and a start");
}

fn same(found: &Documents, expected: &Documents, when: &str) {
    for path in found.keys().chain(expected.keys()) {
        assert_eq!(found.get(path), expected.get(path), "{when}: {path}");
    }
}
