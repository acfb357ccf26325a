//! The one message model: what every protocol is read into and written from. Strings and values are borrowed from the
//! text that was read.

use std::borrow::Cow;

use super::json::{Raw, Text, members, put, put_string, put_text};
use crate::Usage;

/// A request for a completion.
#[derive(Default)]
pub(super) struct Request<'a> {
    pub(super) model: Option<Text<'a>>,
    /// The texts of the system prompt, escapes and all.
    pub(super) system: Vec<Cow<'a, str>>,
    pub(super) messages: Vec<Message<'a>>,
    pub(super) tools: Vec<Tool<'a>>,
    pub(super) tool_choice: Option<ToolChoice<'a>>,
    pub(super) parallel_tool_calls: Option<bool>,
    pub(super) max_tokens: Option<Raw<'a>>,
    pub(super) temperature: Option<Raw<'a>>,
    pub(super) top_p: Option<Raw<'a>>,
    pub(super) stop: Vec<Text<'a>>,
    pub(super) stream: Option<bool>,
    /// Whether the client of a stream wants its usage.
    pub(super) include_usage: bool,
    /// How hard the model shall think, in OpenAI's words.
    pub(super) effort: Option<Text<'a>>,
    pub(super) format: Option<Format<'a>>,
    /// The end user.
    pub(super) user: Option<Text<'a>>,
    /// In OpenAI's words.
    pub(super) service_tier: Option<Text<'a>>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role<'a> {
    User,
    Assistant,
    /// A word that the client's protocol does not forbid.
    Other(Text<'a>),
}

/// One message of a conversation.
pub(super) struct Message<'a> {
    pub(super) role: Role<'a>,
    pub(super) parts: Vec<Part<'a>>,
    /// Its content was one string.
    pub(super) is_plain: bool,
}

/// A part of a message or of a reply.
pub(super) enum Part<'a> {
    Text(Text<'a>),
    Thinking(Text<'a>),
    Media(Media<'a>),
    ToolCall { id: Text<'a>, name: Text<'a>, arguments: Arguments<'a> },
    ToolResult { id: Text<'a>, content: Vec<Part<'a>>, is_error: bool },
}

/// An image or a document.
pub(super) struct Media<'a> {
    pub(super) is_document: bool,
    pub(super) source: Source<'a>,
}

/// Where the bytes of an image or a document are.
pub(super) enum Source<'a> {
    Base64 { media_type: Text<'a>, data: Text<'a> },
    Url(Text<'a>),
}

/// What a tool is called with.
#[derive(Clone, Copy)]
pub(super) enum Arguments<'a> {
    /// A JSON object, as Anthropic and Bedrock have it.
    Object(Raw<'a>),
    /// A string that is to hold a JSON object, as OpenAI has it.
    Encoded(Text<'a>),
}

impl Arguments<'_> {
    /// Writes them as a string of JSON.
    pub(super) fn put_encoded(self, out: &mut Vec<u8>) {
        match self {
            Self::Object(raw) => put_string(out, raw.get()),
            Self::Encoded(text) if text.is_empty() => put(out, "\"{}\""),
            Self::Encoded(text) => put_text(out, text),
        }
    }

    /// Writes them as an object, and whether that was possible: what is none becomes `{}`.
    pub(super) fn put_object(self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Object(raw) => {
                put(out, raw.get());
                true
            }
            Self::Encoded(text) => {
                let decoded = text.decoded().filter(|decoded| members(decoded).is_some());
                put(out, decoded.as_deref().unwrap_or("{}"));
                decoded.is_some() || text.is_empty()
            }
        }
    }
}

/// A tool that the model may call.
pub(super) struct Tool<'a> {
    pub(super) name: Text<'a>,
    pub(super) description: Option<Text<'a>>,
    /// The JSON Schema of its arguments.
    pub(super) schema: Option<Raw<'a>>,
    pub(super) strict: Option<bool>,
}

