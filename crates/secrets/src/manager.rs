use std::sync::Arc;

use a6_core::{Clock, Secret};
use a6_upstream::google::Tokens;
use serde_json::{Map, Value};

use crate::cache::Job;
use crate::client::Client;
use crate::places::replace_below;
use crate::reference::Reference;
use crate::{aws, gcp, vault};

/// What a manager answers for one secret.
#[derive(Clone, PartialEq)]
pub(crate) enum Content {
    /// A text, which may be a JSON object.
    Text(String),
    /// The members of one.
    Members(Map<String, Value>),
}

impl Content {
    /// An object; none if it is something else.
    pub(crate) fn members(value: Value) -> Option<Self> {
        match value {
            Value::Object(members) => Some(Self::Members(members)),
            _ => None,
        }
    }

    /// One member, or the whole.
    ///
    /// # Errors
    /// There is no such member, or it is no text. The error never holds what there is.
    pub(crate) fn pick(&self, key: Option<&str>) -> Result<String, String> {
        match (self, key) {
            (Self::Text(text), None) => Ok(text.clone()),
            (Self::Text(text), Some(key)) => match serde_json::from_str(text) {
                Ok(Value::Object(members)) => member(&members, key),
                _ => Err(format!("it is no JSON object, so it has no member {key}")),
            },
            (Self::Members(members), Some(key)) => member(members, key),
            (Self::Members(_), None) => Err("it is a JSON object; name one of its members".to_string()),
        }
    }
}

fn member(members: &Map<String, Value>, key: &str) -> Result<String, String> {
    match members.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(flag)) => Ok(flag.to_string()),
        Some(_) => Err(format!("its member {key} is no text")),
        None => Err(format!("it has no member {key}")),
    }
}

/// A variable of the environment.
pub(crate) type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The value of a reference to the environment.
pub(crate) fn from_environment(
    name: &str,
    member: Option<&str>,
    environment: &Environment,
) -> Result<String, String> {
    let text = environment(name)
        .ok_or_else(|| format!("the environment has no variable {name}, or it is no text"))?;
    Content::Text(text).pick(member).map_err(|why| format!("the variable {name}: {why}"))
}

/// What is needed to ask managers.
pub(crate) struct Tools {
    pub(crate) client: Client,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) clock: Clock,
    pub(crate) environment: Arc<Environment>,
}

/// Asks a manager for a secret.
///
/// # Errors
/// It has none, or cannot be asked; the text names the manager's resource, the host and the cause, never a token or value.
pub(crate) async fn fetch(job: &Job, tools: &Tools) -> Result<Content, String> {
    let ask = async {
        let conf = Conf::settle(job.conf.expose(), &*tools.environment)?;
        let path = job.id.path.as_str();
        match job.id.manager.split('/').next() {
            Some("vault") => vault::fetch(&conf, path, &tools.client).await,
            Some("aws") => aws::fetch(&conf, path, &tools.client, tools.clock.unix_seconds()).await,
            _ => gcp::fetch(&conf, path, tools).await,
        }
    };
    ask.await.map_err(|error| format!("secrets/{}: {}: {error}", job.id.manager, job.id.path))
}

/// A manager's resource, with its own references resolved. It holds a token, so that it never prints.
pub(crate) struct Conf(Value);

impl Conf {
    /// Resolves the references in a manager's resource: to the environment, not to other managers.
    pub(crate) fn settle(document: &Value, environment: &Environment) -> Result<Self, String> {
        let mut document = document.clone();
        let mut trouble = None;
        replace_below(&mut document, &mut |text| {
            let value = match Reference::parse(text)? {
                Ok(Reference::Env { name, member }) => {
                    from_environment(&name, member.as_deref(), environment)
                }
                Ok(Reference::Managed(_)) => {
                    Err("a secret manager's own members may refer to the environment only ($env://NAME)"
                        .to_string())
                }
                Err(error) => Err(error),
            };
            value.map_err(|error| trouble = Some(format!("{text}: {error}"))).ok()
        });
        match trouble {
            Some(trouble) => Err(trouble),
            None => Ok(Self(document)),
        }
    }

    /// A document that needs no settling.
    pub(crate) fn plain(document: Value) -> Self {
        Self(document)
    }

    /// An object within.
    pub(crate) fn inner(&self, name: &str) -> Option<Self> {
        self.0.get(name).filter(|inner| inner.is_object()).cloned().map(Self)
    }

    /// A text that may be missing. An empty one is none.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A text that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, String> {
        self.text(name).ok_or_else(|| format!("{name} is missing, empty or no text"))
    }

    /// The same where it is a secret.
    pub(crate) fn secret(&self, name: &str) -> Result<Secret<String>, String> {
        self.required(name).map(|text| Secret::new(text.to_string()))
    }

    /// A flag.
    pub(crate) fn flag(&self, name: &str, otherwise: bool) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(otherwise)
    }

    /// Texts; none where there is no list of them.
    pub(crate) fn texts(&self, name: &str) -> Vec<&str> {
        let items = self.0.get(name).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_member_or_the_whole_is_picked() {
        let object = r#"{"a":"x","n":7,"t":true,"o":{},"z":null}"#;
        let text = |text: &str| Content::Text(text.to_string());
        let members = Content::members(serde_json::from_str(object).unwrap()).unwrap();
        let cases = [
            (text("plain"), None, Ok("plain")),
            (text(object), None, Ok(object)),
            (text(object), Some("a"), Ok("x")),
            (text(object), Some("n"), Ok("7")),
            (text("sk-live"), Some("a"), Err("it is no JSON object, so it has no member a")),
            (text("[1]"), Some("a"), Err("it is no JSON object, so it has no member a")),
            (members.clone(), Some("t"), Ok("true")),
            (members.clone(), Some("o"), Err("its member o is no text")),
            (members.clone(), Some("z"), Err("its member z is no text")),
            (members.clone(), Some("b"), Err("it has no member b")),
            (members, None, Err("it is a JSON object; name one of its members")),
        ];
        for (content, key, expected) in cases {
            let expected = expected.map(str::to_string).map_err(str::to_string);
            assert_eq!(content.pick(key), expected, "{key:?}");
        }
    }

    #[test]
    fn a_managers_own_members_may_be_in_the_environment() {
        let environment = |name: &str| (name == "VAULT_TOKEN").then(|| "t-1".to_string());
        let settle = |token: &str| Conf::settle(&json!({"token": token, "uri": "http://v"}), &environment);
        for (token, expected) in
            [("plain", "plain"), ("$env://VAULT_TOKEN", "t-1"), ("$ENV://VAULT_TOKEN", "t-1")]
        {
            assert_eq!(settle(token).unwrap().text("token"), Some(expected));
        }
        let cases = [
            ("$env://NONE", "$env://NONE: the environment has no variable NONE"),
            ("$env://VAULT_TOKEN/a", "the variable VAULT_TOKEN: it is no JSON object"),
            ("$secret://aws/1/a", "may refer to the environment only"),
            ("$secret://aws", "$secret://manager/id/path/key"),
        ];
        for (token, expected) in cases {
            let error = settle(token).err().unwrap_or_default();
            assert!(error.contains(expected) && !error.contains("t-1"), "{token}: {error}");
        }
    }
}
