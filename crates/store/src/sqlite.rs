use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use a6_resources::{Change, Entry, Kind};
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use crate::explain::{DAMAGED, advice, explain};
use crate::lock::DirLock;
use crate::{Expiry, Store, StoreError, migrations};

const PUT: &str = "INSERT INTO resources (kind, id, value, created, modified) VALUES (?1, ?2, ?3, ?4, ?4)
    ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value, modified = excluded.modified";
const DELETE: &str = "DELETE FROM resources WHERE kind = ?1 AND id = ?2";
const EXPIRE: &str = "INSERT INTO expiries (kind, id, at) VALUES (?1, ?2, ?3)
    ON CONFLICT (kind, id) DO UPDATE SET at = excluded.at";
const LAST: &str = "DELETE FROM expiries WHERE kind = ?1 AND id = ?2";
const REWRITE: &str = "UPDATE resources SET value = ?3 WHERE kind = ?1 AND id = ?2";
const READ_EXPIRIES: &str = "SELECT kind, id, at FROM expiries";
const READ_REVISION: &str = "SELECT revision FROM meta";
const WRITE_REVISION: &str = "UPDATE meta SET revision = ?1";
const READ_ALL: &str = "SELECT kind, id, value, created, modified FROM resources";

/// The embedded store: one SQLite file, `config.db`, in the data directory, mode 0600.
///
/// It belongs to one process at a time. A commit is in the write-ahead log and synced when it returns.
#[derive(Debug)]
pub struct SqliteStore {
    // Fields are dropped in this order: the file is closed before the directory is given up.
    pub(crate) connection: Connection,
    path: PathBuf,
    lock: DirLock,
}

impl SqliteStore {
    /// Opens the store in `dir`, making both where they do not exist, checking the file and bringing an older schema
    /// up to date.
    ///
    /// # Errors
    ///
    /// The directory or file cannot be written, another process uses the directory, the file is damaged, or a newer a6
    /// wrote it. The text names the path and what to do.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| {
            StoreError(format!(
                "data directory {}: cannot create it: {error}; create it for this user or choose another one",
                dir.display()
            ))
        })?;
        let lock = DirLock::acquire(dir)?;
        let path = dir.join("config.db");
        make_private(dir, &path).map_err(|error| {
            StoreError(format!("{}: {error}; make it readable and writable for this user", path.display()))
        })?;
        let failed = |error: rusqlite::Error| explain(&path, &lock, &error);
        let refuse = |why: &str| Err(StoreError(format!("{}: {why}", path.display())));
        let mut connection = connect(&path).map_err(failed)?;
        if connection.is_readonly("main").map_err(failed)? {
            return refuse("the file is read-only; make it and its directory writable for this user");
        }
        let verdict = inspect(&connection).map_err(failed)?;
        if verdict != "ok" {
            return refuse(&format!("{}: {DAMAGED}", verdict.replace('\n', " ")));
        }
        let mode = use_log(&connection).map_err(failed)?;
        if mode != "wal" {
            return refuse(&format!(
                "SQLite cannot keep a write-ahead log on this file system (it offers `{mode}`); put the data \
                 directory on a local disk"
            ));
        }
        migrations::run(&mut connection, migrations::STEPS).map_err(|error| {
            let hint = error.cause().map(|cause| format!(": {}", advice(&lock, cause))).unwrap_or_default();
            StoreError(format!("{}: {error}{hint}", path.display()))
        })?;
        // What an earlier process wrote and replaced stands in its log still, where it was killed.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
        Ok(Self { connection, path, lock })
    }

    fn write(&mut self, changes: &[Change], until: Option<u64>) -> rusqlite::Result<u64> {
        let until = until.map(|at| i64::try_from(at).unwrap_or(i64::MAX));
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let last: i64 = transaction.prepare_cached(READ_REVISION)?.query_row([], |row| row.get(0))?;
        let revision = last + 1;
        for change in changes {
            let collection = change.kind.spec().collection;
            match &change.value {
                Some(value) => {
                    transaction.prepare_cached(PUT)?.execute(params![
                        collection,
                        change.id,
                        value.to_string(),
                        revision
                    ])?;
                }
                None => {
                    transaction.prepare_cached(DELETE)?.execute(params![collection, change.id])?;
                }
            }
            match until.filter(|_| change.value.is_some()) {
                Some(at) => {
                    transaction.prepare_cached(EXPIRE)?.execute(params![collection, change.id, at])?
                }
                None => transaction.prepare_cached(LAST)?.execute(params![collection, change.id])?,
            };
        }
        transaction.prepare_cached(WRITE_REVISION)?.execute(params![revision])?;
        transaction.commit()?;
        Ok(revision.unsigned_abs())
    }

    fn replace(&mut self, entries: &[Entry]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for entry in entries {
            let collection = entry.kind.spec().collection;
            transaction.prepare_cached(REWRITE)?.execute(params![
                collection,
                entry.id,
                entry.value.to_string()
            ])?;
        }
        transaction.commit()?;
        // The old texts would stay in unused parts of the file and of its log.
        self.connection.execute_batch("VACUUM")?;
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    fn read(&self) -> rusqlite::Result<(u64, Vec<Row>)> {
        let revision: i64 = self.connection.query_row(READ_REVISION, [], |row| row.get(0))?;
        let mut statement = self.connection.prepare(READ_ALL)?;
        let rows = statement.query_map([], |row| {
            Ok(Row {
                collection: row.get(0)?,
                id: row.get(1)?,
                text: row.get_ref(2)?.as_bytes()?.to_vec(),
                created: row.get(3)?,
                modified: row.get(4)?,
            })
        })?;
        let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok((revision.unsigned_abs(), rows))
    }

    fn read_expiries(&self) -> rusqlite::Result<Vec<(String, String, i64)>> {
        let mut statement = self.connection.prepare(READ_EXPIRIES)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect()
    }

    fn kind(&self, collection: &str, id: &str) -> Result<Kind, StoreError> {
        Kind::of_key(collection, id).ok_or_else(|| {
            StoreError(format!(
                "{}: {collection}/{id}: this a6 does not know such resources; start the a6 that wrote it",
                self.path.display()
            ))
        })
    }

    fn entry(&self, row: Row) -> Result<Entry, StoreError> {
        let Row { collection, id, text, created, modified } = row;
        let at = || format!("{}: {collection}/{id}", self.path.display());
        let kind = self.kind(&collection, &id)?;
        let value = serde_json::from_slice(&text)
            .map_err(|error| StoreError(format!("{}: not JSON ({error}): {DAMAGED}", at())))?;
        Ok(Entry {
            kind,
            value: Arc::new(value),
            created: created.unsigned_abs(),
            modified: modified.unsigned_abs(),
            id,
        })
    }
}

