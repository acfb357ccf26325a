//! Whatever is no protocol that we know: it passes as it is, and nothing in it is read.
//!
//! - `request.rs`: detection; the paths where not even the body has to be JSON.
//! - `stream.rs`: a streamed answer.
//! - this file: its row. Errors are OpenAI's, see `openai_chat`.

mod request;
mod stream;
#[cfg(test)]
mod tests;

use crate::openai_chat::error_body;
use crate::start::unknown;
use crate::wire::{Wire, as_it_is, never_quick};
use crate::{Description, Usage};

pub use request::takes_bytes;
pub(crate) use stream::PassingStream;

/// Its row.
pub(crate) static WIRE: Wire = Wire {
    name: "passthrough",
    detects: request::detects,
    streams: true,
    describe: |_, _| Description::default(),
    prepare: as_it_is,
    usage: |_, _| Usage::default(),
    quick_usage: never_quick,
    calls_tool: |_| false,
    start: unknown,
    error_body,
};
