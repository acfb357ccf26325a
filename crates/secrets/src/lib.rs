//! References to secrets that are kept elsewhere: in the environment, in Vault, in AWS or Google Secret Manager.
//!
//! Whoever compiles a configuration never waits for a secret manager for long: values come out of a cache that the control
//! thread fills. A reference that does not resolve stays in the document as it was written, and whoever compiles it
//! refuses to work with it; its text is never sent as if it were the secret.
//!
//! - `reference.rs`: `$env://` and `$secret://` as people write them.
//! - `places.rs`: which members of a resource may hold references.
//! - `secrets.rs`: [`Secrets`], what is known of the secrets that somebody refers to.
//! - `cache.rs`: how long a value is good, when it is asked for again, and who needs it.
//! - `resolving.rs`: [`Resolving`], which puts values into documents before they are compiled, and again when they change.
//! - `keeper.rs`: [`Keeper`], which asks the managers, on the control thread.
//! - `manager.rs`: how a manager is reached, out of its resource, and what it answers.
//! - `vault.rs`, `aws.rs`, `gcp.rs`: one manager each.
//! - `client.rs`: one small HTTP request and its whole answer.

mod aws;
mod cache;
mod client;
mod gcp;
mod keeper;
mod manager;
mod places;
mod reference;
mod resolving;
mod secrets;
#[cfg(test)]
mod tests;
mod vault;

pub use keeper::Keeper;
pub use resolving::Resolving;
pub use secrets::Secrets;
