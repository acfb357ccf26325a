//! The life of a request. Each stage takes what the stage before gave, so none can be skipped.
//!
//! | file | takes -> gives |
//! |---|---|
//! | `listen.rs` | socket -> connection |
//! | `read.rs` | hyper's request -> [`read::Received`] |
//! | `route.rs` | `Received` -> [`route::Matched`] |
//! | `access.rs` | `Matched` -> [`access::Admitted`] |
//! | `attempt.rs` | `Admitted` -> [`attempt::Answering`] |
//! | `stream.rs` | `Answering` -> response body, frame by frame |
//! | `settle.rs` | the end, exactly once, whatever happened |
//!
//! `road.rs` puts them in a row. Beside the road: `worker.rs`, a data thread and what it owns;
//! `wire.rs`, the client's socket with an eye on the clock; `headers.rs`, which headers pass; `render.rs`, faults
//! and replies as responses; `body.rs`, the response body that hyper polls.

mod access;
mod attempt;
mod body;
mod headers;
mod listen;
mod read;
mod render;
mod road;
mod route;
mod settle;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod worker;

pub use listen::{Sockets, bind};
pub use worker::{Config, Worker, run};
