//! Wire protocols of language models, and the providers that speak them, as data.
//!
//! - `protocol.rs`: [`Protocol`], the table of protocols, and how a request's protocol is detected.
//! - `convert/`: [`Conversion`], requests and replies from one protocol to another.
//! - `wire.rs`: what each protocol's folder fills in.
//! - `openai_chat/`, `openai_responses/`, `openai_embeddings/`, `anthropic_messages/`, `bedrock_converse/`,
//!   `vertex_predict/`, `passthrough/`: a folder each, of the same shape.
//! - `plain.rs`: [`PlainReader`], what looks on as a plain answer passes.
//! - `named.rs`: events whose name stands in their data too.
//! - `providers.rs`: [`Provider`], the table of providers; `place.rs`: [`Pattern`], the path at which one is asked.
//! - `endpoint.rs`: [`Endpoint`], where a provider is reached.
//! - `prompts.rs`: [`decorate`], messages before and after a request's own.
//! - `asked.rs`: [`last_user_text`], what a request's user said last.
//! - `said.rs`: the text of an answer, for logs.
//! - `shape.rs`: [`Shaping`], the edits that a provider and its options make on a request body.
//! - `start.rs`: [`Start`], what stands before the first word of a streamed answer.
//! - `usage.rs`: [`Usage`], the tokens that an answer cost.
//! - `testing.rs`: what the protocols' tests share.

mod anthropic_messages;
mod asked;
mod bedrock_converse;
mod convert;
mod endpoint;
mod named;
mod openai_chat;
mod openai_embeddings;
mod openai_responses;
mod passthrough;
mod place;
mod plain;
mod prompts;
mod protocol;
mod providers;
mod said;
mod shape;
mod start;
#[cfg(test)]
mod testing;
mod usage;
mod vertex_predict;
mod wire;

pub use asked::last_user_text;
pub use convert::{
    Conversion, Converted, ConvertedReply, Envelope, Recall, StreamConversion, Unconvertible, Unreadable,
};
pub use endpoint::{Endpoint, EndpointError, Scheme};
pub use passthrough::takes_bytes;
pub use place::{Pattern, UnknownModel};
pub use plain::{PlainReader, Told};
pub use prompts::{Dialect, Prompt, Undecorable, decorate};
pub use protocol::{End, Protocol, StreamReader, Verdict};
pub use providers::{MaxTokens, PROVIDERS, Provider, Signing};
pub use said::{answer_text, event_text};
pub use shape::{Shaped, Shaping};
pub use start::{Start, StartError};
pub use usage::Usage;
pub use wire::Description;
