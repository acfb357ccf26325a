//! Where resources live.
//!
//! - `sqlite.rs`: the embedded store: SQLite, WAL, every commit on disk before it returns.
//! - `migrations.rs`: its schema, versioned.
//! - `apisix.rs`: what APISIX has encrypted; [`Opener`], which opens it in documents that come from there.
//! - `memory.rs`: a store that is gone with its process.
//! - `file.rs`, `file/`: [`ConfigFile`], a file that says what the configuration is.
//! - `keyring.rs`, `sealed.rs`: secrets at rest.
//! - `lock.rs`: one process per data directory.
//! - `explain.rs`: errors of SQLite in words that say what to do.

mod apisix;
mod explain;
mod file;
mod keyring;
#[cfg(test)]
mod kill_tests;
mod lock;
mod memory;
mod migrations;
mod sealed;
#[cfg(test)]
mod sealed_tests;
mod sqlite;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use a6_resources::{Change, Entry, Kind};
use serde_json::Value;

pub use apisix::{Opener, Unopened, is_published};
pub use file::{ConfigFile, Document, FileError, FileFormat, Watch};
pub use keyring::KeyRing;
pub use memory::MemoryStore;
pub use sealed::{SealedStore, Sealing};
pub use sqlite::SqliteStore;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// A store of resources with one global, strictly increasing revision.
pub trait Store: Send {
    /// Applies the changes as one: all or none, and on disk when it returns. Gives the revision that they have. What is
    /// written here ends at `until`, in Unix milliseconds, or lasts, also where an earlier write of it was to end. Ending
    /// it is the caller's part.
    fn commit_until(&mut self, changes: &[Change], until: Option<u64>) -> Result<u64, StoreError>;

    /// As [`Store::commit_until`], for what lasts.
    fn commit(&mut self, changes: &[Change]) -> Result<u64, StoreError> {
        self.commit_until(changes, None)
    }

    /// A document as it stands at rest, which is what the answers to writes show: with its secrets sealed, where the
    /// store seals them.
    fn at_rest(&self, _kind: Kind, _id: &str, document: &Value) -> Result<Value, StoreError> {
        Ok(document.clone())
    }

    /// Puts other texts for the same documents, as one and on disk when it returns: what was sealed with an old key, say.
    /// Neither revision nor times change, and nothing of the old texts stays in the file.
    fn rewrite(&mut self, entries: &[Entry]) -> Result<(), StoreError>;

    /// Opens what APISIX has encrypted in a document that a client writes, where the store knows its keys.
    fn open_foreign(&self, _kind: Kind, _id: &str, _document: &mut Value) {}

    /// Who seals the secrets of single documents as this store does; none where it keeps them open.
    fn sealer(&self) -> Option<Arc<dyn Sealer>> {
        None
    }

    /// Everything, in the order of kind and key, and the revision it has.
    fn load(&self) -> Result<(u64, Vec<Entry>), StoreError>;

    /// What is to end, and when; nothing for a store in which everything lasts.
    fn expiries(&self) -> Result<Vec<Expiry>, StoreError> {
        Ok(Vec::new())
    }
}

/// Seals and opens the secrets that a kind has outside of plugins, in the document of one resource.
pub trait Sealer: Send + Sync {
    /// The document with each of them sealed; none if it has none.
    ///
    /// # Errors
    /// The system gives no random bytes.
    fn seal_own(&self, kind: Kind, id: &str, document: &Value) -> Result<Option<Value>, StoreError>;

    /// Opens those that were sealed for this very place. Any other text stands as it is.
    fn open_own(&self, kind: Kind, id: &str, document: &mut Value);
}

/// A resource that is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The kind.
    pub kind: Kind,
    /// The id within its collection.
    pub id: String,
    /// When, in Unix milliseconds.
    pub at: u64,
}
