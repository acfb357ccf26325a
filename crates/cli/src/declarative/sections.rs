//! The table of sections. A section is a row: what it is called in a file, how its objects are called, and where they live
//! in the Admin API.

use a6_resources::{Kind, Shown, id_text};
use serde_json::Value;

use crate::client::escape;
use crate::kinds::Object;

/// The members that the gateway sets, and that no client may send.
const TIMES: [&str; 2] = ["create_time", "update_time"];

/// One section of a file.
#[derive(Debug)]
pub(super) struct Section {
    /// Its key in a file.
    pub(super) name: &'static str,
    /// Another key that it may have.
    pub(super) alias: Option<&'static str>,
    /// What its objects are; none for what a6 does not serve.
    pub(super) kind: Option<Kind>,
    /// How an object is called.
    pub(super) identity: Identity,
    /// The collection in the Admin API.
    pub(super) collection: &'static str,
    /// What is lower is told earlier.
    told: u8,
    /// What is lower is written earlier: what others refer to comes first.
    written: u8,
}

/// What an object is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Its `id`.
    Id,
    /// Its `username`.
    Username,
    /// Its `id`, which is of the form `vault/1`.
    Secret,
    /// Its `plugin_name`, which the Admin API has in the path alone.
    Plugin,
    /// Its `consumer`, which the Admin API has in the path alone, and its `id`.
    Credential,
}

/// A row, which most sections fill alike.
const fn row(name: &'static str, kind: Option<Kind>, identity: Identity, told: u8, written: u8) -> Section {
    Section { name, alias: None, kind, identity, collection: name, told, written }
}

/// Every section, in the order of a dump.
pub(super) static SECTIONS: [Section; 13] = [
    row("routes", Some(Kind::Route), Identity::Id, 11, 11),
    row("services", Some(Kind::Service), Identity::Id, 1, 10),
    row("upstreams", Some(Kind::Upstream), Identity::Id, 0, 4),
    row("consumers", Some(Kind::Consumer), Identity::Username, 2, 7),
    Section {
        collection: "consumers",
        ..row("credentials", Some(Kind::Credential), Identity::Credential, 3, 8)
    },
    Section { alias: Some("ssls"), collection: "ssls", ..row("ssl", Some(Kind::Ssl), Identity::Id, 6, 2) },
    row("global_rules", Some(Kind::GlobalRule), Identity::Id, 7, 5),
    row("plugin_configs", Some(Kind::PluginConfig), Identity::Id, 5, 9),
    row("consumer_groups", Some(Kind::ConsumerGroup), Identity::Id, 4, 6),
    row("stream_routes", None, Identity::Id, 12, 12),
    row("protos", Some(Kind::Proto), Identity::Id, 8, 1),
    row("secrets", Some(Kind::Secret), Identity::Secret, 9, 0),
    row("plugin_metadata", Some(Kind::PluginMetadata), Identity::Plugin, 10, 3),
];

/// The sections in the order in which they are told.
pub(super) fn told() -> Vec<&'static Section> {
    ordered(|section| section.told)
}

/// The sections in the order in which they are written.
pub(super) fn written() -> Vec<&'static Section> {
    ordered(|section| section.written)
}

fn ordered(rank: fn(&Section) -> u8) -> Vec<&'static Section> {
    let mut sections: Vec<&Section> = SECTIONS.iter().collect();
    sections.sort_by_key(|section| rank(section));
    sections
}

/// The section of that name in a file.
pub(super) fn named(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name || section.alias == Some(name))
}

