//! The kept inputs of this room's fuzz target, replayed. `fuzz/README.md` says how they come about.
#![allow(clippy::expect_used, reason = "a test that cannot read its inputs has failed")]

#[path = "../../../fuzz/properties/replay.rs"]
mod replay;
#[path = "../../../fuzz/properties/settings.rs"]
mod settings;

#[test]
fn no_file_makes_it_panic() {
    replay::replay("settings", settings::property);
}
