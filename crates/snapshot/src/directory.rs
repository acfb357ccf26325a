use std::any::Any;
use std::fmt;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value};

use crate::radix::{Radix, Reach};

/// Who is asking.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The consumer's username.
    pub name: Arc<str>,
    /// Its group's id.
    pub group_id: Option<Arc<str>>,
    /// Its labels.
    pub labels: Arc<Map<String, Value>>,
    /// The label `custom_id`.
    pub custom_id: Option<Arc<str>>,
    /// The credential's id, if the consumer has not its own plugin.
    pub credential_id: Option<Arc<str>>,
    /// It stands for everybody who could not say who they are.
    pub is_anonymous: bool,
}

/// What a caller of one auth plugin is known by.
pub struct Credential {
    /// Whose it is.
    pub identity: Arc<Identity>,
    /// What the plugin has made of the consumer's configuration. The plugin alone knows its type.
    pub secret: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a credential of {}", self.identity.name)
    }
}

/// Every consumer and what it is known by, immutable; versions share what did not change.
///
/// Keys are looked up by their SHA-256, so that the time of a look-up tells nothing of the keys that exist.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    credentials: Radix<Arc<[Ranked]>>,
    consumers: Radix<Arc<Identity>>,
}

/// Several consumers may be known by the same key; the youngest counts.
#[derive(Clone, Debug)]
struct Ranked {
    age: u64,
    credential: Arc<Credential>,
}

/// Where a credential stands in the [`Directory`].
pub(crate) type Digest = [u8; 32];

pub(crate) fn digest_of(plugin: &str, key: &[u8]) -> Digest {
    let mut text = Vec::with_capacity(plugin.len() + 1 + key.len());
    text.extend_from_slice(plugin.as_bytes());
    text.push(0);
    text.extend_from_slice(key);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, &text).as_ref());
    bytes
}

impl Directory {
    /// The credential that is known to an auth plugin by a key.
    pub fn find(&self, plugin: &str, key: &[u8]) -> Option<&Arc<Credential>> {
        let digest = digest_of(plugin, key);
        let ranked = self.credentials.visit(&digest, Some)?;
        ranked.last().map(|last| &last.credential)
    }

    /// The consumer of that name.
    pub fn consumer(&self, name: &str) -> Option<&Arc<Identity>> {
        self.consumers.visit(name.as_bytes(), Some)
    }

    pub(crate) fn put_consumer(&mut self, identity: Arc<Identity>) {
        let name = identity.name.clone();
        self.consumers.change(name.as_bytes(), Reach::Exact, |slot| *slot = Some(identity));
    }

    pub(crate) fn remove_consumer(&mut self, name: &str) {
        self.consumers.change(name.as_bytes(), Reach::Exact, |slot| *slot = None);
    }

    pub(crate) fn put(&mut self, digest: &Digest, age: u64, credential: Arc<Credential>) {
        self.credentials.change(digest, Reach::Exact, |slot| {
            let mut all = slot.as_deref().unwrap_or_default().to_vec();
            all.retain(|ranked| ranked.age != age);
            all.push(Ranked { age, credential });
            all.sort_by_key(|ranked| ranked.age);
            *slot = Some(all.into());
        });
    }

    pub(crate) fn remove(&mut self, digest: &Digest, age: u64) {
        self.credentials.change(digest, Reach::Exact, |slot| {
            let mut all = slot.as_deref().unwrap_or_default().to_vec();
            all.retain(|ranked| ranked.age != age);
            *slot = (!all.is_empty()).then(|| all.into());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(name: &str) -> Arc<Credential> {
        let identity = Identity {
            name: name.into(),
            group_id: None,
            labels: Arc::default(),
            custom_id: None,
            credential_id: None,
            is_anonymous: false,
        };
        Arc::new(Credential { identity: Arc::new(identity), secret: Arc::new(()) })
    }

    #[test]
    fn the_youngest_of_equal_keys_counts_and_removal_brings_the_older_back() {
        let mut directory = Directory::default();
        let digest = digest_of("key-auth", b"k");
        directory.put(&digest, 2, credential("b"));
        directory.put(&digest, 1, credential("a"));
        let name = |directory: &Directory| {
            directory.find("key-auth", b"k").map(|found| found.identity.name.to_string())
        };
        assert_eq!(name(&directory).as_deref(), Some("b"));
        assert!(directory.find("jwt-auth", b"k").is_none() && directory.find("key-auth", b"").is_none());
        let before = directory.clone();
        directory.remove(&digest, 2);
        assert_eq!(name(&directory).as_deref(), Some("a"));
        directory.remove(&digest, 1);
        assert_eq!((name(&directory), name(&before).as_deref()), (None, Some("b")));
    }
}
