use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use a6_resources::{Consumer, ConsumerGroup, Credential, Plugins};
use serde_json::Value;

use super::plugins::Compiled;
use super::{Compiler, read};
use crate::directory::{Credential as Known, Digest, digest_of};
use crate::{Directory, Identity, Kit, Owners};

/// Consumers, their credentials and their groups.
pub(super) struct People<P> {
    directory: Arc<Directory>,
    owners: Arc<Owners<P>>,
    consumers: HashMap<String, ConsumerState<P>>,
    /// By `«user»/credentials/«id»`, in order, so that those of one consumer are found among many.
    credentials: BTreeMap<String, Listed>,
    groups: HashMap<String, Compiled<P>>,
    next_age: u64,
}

struct ConsumerState<P> {
    plugins: Compiled<P>,
    own: Listed,
    identity: Arc<Identity>,
}

/// A consumer or credential, and where it stands in the directory.
struct Listed {
    age: u64,
    document: Arc<Value>,
    digests: Vec<Digest>,
}

impl<P> Default for People<P> {
    fn default() -> Self {
        Self {
            directory: Arc::default(),
            owners: Arc::default(),
            consumers: HashMap::new(),
            credentials: BTreeMap::new(),
            groups: HashMap::new(),
            next_age: 0,
        }
    }
}

impl<P> People<P> {
    pub(super) fn directory(&self) -> Arc<Directory> {
        self.directory.clone()
    }

    pub(super) fn owners(&self) -> Arc<Owners<P>> {
        self.owners.clone()
    }

    fn age(&mut self) -> u64 {
        self.next_age += 1;
        self.next_age
    }

    fn unlist(&mut self, listed: &Listed) {
        let directory = Arc::make_mut(&mut self.directory);
        for digest in &listed.digests {
            directory.remove(digest, listed.age);
        }
    }
}

impl<K: Kit> Compiler<K> {
    pub(super) fn set_group(&mut self, id: &str, document: Option<&Arc<Value>>) -> Result<(), String> {
        let owner = match document {
            Some(document) => {
                let group: ConsumerGroup = read(document)?;
                let before = self.people.groups.get(id);
                let owner = self.compile_owner(&format!("/consumer_groups/{id}"), &group.plugins, before)?;
                let owner = Arc::new(owner);
                let compiled = Compiled { document: document.clone(), owner: owner.clone() };
                self.people.groups.insert(id.to_string(), compiled);
                Some(owner)
            }
            None => {
                self.people.groups.remove(id);
                None
            }
        };
        Arc::make_mut(&mut self.people.owners).set_group(id, owner);
        Ok(())
    }

    pub(super) fn set_consumer(&mut self, name: &str, document: Option<&Arc<Value>>) -> Result<(), String> {
        let Some(document) = document else {
            if let Some(state) = self.people.consumers.remove(name) {
                self.people.unlist(&state.own);
            }
            Arc::make_mut(&mut self.people.directory).remove_consumer(name);
            Arc::make_mut(&mut self.people.owners).set_consumer(name, None);
            return self.list_credentials_of(name);
        };
        let consumer: Consumer = read(document)?;
        let identity = Arc::new(identity(&consumer));
        // What a consumer is known by is no plugin of its requests.
        let of_requests: Plugins = consumer
            .plugins
            .iter()
            .filter(|(name, _)| !self.is_auth(name))
            .map(|(name, conf)| (name.clone(), conf.clone()))
            .collect();
        let before = self.people.consumers.get(name);
        let owner = Arc::new(self.compile_owner(
            &format!("/consumers/{name}"),
            &of_requests,
            before.map(|before| &before.plugins),
        )?);
        let age = match self.people.consumers.remove(name) {
            Some(before) => {
                self.people.unlist(&before.own);
                before.own.age
            }
            None => self.people.age(),
        };
        let digests = self.list(&identity, &consumer.plugins, age);
        let people = &mut self.people;
        Arc::make_mut(&mut people.directory).put_consumer(identity.clone());
        Arc::make_mut(&mut people.owners).set_consumer(name, Some(owner.clone()));
        let own = Listed { age, document: document.clone(), digests };
        let plugins = Compiled { document: document.clone(), owner };
        people.consumers.insert(name.to_string(), ConsumerState { plugins, own, identity });
        self.list_credentials_of(name)
    }

