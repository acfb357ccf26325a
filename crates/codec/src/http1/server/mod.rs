//! The client's leg of HTTP/1.1: we are the server.
//!
//! - `head.rs`: a request head out of a growing buffer, how its body is framed, and what is refused.
//! - `body.rs`: what of a buffer is a request's body and what is framing.
//! - `answer.rs`: an answer's head and the framing of its body as bytes.

mod answer;
mod body;
mod head;
#[cfg(test)]
mod tests;

pub use answer::{AnswerHead, CHUNK_END, LAST_CHUNK, write_answer_head, write_chunk_head, write_trailers};
pub use body::RequestDecoder;
pub use head::{HeadFault, MAX_HEAD, MAX_HEADERS, RequestHead, may_be_whole, parse_request};
