//! Conversions between protocols: a request is read into one message model and written in the target's protocol, and its
//! reply comes the same way back. No I/O.
//!
//! - `model.rs`: the message model, and the event of a stream.
//! - `openai_chat/`, `anthropic/`, `bedrock/`: what reads a protocol into the model and writes it from there.
//! - `embeddings.rs`: OpenAI embeddings to Vertex AI predict, which have a shape of their own.
//! - `stream.rs`: [`StreamConversion`], the state machine of a streamed reply.
//! - `recall.rs`: [`Recall`] and [`Envelope`], what a reply needs beside itself.
//! - `errors.rs`: errors of providers in the client's protocol.
//! - `headers.rs`: what the change of protocol means for a request's headers.
//! - `names.rs`: names of tools that the target refuses.
//! - `dropped.rs`: what could not be carried.
//! - `json.rs`: JSON that stays as it came.

mod anthropic;
mod bedrock;
mod dropped;
mod embeddings;
mod errors;
mod headers;
mod json;
mod model;
mod names;
mod openai_chat;
mod recall;
mod stream;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use a6_codec::json::Document;
use a6_core::{Fault, FaultKind, Wording};
use http::{HeaderMap, StatusCode};

use crate::{Protocol, Usage};
use dropped::Dropped;
use json::{Members, Text};
use model::{Request, Unread};

pub use recall::{Envelope, Recall};
pub use stream::StreamConversion;

/// From which client's protocol to which provider's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conversion {
    /// A client of Anthropic Messages, a provider of OpenAI chat completions.
    MessagesToChat,
    /// A client of OpenAI chat completions, a provider of Anthropic Messages.
    ChatToMessages,
    /// A client of OpenAI chat completions, Amazon Bedrock Converse.
    ChatToConverse,
    /// A client of OpenAI embeddings, Vertex AI predict.
    EmbeddingsToPredict,
}

/// A request in the target's protocol.
#[derive(Debug)]
pub struct Converted {
    /// The body.
    pub body: Vec<u8>,
    /// What the target cannot carry, such as `top_k` or `messages.cache_control`: names that fit into a header.
    pub dropped: Vec<String>,
    /// The model that the client asks for.
    pub model: Option<String>,
    /// What the reply's conversion has to know.
    pub recall: Recall,
}

/// A reply in the client's protocol.
#[derive(Debug)]
pub struct ConvertedReply {
    /// The body.
    pub body: Vec<u8>,
    /// What the client's protocol has no place for, such as `content.citations`.
    pub dropped: Vec<String>,
    /// What it cost, where that had to be read.
    pub usage: Option<Usage>,
}

/// Why a request cannot be sent to a provider of another protocol. The text is for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unconvertible(Cow<'static, str>);

/// Why a reply cannot be given to a client of another protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON text.
    #[error("the provider's reply is not JSON")]
    NotJson,
    /// It is not what the provider's protocol says.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
}

impl Unconvertible {
    fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }

    /// What ends the request: JSON that is labelled as text, as APISIX has it.
    pub fn fault(self) -> Fault {
        let text = format!("{}\n", serde_json::json!({"error_msg": self.0}));
        Fault::client(FaultKind::BadRequest, StatusCode::BAD_REQUEST, text)
    }
}

impl Unreadable {
    fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(text.into())
    }

    /// What ends the request.
    pub fn fault(self) -> Fault {
        let fault = Fault::upstream(FaultKind::UpstreamProtocol, self.to_string()).worded(Wording::Text);
        Fault { status: StatusCode::INTERNAL_SERVER_ERROR, ..fault }
    }
}

impl Converted {
    /// The same, unless something was dropped: for a route that says `a6_strict`.
    pub fn strict(self) -> Result<Self, Unconvertible> {
        if self.dropped.is_empty() {
            return Ok(self);
        }
        let names = self.dropped.join(", ");
        Err(Unconvertible::new(format!(
            "a6_strict: the provider's protocol has no place for {names}; leave it out, or ask a provider of your \
             own protocol"
        )))
    }
}

impl Conversion {
    /// How a client of one protocol reaches a provider of another, if there is a way.
    pub fn between(client: Protocol, target: Protocol) -> Option<Self> {
        match (client.name(), target.name()) {
            ("anthropic-messages", "openai-chat") => Some(Self::MessagesToChat),
            ("openai-chat", "anthropic-messages") => Some(Self::ChatToMessages),
            ("openai-chat", "bedrock-converse") => Some(Self::ChatToConverse),
            ("openai-embeddings", "vertex-predict") => Some(Self::EmbeddingsToPredict),
            _ => None,
        }
    }

    /// A request in the target's protocol.
    pub fn request(self, text: &[u8]) -> Result<Converted, Unconvertible> {
        let text = utf8(text)?;
        self.convert(text, json::members(text))
    }

    /// The same for a text that was scanned already.
    pub fn scanned_request(self, text: &[u8], document: &Document) -> Result<Converted, Unconvertible> {
        let text = utf8(text)?;
        self.convert(text, Members::of(text, document))
    }

