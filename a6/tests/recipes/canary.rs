//! Section 15: canary. Rows 6 to 8 are about the command line.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Connection, Echo, Gateway, Setup, request};

/// A route `api` to the upstream `stable`, with `canary` beside it.
struct Release {
    gateway: Gateway,
    stable: Echo,
    canary: Echo,
}

impl Release {
    fn new() -> Self {
        let release = Self {
            gateway: Setup::new().workers(2).start(),
            stable: Echo::start("stable"),
            canary: Echo::start("canary"),
        };
        release.gateway.put("upstreams/stable", &release.stable.upstream());
        release.gateway.put("upstreams/canary", &release.canary.upstream());
        release
    }

    /// Writes the whole route with these plugins.
    fn write(&self, upstream_id: &str, plugins: Value) {
        let route = json!({"uri": "/api/*", "upstream_id": upstream_id, "plugins": plugins});
        self.gateway.put("routes/api", &route);
    }

    /// Leads so many of a hundred requests to `canary`.
    fn share(&self, weight: u64) {
        let entries = json!([{"upstream_id": "canary", "weight": weight}, {"weight": 100 - weight}]);
        self.write("stable", json!({"traffic-split": {"rules": [{"weighted_upstreams": entries}]}}));
    }

    /// How many of a hundred requests `canary` answers; the others are `stable`'s.
    fn measured(&self) -> usize {
        self.stable.clear();
        self.canary.clear();
        for number in 0..100 {
            let (status, text) = ask(&mut Connection::open(self.gateway.data), &[]);
            assert_eq!(status, 200, "request {number}: {text}");
        }
        assert_eq!(self.stable.count() + self.canary.count(), 100);
        self.canary.count()
    }
}

/// Ends the load when it goes out of scope, also where a test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn ask(connection: &mut Connection, headers: &[(&str, &str)]) -> (u16, String) {
    let answer = connection.answer(&request("GET", "/api/v1", headers, b""));
    (answer.status, answer.text())
}

#[test]
fn row_15_1_five_of_a_hundred() {
    let release = Release::new();
    release.share(5);
    assert_eq!(release.measured(), 5);
}

#[test]
fn row_15_2_weights_change_and_no_request_fails() {
    let release = Release::new();
    release.share(5);
    let is_over = AtomicBool::new(false);
    let load = || {
        let mut connection = Connection::open(release.gateway.data);
        let mut count = 0_usize;
        while !is_over.load(Ordering::SeqCst) {
            let (status, text) = ask(&mut connection, &[]);
            assert_eq!(status, 200, "request {count} during the changes: {text}");
            count += 1;
        }
        count
    };
    let served: usize = thread::scope(|scope| {
        let end = End(&is_over);
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        for weight in (5..=50).cycle().take(100) {
            release.share(weight);
        }
        drop(end);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert!(served >= 100, "only {served} requests were served during the changes");
    for weight in [25, 50] {
        release.share(weight);
        assert_eq!(release.measured() as u64, weight);
    }
}

#[test]
fn row_15_3_promoted_it_answers_all() {
    let release = Release::new();
    release.share(50);
    assert_eq!(release.measured(), 50);
    release.write("canary", json!({}));
    assert_eq!(release.measured(), 100);
    // Nobody refers to the old one now, so that it can be put away.
    release.gateway.delete("upstreams/stable");
    assert_eq!(release.gateway.admin("DELETE", "upstreams/canary", None).0, 400);
}

#[test]
fn row_15_4_rolled_back_it_answers_none() {
    let release = Release::new();
    for weight in [5, 25, 50, 100] {
        release.share(weight);
        assert_eq!(release.measured() as u64, weight);
        release.write("stable", json!({}));
        assert_eq!(release.measured(), 0, "rolled back from {weight}");
    }
    release.write("canary", json!({}));
    assert_eq!(release.measured(), 100);
    release.write("stable", json!({}));
    assert_eq!(release.measured(), 0, "rolled back after the promotion");
}

#[test]
fn row_15_5_a_header_or_a_cookie_leads_to_it() {
    let release = Release::new();
    let to_canary = json!([{"upstream_id": "canary", "weight": 1}]);
    let header = json!([{"vars": [["http_x-canary", "==", "true"]]}]);
    let cookie = json!([{"vars": [["cookie_beta", "==", "1"]]}]);
    let rules = json!([
        {"match": header, "weighted_upstreams": to_canary},
        {"match": cookie, "weighted_upstreams": to_canary},
    ]);
    release.write("stable", json!({"traffic-split": {"rules": rules}}));
    let cases: [(&[(&str, &str)], &str); 7] = [
        (&[], "stable"),
        (&[("X-Canary", "true")], "canary"),
        (&[("X-Canary", "false")], "stable"),
        (&[("Cookie", "beta=1")], "canary"),
        (&[("Cookie", "alpha=1; beta=1; gamma=1")], "canary"),
        (&[("Cookie", "beta=0")], "stable"),
        (&[("Cookie", "alphabeta=1")], "stable"),
    ];
    for (headers, expected) in cases {
        let (status, text) = ask(&mut Connection::open(release.gateway.data), headers);
        let told: Value = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!((status, &told["answered_by"]), (200, &json!(expected)), "{headers:?}: {text}");
    }
}
