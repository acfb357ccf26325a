use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use a6_core::{Fault, Secret};
use a6_snapshot::GoogleAccount;
use a6_upstream::google::{Terms, service_account};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use percent_encoding::utf8_percent_encode;
use serde_json::{Value, json};

use crate::client::{Ask, PART, Place, Reply};
use crate::manager::{Conf, Content, Tools};

const ENTRIES_URI: &str = "https://secretmanager.googleapis.com/v1";
/// A new token is asked for so long before the end of the old one.
const EARLY: Duration = Duration::from_secs(60);
/// For a token; the [`crate::Keeper`] limits it together with the secret.
const TOKEN_LIMIT: Duration = Duration::from_secs(5);
/// A service account is a few kilobytes.
const MAX_FILE: u64 = 64 << 10;

/// Whose secrets are asked for, and where.
struct Account {
    google: Arc<GoogleAccount>,
    project_id: String,
    entries_uri: String,
}

impl Account {
    /// Reads a manager's `auth_config`, or the file that it names.
    ///
    /// # Errors
    /// It is not there, or something is missing in it.
    fn read(conf: &Conf) -> Result<Self, String> {
        let verify = conf.flag("ssl_verify", true);
        if let Some(inner) = conf.inner("auth_config") {
            return Self::of(&inner, verify).map_err(|error| format!("auth_config: {error}"));
        }
        let path = conf.text("auth_file").ok_or("it has neither auth_config nor auth_file")?;
        let failed = |why: &dyn Display| format!("auth_file {path}: {why}");
        let text = file(path).map_err(|why| failed(&why))?;
        let document: Value = serde_json::from_str(text.expose()).map_err(|_| failed(&"it is no JSON"))?;
        Self::of(&Conf::plain(document), verify).map_err(|error| failed(&error))
    }

    fn of(conf: &Conf, verify: bool) -> Result<Self, String> {
        let mut document = json!({
            "client_email": conf.required("client_email")?,
            "private_key": conf.secret("private_key")?.expose(),
            "token_uri": conf.text("token_uri"),
        });
        let scopes = conf.texts("scope");
        if !scopes.is_empty() {
            document["scope"] = json!(scopes);
        }
        let terms = Terms { max_ttl: None, expire_early: EARLY, verify };
        let document = Secret::new(document.to_string());
        Ok(Self {
            google: Arc::new(service_account(document.expose(), &terms)?),
            project_id: conf.required("project_id")?.to_string(),
            entries_uri: conf.text("entries_uri").unwrap_or(ENTRIES_URI).to_string(),
        })
    }
}

/// Reads a small file. Nothing else is opened: to wait for a pipe would hold up the whole control thread.
fn file(path: &str) -> Result<Secret<String>, String> {
    let failed = |error: std::io::Error| error.to_string();
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err("it is no regular file".to_string());
    }
    let mut text = String::new();
    File::open(path).map_err(failed)?.take(MAX_FILE + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE {
        return Err(format!("it has more than {MAX_FILE} bytes"));
    }
    Ok(Secret::new(text))
}

/// Reads the latest version of a secret of Google Secret Manager (`AccessSecretVersion`).
///
/// # Errors
/// It cannot be read; the text names the host and the cause.
pub(crate) async fn fetch(conf: &Conf, path: &str, tools: &Tools) -> Result<Content, String> {
    let account = Account::read(conf)?;
    let entries = account.entries_uri.trim_end_matches('/');
    let project = utf8_percent_encode(&account.project_id, PART);
    let secret = utf8_percent_encode(path, PART);
    let url = format!("{entries}/projects/{project}/secrets/{secret}/versions/latest:access");
    let place = Place::parse("entries_uri", &url, account.google.target.verify)?;
    let host = place.host.clone();
    let token = tools.tokens.bearer(&account.google, TOKEN_LIMIT).await;
    let token = token.map_err(|fault: Fault| fault.text.into_owned())?;
    let headers = vec![("authorization", Secret::new(format!("Bearer {}", token.expose())))];
    let ask = Ask { method: Method::GET, place, headers, body: Secret::new(String::new()), signer: None };
    let reply = tools.client.send(ask).await?;
    if reply.status == StatusCode::OK {
        return read(&reply).ok_or_else(|| {
            format!("{host} answered without a payload of text; a secret of bytes cannot be used")
        });
    }
    if reply.status == StatusCode::UNAUTHORIZED {
        // The next attempt brings a new one.
        tools.tokens.forget(&account.google);
    }
    Err(format!("{host} answered {}{}", reply.status, cause(&reply, "/error/status")))
}

fn read(reply: &Reply) -> Option<Content> {
    let answer: Value = serde_json::from_slice(reply.body.expose()).ok()?;
    let data = answer.pointer("/payload/data")?.as_str()?;
    String::from_utf8(STANDARD.decode(data).ok()?).ok().map(Content::Text)
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

    #[test]
    fn a_bad_account_says_what_is_bad_and_no_key() {
        let directory = tempfile::tempdir().unwrap();
        let large = directory.path().join("large.json");
        std::fs::write(&large, " ".repeat(70_000)).unwrap();
        let cases = [
            (json!({}), "neither auth_config nor auth_file"),
            (json!({"auth_config": {"client_email": "a"}}), "auth_config: private_key is missing"),
            (
                json!({"auth_config": {"client_email": "a", "private_key": "c2VjcmV0", "project_id": "p"}}),
                "auth_config: private_key: it is no private key in PEM",
            ),
            (json!({"auth_file": "/nowhere/account.json"}), "auth_file /nowhere/account.json: No such file"),
            (json!({"auth_file": "/dev/zero"}), "auth_file /dev/zero: it is no regular file"),
            (json!({"auth_file": large}), "it has more than 65536 bytes"),
        ];
        for (conf, expected) in cases {
            let error = Account::read(&Conf::plain(conf)).err().unwrap_or_default();
            assert!(error.contains(expected) && !error.contains("c2Vj"), "{error}");
        }
    }

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
            (json!({"error": {"status": "a.b"}}), "/error/status", ""),
            (json!({"error": "eyJ.a.b"}), "/error", ""),
            (json!(null), "/error", ""),
        ];
        for (answer, pointer, expected) in cases {
            assert_eq!(cause(&reply(&answer), pointer), expected, "{answer}");
        }
    }
}
