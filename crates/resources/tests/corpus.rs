//! The kept inputs of this room's fuzz target, replayed. `fuzz/README.md` says how they come about.
#![allow(clippy::expect_used, reason = "a test that cannot read its inputs has failed")]

#[path = "../../../fuzz/properties/expressions.rs"]
mod expressions;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;

#[test]
fn no_rule_makes_it_panic() {
    replay::replay("expressions", expressions::property);
}
