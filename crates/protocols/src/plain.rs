use std::borrow::Cow;

use a6_codec::coding::Coding;
use a6_codec::json::Document;
use bytes::Bytes;

use crate::Usage;
use crate::wire::Wire;

/// A plain answer longer than this passes unread.
const MAX_READ: usize = 4 << 20;

/// Looks on as a plain answer passes.
pub struct PlainReader {
    wire: &'static Wire,
    coding: Option<Coding>,
    kept: Kept,
}

/// What a plain answer tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The tokens it cost.
    pub usage: Usage,
    /// Whether it calls a tool.
    pub has_tool_calls: bool,
    /// Whether it is one whole JSON text.
    pub is_whole: bool,
}

/// What was seen of a plain answer.
enum Kept {
    /// It came in one piece, which is shared.
    One(Bytes),
    /// Several pieces, copied: each would hold a whole read buffer.
    Joined(Vec<u8>),
    TooLong,
    /// Nobody can read it.
    Unread,
    /// It was read before it became what passes here.
    Told(Told),
}

impl PlainReader {
    pub(crate) fn new(wire: &'static Wire) -> Self {
        Self { wire, coding: None, kept: Kept::One(Bytes::new()) }
    }

    /// For an answer that is compressed. It passes as it is, and is read at its end.
    #[must_use]
    pub fn coded(self, coding: Coding) -> Self {
        Self { coding: Some(coding), ..self }
    }

    /// For an answer that cannot be read: no JSON, or in a coding that we do not know. Nothing of it is kept, and that it
    /// is whole is the transport's word alone.
    #[must_use]
    pub fn unread(self) -> Self {
        Self { kept: Kept::Unread, ..self }
    }

    /// For an answer that was read in the provider's protocol, and passes in the client's.
    #[must_use]
    pub fn told(self, told: Told) -> Self {
        Self { kept: Kept::Told(told), ..self }
    }

    /// The next piece of the body.
    pub fn push(&mut self, piece: &Bytes) {
        self.kept = match std::mem::replace(&mut self.kept, Kept::TooLong) {
            Kept::One(first) if first.is_empty() => Kept::One(piece.clone()),
            Kept::One(first) => Kept::Joined([first.as_ref(), piece].concat()),
            Kept::Joined(mut text) if text.len() + piece.len() <= MAX_READ => {
                text.extend_from_slice(piece);
                Kept::Joined(text)
            }
            Kept::Joined(_) | Kept::TooLong => Kept::TooLong,
            Kept::Unread => Kept::Unread,
            Kept::Told(told) => Kept::Told(told),
        };
    }

    /// At the end of the body: what it tells. `None` where it was too long to be kept. Whether it is whole is looked at
    /// only if `ends_with_connection`: otherwise the transport has told.
    pub fn finish(&self, ends_with_connection: bool) -> Option<Told> {
        let text: &[u8] = match &self.kept {
            Kept::One(text) => text,
            Kept::Joined(text) => text,
            Kept::TooLong => return None,
            Kept::Unread => return Some(Told { is_whole: true, ..Told::default() }),
            Kept::Told(told) => return Some(*told),
        };
        let text = match self.coding {
            None => Cow::Borrowed(text),
            Some(coding) => Cow::Owned(coding.undo(text, MAX_READ).ok()?),
        };
        if !ends_with_connection && let Some(usage) = (self.wire.quick_usage)(&text) {
            return Some(Told { usage, has_tool_calls: (self.wire.calls_tool)(&text), is_whole: true });
        }
        Some(Document::scan(&text).map_or_else(
            |_| Told::default(),
            |document| Told {
                usage: (self.wire.usage)(&document, &text),
                has_tool_calls: (self.wire.calls_tool)(&text),
                is_whole: true,
            },
        ))
    }
}
