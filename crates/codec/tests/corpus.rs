//! The kept inputs of this room's fuzz targets, replayed. `fuzz/README.md` says how they come about.
#![allow(clippy::expect_used, reason = "a test that cannot read its inputs has failed")]

#[path = "../../../fuzz/properties/cuts.rs"]
mod cuts;
#[path = "../../../fuzz/properties/event_stream.rs"]
mod event_stream;
#[path = "../../../fuzz/properties/json_scan.rs"]
mod json_scan;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;
#[path = "../../../fuzz/properties/sse.rs"]
mod sse;
#[path = "../../../fuzz/properties/upstream_codec.rs"]
mod upstream_codec;

#[test]
fn replies_of_an_upstream_are_read_the_same_however_they_are_cut() {
    replay::replay("upstream_codec", upstream_codec::property);
}

#[test]
fn events_are_the_same_however_they_are_cut() {
    replay::replay("sse", sse::property);
}

#[test]
fn frames_are_the_same_however_they_are_cut() {
    replay::replay("event_stream", event_stream::property);
}

#[test]
fn the_scanner_agrees_with_serde_json_and_a_splice_with_the_tree() {
    replay::replay("json_scan", json_scan::property);
}
