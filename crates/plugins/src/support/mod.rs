//! What several plugins share.
//!
//! - `account.rs`: who asks a provider that wants a signature or a token.
//! - `ai_request.rs`: reads a request as an AI request and finds its protocol.
//! - `auth.rs`: what every auth plugin does alike: sources of credentials, challenges, anonymous consumers.
//! - `groups.rs`: configurations that count together.
//! - `headers.rs`: adding, setting and removing headers by templates.
//! - `ids.rs`: ids of requests in several forms.
//! - `instance.rs`: a provider's configuration, and what it compiles to.
//! - `limit.rs`: keys, amounts and refusals of limits.
//! - `limit_schema.rs`: what the schemas of limits share.
//! - `model_log.rs`: what logs may tell of prompt and answer.
//! - `pattern.rs`: regular expressions as APISIX understands them.
//! - `prompts.rs`: bodies whose prompts are changed.
//! - `provider_schema.rs`: what the schemas of `ai-proxy` and `ai-proxy-multi` share.
//! - `references.rs`: references to secrets.
//! - `shared.rs`: what all plugins of a process share.
//! - `testing.rs`: requests for the tests of plugins.
//! - `uri.rs`: encoding of paths and queries.

pub(crate) mod account;
pub(crate) mod ai_request;
pub(crate) mod auth;
pub(crate) mod groups;
pub(crate) mod headers;
pub(crate) mod ids;
pub(crate) mod instance;
pub(crate) mod limit;
pub(crate) mod limit_schema;
pub(crate) mod model_log;
pub(crate) mod pattern;
pub(crate) mod prompts;
pub(crate) mod provider_schema;
pub(crate) mod references;
pub(crate) mod shared;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod uri;
