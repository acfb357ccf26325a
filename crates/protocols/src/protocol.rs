use a6_codec::json::Document;
use a6_codec::sse::Event;
use a6_core::Fault;
use bytes::Bytes;
use http::StatusCode;

use crate::wire::{Asked, Description, Prepared, Wire};
use crate::{
    PlainReader, Shaping, Start, StartError, Usage, anthropic_messages, bedrock_converse, openai_chat,
    openai_embeddings, openai_responses, passthrough, vertex_predict,
};

/// A wire protocol. Every endpoint, provider and plugin treats all of them alike through these methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// OpenAI chat completions.
    OpenaiChat,
    /// OpenAI Responses.
    OpenaiResponses,
    /// OpenAI embeddings.
    OpenaiEmbeddings,
    /// Anthropic Messages.
    AnthropicMessages,
    /// Amazon Bedrock Converse.
    BedrockConverse,
    /// Vertex AI predict: no client speaks it, only a provider.
    VertexPredict,
    /// Whatever is none of these: it passes as it is.
    Passthrough,
}

/// What becomes of an event of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to the client.
    Pass,
    /// The gateway asked for it, the client did not.
    Hide,
}

/// How a stream stands at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The protocol's terminal event was there.
    Complete,
    /// The protocol allows the end here, provided that the transport ended properly.
    CompleteWithoutTerminal,
    /// The protocol has no terminal event that we know: only the transport can tell.
    Unjudged,
    /// The upstream told of an error within the stream.
    UpstreamError,
    /// Something is missing.
    Truncated,
}

impl Protocol {
    /// In the order in which a request's protocol is looked for.
    const ALL: [Self; 7] = [
        Self::BedrockConverse,
        Self::AnthropicMessages,
        Self::OpenaiResponses,
        Self::OpenaiChat,
        Self::OpenaiEmbeddings,
        Self::Passthrough,
        Self::VertexPredict,
    ];

    /// Those that a client may be detected to speak, but for the one that passes as it is.
    pub const CLIENTS: [Self; 5] = [
        Self::OpenaiChat,
        Self::OpenaiResponses,
        Self::OpenaiEmbeddings,
        Self::AnthropicMessages,
        Self::BedrockConverse,
    ];

    fn wire(self) -> &'static Wire {
        match self {
            Self::OpenaiChat => &openai_chat::WIRE,
            Self::OpenaiResponses => &openai_responses::WIRE,
            Self::OpenaiEmbeddings => &openai_embeddings::WIRE,
            Self::AnthropicMessages => &anthropic_messages::WIRE,
            Self::BedrockConverse => &bedrock_converse::WIRE,
            Self::VertexPredict => &vertex_predict::WIRE,
            Self::Passthrough => &passthrough::WIRE,
        }
    }

    /// The name in configuration, logs and errors.
    pub fn name(self) -> &'static str {
        self.wire().name
    }

    /// The protocol of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// The protocol of a request, by its path and body; the first that fits.
    pub fn detect(path: &str, document: &Document, text: &[u8]) -> Option<Self> {
        let asked = Asked { path, document, text };
        Self::ALL.into_iter().find(|protocol| (protocol.wire().detects)(&asked))
    }

    /// Whether the client asks for a stream, in the body or by the path.
    pub fn wants_stream(self, path: &str, document: &Document, text: &[u8]) -> bool {
        let by_path = self == Self::BedrockConverse && bedrock_converse::streams_at(path);
        by_path || (self.wire().streams && document.is_true(text, "stream"))
    }

    /// The model that a path names, where a protocol's clients name it there.
    pub fn model_at(self, path: &str) -> Option<&str> {
        (self == Self::BedrockConverse).then(|| bedrock_converse::model_at(path)).flatten()
    }

    /// What a request says beside its prompt.
    pub fn describe(self, document: &Document, text: &[u8]) -> Description {
        (self.wire().describe)(document, text)
    }

    /// What the protocol itself changes in a request before it is sent; see [`Shaping::apply`].
    pub(crate) fn prepare(self, document: &Document, text: &[u8], shaping: &Shaping) -> Prepared {
        (self.wire().prepare)(document, text, shaping)
    }

    /// A reader for one streamed answer. With `hide_usage` the usage event is counted and not passed on.
    pub fn stream_reader(self, hide_usage: bool) -> StreamReader {
        let reader = match self {
            Self::OpenaiChat => Reader::OpenaiChat(openai_chat::ChatStream::new(hide_usage)),
            Self::OpenaiResponses => Reader::OpenaiResponses(Default::default()),
            Self::AnthropicMessages => Reader::AnthropicMessages(Default::default()),
            Self::BedrockConverse => Reader::BedrockConverse(Default::default()),
            Self::OpenaiEmbeddings | Self::VertexPredict | Self::Passthrough => {
                Reader::Passthrough(passthrough::PassingStream)
            }
        };
        StreamReader { protocol: self, reader, error: None }
    }

    /// What an event is, as long as those before it were scaffolding. Of an AWS event stream a frame is one, as
    /// [`StreamReader::event`] takes it; an exception may have the name of its `:exception-type`.
    pub fn start(self, event: &Event<'_>) -> Start {
        (self.wire().start)(event)
    }

    /// A reader for one plain answer.
    pub fn plain_reader(self) -> PlainReader {
        PlainReader::new(self.wire())
    }

    /// Whether a plain answer calls a tool.
    pub fn calls_tool(self, text: &[u8]) -> bool {
        (self.wire().calls_tool)(text)
    }

    /// The body that tells a client of a fault, in its own protocol.
    pub fn error_body(self, fault: &Fault) -> Bytes {
        (self.wire().error_body)(fault)
    }
}

