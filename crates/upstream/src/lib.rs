//! The way to an upstream: names, connections, TLS, and one request and its answer.
//!
//! - `client.rs`: [`Upstream`], one per data thread: sends a request, retries only what cannot have arrived.
//! - `exchange.rs`, `http1.rs`: a request and its answer over HTTP/1.1.
//! - `http2.rs`, `pipe.rs`: the same over HTTP/2, which hyper speaks.
//! - `body.rs`: [`UpstreamBody`], an answer's body, pulled by whoever writes to the client.
//! - `inquiry.rs`: plugins' small requests, as [`a6_snapshot::Services`].
//! - `pool.rs`: idle connections per target.
//! - `connection.rs`, `io.rs`: a connection, its read buffer and its timer; its socket, with or without TLS.
//! - `dial.rs`: addresses to connections.
//! - `names.rs`, `dns.rs`: [`Resolver`], names to addresses.
//! - `timer.rs`: [`IdleTimer`], which fires when nothing has happened for a while.
//! - `balance/`: which of several nodes takes a request.
//! - `sigv4.rs`: AWS signatures of requests.
//! - `google/`: tokens of Google's, which are fetched and kept.
//! - `probe.rs`: [`watch_health`], active health checks.
//! - `tls.rs`: [`TlsRoots`], which certificates are believed and shown.

pub mod balance;
mod body;
mod client;
mod connection;
mod dial;
mod dns;
mod exchange;
pub mod google;
mod http1;
mod http2;
mod inquiry;
mod io;
mod names;
mod pipe;
mod pool;
mod probe;
pub mod sigv4;
mod timer;
mod tls;

pub use body::{BodyEnd, UpstreamBody};
pub use client::{Answer, Call, Feed, Terms, Upstream};
pub use dial::Identity;
pub use http2::Http2Call;
pub use io::RawStream;
pub use names::Resolver;
pub use probe::{found, watch_health};
pub use timer::IdleTimer;
pub use tls::TlsRoots;
