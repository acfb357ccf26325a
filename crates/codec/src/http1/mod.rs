//! The upstream leg of HTTP/1.1: we are the client.
//!
//! - `request.rs`: a request head as bytes.
//! - `head.rs`: a response head out of a growing buffer, and how its body is framed.
//! - `body.rs`: a response body out of a growing buffer, all that one read brought in one piece.

mod body;
mod head;
mod request;
#[cfg(test)]
mod tests;

pub use body::{BodyDecoder, Decoded};
pub use head::{Framing, MAX_HEAD, MAX_HEADERS, ResponseHead, parse_head};
pub use request::write_head;

/// Bytes that are not HTTP/1.1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Http1Error(pub &'static str);
