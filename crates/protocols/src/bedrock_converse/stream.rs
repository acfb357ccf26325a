use a6_codec::json::Document;
use a6_codec::sse::Event;
use a6_core::Fault;
use bytes::Bytes;

use super::usage;
use crate::Usage;
use crate::named::{is_json, kind};
use crate::protocol::{End, Verdict};

/// A streamed conversation, as far as it has come. It is complete with its `metadata`, which follow `messageStop`; where
/// they do not come, the end of the stream has to be a proper one.
#[derive(Debug, Default)]
pub(crate) struct ConverseStream {
    stopped: bool,
    done: bool,
    errored: bool,
    calls_tool: bool,
    usage: Usage,
}

impl ConverseStream {
    /// The next frame, as an event: its `:event-type` is the name, its payload the data. A frame whose `:message-type` is
    /// not `event` has the name `exception`.
    pub(crate) fn event(&mut self, event: &Event<'_>) -> Verdict {
        let data = event.data.as_deref().unwrap_or_default();
        match &*kind(event) {
            "contentBlockStart" => {
                let start = Document::scan(data).ok().and_then(|document| document.get(data, "start"));
                let tool = start.and_then(|raw| Document::scan(raw).ok()?.get(raw, "toolUse"));
                self.calls_tool |= tool.is_some();
            }
            "messageStop" => self.stopped |= is_json(data),
            "metadata" => {
                if let Ok(document) = Document::scan(data) {
                    self.done = true;
                    self.usage.merge(usage(&document, data));
                }
            }
            "exception" => self.errored = true,
            _ => {}
        }
        Verdict::Pass
    }

    /// How the stream stands.
    pub(crate) fn end(&self) -> End {
        match (self.done, self.errored, self.stopped) {
            (true, ..) => End::Complete,
            (false, true, _) => End::UpstreamError,
            (false, false, true) => End::CompleteWithoutTerminal,
            (false, false, false) => End::Truncated,
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

    /// None: its stream has frames, and no text can stand between them.
    pub(crate) fn error_event(&self, _: &Fault) -> Option<Bytes> {
        None
    }
}
