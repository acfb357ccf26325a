//! Promise: authentication fails only closed: nobody passes who has not the right credential, whatever is sent and whatever
//! is written; and no credential is told to anybody.
//!
//! - `credentials.rs`: thousands of credentials that are nearly right.
//! - `consumers.rs`: hundreds of consumers and credentials that make no sense.
//! - `changes.rs`: keys that have been taken away.
//! - `secrets.rs`: what logs, records and error texts say of credentials.
//! - `random.rs`: numbers that are the same in every run, and what is made of them; `encode.rs`: base64 and the like.
//! - `tokens.rs`: tokens, signed elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod engine;
mod support;

#[path = "auth_fails_only_closed/changes.rs"]
mod changes;
#[path = "auth_fails_only_closed/consumers.rs"]
mod consumers;
#[path = "auth_fails_only_closed/credentials.rs"]
mod credentials;
#[path = "auth_fails_only_closed/encode.rs"]
mod encode;
#[path = "auth_fails_only_closed/random.rs"]
mod random;
#[path = "auth_fails_only_closed/secrets.rs"]
mod secrets;
#[path = "auth_fails_only_closed/tokens.rs"]
mod tokens;
