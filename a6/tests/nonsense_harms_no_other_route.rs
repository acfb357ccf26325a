//! Promise: whatever nonsense the Admin API is given, of any kind and plugin, it answers, and no request to another route is
//! dropped or refused; what it took, a gateway starts with.
//!
//! - `nonsense_harms_no_other_route/documents.rs`: documents that are valid, or nearly so.
//! - `nonsense_harms_no_other_route/mutate.rs`: what is done to them.
//!
//! Global rules are left out: what they do to every route is what they are for. `TEST_SEED=7` repeats a run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "nonsense_harms_no_other_route/documents.rs"]
mod documents;
#[path = "nonsense_harms_no_other_route/mutate.rs"]
mod mutate;
mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use documents::{Plugins, Write};
use mutate::{mutate, odd};
use serde_json::{Value, json};
use support::{Answer, Connection, Echo, Gateway, Random, Setup, request};

const WRITES: usize = 4_000;
/// Ids of each kind that nonsense is written to.
const SLOTS: u64 = 20;
/// How long somebody waits for a nonsensical route's answer before they hang up.
const GLANCE: Duration = Duration::from_millis(100);

/// Sets the flag when it goes, also while a failed assertion unwinds: nobody waits for ever.
struct Until<'f>(&'f AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Writes the route that must not be harmed, made of one thing of each kind.
fn steady_route(gateway: &Gateway, upstream: &Value) {
    gateway.put("upstreams/steady", upstream);
    gateway.put("services/steady", &json!({"upstream_id": "steady"}));
    gateway.put("consumer_groups/steady", &json!({"plugins": {"request-id": {}}}));
    let consumer =
        json!({"username": "steady", "group_id": "steady", "plugins": {"key-auth": {"key": "steady-key"}}});
    gateway.put("consumers/steady", &consumer);
    gateway.put("plugin_configs/steady", &json!({"plugins": {"key-auth": {}}}));
    let route = json!({"uri": "/steady", "host": "steady.test", "service_id": "steady", "plugin_config_id": "steady"});
    gateway.put("routes/steady", &route);
}

fn ask_steady(connection: &mut Connection) -> Answer {
    let headers = [("Host", "steady.test"), ("apikey", "steady-key")];
    connection.answer(&request("GET", "/steady", &headers, b""))
}

