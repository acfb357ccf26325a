use std::sync::Arc;
use std::time::Duration;

use a6_core::Secret;
use a6_protocols::Endpoint;
use a6_snapshot::{GoogleAccount, Target};
use ring::digest::{Context, SHA256};
use serde_json::{Map, Value};

use super::assertion;

const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// How the tokens of an account are kept and fetched.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// A token is not kept longer.
    pub max_ttl: Option<Duration>,
    /// A new one is asked for so long before the end of the old one.
    pub expire_early: Duration,
    /// Whether the certificate of the token endpoint is checked.
    pub verify: bool,
}

/// Reads a service account, as Google gives it out in JSON.
///
/// # Errors
/// It cannot be used. The text says what is wrong, and nothing of what is in it.
pub fn service_account(text: &str, terms: &Terms) -> Result<GoogleAccount, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let Value::Object(members) = document else { return Err("it is no JSON object".to_string()) };
    let client_email = required(&members, "client_email")?;
    let private_key = Secret::new(Box::from(required(&members, "private_key")?));
    assertion::key(&private_key)?;
    let token_uri = optional(&members, "token_uri")?.unwrap_or(TOKEN_URI);
    let endpoint = Endpoint::parse(token_uri).map_err(|error| format!("token_uri: {error}"))?;
    let scope = scope(&members)?;
    let path = endpoint.path.as_deref().unwrap_or("/");
    let path = endpoint.query.as_ref().map_or(path.to_string(), |query| format!("{path}?{query}"));
    let authority = endpoint.authority();
    let Endpoint { scheme, host, port, .. } = endpoint;
    let target = Target { scheme, host: host.into(), port, verify: terms.verify };
    let fingerprint = fingerprint(&[client_email, private_key.expose(), token_uri, &scope], terms);
    Ok(GoogleAccount {
        client_email: client_email.into(),
        private_key,
        token_uri: token_uri.into(),
        target: Arc::new(target),
        authority: authority.into(),
        path: path.into(),
        scope: scope.into(),
        max_ttl: terms.max_ttl,
        expire_early: terms.expire_early,
        fingerprint,
    })
}

fn required<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    optional(members, name)?.ok_or_else(|| format!("{name} is missing"))
}

fn optional<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(format!("{name} is not a text")),
    }
}

/// A text, or a list of texts.
fn scope(members: &Map<String, Value>) -> Result<String, String> {
    let Some(Value::Array(items)) = members.get("scope") else {
        return Ok(optional(members, "scope")?.unwrap_or(SCOPE).to_string());
    };
    let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
    let texts = texts.filter(|texts| !texts.is_empty());
    Ok(texts.ok_or("scope is neither a text nor a list of texts")?.join(" "))
}

/// Each part with its length, so that no two lists look alike.
fn fingerprint(parts: &[&str], terms: &Terms) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.update(format!("{terms:?}").as_bytes());
    let mut whole = [0; 32];
    whole.copy_from_slice(context.finish().as_ref());
    whole
}
