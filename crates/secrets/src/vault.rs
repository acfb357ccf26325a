use a6_core::Secret;
use http::{Method, StatusCode};
use percent_encoding::utf8_percent_encode;
use serde_json::Value;

use crate::client::{Ask, Client, PART, Place, Reply};
use crate::manager::{Conf, Content};

/// An error of Vault's is told up to this length.
const MAX_ERROR: usize = 200;

/// Reads a secret of Vault's key-value engine, version 1 or 2: `GET {uri}/v1/{prefix}/{path}`. In version 2 the word
/// `data` stands behind the engine's name, as in `secret/data`. Where the prefix has no such word and nothing is found,
/// it is asked for with it, too.
///
/// # Errors
/// It cannot be read; the text names the host and the cause.
pub(crate) async fn fetch(conf: &Conf, path: &str, client: &Client) -> Result<Content, String> {
    let prefix = conf.required("prefix")?;
    let first = match ask(conf, prefix, path, client).await? {
        Found::Secret(content) => return Ok(content),
        Found::Nothing(why) => why,
    };
    let Some(versioned) = versioned(prefix) else { return Err(first) };
    match ask(conf, &versioned, path, client).await {
        Ok(Found::Secret(content)) => Ok(content),
        // What was asked for as it is written says more.
        Ok(Found::Nothing(_)) | Err(_) => Err(first),
    }
}

/// What there is at a path.
enum Found {
    Secret(Content),
    /// Nothing that this token may read; why.
    Nothing(String),
}

async fn ask(conf: &Conf, prefix: &str, path: &str, client: &Client) -> Result<Found, String> {
    let token = conf.secret("token")?;
    let uri = conf.required("uri")?.trim_end_matches('/');
    let place = Place::parse("uri", &format!("{uri}/v1/{}/{}", encoded(prefix), encoded(path)), true)?;
    let (host, asked) = (place.host.clone(), place.path.clone());
    let mut headers =
        vec![("x-vault-token", token.clone()), ("x-vault-request", Secret::new("true".to_string()))];
    if let Some(namespace) = conf.text("namespace") {
        headers.push(("x-vault-namespace", Secret::new(namespace.to_string())));
    }
    let reply = client
        .send(Ask { method: Method::GET, place, headers, body: Secret::new(String::new()), signer: None })
        .await?;
    match reply.status {
        StatusCode::OK => read(&reply).map(Found::Secret).ok_or_else(|| {
            format!("{host} answered something that is no secret of a key-value engine at {asked}")
        }),
        StatusCode::NOT_FOUND => Ok(Found::Nothing(format!("{host} has no secret at {asked}"))),
        // Version 2 answers so where the token is only good for its own paths.
        status @ StatusCode::FORBIDDEN => {
            Ok(Found::Nothing(format!("{host} answered {status}{}", errors(&reply, &token))))
        }
        status => Err(format!("{host} answered {status}{}", errors(&reply, &token))),
    }
}

/// A prefix as version 2 of the engine has it; none if it is written so already.
fn versioned(prefix: &str) -> Option<String> {
    let mut parts: Vec<&str> = prefix.split('/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() || parts.iter().skip(1).any(|part| *part == "data") {
        return None;
    }
    parts.insert(1, "data");
    Some(parts.join("/"))
}

/// Every part of a path, percent-encoded.
fn encoded(path: &str) -> String {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.map(|part| utf8_percent_encode(part, PART).to_string()).collect::<Vec<_>>().join("/")
}

/// The members of a secret; version 2 has them one level further in, with the version's metadata beside them.
fn read(reply: &Reply) -> Option<Content> {
    let mut answer: Value = serde_json::from_slice(reply.body.expose()).ok()?;
    let mut data = answer.get_mut("data")?.take();
    let is_version_2 = ["data", "metadata"].iter().all(|name| data.get(*name).is_some_and(Value::is_object));
    Content::members(if is_version_2 { data.get_mut("data")?.take() } else { data })
}

/// What Vault says of a failure, as long as it says nothing that it was told.
fn errors(reply: &Reply, token: &Secret<String>) -> String {
    let answer: Value = serde_json::from_slice(reply.body.expose()).unwrap_or_default();
    let errors = answer.get("errors").and_then(Value::as_array);
    let errors: Vec<_> = errors.into_iter().flatten().filter_map(Value::as_str).collect();
    let text: String = errors.join("; ").chars().filter(|c| !c.is_control()).take(MAX_ERROR).collect();
    // Long before a whole token would stand there.
    let begins = token.expose().get(..8).unwrap_or(token.expose());
    if text.is_empty() || text.contains(begins) { String::new() } else { format!(": {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_versions_of_the_engine_are_read() {
        let v2 = json!({"data": {"data": {"key": "b"}, "metadata": {"version": 3}}});
        let cases = [
            (json!({"data": {"key": "a"}}), Some("a")),
            (v2, Some("b")),
            (json!({"data": {"data": {"x": 1}, "key": "c"}}), Some("c")),
            (json!({"data": null}), None),
            (json!({"errors": []}), None),
        ];
        for (answer, expected) in cases {
            let body = Secret::new(answer.to_string().into_bytes());
            let content = read(&Reply { status: StatusCode::OK, body });
            let value = content.map(|content| content.pick(Some("key")).unwrap());
            assert_eq!(value.as_deref(), expected, "{answer}");
        }
    }

    #[test]
    fn a_failure_says_no_token() {
        let token = Secret::new("hvs.CAESIJ-secret".to_string());
        let cases = [
            (json!({"errors": ["permission denied"]}), ": permission denied"),
            (json!({"errors": ["a", "b\n"]}), ": a; b"),
            (json!({"errors": ["bad token hvs.CAESIJ-secret"]}), ""),
            (json!({"data": "x"}), ""),
        ];
        for (answer, expected) in cases {
            let body = Secret::new(answer.to_string().into_bytes());
            assert_eq!(errors(&Reply { status: StatusCode::FORBIDDEN, body }, &token), expected, "{answer}");
        }
    }

    #[test]
    fn version_2_has_a_word_behind_the_engine() {
        let cases = [
            ("secret", Some("secret/data")),
            ("/kv/a6/", Some("kv/data/a6")),
            ("data", Some("data/data")),
            ("secret/data", None),
            ("team/kv/data/a6", None),
            ("", None),
        ];
        for (prefix, expected) in cases {
            assert_eq!(versioned(prefix).as_deref(), expected, "{prefix}");
        }
    }

    #[test]
    fn paths_are_encoded_by_their_parts() {
        let cases = [
            ("kv/apisix", "kv/apisix"),
            ("/kv//a b/", "kv/a%20b"),
            ("a?b#c", "a%3Fb%23c"),
            ("jack@x", "jack@x"),
        ];
        for (path, expected) in cases {
            assert_eq!(encoded(path), expected);
        }
    }
}
