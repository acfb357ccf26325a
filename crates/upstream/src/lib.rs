//! The way to an upstream: names, connections, TLS, and one request and its answer over HTTP/1.1.
//!
//! - `client.rs`: [`Upstream`], one per data thread: sends a request, retries only what cannot have arrived.
//! - `pool.rs`: idle connections per target.
//! - `connection.rs`: a connection, its read buffer and its timer.
//! - `body.rs`: [`UpstreamBody`], an answer's body, pulled by whoever writes to the client.
//! - `dial.rs`: names to addresses, addresses to connections.
//! - `timer.rs`: [`IdleTimer`], which fires when nothing has happened for a while.
//! - `tls.rs`: [`TlsRoots`], which certificates are believed.

mod body;
mod client;
mod connection;
mod dial;
mod pool;
mod timer;
mod tls;

pub use body::{BodyEnd, UpstreamBody};
pub use client::{Answer, Call, Upstream};
pub use dial::Resolver;
pub use timer::IdleTimer;
pub use tls::TlsRoots;
