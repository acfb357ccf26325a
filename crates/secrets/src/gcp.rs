use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use a6_core::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use percent_encoding::utf8_percent_encode;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::client::{Ask, PART, Place, Reply};
use crate::manager::{Conf, Content, Tools};
use crate::service_account::ServiceAccount;

/// A token is not used any more this long before its end, in milliseconds.
const EARLY: u64 = 60_000;
/// Where Google does not say how long a token is good, in seconds.
const LIFETIME: u64 = 3600;

/// Tokens of Google's, by manager. One is asked for at a time.
#[derive(Default)]
pub(crate) struct Tokens(RefCell<HashMap<String, Rc<Mutex<Option<Token>>>>>);

struct Token {
    value: Secret<String>,
    /// Unix milliseconds.
    until: u64,
    /// [`ServiceAccount::fingerprint`].
    account: Vec<u8>,
}

impl Tokens {
    fn of(&self, manager: &str) -> Rc<Mutex<Option<Token>>> {
        self.0.borrow_mut().entry(manager.to_string()).or_default().clone()
    }
}

/// Reads the latest version of a secret of Google Secret Manager (`AccessSecretVersion`).
///
/// # Errors
/// It cannot be read; the text names the host and the cause.
pub(crate) async fn fetch(manager: &str, conf: &Conf, path: &str, tools: &Tools) -> Result<Content, String> {
    let account = ServiceAccount::read(conf)?;
    let verify = conf.flag("ssl_verify", true);
    let entries = account.entries_uri.trim_end_matches('/');
    let project = utf8_percent_encode(&account.project_id, PART);
    let secret = utf8_percent_encode(path, PART);
    let url = format!("{entries}/projects/{project}/secrets/{secret}/versions/latest:access");
    let place = Place::parse("entries_uri", &url, verify)?;
    let host = place.host.clone();
    let token = token(manager, &account, verify, tools).await?;
    let headers = vec![("authorization", Secret::new(format!("Bearer {}", token.expose())))];
    let ask = Ask { method: Method::GET, place, headers, body: Secret::new(String::new()) };
    let reply = tools.client.send(ask).await?;
    if reply.status == StatusCode::OK {
        return read(&reply).ok_or_else(|| {
            format!("{host} answered without a payload of text; a secret of bytes cannot be used")
        });
    }
    if reply.status == StatusCode::UNAUTHORIZED {
        // The next attempt brings a new one.
        *tools.tokens.of(manager).lock().await = None;
    }
    Err(format!("{host} answered {}{}", reply.status, cause(&reply, "/error/status")))
}

fn read(reply: &Reply) -> Option<Content> {
    let answer: Value = serde_json::from_slice(reply.body.expose()).ok()?;
    let data = answer.pointer("/payload/data")?.as_str()?;
    String::from_utf8(STANDARD.decode(data).ok()?).ok().map(Content::Text)
}

/// A token that is good for a while.
async fn token(
    manager: &str,
    account: &ServiceAccount,
    verify: bool,
    tools: &Tools,
) -> Result<Secret<String>, String> {
    let known = tools.tokens.of(manager);
    let mut known = known.lock().await;
    let fingerprint = account.fingerprint();
    let now = tools.clock.unix_ms();
    if let Some(token) = known.as_ref().filter(|token| token.until > now && token.account == fingerprint) {
        return Ok(token.value.clone());
    }
    let place = Place::parse("token_uri", &account.token_uri, verify)?;
    let host = place.host.clone();
    let assertion = account.assertion(now / 1000)?;
    // The parts of an assertion need no encoding.
    let body = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={}",
        assertion.expose()
    );
    let form = Secret::new("application/x-www-form-urlencoded".to_string());
    let headers = vec![("content-type", form)];
    let ask = Ask { method: Method::POST, place, headers, body: Secret::new(body) };
    let reply = tools.client.send(ask).await?;
    if reply.status != StatusCode::OK {
        return Err(format!("{host} gave no token: it answered {}{}", reply.status, cause(&reply, "/error")));
    }
    let (value, lifetime) = granted(&reply)
        .ok_or_else(|| format!("{host} gave no token: there is no access_token in its answer"))?;
    let until = now.saturating_add(lifetime.saturating_mul(1000)).saturating_sub(EARLY);
    *known = Some(Token { value: value.clone(), until, account: fingerprint });
    Ok(value)
}

/// A token, and how long it is good, in seconds.
fn granted(reply: &Reply) -> Option<(Secret<String>, u64)> {
    let answer: Value = serde_json::from_slice(reply.body.expose()).ok()?;
    let value = answer.get("access_token")?.as_str()?.to_string();
    Some((Secret::new(value), answer.get("expires_in").and_then(Value::as_u64).unwrap_or(LIFETIME)))
}

/// Google's word for a failure, such as `PERMISSION_DENIED`. Its message is left out, since it may repeat the request.
fn cause(reply: &Reply, pointer: &str) -> String {
    let answer: Value = serde_json::from_slice(reply.body.expose()).unwrap_or_default();
    let word = answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let is_part = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_word = !word.is_empty() && word.len() < 64 && word.bytes().all(is_part);
    if is_word { format!(": {word}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reply(answer: &Value) -> Reply {
        Reply { status: StatusCode::OK, body: Secret::new(answer.to_string().into_bytes()) }
    }

    #[test]
    fn a_payload_is_text_in_base64() {
        let cases = [
            (json!({"payload": {"data": "c2stbGl2ZQ=="}}), Some("sk-live")),
            (json!({"payload": {"data": "/w=="}}), None),
            (json!({"payload": {}}), None),
        ];
        for (answer, expected) in cases {
            let value = read(&reply(&answer)).map(|content| content.pick(None).unwrap());
            assert_eq!(value.as_deref(), expected, "{answer}");
        }
    }

    #[test]
    fn only_words_are_told_of_failures() {
        let cases = [
            (json!({"error": {"status": "PERMISSION_DENIED"}}), "/error/status", ": PERMISSION_DENIED"),
            (json!({"error": "invalid_grant", "error_description": "x"}), "/error", ": invalid_grant"),
            (json!({"error": "eyJ.a.b"}), "/error", ""),
            (json!(null), "/error", ""),
        ];
        for (answer, pointer, expected) in cases {
            assert_eq!(cause(&reply(&answer), pointer), expected, "{answer}");
        }
    }
}
