use std::sync::Arc;
use std::time::Duration;

use a6_core::Secret;

use crate::Target;

/// Who asks a provider, where a configured header cannot say it. What is made of it is the business of `a6-upstream`.
#[derive(Clone, Debug)]
pub enum Account {
    /// Every request is signed.
    Aws(AwsAccount),
    /// Every request carries a token that Google gives for a while.
    Google(Arc<GoogleAccount>),
}

/// A key of AWS and what it signs for.
#[derive(Clone, Debug)]
pub struct AwsAccount {
    /// Which key.
    pub access_key_id: Box<str>,
    /// The key.
    pub secret_access_key: Secret<Box<str>>,
    /// For a key that is good for a while only.
    pub session_token: Option<Secret<Box<str>>>,
    /// The region that is asked, such as `us-east-1`.
    pub region: Box<str>,
    /// The service that is asked, as it signs: `bedrock`.
    pub service: Box<str>,
}

/// A service account of Google's and how its tokens are fetched and kept.
#[derive(Clone, Debug)]
pub struct GoogleAccount {
    /// Who it is.
    pub client_email: Box<str>,
    /// Its RSA key, in PEM.
    pub private_key: Secret<Box<str>>,
    /// Where assertions become tokens, as it is written: the audience of an assertion.
    pub token_uri: Box<str>,
    /// The same, to connect to.
    pub target: Arc<Target>,
    /// `host` of a request for a token.
    pub authority: Box<str>,
    /// Path and query of a request for a token.
    pub path: Box<str>,
    /// What the token is for, separated by spaces.
    pub scope: Box<str>,
    /// A token is not kept longer.
    pub max_ttl: Option<Duration>,
    /// A new token is asked for so long before the end of the old one.
    pub expire_early: Duration,
    /// Tells accounts apart whose tokens are not each other's.
    pub fingerprint: [u8; 32],
}
