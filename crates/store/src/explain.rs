use std::path::Path;

use rusqlite::{Error, ErrorCode};

use crate::StoreError;
use crate::lock::DirLock;

/// What to do about a file whose content cannot be right.
pub(crate) const DAMAGED: &str =
    "the file is damaged; restore it from a backup, or move it away to start with an empty configuration";

/// The file, what SQLite says about it, and what to do.
pub(crate) fn explain(path: &Path, lock: &DirLock, error: &Error) -> StoreError {
    StoreError(format!("{}: {error}: {}", path.display(), advice(lock, error)))
}

/// What to do about an error of SQLite.
pub(crate) fn advice(lock: &DirLock, error: &Error) -> String {
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => return io_failure(lock),
        Some(ErrorCode::DiskFull) => "free disk space; nothing was changed",
        Some(ErrorCode::ReadOnly) => "make the file and its directory writable for this user",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => DAMAGED,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program holds the file; close it there"
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "check that it is a file that this user may read and write"
        }
        // SQLite is content with the file, and yet it does not hold what a store writes.
        None if is_about_content(error) => DAMAGED,
        _ => "nothing was changed",
    };
    advice.to_string()
}

fn is_about_content(error: &Error) -> bool {
    matches!(error, Error::QueryReturnedNoRows | Error::InvalidColumnType(..) | Error::Utf8Error(..))
}

fn io_failure(lock: &DirLock) -> String {
    match lock.probe() {
        Ok(()) => "the disk failed or is full; see the system's log".to_string(),
        Err(cause) => format!("the system says: {cause}; it works again once that is repaired"),
    }
}