/// Which tool the model shall call.
#[derive(Clone, Copy)]
pub(super) enum ToolChoice<'a> {
    Auto,
    Any,
    None,
    Named(Text<'a>),
}

/// The JSON Schema that an answer shall follow.
pub(super) struct Format<'a> {
    pub(super) name: Option<Text<'a>>,
    pub(super) schema: Raw<'a>,
}

/// A whole reply.
#[derive(Default)]
pub(super) struct Reply<'a> {
    pub(super) id: Option<Text<'a>>,
    pub(super) model: Option<Text<'a>>,
    pub(super) parts: Vec<Part<'a>>,
    pub(super) stop: Option<StopReason>,
    pub(super) tokens: Tokens,
    /// The same as the provider counts it.
    pub(super) usage: Usage,
}

impl Reply<'_> {
    /// How many bytes its texts have.
    pub(super) fn length(&self) -> usize {
        let lengths = self.parts.iter().map(|part| match part {
            Part::Text(text) | Part::Thinking(text) => text.0.len(),
            Part::Media(_) | Part::ToolCall { .. } | Part::ToolResult { .. } => 0,
        });
        lengths.sum()
    }
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// It was done.
    End,
    /// The limit of tokens, or the model's window, was reached.
    Length,
    /// One of the request's stop sequences came.
    StopSequence,
    /// It waits for the results of tools.
    ToolUse,
    /// It refused.
    Refusal,
    /// A filter of the provider's stepped in.
    Filtered,
}

/// What a completion cost. Unknown is not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// Of the prompt, without those that went into or came from a cache.
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_creation: Option<u64>,
    /// Of the output's, those spent on reasoning.
    pub(super) reasoning: Option<u64>,
}

impl Tokens {
    /// What a provider counts, where those of a cache stand beside the prompt's.
    pub(super) fn of(usage: Usage) -> Self {
        Self {
            input: usage.prompt,
            output: usage.completion,
            cache_read: usage.cache_read,
            cache_creation: usage.cache_creation,
            reasoning: usage.reasoning,
        }
    }

    /// Takes over what a later report tells.
    pub(super) fn merge(&mut self, later: Self) {
        self.input = later.input.or(self.input);
        self.output = later.output.or(self.output);
        self.cache_read = later.cache_read.or(self.cache_read);
        self.cache_creation = later.cache_creation.or(self.cache_creation);
        self.reasoning = later.reasoning.or(self.reasoning);
    }

    /// Whether the provider told anything.
    pub(super) fn are_known(&self) -> bool {
        self.input.is_some() || self.output.is_some()
    }
}

/// One event of a streamed reply.
pub(super) enum StreamEvent<'e> {
    /// The reply begins.
    Start { id: Option<Text<'e>>, model: Option<Text<'e>> },
    /// More text.
    Text(Text<'e>),
    /// More of what the model thinks.
    Thinking(Text<'e>),
    /// A tool is called. `key` tells the calls of one stream apart.
    ToolStart { key: u64, id: Text<'e>, name: Text<'e> },
    /// More of the string of JSON that a tool is called with.
    ToolArguments { key: u64, fragment: Text<'e> },
    /// All that a tool is called with.
    ToolInput { key: u64, input: Raw<'e> },
    /// Nothing more comes for this call.
    ToolStop { key: u64 },
    /// The model stopped.
    Stop(StopReason),
    /// What it cost, so far.
    Usage(Tokens),
    /// The protocol's terminal event.
    End,
    /// The provider tells of an error.
    Error(Trouble<'e>),
}

/// An error that the provider tells of.
pub(super) struct Trouble<'e> {
    /// The word for it, if the provider has one.
    pub(super) kind: Option<Cow<'e, str>>,
    pub(super) message: Cow<'e, str>,
}

/// Why a text is no reply.
pub(super) enum Unread<'a> {
    /// It is not what the protocol says.
    Invalid(&'static str),
    /// The embedding at this place, counted from one, is none.
    Embedding(u64),
    /// It is an error of the provider's.
    Error(Trouble<'a>),
}
