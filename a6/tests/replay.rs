//! Promise: a6 answers as APISIX did when it was recorded, but for the differences that are decided and listed.
//!
//! Each file of `../shared/golden` is one test; its README says how a case is to be read. `REPLAY=«id»,«id»` runs some
//! cases and prints all that differs, `REPLAY_SHOW=1` does so for all cases (with `--no-capture`, or where a test fails).
//! Decided differences are normalised in `replay/compare.rs` where they hold for every case, and stand in
//! `replay/deviations.json` with a reason where they are one case's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "replay/mod.rs"]
mod parts;
mod support;

#[test]
fn admin() {
    parts::replay("admin.jsonl");
}

#[test]
fn routing() {
    parts::replay("routing.jsonl");
}

#[test]
fn traffic() {
    parts::replay("traffic.jsonl");
}

#[test]
fn ai() {
    parts::replay("ai.jsonl");
}
