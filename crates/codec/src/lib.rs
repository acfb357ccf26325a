//! Bytes in, values out; no I/O.
//!
//! - `json/`: a scanner that checks a document and finds the top-level members in one pass without a tree, and the
//!   splicer that edits a document while every untouched byte stays as it came.
//! - `sse.rs`: Server-Sent Events: whole events out of arbitrary cuts.
//! - `coding.rs`: content codings: what is inside a compressed body.
//! - `event_stream/`: AWS event streams: whole, checked frames out of arbitrary cuts, and frames written.
//! - `yaml.rs`, `yaml/`: YAML as a tree that knows the line and column of each value, and variables in it.
//! - `http1/`: HTTP/1.1, both legs: as the upstream's client, and in `http1/server` as the client's server.

pub mod coding;
pub mod event_stream;
pub mod http1;
pub mod json;
pub mod sse;
pub mod yaml;