    pub(super) fn set_credential(&mut self, id: &str, document: Option<&Arc<Value>>) -> Result<(), String> {
        let before = self.people.credentials.remove(id);
        if let Some(before) = &before {
            self.people.unlist(before);
        }
        let Some(document) = document else { return Ok(()) };
        let age = before.map_or_else(|| self.people.age(), |before| before.age);
        self.list_credential(id, document.clone(), age)
    }

    /// The consumer has changed, and with it what its credentials stand for.
    fn list_credentials_of(&mut self, name: &str) -> Result<(), String> {
        let prefix = format!("{name}/credentials/");
        let of_consumer = self.people.credentials.range(prefix.clone()..);
        let ids = of_consumer.map(|(id, _)| id.clone()).take_while(|id| id.starts_with(&prefix));
        let ids: Vec<String> = ids.collect();
        let mut first_error = Ok(());
        for id in ids {
            let Some(before) = self.people.credentials.remove(&id) else { continue };
            self.people.unlist(&before);
            first_error = first_error.and(self.list_credential(&id, before.document, before.age));
        }
        first_error
    }

    /// Without its consumer a credential stands for nobody.
    fn list_credential(&mut self, id: &str, document: Arc<Value>, age: u64) -> Result<(), String> {
        let credential: Credential = read(&document)?;
        let consumer = id.split('/').next().and_then(|name| self.people.consumers.get(name));
        let identity = consumer.map(|consumer| {
            let own_id = id.rsplit('/').next().unwrap_or(id);
            Arc::new(Identity { credential_id: Some(own_id.into()), ..(*consumer.identity).clone() })
        });
        let digests = match identity {
            Some(identity) => self.list(&identity, &credential.plugins, age),
            None => Vec::new(),
        };
        self.people.credentials.insert(id.to_string(), Listed { age, document, digests });
        Ok(())
    }

    /// Lets an identity be found by each of its auth plugins.
    fn list(&mut self, identity: &Arc<Identity>, plugins: &Plugins, age: u64) -> Vec<Digest> {
        let mut digests = Vec::new();
        for (name, conf) in plugins {
            if !self.is_auth(name) || is_disabled(conf) {
                continue;
            }
            let Some(known_by) = self.kit.credential(name, conf) else {
                tracing::warn!(
                    consumer = &*identity.name,
                    plugin = name,
                    "nobody can be known by this credential: a secret reference in it does not resolve, or its key or \
                     password is empty or cannot be read"
                );
                continue;
            };
            let digest = digest_of(name, known_by.key.expose().as_bytes());
            let credential = Known { identity: identity.clone(), secret: known_by.secret };
            Arc::make_mut(&mut self.people.directory).put(&digest, age, Arc::new(credential));
            digests.push(digest);
        }
        digests
    }

    fn is_auth(&self, plugin: &str) -> bool {
        self.kit.spec(plugin).is_some_and(|spec| spec.kind == Some("auth"))
    }
}

fn is_disabled(conf: &Value) -> bool {
    conf.pointer("/_meta/disable").and_then(Value::as_bool).unwrap_or_default()
}

fn identity(consumer: &Consumer) -> Identity {
    let custom_id = consumer.labels.get("custom_id").and_then(Value::as_str);
    Identity {
        name: consumer.username.as_str().into(),
        group_id: consumer.group_id.as_deref().map(Arc::from),
        custom_id: custom_id.map(Arc::from),
        labels: Arc::new(consumer.labels.clone()),
        credential_id: None,
        is_anonymous: false,
    }
}
