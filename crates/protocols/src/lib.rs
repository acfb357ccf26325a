//! Wire protocols of language models, and the providers that speak them, as data.
//!
//! - `protocol.rs`: [`Protocol`], the table of protocols, and how a request's protocol is detected.
//! - `openai_chat/`: OpenAI chat completions.
//! - `providers.rs`: [`Provider`], the table of providers.
//! - `endpoint.rs`: [`Endpoint`], where a provider is reached.
//! - `prompts.rs`: [`decorate`], messages before and after a request's own.
//! - `said.rs`: the text of an answer, for logs.
//! - `shape.rs`: [`Shaping`], the edits that a provider and its options make on a request body.
//! - `usage.rs`: [`Usage`], the tokens that an answer cost.

mod endpoint;
mod openai_chat;
mod prompts;
mod protocol;
mod providers;
mod said;
mod shape;
mod usage;

pub use endpoint::{Endpoint, EndpointError, Scheme};
pub use prompts::{Dialect, Prompt, Undecorable, decorate};
pub use protocol::{Description, End, PlainReader, Protocol, StreamReader, Told, Verdict};
pub use providers::{MaxTokens, PROVIDERS, Provider};
pub use said::{answer_text, event_text};
pub use shape::{Shaped, Shaping};
pub use usage::Usage;
