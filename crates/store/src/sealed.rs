use std::sync::Arc;

use a6_resources::{Catalogue, Change, Entry, Kind, each_own_secret, each_secret, has_own_secret};
use serde_json::Value;

use crate::{Expiry, KeyRing, Sealer, Store, StoreError};

/// A store in which secrets are sealed: whoever has the file has none of them without the key ring.
pub struct SealedStore<S> {
    inner: S,
    keys: Arc<KeyRing>,
    catalogue: Arc<dyn Catalogue>,
}

impl<S> SealedStore<S> {
    /// Seals what goes into `inner`, and opens what comes out of it.
    pub fn new(inner: S, keys: Arc<KeyRing>, catalogue: Arc<dyn Catalogue>) -> Self {
        Self { inner, keys, catalogue }
    }
}

fn change_secrets(
    kind: Kind,
    id: &str,
    document: &Value,
    catalogue: &dyn Catalogue,
    change: &dyn Fn(&str, &str) -> Result<String, StoreError>,
) -> Result<Value, StoreError> {
    let mut changed = document.clone();
    let mut result = Ok(());
    let owner = owner(kind, id);
    each_secret(kind, id, &mut changed, catalogue, &mut |path, secret| {
        // A reference names a secret and is none.
        let text = secret.as_str().filter(|text| !is_reference(text));
        match text.map(|text| change(&format!("{owner} {path}"), text)) {
            Some(Ok(text)) => *secret = Value::String(text),
            Some(Err(error)) if result.is_ok() => result = Err(error),
            Some(Err(_)) | None => {}
        }
    });
    result.map(|()| changed)
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

fn is_reference(text: &str) -> bool {
    ["$env://", "$secret://"]
        .iter()
        .any(|prefix| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
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
        change_secrets(kind, id, document, &*self.catalogue, &|place, text| self.keys.seal(place, text))
    }

    fn sealer(&self) -> Option<Arc<dyn Sealer>> {
        Some(self.keys.clone())
    }

    fn load(&self) -> Result<(u64, Vec<Entry>), StoreError> {
        let (revision, entries) = self.inner.load()?;
        let opened = entries.into_iter().map(|entry| {
            let open = |place: &str, text: &str| self.keys.open_text(place, text);
            let value = change_secrets(entry.kind, &entry.id, &entry.value, &*self.catalogue, &open)?;
            Ok(Entry { value: Arc::new(value), ..entry })
        });
        Ok((revision, opened.collect::<Result<_, StoreError>>()?))
    }

    fn expiries(&self) -> Result<Vec<Expiry>, StoreError> {
        self.inner.expiries()
    }
}
