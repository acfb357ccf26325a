use std::sync::LazyLock;

use a6_codec::json::Document;
use a6_codec::sse::Event;
use a6_core::Fault;
use bytes::Bytes;
use memchr::memmem::Finder;
use serde_json::json;

use super::{calls_tool, usage};
use crate::Usage;
use crate::named::{is_json, kind};
use crate::protocol::{End, Verdict};

/// A streamed response, as far as it has come. An event that tells its status completes it: completed, incomplete (it
/// reached a limit) or failed.
#[derive(Debug, Default)]
pub(crate) struct ResponseStream {
    done: bool,
    errored: bool,
    calls_tool: bool,
    usage: Usage,
    /// The number that the next event has.
    next: u64,
}

impl ResponseStream {
    /// The next event.
    pub(crate) fn event(&mut self, event: &Event<'_>) -> Verdict {
        let Some(data) = event.data.as_deref() else { return Verdict::Pass };
        self.next = sequence_number(data).map_or(self.next, |number| number.saturating_add(1));
        match &*kind(event) {
            "response.completed" | "response.incomplete" => {
                self.done |= is_json(data);
                self.conclude(data);
            }
            "response.failed" => {
                self.errored = true;
                self.conclude(data);
            }
            "error" => self.errored = true,
            _ => {}
        }
        Verdict::Pass
    }

    fn conclude(&mut self, data: &[u8]) {
        let Ok(document) = Document::scan(data) else { return };
        let Some(response) = document.get(data, "response") else { return };
        self.calls_tool |= calls_tool(response);
        if let Ok(inner) = Document::scan(response) {
            self.usage.merge(usage(&inner, response));
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

    /// The event that tells of a fault. The reference puts `code` and `message` at the top, the service sends them within
    /// `error`, where the SDKs look for them and raise: both are there.
    pub(crate) fn error_event(&self, fault: &Fault) -> Option<Bytes> {
        let (kind, text) = (fault.kind.as_str(), &fault.text);
        let error = json!({
            "type": "error",
            "code": kind,
            "message": text,
            "param": null,
            "sequence_number": self.next,
            "error": {"type": kind, "code": kind, "message": text, "param": null},
        });
        Some(Bytes::from(format!("event: error\ndata: {error}\n\n")))
    }
}

/// The number of an event, as OpenAI writes it. Deltas are many and are not parsed; a name in double quotes cannot stand
/// inside a JSON string, where its quotes would be escaped.
fn sequence_number(data: &[u8]) -> Option<u64> {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"sequence_number\":"));
    let value = data[NAME.find(data)? + NAME.needle().len()..].trim_ascii_start();
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&value[..digits]).ok()?.parse().ok()
}
