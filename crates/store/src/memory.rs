use std::collections::BTreeMap;

use a6_resources::{Change, Entry, Kind};

use crate::{Expiry, Store, StoreError};

/// A store that is gone with its process: for what a file says, or what a client of the stand-alone Admin API holds.
#[derive(Debug, Default)]
pub struct MemoryStore {
    revision: u64,
    entries: BTreeMap<(Kind, String), Entry>,
    expiries: BTreeMap<(Kind, String), u64>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    fn commit_until(&mut self, changes: &[Change], until: Option<u64>) -> Result<u64, StoreError> {
        self.revision += 1;
        for change in changes {
            let place = (change.kind, change.id.clone());
            let Some(value) = &change.value else {
                self.entries.remove(&place);
                self.expiries.remove(&place);
                continue;
            };
            let created = self.entries.get(&place).map_or(self.revision, |old| old.created);
            let entry = Entry {
                kind: change.kind,
                id: change.id.clone(),
                value: value.clone(),
                created,
                modified: self.revision,
            };
            match until {
                Some(at) => self.expiries.insert(place.clone(), at),
                None => self.expiries.remove(&place),
            };
            self.entries.insert(place, entry);
        }
        Ok(self.revision)
    }

    fn rewrite(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        for entry in entries {
            if let Some(known) = self.entries.get_mut(&(entry.kind, entry.id.clone())) {
                known.value = entry.value.clone();
            }
        }
        Ok(())
    }

    fn load(&self) -> Result<(u64, Vec<Entry>), StoreError> {
        Ok((self.revision, self.entries.values().cloned().collect()))
    }

    fn expiries(&self) -> Result<Vec<Expiry>, StoreError> {
        let expiry =
            |((kind, id), at): (&(Kind, String), &u64)| Expiry { kind: *kind, id: id.clone(), at: *at };
        Ok(self.expiries.iter().map(expiry).collect())
    }
}
