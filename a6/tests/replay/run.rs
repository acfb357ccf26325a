//! One case on one gateway: set up, sent, compared, cleaned away.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::case::{Case, Names};
use super::upstream::Upstream;
use super::value::cut;
use super::{compare, send};
use crate::support::{ADMIN_KEY, Answer, Gateway};

/// How a case went.
pub(crate) enum Outcome {
    Equal,
    /// The differences, the first first; each may be followed by indented lines that explain it.
    Unequal(Vec<String>),
    /// It needs something that does not exist yet; the reason.
    NotServed(String),
}

/// Where a Redis for the cases that need one listens, on 127.0.0.1.
const REDIS_PORT: &str = "REPLAY_REDIS_PORT";

/// Words with which a6 says that something does not exist yet. Where the original says the same of the same thing, the
/// case is an ordinary one.
const NOT_YET: [&str; 4] = [
    "unknown plugin [",
    "Unsupported resource type: ",
    "plugin not found in subsystem ",
    "not supported yet",
];

struct Run<'a> {
    case: &'a Case,
    gateway: &'a Gateway,
    upstream: Upstream,
    names: Names,
    /// Admin paths of what the case wrote.
    created: Vec<String>,
    differences: Vec<String>,
}

/// Runs a case; the second value tells whether the gateway is as empty as before.
pub(crate) fn run(case: &Case, gateway: &Gateway) -> (Outcome, bool) {
    let redis = std::env::var(REDIS_PORT).ok();
    if case.needs_redis && redis.is_none() {
        return (Outcome::NotServed(format!("needs a Redis: {REDIS_PORT} is not set")), true);
    }
    let upstream = Upstream::start();
    let names = Names::new([
        ("mock", upstream.address.to_string()),
        ("mock_port", upstream.address.port().to_string()),
        ("redis_port", redis.unwrap_or_else(|| "6379".to_string())),
        ("data", gateway.data.to_string()),
        ("data_port", gateway.data.port().to_string()),
        ("key", ADMIN_KEY.to_string()),
        ("nonce", nonce()),
    ]);
    let mut run = Run { case, gateway, upstream, names, created: Vec::new(), differences: Vec::new() };
    let not_served = run.steps();
    let is_clean = run.clean_up();
    let outcome = match not_served {
        Some(reason) => Outcome::NotServed(reason),
        None if run.differences.is_empty() => Outcome::Equal,
        None => Outcome::Unequal(run.differences),
    };
    (outcome, is_clean)
}