impl Section {
    /// The members that say how an object is called.
    pub(super) fn named_by(&self) -> &'static [&'static str] {
        match self.identity {
            Identity::Id | Identity::Secret => &["id"],
            Identity::Username => &["username"],
            Identity::Plugin => &["plugin_name"],
            Identity::Credential => &["consumer", "id"],
        }
    }

    /// Whether credentials are meant, which a file without them says nothing about.
    pub(super) fn is_optional(&self) -> bool {
        self.identity == Identity::Credential
    }

    /// Whether the gateway shows nothing of the keys of its objects, so that a file made from it has none.
    pub(super) fn hides_keys(&self) -> bool {
        self.kind.is_some_and(|kind| kind.spec().shown == Shown::Absent)
    }

    /// How an object is called. The error is what is wrong with which of its members.
    pub(super) fn key(&self, object: &Object) -> Result<String, String> {
        let mut parts = Vec::new();
        for name in self.named_by() {
            match object.get(*name) {
                None | Some(Value::Null) => return Err(format!("missing \"{name}\" field")),
                Some(value) => match id_text(value) {
                    Some(text) if !text.trim().is_empty() => parts.push(text),
                    Some(_) => return Err(format!("empty \"{name}\" field")),
                    None => return Err(format!("\"{name}\" must be a string or a number")),
                },
            }
        }
        Ok(parts.join("/"))
    }

    /// The path of the collection.
    pub(super) fn collection_path(&self) -> String {
        format!("/apisix/admin/{}", self.collection)
    }

    /// The path of the object of that key.
    pub(super) fn path(&self, key: &str) -> String {
        let below = match (self.identity, key.split_once('/')) {
            (Identity::Credential, Some((consumer, id))) => {
                format!("{}/credentials/{}", escape(consumer), escape(id))
            }
            (Identity::Secret, Some((manager, id))) => format!("{}/{}", escape(manager), escape(id)),
            _ => escape(key),
        };
        format!("{}/{below}", self.collection_path())
    }

    /// The path to which the object of that key is written.
    pub(super) fn written_to(&self, key: &str) -> String {
        match self.identity {
            Identity::Username => self.collection_path(),
            _ => self.path(key),
        }
    }

    /// What is sent: the object without what the path says and without the times.
    pub(super) fn body(&self, object: &Object) -> Object {
        let mut body = object.clone();
        for time in TIMES {
            body.shift_remove(time);
        }
        match self.identity {
            Identity::Credential => {
                body.shift_remove("consumer");
            }
            Identity::Plugin => {
                let name = body.shift_remove("plugin_name");
                // The gateway puts it there.
                if name.is_some() && body.get("id") == name.as_ref() {
                    body.shift_remove("id");
                }
            }
            Identity::Id | Identity::Username | Identity::Secret => {}
        }
        body
    }

    /// What the gateway holds under that key, as a file has it. A credential's owner and a plugin's name are in no document.
    pub(super) fn in_file(&self, key: &str, mut value: Object) -> Object {
        for time in TIMES {
            value.shift_remove(time);
        }
        let first = match (self.identity, key.split_once('/')) {
            (Identity::Credential, Some((consumer, _))) => Some(("consumer", consumer)),
            (Identity::Plugin, _) => {
                if value.get("id").and_then(Value::as_str) == Some(key) {
                    value.shift_remove("id");
                }
                Some(("plugin_name", key))
            }
            (Identity::Secret, _) => {
                value.shift_remove("id");
                Some(("id", key))
            }
            _ => None,
        };
        let Some((name, text)) = first else { return value };
        let mut object = Object::from_iter([(name.to_owned(), Value::from(text))]);
        object.extend(value);
        object
    }
}

/// `routes/1`, as messages call an object.
pub(super) fn label(section: &Section, key: &str) -> String {
    format!("{}/{key}", section.name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_others_refer_to_is_written_first() {
        let order = written();
        let place = |name: &str| order.iter().position(|section| section.name == name).unwrap();
        for (owner, referred) in [
            ("routes", "services"),
            ("routes", "upstreams"),
            ("routes", "plugin_configs"),
            ("services", "upstreams"),
            ("upstreams", "ssl"),
            ("consumers", "consumer_groups"),
            ("credentials", "consumers"),
            ("plugin_configs", "upstreams"),
            ("global_rules", "upstreams"),
            ("ssl", "secrets"),
            ("stream_routes", "upstreams"),
        ] {
            assert!(place(referred) < place(owner), "{owner} refers to {referred}");
        }
        let ranks: BTreeSet<u8> = SECTIONS.iter().map(|section| section.told).collect();
        assert_eq!(ranks.len(), SECTIONS.len());
        // Whatever the gateway has a kind for has a section.
        let kinds = Kind::all().iter().map(|spec| spec.kind);
        assert!(kinds.into_iter().all(|kind| SECTIONS.iter().any(|section| section.kind == Some(kind))));
    }

    #[test]
    fn objects_have_their_paths_and_what_the_path_says_is_not_sent() {
        let cases = [
            ("routes", json!({"id": 7, "uri": "/"}), "7", "routes/7", json!({"id": 7, "uri": "/"})),
            ("ssls", json!({"id": "a b"}), "a b", "ssls/a%20b", json!({"id": "a b"})),
            ("consumers", json!({"username": "jack"}), "jack", "consumers", json!({"username": "jack"})),
            (
                "credentials",
                json!({"consumer": "jack", "id": "x", "create_time": 1}),
                "jack/x",
                "consumers/jack/credentials/x",
                json!({"id": "x"}),
            ),
            ("secrets", json!({"id": "vault/1"}), "vault/1", "secrets/vault/1", json!({"id": "vault/1"})),
            (
                "plugin_metadata",
                json!({"plugin_name": "p", "id": "p", "log_format": {}}),
                "p",
                "plugin_metadata/p",
                json!({"log_format": {}}),
            ),
        ];
        for (name, value, key, path, body) in cases {
            let (section, value) = (named(name).unwrap(), object(value));
            assert_eq!(section.key(&value).unwrap(), key);
            assert_eq!(section.written_to(key), format!("/apisix/admin/{path}"));
            assert_eq!(Value::Object(section.body(&value)), body);
        }
        let routes = named("routes").unwrap();
        for (value, why) in [
            (json!({}), "missing \"id\" field"),
            (json!({"id": " "}), "empty \"id\" field"),
            (json!({"id": []}), "\"id\" must be a string or a number"),
        ] {
            assert_eq!(routes.key(&object(value)).unwrap_err(), why);
        }
    }
}
