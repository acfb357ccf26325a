//! What several plugins share.
//!
//! - `ai_request.rs`: reads a request as an AI request and finds its protocol.
//! - `instance.rs`: a provider's configuration, and what it compiles to.
//! - `references.rs`: references to secrets, which are refused.

pub(crate) mod ai_request;
pub(crate) mod instance;
pub(crate) mod references;