/// A text that no other case of this run and no earlier run had.
fn nonce() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("n{:x}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Run<'_> {
    /// All steps, or until one cannot be served: its reason.
    fn steps(&mut self) -> Option<String> {
        let case = self.case;
        for (index, step) in case.steps.iter().enumerate() {
            // `settle` and the pause after writes need nothing here: a6 answers a write when it is in force.
            if let Some(seconds) = step["sleep"].as_f64() {
                std::thread::sleep(Duration::from_secs_f64(seconds));
                continue;
            }
            let step = self.names.fill(step);
            let found = match step["repeat"].as_u64() {
                Some(times) => self.repeated(&step, times),
                None => self.once(&step),
            };
            match found {
                Ok(found) => self.note(index, &step, found),
                Err(not_served) => return Some(not_served),
            }
            if step["setup"] == true && !self.differences.is_empty() {
                return None;
            }
            if let Some(seconds) = step["after"].as_f64() {
                std::thread::sleep(Duration::from_secs_f64(seconds));
            }
        }
        None
    }

    fn note(&mut self, index: usize, step: &Value, found: Vec<String>) {
        let text = |name: &str| step[name].as_str().unwrap_or_default();
        let place = format!("step {} {} {}", index + 1, text("method"), text("path"));
        self.differences.extend(found.into_iter().map(|difference| match difference.starts_with(' ') {
            true => difference,
            false => format!("{place}: {difference}"),
        }));
    }

    fn listener(&self, step: &Value) -> SocketAddr {
        match step["on"].as_str() {
            Some("admin") => self.gateway.admin,
            Some("control") => self.gateway.control,
            _ => self.gateway.data,
        }
    }

    /// One request: what differs, or why it cannot be served.
    fn once(&mut self, step: &Value) -> Result<Vec<String>, String> {
        let expect = &step["expect"];
        let exchanges = expect["upstream"].as_array();
        self.upstream.expect(exchanges.map(Vec::as_slice).unwrap_or_default());
        let listener = self.listener(step);
        let request = send::request(step, listener);
        let answer = match send::send(listener, &request) {
            Ok(answer) => answer,
            // The original gave no answer either, by accident.
            Err(_) if expect.get("failed").is_some() => return Ok(Vec::new()),
            Err(why) => return Ok(vec![why]),
        };
        self.remember(step, &answer);
        if let Some(reason) = not_served(expect, &answer.text()) {
            return Err(reason);
        }
        for (name, path) in step["save"].as_object().into_iter().flatten() {
            let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            self.names.save(name, &told, path.as_str().unwrap_or_default());
        }
        if expect.get("failed").is_some() {
            return Ok(Vec::new());
        }
        if step["setup"] == true {
            return Ok(set_up_differences(expect, &answer));
        }
        let mut found = compare::answer(self.case, step, &answer);
        if let Some(exchanges) = exchanges.filter(|_| step["no_upstream"] != true) {
            let received = self.upstream.received(exchanges.len());
            found.extend(compare::exchanges(self.case, exchanges, &received));
        }
        if !found.is_empty() {
            found.extend(explanation(step, &answer));
        }
        Ok(found)
    }

    /// The same request many times, its answers tallied.
    fn repeated(&mut self, step: &Value, times: u64) -> Result<Vec<String>, String> {
        let member = step["count"].as_str().unwrap_or("answered_by");
        let expect = &step["expect"];
        let listener = self.listener(step);
        let request = send::request(step, listener);
        self.upstream.expect(&[]);
        let mut tally: BTreeMap<String, u64> = BTreeMap::new();
        for _ in 0..times {
            let answer = match send::send(listener, &request) {
                Ok(answer) => answer,
                Err(why) => return Ok(vec![why]),
            };
            if let Some(reason) = not_served(expect, &answer.text()) {
                return Err(reason);
            }
            let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let value = match member {
                "status" => answer.status.to_string(),
                _ => told[member].as_str().map_or_else(|| told[member].to_string(), str::to_string),
            };
            *tally.entry(value).or_default() += 1;
        }
        Ok(compare::counts(&expect["counts"], &tally, times))
    }

    /// Keeps the path of what an admin request wrote; its answer tells the key.
    fn remember(&mut self, step: &Value, answer: &Answer) {
        if step["on"] != "admin" || !matches!(answer.status, 200 | 201) {
            return;
        }
        if matches!(step["method"].as_str(), Some("PUT" | "POST")) {
            let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let key = told["key"].as_str().and_then(|key| key.strip_prefix("/apisix/"));
            self.created.extend(key.map(|key| format!("/apisix/admin/{key}")));
        }
    }

    /// Deletes what the case wrote, the last first. False where something may be left.
    fn clean_up(&mut self) -> bool {
        let created = std::mem::take(&mut self.created);
        created.iter().rev().all(|path| {
            let step = json!({"on": "admin", "method": "DELETE", "path": format!("{path}?force=true")});
            let answer = send::send(self.gateway.admin, &send::request(&step, self.gateway.admin));
            answer.is_ok_and(|answer| matches!(answer.status, 200 | 404))
        })
    }
}

/// Of a preparation only the status counts, and whether something is new does not.
fn set_up_differences(expect: &Value, answer: &Answer) -> Vec<String> {
    let is_done = |status: u64| matches!(status, 200 | 201);
    let (wanted, got) = (expect["status"].as_u64().unwrap_or(200), u64::from(answer.status));
    if wanted == got || (is_done(wanted) && is_done(got)) {
        return Vec::new();
    }
    vec![format!("set-up: expected {wanted}, got {got} {}", cut(&answer.text()))]
}

/// Why a request cannot be served yet, if its answer says so and the recorded one did not.
fn not_served(expect: &Value, text: &str) -> Option<String> {
    NOT_YET.iter().find_map(|words| {
        let at = text.find(words)?;
        let told: String = text[at..].chars().take_while(|c| !matches!(c, '"' | ';' | '\n')).collect();
        (!expect.to_string().contains(&told)).then_some(told)
    })
}

fn explanation(step: &Value, answer: &Answer) -> Vec<String> {
    let expect = &step["expect"];
    let recorded = expect.get("json").or_else(|| expect.get("body")).unwrap_or(&Value::Null);
    let headers: Vec<String> =
        answer.head.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    vec![
        format!("    sent      {}", cut(&step["body"].to_string())),
        format!("    recorded  {} {}", expect["status"], cut(&recorded.to_string())),
        format!("    answered  {} {}", answer.status, cut(&format!("{:?}", answer.text()))),
        format!("    with      {}", headers.join(", ")),
    ]
}
