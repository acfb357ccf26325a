//! Where resources live.
//!
//! - `sqlite.rs`: the embedded store: SQLite, WAL, every commit on disk before it returns.
//! - `migrations.rs`: its schema, versioned.
//! - `memory.rs`: a store that is gone with its process.
//! - `file.rs`, `file/`: [`ConfigFile`], a file that says what the configuration is.
//! - `keyring.rs`, `sealed.rs`: secrets at rest.
//! - `lock.rs`: one process per data directory.
//! - `explain.rs`: errors of SQLite in words that say what to do.

mod explain;
mod file;
mod keyring;
#[cfg(test)]
mod kill_tests;
mod lock;
mod memory;
mod migrations;
mod sealed;
mod sqlite;
#[cfg(test)]
mod tests;

use a6_resources::{Change, Entry, Kind};
use serde_json::Value;

pub use file::{ConfigFile, Document, FileError, FileFormat, Watch};
pub use keyring::KeyRing;
pub use memory::MemoryStore;
pub use sealed::SealedStore;
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

    /// Everything, in the order of kind and key, and the revision it has.
    fn load(&self) -> Result<(u64, Vec<Entry>), StoreError>;

    /// What is to end, and when; nothing for a store in which everything lasts.
    fn expiries(&self) -> Result<Vec<Expiry>, StoreError> {
        Ok(Vec::new())
    }
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
