use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use a6_resources::{Change, Entry, Kind};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};

use crate::lock::DirLock;
use crate::{Store, StoreError, migrations};

const PUT: &str = "INSERT INTO resources (kind, id, value, created, modified) VALUES (?1, ?2, ?3, ?4, ?4)
    ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value, modified = excluded.modified";
const DELETE: &str = "DELETE FROM resources WHERE kind = ?1 AND id = ?2";
const READ_REVISION: &str = "SELECT revision FROM meta";
const WRITE_REVISION: &str = "UPDATE meta SET revision = ?1";
const READ_ALL: &str = "SELECT kind, id, value, created, modified FROM resources";

const DAMAGED: &str =
    "the file is damaged; restore it from a backup, or move it away to start with an empty configuration";

/// The embedded store: one SQLite file, `config.db`, in the data directory, mode 0600.
///
/// It belongs to one process at a time. A commit is in the write-ahead log and synced when it returns.
#[derive(Debug)]
pub struct SqliteStore {
    // Fields are dropped in this order: the file is closed before the directory is given up.
    pub(crate) connection: Connection,
    path: PathBuf,
    _lock: DirLock,
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
        let mut connection = connect(&path).map_err(|error| explain(&path, &error))?;
        inspect(&connection, &path)?;
        use_log(&connection).map_err(|error| explain(&path, &error))?;
        migrations::run(&mut connection, migrations::STEPS)
            .map_err(|error| StoreError(format!("{}: {error}", path.display())))?;
        Ok(Self { connection, path, _lock: lock })
    }

    fn write(&mut self, changes: &[Change]) -> rusqlite::Result<u64> {
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
        }
        transaction.prepare_cached(WRITE_REVISION)?.execute(params![revision])?;
        transaction.commit()?;
        Ok(revision.unsigned_abs())
    }

    fn read(&self) -> rusqlite::Result<(u64, Vec<Row>)> {
        let revision: i64 = self.connection.query_row(READ_REVISION, [], |row| row.get(0))?;
        let mut statement = self.connection.prepare(READ_ALL)?;
        let rows = statement.query_map([], |row| {
            Ok(Row {
                collection: row.get(0)?,
                id: row.get(1)?,
                text: row.get(2)?,
                created: row.get(3)?,
                modified: row.get(4)?,
            })
        })?;
        let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok((revision.unsigned_abs(), rows))
    }

    fn entry(&self, row: Row) -> Result<Entry, StoreError> {
        let Row { collection, id, text, created, modified } = row;
        let at = || format!("{}: {collection}/{id}", self.path.display());
        let kind = Kind::of_collection(&collection).ok_or_else(|| {
            StoreError(format!("{}: this a6 does not know such resources; start the a6 that wrote it", at()))
        })?;
        let value = serde_json::from_str(&text)
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
    fn commit(&mut self, changes: &[Change]) -> Result<u64, StoreError> {
        self.write(changes).map_err(|error| explain(&self.path, &error))
    }

    fn load(&self) -> Result<(u64, Vec<Entry>), StoreError> {
        let (revision, rows) = self.read().map_err(|error| explain(&self.path, &error))?;
        let mut entries = rows.into_iter().map(|row| self.entry(row)).collect::<Result<Vec<_>, _>>()?;
        entries.sort_by(|a, b| (a.kind, &a.id).cmp(&(b.kind, &b.id)));
        Ok((revision, entries))
    }
}

struct Row {
    collection: String,
    id: String,
    text: String,
    created: i64,
    modified: i64,
}

/// Makes the file, or takes it away from everyone but its owner; SQLite gives its log the same mode.
fn make_private(dir: &Path, path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        // SQLite syncs the directory for the files that it makes itself; this one is ours.
        Ok(_) => File::open(dir)?.sync_all(),
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

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

/// Reads the whole file once: damage is found at the start, not in the middle of a write.
fn inspect(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    if connection.is_readonly("main").map_err(|error| explain(path, &error))? {
        return Err(StoreError(format!(
            "{}: the file is read-only; make it and its directory writable for this user",
            path.display()
        )));
    }
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| explain(path, &error))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(StoreError(format!("{}: {}: {DAMAGED}", path.display(), verdict.replace('\n', " "))))
}

fn use_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch("PRAGMA synchronous = FULL")
}

fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "free disk space; nothing was changed, and the next write tries again",
        Some(ErrorCode::ReadOnly) => "make the file and its directory writable for this user",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => DAMAGED,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program holds the file; close it there"
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "check that it is a file that this user may read and write"
        }
        Some(ErrorCode::SystemIoFailure) => "the disk failed or is full; see the system's log",
        _ => "nothing was changed",
    };
    StoreError(format!("{}: {error}: {advice}", path.display()))
}