/// Looks on as a streamed answer passes.
#[derive(Debug)]
pub struct StreamReader {
    protocol: Protocol,
    reader: Reader,
    /// What the error that was told stands for.
    error: Option<StatusCode>,
}

#[derive(Debug)]
enum Reader {
    OpenaiChat(openai_chat::ChatStream),
    OpenaiResponses(openai_responses::ResponseStream),
    AnthropicMessages(anthropic_messages::MessageStream),
    BedrockConverse(bedrock_converse::ConverseStream),
    Passthrough(passthrough::PassingStream),
}

/// Asks whichever stream it is.
macro_rules! ask {
    ($reader:expr, $stream:ident => $asked:expr) => {
        match $reader {
            Reader::OpenaiChat($stream) => $asked,
            Reader::OpenaiResponses($stream) => $asked,
            Reader::AnthropicMessages($stream) => $asked,
            Reader::BedrockConverse($stream) => $asked,
            Reader::Passthrough($stream) => $asked,
        }
    };
}

impl StreamReader {
    /// The next event. Of an AWS event stream a frame is one: its `:event-type` is the name, its payload the data; a frame
    /// whose `:message-type` is not `event` has the name `exception`.
    pub fn event(&mut self, event: &Event<'_>) -> Verdict {
        let verdict = ask!(&mut self.reader, stream => stream.event(event));
        if self.error.is_none() && self.end() == End::UpstreamError {
            let told = match self.protocol.start(event) {
                Start::Error(error) => error.status,
                Start::Scaffolding | Start::Content => None,
            };
            self.error = Some(told.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
        }
        verdict
    }

    /// Which exception the next frame of an AWS event stream tells of.
    pub fn exception(&mut self, kind: &str) {
        let told = StartError::named(kind, None).status;
        self.error.get_or_insert(told.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    }

    /// The status that the provider would have answered with, had it told its error in place of the stream; 500 where its
    /// words do not say. None as long as it has told of none.
    pub fn error_status(&self) -> Option<StatusCode> {
        self.error
    }

    /// How the stream stands.
    pub fn end(&self) -> End {
        ask!(&self.reader, stream => stream.end())
    }

    /// Whether a tool was called so far.
    pub fn has_tool_calls(&self) -> bool {
        ask!(&self.reader, stream => stream.has_tool_calls())
    }

    /// The usage so far.
    pub fn usage(&self) -> Usage {
        ask!(&self.reader, stream => stream.usage())
    }

    /// The event that tells a client of a fault in the middle of a stream; none where only a cut can tell.
    pub fn error_event(&self, fault: &Fault) -> Option<Bytes> {
        ask!(&self.reader, stream => stream.error_event(fault))
    }
}