    fn convert(self, text: &str, members: Option<Members<'_>>) -> Result<Converted, Unconvertible> {
        let members = members.ok_or_else(|| Unconvertible::new("the body is not a JSON object"))?;
        let mut dropped = Dropped::default();
        let (request, body) = match self {
            Self::EmbeddingsToPredict => return embeddings::request(&members, text.len()),
            Self::MessagesToChat => {
                let request = anthropic::read_request(&members, &mut dropped)?;
                let body = openai_chat::write_request(&request, &mut dropped);
                (request, body)
            }
            Self::ChatToMessages => {
                let request = openai_chat::read_request(&members, &mut dropped)?;
                let body = anthropic::write_request(&request, &mut dropped);
                (request, body)
            }
            Self::ChatToConverse => {
                let request = openai_chat::read_request(&members, &mut dropped)?;
                let body = bedrock::write_request(&request, &mut dropped);
                (request, body)
            }
        };
        let names = if self == Self::MessagesToChat { changed_names(&request) } else { Vec::new() };
        Ok(Converted {
            body,
            dropped: dropped.0,
            model: request.model.and_then(Text::decoded).map(Cow::into_owned),
            recall: Recall { names, include_usage: request.include_usage, base64: false },
        })
    }

    /// Changes a request's headers as the change of protocol demands: where the key stands, what names the version.
    pub fn headers(self, headers: &mut HeaderMap) {
        match self {
            Self::MessagesToChat => headers::messages_to_chat(headers),
            Self::ChatToMessages => headers::chat_to_messages(headers),
            Self::ChatToConverse | Self::EmbeddingsToPredict => headers::from_openai(headers),
        }
    }

    /// A plain reply in the client's protocol. A reply that is an error becomes the client's error.
    pub fn reply(
        self,
        recall: &Recall,
        envelope: &Envelope<'_>,
        text: &[u8],
    ) -> Result<ConvertedReply, Unreadable> {
        let text = std::str::from_utf8(text).map_err(|_| Unreadable::NotJson)?;
        let Some(body) = json::members(text) else { return Err(self.no_object(text)) };
        let mut dropped = Dropped::default();
        let written = self.written(&body, recall, envelope, &mut dropped);
        let (body, usage) = written.or_else(|unread| match unread {
            Unread::Invalid(text) => Err(Unreadable::invalid(text)),
            Unread::Embedding(index) => {
                Err(Unreadable::invalid(format!("invalid embedding at index {index}")))
            }
            Unread::Error(trouble) => Ok((self.put_error(&trouble), None)),
        })?;
        Ok(ConvertedReply { body, dropped: dropped.0, usage })
    }

    fn written<'a>(
        self,
        body: &Members<'a>,
        recall: &Recall,
        envelope: &Envelope<'_>,
        dropped: &mut Dropped,
    ) -> Result<(Vec<u8>, Option<Usage>), Unread<'a>> {
        let reply = match self {
            Self::MessagesToChat => openai_chat::read_reply(body)?,
            Self::ChatToMessages => anthropic::read_reply(body, dropped)?,
            Self::ChatToConverse => bedrock::read_reply(body, dropped)?,
            Self::EmbeddingsToPredict => return Ok((embeddings::reply(body, recall, envelope)?, None)),
        };
        let written = match self {
            Self::MessagesToChat => anthropic::write_reply(&reply, envelope.model, recall),
            _ => openai_chat::write_reply(&reply, envelope),
        };
        Ok((written, Some(reply.usage)))
    }

    /// What is wrong with a text that is no JSON object, in APISIX's words where it has some.
    fn no_object(self, text: &str) -> Unreadable {
        if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
            return Unreadable::NotJson;
        }
        match (self, text.trim_start().starts_with('[')) {
            (Self::MessagesToChat, true) => Unreadable::invalid("no choices in response"),
            (Self::EmbeddingsToPredict, true) => Unreadable::invalid("vertex response missing predictions"),
            _ => Unreadable::invalid("response body must be a table"),
        }
    }

    /// The body of a reply with an error status, in the client's protocol, whatever the provider sent.
    pub fn error(self, status: u16, text: &[u8]) -> Vec<u8> {
        self.put_error(&errors::of_body(status, text))
    }

    fn put_error(self, trouble: &model::Trouble<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        match self {
            Self::MessagesToChat => errors::put_anthropic(&mut out, trouble),
            Self::ChatToMessages | Self::ChatToConverse | Self::EmbeddingsToPredict => {
                errors::put_openai(&mut out, trouble);
            }
        }
        out
    }

    /// Whether its replies may be streams.
    pub fn streams(self) -> bool {
        self != Self::EmbeddingsToPredict
    }

    /// The conversion of a streamed reply; none where there are no streams.
    pub fn stream(self, recall: &Recall, envelope: &Envelope<'_>) -> Option<StreamConversion> {
        match self {
            Self::MessagesToChat => Some(StreamConversion::chat_to_messages(recall, envelope)),
            Self::ChatToMessages => Some(StreamConversion::messages_to_chat(recall, envelope)),
            Self::ChatToConverse => Some(StreamConversion::converse_to_chat(recall, envelope)),
            Self::EmbeddingsToPredict => None,
        }
    }
}

fn utf8(text: &[u8]) -> Result<&str, Unconvertible> {
    std::str::from_utf8(text).map_err(|_| Unconvertible::new("the body is not UTF-8"))
}

/// The names of tools that had to change, as they are sent and as the client has them.
fn changed_names(request: &Request<'_>) -> Vec<(String, String)> {
    let names = request.tools.iter().map(|tool| (names::openai_name(tool.name), tool.name.0));
    names.filter(|(sent, own)| sent != own).map(|(sent, own)| (sent.into_owned(), own.to_string())).collect()
}
