use std::path::PathBuf;
use std::sync::Arc;

use a6_core::Secret;
use a6_resources::{
    Catalogue, Change, Entry, Kind, each_own_secret, each_secret, has_own_secret, is_reference,
};
use serde_json::Value;

use crate::apisix::is_field;
use crate::{Expiry, KeyRing, Opener, Sealer, Store, StoreError};

/// How secrets are kept.
#[derive(Clone, Debug)]
pub struct Sealing {
    /// The file of keys.
    pub keyring: PathBuf,
    /// Keys from the settings, in front of the file's. With those of 16 or 32 bytes APISIX's own ciphertexts are read.
    pub texts: Vec<Secret<String>>,
    /// Whether what plugins declare as encrypted is sealed. Keys of certificates and tokens of secret managers always are.
    pub encrypts_fields: bool,
}

/// A store in which secrets are sealed: whoever has the file has none of them without the key ring.
pub struct SealedStore<S> {
    inner: S,
    keys: Arc<KeyRing>,
    opener: Opener,
    encrypts_fields: bool,
    catalogue: Arc<dyn Catalogue>,
}

impl<S: Store> SealedStore<S> {
    /// Seals what goes into `inner`, and opens what comes out of it. What is there already and not sealed with the first
    /// key is sealed with it now: what was written before there was a key ring, or before its last key.
    ///
    /// # Errors
    /// The key ring cannot be used, see [`KeyRing::open`]; or a secret that is there cannot be opened, and the text names
    /// its place.
    pub fn open(inner: S, sealing: &Sealing, catalogue: Arc<dyn Catalogue>) -> Result<Self, StoreError> {
        let (_, entries) = inner.load()?;
        let is_needed = entries.iter().any(|entry| has_sealed(&entry.value));
        let keys = Arc::new(KeyRing::open(&sealing.keyring, &sealing.texts, is_needed)?);
        let opener = Opener::new(&sealing.texts, true, catalogue.clone());
        let mut store = Self { inner, keys, opener, encrypts_fields: sealing.encrypts_fields, catalogue };
        let mut anew = Vec::new();
        for entry in entries {
            let value = store.sealed_anew(&entry)?;
            if value != *entry.value {
                anew.push(Entry { value: Arc::new(value), ..entry });
            }
        }
        if !anew.is_empty() {
            store.inner.rewrite(&anew)?;
        }
        Ok(store)
    }

    fn sealed_anew(&self, entry: &Entry) -> Result<Value, StoreError> {
        self.change(entry.kind, &entry.id, &entry.value, &|path, place, text| {
            if self.keys.is_current(text) {
                return Ok(text.to_string());
            }
            let opened = self.keys.open_text(place, text)?;
            self.seal(entry.kind, path, place, &opened)
        })
    }

    fn seal(&self, kind: Kind, path: &str, place: &str, text: &str) -> Result<String, StoreError> {
        if is_field(kind, path) && !self.encrypts_fields && !KeyRing::is_sealed(text) {
            return Ok(text.to_string());
        }
        self.keys.seal(place, text)
    }

    /// A document with other texts for its secrets; `change` gets path, place and text of each.
    fn change(
        &self,
        kind: Kind,
        id: &str,
        document: &Value,
        change: &dyn Fn(&str, &str, &str) -> Result<String, StoreError>,
    ) -> Result<Value, StoreError> {
        let mut changed = document.clone();
        let mut result = Ok(());
        let owner = owner(kind, id);
        each_secret(kind, id, &mut changed, &*self.catalogue, &mut |path, secret| {
            // A reference names a secret and is none.
            let text = secret.as_str().filter(|text| !is_reference(text));
            match text.map(|text| change(path, &format!("{owner} {path}"), text)) {
                Some(Ok(text)) => *secret = Value::String(text),
                Some(Err(error)) if result.is_ok() => result = Err(error),
                Some(Err(_)) | None => {}
            }
        });
        result.map(|()| changed)
    }
}

/// Whether a sealed text is anywhere in a document, also where this program would not look for secrets.
fn has_sealed(value: &Value) -> bool {
    match value {
        Value::String(text) => KeyRing::is_sealed(text),
        Value::Array(items) => items.iter().any(has_sealed),
        Value::Object(members) => members.values().any(has_sealed),
        _ => false,
    }
}

/// What the place of a secret begins with.
fn owner(kind: Kind, id: &str) -> String {
    format!("{}/{id}", kind.spec().collection)
}

impl Sealer for KeyRing {
    fn seal_own(&self, kind: Kind, id: &str, document: &Value) -> Result<Option<Value>, StoreError> {
        if !has_own_secret(kind, document) {
            return Ok(None);
        }
        let (mut sealed, owner) = (document.clone(), owner(kind, id));
        let mut result = Ok(None);
        each_own_secret(kind, &mut sealed, &mut |path, secret| {
            let Some(text) = secret.as_str().filter(|text| !is_reference(text)) else { return };
            match self.seal(&format!("{owner} {path}"), text) {
                Ok(text) if result.is_ok() => {
                    *secret = Value::String(text);
                    result = Ok(Some(()));
                }
                Ok(_) => {}
                Err(error) => result = Err(error),
            }
        });
        Ok(result?.map(|()| sealed))
    }

    fn open_own(&self, kind: Kind, id: &str, document: &mut Value) {
        let owner = owner(kind, id);
        each_own_secret(kind, document, &mut |path, secret| {
            let opened = secret.as_str().map(|text| self.open_text(&format!("{owner} {path}"), text));
            if let Some(Ok(text)) = opened {
                *secret = Value::String(text);
            }
        });
    }
}

impl<S: Store> Store for SealedStore<S> {
    fn commit_until(&mut self, changes: &[Change], until: Option<u64>) -> Result<u64, StoreError> {
        let sealed = changes.iter().map(|change| {
            let value =
                change.value.as_ref().map(|value| self.at_rest(change.kind, &change.id, value).map(Arc::new));
            Ok(Change { value: value.transpose()?, ..change.clone() })
        });
        let sealed = sealed.collect::<Result<Vec<_>, StoreError>>()?;
        self.inner.commit_until(&sealed, until)
    }

    fn at_rest(&self, kind: Kind, id: &str, document: &Value) -> Result<Value, StoreError> {
        self.change(kind, id, document, &|path, place, text| self.seal(kind, path, place, text))
    }

    fn rewrite(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let sealed = entries.iter().map(|entry| {
            let value = self.at_rest(entry.kind, &entry.id, &entry.value)?;
            Ok(Entry { value: Arc::new(value), ..entry.clone() })
        });
        let sealed = sealed.collect::<Result<Vec<_>, StoreError>>()?;
        self.inner.rewrite(&sealed)
    }

    fn open_foreign(&self, kind: Kind, id: &str, document: &mut Value) {
        self.opener.open(kind, id, document);
    }

    fn sealer(&self) -> Option<Arc<dyn Sealer>> {
        Some(self.keys.clone())
    }

    fn load(&self) -> Result<(u64, Vec<Entry>), StoreError> {
        let (revision, entries) = self.inner.load()?;
        let opened = entries.into_iter().map(|entry| {
            let open = |_: &str, place: &str, text: &str| self.keys.open_text(place, text);
            let value = self.change(entry.kind, &entry.id, &entry.value, &open)?;
            Ok(Entry { value: Arc::new(value), ..entry })
        });
        Ok((revision, opened.collect::<Result<_, StoreError>>()?))
    }

    fn expiries(&self) -> Result<Vec<Expiry>, StoreError> {
        self.inner.expiries()
    }
}
