//! Who may ask, and the plugins that several of them share, typed.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Plugins;
use crate::types::{id, optional_id};

/// Who may ask: a user, a team or a program.
#[derive(Clone, Debug, Deserialize)]
pub struct Consumer {
    /// The name, which is the id too.
    pub username: String,
    /// The id of a consumer group.
    #[serde(default, deserialize_with = "optional_id")]
    pub group_id: Option<String>,
    /// Labels; `custom_id` is told to upstreams.
    #[serde(default)]
    pub labels: Map<String, Value>,
    /// How the consumer is known (auth plugins), and plugins for its requests.
    #[serde(default)]
    pub plugins: Plugins,
}

/// One more way to know a consumer.
#[derive(Clone, Debug, Deserialize)]
pub struct Credential {
    /// The id, unique for its consumer.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// The name, absent if it has none.
    #[serde(default)]
    pub name: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Map<String, Value>,
    /// One auth plugin, or none.
    #[serde(default)]
    pub plugins: Plugins,
}

/// Plugins for the requests of several consumers.
#[derive(Clone, Debug, Deserialize)]
pub struct ConsumerGroup {
    /// The id.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// The plugins; a consumer's own configuration of a plugin replaces them whole.
    pub plugins: Plugins,
}

/// Plugins that several routes share.
#[derive(Clone, Debug, Deserialize)]
pub struct PluginConfig {
    /// The id.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// The plugins; a route's own configuration of a plugin replaces them whole.
    pub plugins: Plugins,
}

/// Plugins for every request, in addition to those of its route.
#[derive(Clone, Debug, Deserialize)]
pub struct GlobalRule {
    /// The id.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// The plugins; no other rule has one of them.
    pub plugins: Plugins,
}

/// What a plugin is told once for all its configurations; its form is the plugin's own.
pub type PluginMetadata = Value;

/// What stands between a consumer's name and the id of its credential.
const BETWEEN: &str = "/credentials/";

/// The id of a credential within its collection, such as `jack/credentials/phone`.
pub fn credential_id(username: &str, id: &str) -> String {
    format!("{username}{BETWEEN}{id}")
}

/// The consumer's name and the credential's own id; none if it is no credential's id.
pub fn split_credential_id(id: &str) -> Option<(&str, &str)> {
    id.split_once(BETWEEN)
}

/// The secret manager and the id of its configuration, of an id such as `vault/1`; none if it has no manager in front.
pub fn split_secret_id(id: &str) -> Option<(&str, &str)> {
    id.split_once('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_of_credentials_name_their_consumer() {
        let id = credential_id("jack", "c.1");
        assert_eq!((id.as_str(), split_credential_id(&id)), ("jack/credentials/c.1", Some(("jack", "c.1"))));
        assert_eq!(split_credential_id("jack"), None);
        assert_eq!([split_secret_id("vault/1"), split_secret_id("vault")], [Some(("vault", "1")), None]);
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let consumer: Consumer = serde_json::from_value(json!({"username": "jack", "group_id": 7})).unwrap();
        assert_eq!((consumer.username.as_str(), consumer.group_id.as_deref()), ("jack", Some("7")));
        assert!(consumer.plugins.is_empty() && consumer.labels.is_empty());
        let credential: Credential = serde_json::from_value(json!({"id": 1})).unwrap();
        assert_eq!((credential.id.as_str(), credential.name), ("1", None));
        assert!(serde_json::from_value::<GlobalRule>(json!({"id": "1"})).is_err());
    }
}
