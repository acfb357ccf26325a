//! Promise: a secret that is kept elsewhere is used wherever its reference stands; one that cannot be read refuses what
//! needs it, by its name, and its reference is never sent as if it were the secret. What is kept here is sealed.
//!
//! - `places.rs`: where references may stand. - `changes.rs`: values that change, managers that fail.
//! - `at_rest.rs`: the key ring, and what APISIX has encrypted. - `vault.rs`: a stand-in for Vault.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod engine;
mod support;

#[path = "a_secret_that_cannot_be_read_fails_closed/at_rest.rs"]
mod at_rest;
#[path = "a_secret_that_cannot_be_read_fails_closed/changes.rs"]
mod changes;
#[path = "a_secret_that_cannot_be_read_fails_closed/places.rs"]
mod places;
#[path = "a_secret_that_cannot_be_read_fails_closed/vault.rs"]
mod vault;

use serde_json::Value;

use crate::support::{Answer, Connection, Gateway, request};

/// Insists on a refusal that names the reference.
#[track_caller]
fn is_refused(answer: &Answer, reference: &str) {
    let text = answer.text();
    assert_eq!(answer.status, 503, "{text}");
    assert!(text.contains(reference) && text.contains("cannot be resolved"), "{text}");
}

/// A resource of the Control API.
fn control(gateway: &Gateway, path: &str) -> Value {
    let host = gateway.control.to_string();
    let answer =
        Connection::open(gateway.control).answer(&request("GET", path, &[("Host", host.as_str())], b""));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The warnings of the Control API, one per line.
fn warnings(gateway: &Gateway) -> String {
    let status = control(gateway, "/v1/config/status");
    let warnings = status["warnings"].as_array().unwrap().iter();
    warnings.map(|warning| warning.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}
