//! The life of a request. Each stage takes what the stage before gave, so none can be skipped.
//!
//! | file | takes -> gives |
//! |---|---|
//! | `listen.rs`, `handshake.rs` | socket -> connection, in TLS where its listener speaks it |
//! | `http1/`, `http2/` | connection -> requests, and answers back to it |
//! | `read.rs` | a request's head -> [`read::Received`] |
//! | `route.rs` | `Received` -> [`route::Matched`] |
//! | `access.rs` | `Matched` -> [`access::Admitted`] |
//! | `attempt.rs` with `build.rs`, `failover.rs`, `forward.rs` | `Admitted` -> [`attempt::Answering`], from a provider, one of several, or an ordinary upstream |
//! | `answer.rs` | `Answering` -> response |
//! | `stream.rs` | an upstream's body -> the response's, frame by frame |
//! | `settle.rs` | the end, exactly once, whatever happened |
//!
//! Beside `attempt.rs`: `stream_start.rs`, a stream is held until its first word; `hedge.rs`, a second instance where the first is silent.
//!
//! `road.rs` puts them in a row. Beside the road: `phases.rs`, the plugins' part in each stage; `worker.rs`, a data thread
//! and what it owns; `wire.rs`, the client's socket and what the road tells it; `headers.rs`, which headers pass;
//! `outgoing.rs`, a request's head for an ordinary upstream; `signing.rs`, what shows a provider who asks;
//! `reader.rs`, `framing.rs`, what looks on while an answer passes; `converted.rs`, where client and provider speak
//! different protocols; `keep_alive.rs`, a sign of life for clients of a silent stream; `tunnel.rs`, connections that leave
//! HTTP; `debug.rs`, how an answer was made, for whoever may ask; `secured.rs`, what a handshake has found out, and whom it lets in; `real_ip.rs`, whose word is taken for a client's
//! address; `transcript.rs`, what a model's answer says, for logs; `render.rs`, faults and replies as responses; `body.rs`,
//! the response body that the client's connection polls.

mod access;
mod answer;
mod attempt;
mod body;
mod build;
mod converted;
mod debug;
mod failover;
mod forward;
mod framing;
mod handshake;
mod headers;
mod hedge;
mod http1;
mod http2;
mod keep_alive;
mod listen;
mod outgoing;
mod phases;
mod read;
mod reader;
mod real_ip;
mod render;
mod road;
mod route;
mod secured;
mod settle;
mod signing;
mod stream;
mod stream_start;
#[cfg(test)]
mod tests;
mod transcript;
mod tunnel;
mod wire;
mod worker;

pub use handshake::TlsFaults;
pub use http1::HeadFaults;
pub use listen::{Sockets, bind, bind_tls};
pub use real_ip::RealIp;
pub use worker::{Config, Worker, run};