impl Store for SqliteStore {
    fn commit_until(&mut self, changes: &[Change], until: Option<u64>) -> Result<u64, StoreError> {
        self.write(changes, until).map_err(|error| explain(&self.path, &self.lock, &error))
    }

    fn rewrite(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.replace(entries).map_err(|error| explain(&self.path, &self.lock, &error))
    }

    fn load(&self) -> Result<(u64, Vec<Entry>), StoreError> {
        let (revision, rows) = self.read().map_err(|error| explain(&self.path, &self.lock, &error))?;
        let mut entries = rows.into_iter().map(|row| self.entry(row)).collect::<Result<Vec<_>, _>>()?;
        entries.sort_by(|a, b| (a.kind, &a.id).cmp(&(b.kind, &b.id)));
        Ok((revision, entries))
    }

    fn expiries(&self) -> Result<Vec<Expiry>, StoreError> {
        let rows = self.read_expiries().map_err(|error| explain(&self.path, &self.lock, &error))?;
        let expiry = |(collection, id, at): (String, String, i64)| -> Result<Expiry, StoreError> {
            Ok(Expiry { kind: self.kind(&collection, &id)?, id, at: at.unsigned_abs() })
        };
        rows.into_iter().map(expiry).collect()
    }
}

struct Row {
    collection: String,
    id: String,
    /// SQLite does not check that text is UTF-8; a damaged file shows here.
    text: Vec<u8>,
    created: i64,
    modified: i64,
}

/// Makes the file, or takes it away from everyone but its owner; SQLite gives its log the same mode.
fn make_private(dir: &Path, path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => sync_names(dir),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mode = fs::metadata(path)?.permissions().mode();
            if mode & 0o077 == 0 {
                return Ok(());
            }
            fs::set_permissions(path, Permissions::from_mode(mode & 0o7700))
        }
        Err(error) => Err(error),
    }
}

/// Puts the name of a new file on disk, and the names of the directories that may have been made for it. SQLite does
/// that only for the files that it makes itself.
fn sync_names(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()?;
    for above in fs::canonicalize(dir)?.ancestors().skip(1) {
        // One that this user may not open is not one that was just made.
        if File::open(above).and_then(|above| above.sync_all()).is_err() {
            break;
        }
    }
    Ok(())
}

/// Opens a file that exists, for reading and writing; it is not looked at yet.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    // What is replaced or deleted may be a secret: nothing of it stays in unused parts of the file.
    connection.execute_batch("PRAGMA secure_delete = ON")?;
    Ok(connection)
}

/// Reads the whole file once: damage is found at the start, not in the middle of a write. Gives `ok` or what is wrong.
fn inspect(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
}

/// Turns the write-ahead log on, and the sync of every commit. Gives the mode that is in force: where the file system
/// has no shared memory, SQLite stays with the old one and reports no error.
pub(crate) fn use_log(connection: &Connection) -> rusqlite::Result<String> {
    let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    Ok(mode)
}