/// Asks the steady route again and again; every answer must be the backend's.
fn keep_asking(gateway: &Gateway, is_over: &AtomicBool, asked: &AtomicUsize, last: &Mutex<String>) {
    while !is_over.load(Ordering::SeqCst) {
        let mut connection = Connection::open(gateway.data);
        for _ in 0..20 {
            let answer = ask_steady(&mut connection);
            let is_right =
                answer.status == 200 && answer.clean_end && answer.json()["answered_by"] == "steady";
            let last = last.lock().expect("no panic under the lock");
            assert!(is_right, "{} {}\nwhile this was written: {last}", answer.status, answer.text());
            drop(last);
            asked.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Makes up writes.
struct Nonsense {
    random: Random,
    odd: Vec<Value>,
    documents: Vec<Write>,
    plugins: Plugins,
    upstream: Value,
}

impl Nonsense {
    /// Method, path and document of the next write.
    fn next(&mut self) -> (&'static str, String, Value) {
        let random = &mut self.random;
        let (path, mut document) = match random.below(3) {
            0 => {
                let plugins = self.plugins.some(random, &self.odd);
                let holder =
                    *random.of(&["routes", "routes", "services", "plugin_configs", "consumer_groups"]);
                let document = match holder {
                    "routes" => {
                        json!({"uri": "/odd/*", "host": "odd.test", "plugins": plugins, "upstream": self.upstream})
                    }
                    _ => json!({"plugins": plugins}),
                };
                (format!("{holder}/x"), document)
            }
            _ => random.of(&self.documents).clone(),
        };
        mutate(&mut document, random, &self.odd);
        let method = if random.below(6) == 0 { "PATCH" } else { "PUT" };
        (method, self.elsewhere(path), document)
    }

    /// Another id, in half of the cases.
    fn elsewhere(&mut self, path: String) -> String {
        let slot = self.random.below(2 * SLOTS);
        match path.rsplit_once('/') {
            Some((collection, _)) if slot < SLOTS && collection != "plugin_metadata" => {
                format!("{collection}/n{slot}")
            }
            _ => path,
        }
    }
}

/// Somebody asks the route with the plugins that were just written, and does not wait for long. A route that leads to a
/// provider is left alone: no test may reach a real one.
fn glance(gateway: &Gateway, document: &Value) {
    if document["host"] != "odd.test" || document.to_string().contains("\"provider\"") {
        return;
    }
    let body = br#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    for (method, body) in [("GET", &b""[..]), ("POST", &body[..])] {
        let headers =
            [("Host", "odd.test"), ("Connection", "close"), ("Origin", "http://a.test"), ("Cookie", "a=b")];
        let mut connection = Connection::open(gateway.data);
        connection.write(&request(method, "/odd/x?a=1&b=%41", &headers, body));
        connection.until_closed(GLANCE);
    }
}

fn status(gateway: &Gateway) -> Value {
    let host = gateway.control.to_string();
    let ask = request("GET", "/v1/config/status", &[("Host", host.as_str())], b"");
    Connection::open(gateway.control).answer(&ask).json()
}

fn write_nonsense(gateway: &Gateway, nonsense: &mut Nonsense, last: &Mutex<String>) -> BTreeMap<u16, usize> {
    let mut tally = BTreeMap::new();
    let mut connection = Connection::open(gateway.admin);
    for number in 0..WRITES {
        let (method, path, document) = nonsense.next();
        let text = document.to_string();
        *last.lock().expect("no panic under the lock") =
            format!("write {number}: {method} {path} {}", text.chars().take(2_000).collect::<String>());
        let answer = gateway.admin_on(&mut connection, method, &path, Some(&document));
        let is_an_answer = matches!(answer.status, 200 | 201 | 400 | 404 | 405);
        assert!(is_an_answer, "{method} {path} {text}: {} {}", answer.status, answer.text());
        *tally.entry(answer.status).or_default() += 1;
        if answer.status < 300 && path.starts_with("routes/") {
            glance(gateway, &document);
        }
    }
    tally
}

#[test]
fn every_answer_of_another_route_is_200() {
    let (backend, odd_backend) = (Echo::start("steady"), Echo::start("odd"));
    let gateway = Setup::new().workers(2).start();
    steady_route(&gateway, &backend.upstream());
    let (code, all) = gateway.admin("GET", "plugins?all=true", None);
    assert_eq!(code, 200, "{all}");
    let mut documents = documents::built_in(&odd_backend.upstream());
    for (path, document) in &documents {
        gateway.put(path, document);
    }
    documents.extend(documents::recorded());
    let mut nonsense = Nonsense {
        random: Random::seeded(),
        odd: odd(),
        documents,
        plugins: Plugins::of(&all),
        upstream: odd_backend.upstream(),
    };

    let (is_over, asked, last) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(String::new()));
    let tally = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| keep_asking(&gateway, &is_over, &asked, &last));
        }
        let _until = Until(&is_over);
        write_nonsense(&gateway, &mut nonsense, &last)
    });
    println!("{tally:?}, the steady route was asked {} times", asked.load(Ordering::SeqCst));
    let taken = |code: u16| tally.get(&code).copied().unwrap_or_default();
    assert!(taken(200) + taken(201) > WRITES / 20, "hardly anything was taken: {tally:?}");
    assert!(taken(400) > WRITES / 20, "hardly anything was nonsense: {tally:?}");
    assert!(asked.load(Ordering::SeqCst) > 0, "the steady route was never asked");

    gateway
        .put("routes/after", &json!({"uri": "/after", "host": "after.test", "upstream": backend.upstream()}));
    assert_eq!(status(&gateway)["last_change"]["key"], "routes/after");
    let ask = request("GET", "/after", &[("Host", "after.test")], b"");
    assert_eq!(Connection::open(gateway.data).answer(&ask).status, 200, "a change after all the nonsense");
    assert!(!gateway.output().contains("panicked"), "{}", gateway.output());

    let home = gateway.home.clone();
    drop(gateway);
    let gateway = Setup::new().workers(2).home(&home).start();
    let answer = ask_steady(&mut Connection::open(gateway.data));
    assert_eq!(answer.status, 200, "after a start with all that was taken: {}", answer.text());
}
