//! Where resources live.
//!
//! - `sqlite.rs`: the embedded store: SQLite, WAL, every commit on disk before it returns.
//! - `migrations.rs`: its schema, versioned.
//! - `lock.rs`: one process per data directory.
//! - `explain.rs`: errors of SQLite in words that say what to do.

mod explain;
#[cfg(test)]
mod kill_tests;
mod lock;
mod migrations;
mod sqlite;
#[cfg(test)]
mod tests;

use a6_resources::{Change, Entry};

pub use sqlite::SqliteStore;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// A store of resources with one global, strictly increasing revision.
pub trait Store: Send {
    /// Applies the changes as one: all or none, and on disk when it returns. Gives the revision that they have.
    fn commit(&mut self, changes: &[Change]) -> Result<u64, StoreError>;

    /// Everything, in the order of kind and key, and the revision it has.
    fn load(&self) -> Result<(u64, Vec<Entry>), StoreError>;
}
