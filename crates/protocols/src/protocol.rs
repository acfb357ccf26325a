use a6_codec::json::Document;
use a6_codec::sse::Event;
use a6_core::Fault;
use bytes::Bytes;

use crate::{Shaping, Usage, openai_chat};

/// A wire protocol. Every endpoint, provider and plugin treats all of them alike through these methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// OpenAI chat completions.
    OpenaiChat,
}

/// What becomes of an event of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to the client.
    Pass,
    /// The gateway asked for it, the client did not.
    Hide,
}

/// What a request says beside its prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// How many tools it offers to the model.
    pub tool_count: u32,
    /// Whom the client says it asks for.
    pub end_user: Option<String>,
}

/// How a stream stands at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The protocol's terminal event was there.
    Complete,
    /// The protocol allows the end here, provided that the transport ended properly.
    CompleteWithoutTerminal,
    /// The upstream told of an error within the stream.
    UpstreamError,
    /// Something is missing.
    Truncated,
}

impl Protocol {
    const ALL: [Self; 1] = [Self::OpenaiChat];

    /// The name in configuration, logs and errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai-chat",
        }
    }

    /// The protocol of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// The protocol of a request, by its body; the first that fits.
    pub fn detect(document: &Document, text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| match protocol {
            Self::OpenaiChat => openai_chat::detects(document, text),
        })
    }

    /// Whether the client asks for a stream.
    pub fn wants_stream(self, document: &Document, text: &[u8]) -> bool {
        match self {
            Self::OpenaiChat => document.is_true(text, "stream"),
        }
    }

    /// What a request says beside its prompt.
    pub fn describe(self, document: &Document, text: &[u8]) -> Description {
        match self {
            Self::OpenaiChat => openai_chat::describe(document, text),
        }
    }

    /// What the protocol itself changes in a request before it is sent; see [`Shaping::apply`].
    pub(crate) fn prepare(
        self,
        document: &Document,
        text: &[u8],
        shaping: &Shaping,
    ) -> openai_chat::Prepared {
        match self {
            Self::OpenaiChat => openai_chat::prepare(document, text, shaping),
        }
    }

    /// A reader for one streamed answer. With `hide_usage` the usage event is counted and not passed on.
    pub fn stream_reader(self, hide_usage: bool) -> StreamReader {
        match self {
            Self::OpenaiChat => StreamReader(Reader::OpenaiChat(openai_chat::ChatStream::new(hide_usage))),
        }
    }

    /// A reader for one plain answer.
    pub fn plain_reader(self) -> PlainReader {
        PlainReader { protocol: self, kept: Kept::One(Bytes::new()) }
    }

    /// The body that tells a client of a fault, in its own protocol.
    pub fn error_body(self, fault: &Fault) -> Bytes {
        match self {
            Self::OpenaiChat => openai_chat::error_body(fault),
        }
    }

    /// The event that tells a client of a fault in the middle of a stream.
    pub fn error_event(self, fault: &Fault) -> Bytes {
        match self {
            Self::OpenaiChat => openai_chat::error_event(fault),
        }
    }
}

/// Looks on as a streamed answer passes.
#[derive(Debug)]
pub struct StreamReader(Reader);

#[derive(Debug)]
enum Reader {
    OpenaiChat(openai_chat::ChatStream),
}

impl StreamReader {
    /// The next event.
    pub fn event(&mut self, event: &Event<'_>) -> Verdict {
        match &mut self.0 {
            Reader::OpenaiChat(stream) => stream.event(event),
        }
    }

    /// How the stream stands.
    pub fn end(&self) -> End {
        match &self.0 {
            Reader::OpenaiChat(stream) => stream.end(),
        }
    }

    /// Whether a tool was called so far.
    pub fn has_tool_calls(&self) -> bool {
        match &self.0 {
            Reader::OpenaiChat(stream) => stream.has_tool_calls(),
        }
    }

    /// The usage so far.
    pub fn usage(&self) -> Usage {
        match &self.0 {
            Reader::OpenaiChat(stream) => stream.usage(),
        }
    }
}

/// A plain answer longer than this passes unread.
const MAX_READ: usize = 4 << 20;

/// Looks on as a plain answer passes.
#[derive(Debug)]
pub struct PlainReader {
    protocol: Protocol,
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
#[derive(Debug)]
enum Kept {
    /// It came in one piece, which is shared.
    One(Bytes),
    /// Several pieces, copied: each would hold a whole read buffer.
    Joined(Vec<u8>),
    TooLong,
}

impl PlainReader {
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
        };
    }

    /// At the end of the body: what it tells. `None` where it was too long to be kept. Whether it is whole is looked at
    /// only if `ends_with_connection`: otherwise the transport has told.
    pub fn finish(&self, ends_with_connection: bool) -> Option<Told> {
        let text: &[u8] = match &self.kept {
            Kept::One(text) => text,
            Kept::Joined(text) => text,
            Kept::TooLong => return None,
        };
        let Protocol::OpenaiChat = self.protocol;
        if !ends_with_connection && let Some(usage) = openai_chat::only_usage(text) {
            return Some(Told { usage, has_tool_calls: openai_chat::has_tool_calls(text), is_whole: true });
        }
        Some(Document::scan(text).map_or_else(
            |_| Told::default(),
            |document| Told {
                usage: openai_chat::usage(&document, text),
                has_tool_calls: openai_chat::has_tool_calls(text),
                is_whole: true,
            },
        ))
    }
}
