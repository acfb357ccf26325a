//! HTTP/1.1. Towards the upstream we are the client:
//!
//! - `request.rs`: a request head as bytes.
//! - `head.rs`: a response head out of a growing buffer, and how its body is framed.
//! - `body.rs`: a response body out of a growing buffer, all that one read brought in one piece, and its trailers.
//!
//! - `server/`: towards the client we are the server: request heads and bodies in, answers' heads and framing out.

mod body;
mod head;
mod request;
pub mod server;
#[cfg(test)]
mod tests;

pub use body::{BodyDecoder, Decoded};
pub use head::{Framing, MAX_HEAD, MAX_HEADERS, ResponseHead, parse_head};
pub use request::write_head;

/// Bytes that are not HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Http1Error(pub &'static str);
