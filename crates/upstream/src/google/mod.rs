//! Tokens of Google's for service accounts.
//!
//! - `account.rs`: [`service_account`], a service account as it is written, checked.
//! - `assertion.rs`: what an account shows to get a token (RFC 7523).
//! - `tokens.rs`: [`Tokens`], the tokens that are known; who needs one asks here.
//! - `fetch.rs`: [`Fetcher`], which fetches them, on the control thread.

mod account;
mod assertion;
mod fetch;
#[cfg(test)]
mod tests;
mod tokens;

pub use account::{Terms, service_account};
pub use fetch::Fetcher;
pub use tokens::Tokens;
