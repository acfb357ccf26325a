//! Bytes in, values out; no I/O.
//!
//! - `json/`: a scanner that checks a document and finds the top-level members in one pass without a tree, and the
//!   splicer that edits a document while every untouched byte stays as it came.
//! - `sse.rs`: Server-Sent Events: whole events out of arbitrary cuts.
//! - `http1/`: the upstream leg of HTTP/1.1: request heads out, response heads and bodies in.

pub mod http1;
pub mod json;
pub mod sse;
