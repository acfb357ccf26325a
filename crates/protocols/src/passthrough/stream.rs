use a6_codec::sse::Event;
use a6_core::Fault;
use bytes::Bytes;

use crate::Usage;
use crate::openai_chat::error_body;
use crate::protocol::{End, Verdict};

/// A stream whose protocol nobody knows: its events pass, and only the transport can tell that it is whole.
#[derive(Debug)]
pub(crate) struct PassingStream;

impl PassingStream {
    /// The next event.
    pub(crate) fn event(&mut self, _: &Event<'_>) -> Verdict {
        Verdict::Pass
    }

    /// How the stream stands.
    pub(crate) fn end(&self) -> End {
        End::Unjudged
    }

    /// Whether a tool was called so far.
    pub(crate) fn has_tool_calls(&self) -> bool {
        false
    }

    /// The usage so far.
    pub(crate) fn usage(&self) -> Usage {
        Usage::default()
    }

    /// The event that tells of a fault, in the form that most would understand.
    pub(crate) fn error_event(&self, fault: &Fault) -> Option<Bytes> {
        Some(Bytes::from([b"event: error\ndata: ", error_body(fault).as_ref(), b"\n\n"].concat()))
    }
}
