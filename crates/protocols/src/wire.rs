use a6_codec::json::{Document, Root};
use a6_codec::sse::Event;
use a6_core::Fault;
use bytes::Bytes;

use crate::{Shaping, Start, Usage};

/// What a protocol is made of: each folder fills one, so that nobody else asks which protocol it is.
pub(crate) struct Wire {
    /// The name in configuration, logs and errors.
    pub(crate) name: &'static str,
    /// Whether a request is one of its own.
    pub(crate) detects: fn(&Asked<'_>) -> bool,
    /// Whether `"stream": true` asks for a stream.
    pub(crate) streams: bool,
    /// What a request says beside its prompt.
    pub(crate) describe: fn(&Document, &[u8]) -> Description,
    /// What has to change in a request before it is sent.
    pub(crate) prepare: fn(&Document, &[u8], &Shaping) -> Prepared,
    /// The usage that a plain answer tells.
    pub(crate) usage: fn(&Document, &[u8]) -> Usage,
    /// The same without reading the whole of it, where that is safe.
    pub(crate) quick_usage: fn(&[u8]) -> Option<Usage>,
    /// Whether a plain answer calls a tool.
    pub(crate) calls_tool: fn(&[u8]) -> bool,
    /// What an event at the beginning of a streamed answer is.
    pub(crate) start: fn(&Event<'_>) -> Start,
    /// The body that tells of a fault.
    pub(crate) error_body: fn(&Fault) -> Bytes,
}

/// A request whose protocol is asked for.
pub(crate) struct Asked<'a> {
    /// Its path, without query.
    pub(crate) path: &'a str,
    /// Its body.
    pub(crate) document: &'a Document,
    /// The body's text.
    pub(crate) text: &'a [u8],
}

impl Asked<'_> {
    /// Whether a member is there and begins with one of these bytes.
    pub(crate) fn begins(&self, member: &str, with: &[u8]) -> bool {
        let first = self.document.get(self.text, member).and_then(<[u8]>::first);
        first.is_some_and(|first| with.contains(first))
    }

    /// Whether a member is there, `null` included.
    pub(crate) fn has(&self, member: &str) -> bool {
        self.document.get(self.text, member).is_some()
    }
}

/// What a request says beside its prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// How many tools it offers to the model.
    pub tool_count: u32,
    /// Whom the client says it asks for.
    pub end_user: Option<String>,
}

/// What has to be changed in a request so that it can be sent and its answer be accounted for.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// The new `stream_options`, if it has to change.
    pub(crate) stream_options: Option<Vec<u8>>,
    /// A member that was meant for the gateway alone.
    pub(crate) removes: Option<&'static str>,
    /// Whether the client did not ask for the usage event that will come.
    pub(crate) hides_usage: bool,
}

/// For protocols that change nothing.
pub(crate) fn as_it_is(_: &Document, _: &[u8], _: &Shaping) -> Prepared {
    Prepared::default()
}

/// For protocols whose answers have to be read as a whole.
pub(crate) fn never_quick(_: &[u8]) -> Option<Usage> {
    None
}

/// How many items a list has; 0 where it is none.
pub(crate) fn count_items(raw: Option<&[u8]>) -> u32 {
    match raw.and_then(|raw| Document::scan(raw).ok()).map(|list| list.root) {
        Some(Root::Array { items }) => u32::try_from(items).unwrap_or(u32::MAX),
        _ => 0,
    }
}
