use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::StoreError;

/// The right to use a data directory; the system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct DirLock {
    file: File,
}

impl DirLock {
    /// Takes the directory for this process, or says which process has it.
    pub(crate) fn acquire(dir: &Path) -> Result<Self, StoreError> {
        let failed = |error: &io::Error| {
            StoreError(format!(
                "data directory {}: cannot lock it: {error}; make it writable for this user or choose another one",
                dir.display()
            ))
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join("lock"))
            .map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(dir, &mut file)),
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        // The number only serves the message that another process shows; on a full disk the gateway starts without it.
        let _ = file.set_len(0).and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
        Ok(Self { file })
    }

    /// Writes the number once more, to hear from the system why nothing can be written: SQLite keeps that to itself.
    pub(crate) fn probe(&self) -> io::Result<()> {
        self.file.write_all_at(std::process::id().to_string().as_bytes(), 0)?;
        self.file.sync_all()
    }
}

fn in_use(dir: &Path, file: &mut File) -> StoreError {
    let mut holder = String::new();
    let holder = match file.read_to_string(&mut holder) {
        Ok(length) if length > 0 => format!("process {}", holder.trim()),
        _ => "another process".to_string(),
    };
    StoreError(format!(
        "data directory {} is in use by {holder}; stop it or choose another directory",
        dir.display()
    ))
}
