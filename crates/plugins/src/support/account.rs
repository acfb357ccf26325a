use std::env;
use std::sync::Arc;
use std::time::Duration;

use a6_core::Secret;
use a6_protocols::{Provider, Signing};
use a6_snapshot::{Account, AwsAccount};
use a6_upstream::google::{self, Terms};
use a6_upstream::sigv4;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

/// Where a service account stands that the configuration does not have.
const VARIABLE: &str = "GCP_SERVICE_ACCOUNT";

/// `auth.gcp`.
#[derive(Clone, Deserialize)]
pub(crate) struct GcpConf {
    service_account_json: Option<String>,
    max_ttl: Option<u64>,
    #[serde(default = "default_early")]
    expire_early_secs: u64,
}

fn default_early() -> u64 {
    60
}

impl GcpConf {
    /// What is wrong with the text of the service account, if it is no JSON.
    pub(crate) fn fault(&self) -> Option<String> {
        let error =
            serde_json::from_str::<serde::de::IgnoredAny>(self.service_account_json.as_deref()?).err()?;
        Some(format!("invalid gcp service_account_json: {error}"))
    }
}

/// `auth.aws`.
#[derive(Clone, Deserialize)]
pub(crate) struct AwsConf {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

/// Who asks the provider, if headers and query do not say it.
///
/// # Errors
/// The account cannot be used, or not with this provider. The text names the member and nothing of what is in it.
pub(crate) fn compile(
    provider: &Provider,
    aws: Option<&AwsConf>,
    gcp: Option<&GcpConf>,
    region: Option<&str>,
    verify: bool,
) -> Result<Option<Account>, String> {
    let name = provider.name;
    match (provider.signing, aws, gcp) {
        (Signing::Aws(_), _, Some(_)) => {
            Err(format!("auth.gcp: {name} takes no token of Google's; take it out"))
        }
        (Signing::Aws(service), Some(conf), None) => {
            signer(conf, region.unwrap_or_default(), service).map(Some)
        }
        (_, Some(_), _) => Err(format!("auth.aws: requests to {name} are not signed; take it out")),
        (_, None, Some(conf)) => service_account(conf, verify).map(Some),
        (_, None, None) => Ok(None),
    }
}

/// The headers that an account writes itself; no other of these names is sent.
pub(crate) fn headers(account: &Account) -> Vec<HeaderName> {
    match account {
        Account::Google(_) => vec![AUTHORIZATION],
        Account::Aws(_) => {
            // A client's hash is that of another body.
            let all = sigv4::SIGNATURE_HEADERS.into_iter().chain(["x-amz-content-sha256"]);
            all.map(HeaderName::from_static).collect()
        }
    }
}

fn signer(conf: &AwsConf, region: &str, service: &str) -> Result<Account, String> {
    let in_headers =
        [("access_key_id", Some(&conf.access_key_id)), ("session_token", conf.session_token.as_ref())];
    for (member, value) in in_headers {
        if value.is_some_and(|value| HeaderValue::from_str(value).is_err()) {
            return Err(format!("auth.aws.{member}: the value has a character that no header may have"));
        }
    }
    Ok(Account::Aws(AwsAccount {
        access_key_id: conf.access_key_id.as_str().into(),
        secret_access_key: Secret::new(conf.secret_access_key.as_str().into()),
        session_token: conf.session_token.as_deref().map(|token| Secret::new(token.into())),
        region: region.into(),
        service: service.into(),
    }))
}

fn service_account(conf: &GcpConf, verify: bool) -> Result<Account, String> {
    let terms = Terms {
        max_ttl: conf.max_ttl.map(Duration::from_secs),
        expire_early: Duration::from_secs(conf.expire_early_secs),
        verify,
    };
    let account = match (&conf.service_account_json, env::var(VARIABLE)) {
        (Some(text), _) => google::service_account(text, &terms)
            .map_err(|error| format!("invalid gcp service_account_json: {error}"))?,
        (None, Ok(text)) => google::service_account(&text, &terms)
            .map_err(|error| format!("invalid gcp service account in the variable {VARIABLE}: {error}"))?,
        (None, Err(_)) => {
            return Err(format!(
                "auth.gcp: there is neither service_account_json nor a service account in the environment variable \
                 {VARIABLE}"
            ));
        }
    };
    Ok(Account::Google(Arc::new(account)))
}
