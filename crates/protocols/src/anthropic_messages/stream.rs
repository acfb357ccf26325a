use a6_codec::sse::Event;
use a6_core::Fault;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Block, error_body, told_usage};
use crate::Usage;
use crate::named::{is_json, kind};
use crate::protocol::{End, Verdict};

/// A streamed message, as far as it has come. Only `message_stop` completes it.
#[derive(Debug, Default)]
pub(crate) struct MessageStream {
    done: bool,
    errored: bool,
    calls_tool: bool,
    usage: Usage,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow)]
    message: Delta<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BlockStart<'a> {
    #[serde(borrow)]
    content_block: Block<'a>,
}

impl MessageStream {
    /// The next event.
    pub(crate) fn event(&mut self, event: &Event<'_>) -> Verdict {
        let data = event.data.as_deref().unwrap_or_default();
        match &*kind(event) {
            "message_start" => {
                if let Ok(start) = serde_json::from_slice::<Start<'_>>(data) {
                    self.count(&start.message);
                }
            }
            "message_delta" => {
                if let Ok(delta) = serde_json::from_slice::<Delta<'_>>(data) {
                    self.count(&delta);
                }
            }
            "content_block_start" => {
                let start = serde_json::from_slice::<BlockStart<'_>>(data);
                self.calls_tool |= start.is_ok_and(|start| start.content_block.calls_tool());
            }
            "message_stop" => self.done |= is_json(data),
            "error" => self.errored = true,
            _ => {}
        }
        Verdict::Pass
    }

    fn count(&mut self, told: &Delta<'_>) {
        if let Some(usage) = told.usage {
            self.usage.merge(told_usage(usage.get().as_bytes()));
        }
    }

    /// How the stream stands.
    pub(crate) fn end(&self) -> End {
        match (self.done, self.errored) {
            (true, _) => End::Complete,
            (false, true) => End::UpstreamError,
            (false, false) => End::Truncated,
        }
    }

    /// Whether a tool was called so far.
    pub(crate) fn has_tool_calls(&self) -> bool {
        self.calls_tool
    }

    /// The usage so far.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// The event that tells of a fault; Anthropic's SDKs raise on it.
    pub(crate) fn error_event(&self, fault: &Fault) -> Option<Bytes> {
        Some(Bytes::from([b"event: error\ndata: ", error_body(fault).as_ref(), b"\n\n"].concat()))
    }
}
