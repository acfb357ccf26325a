use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use a6_core::Secret;
use anyhow::Context;

/// Where the key is kept.
pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.key")
}

/// The admin key of a data directory: 32 random bytes as hex, made at the first start and readable by its owner alone.
pub(crate) fn load_or_make(data_dir: &Path) -> anyhow::Result<Secret<String>> {
    let path = path(data_dir);
    match fs::read_to_string(&path) {
        Ok(text) if text.trim().is_empty() => {
            anyhow::bail!("{} is empty; remove it, and the next start makes a new key", path.display())
        }
        Ok(text) => Ok(Secret::new(text.trim().to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path),
        Err(error) => Err(error).with_context(|| format!("cannot read the admin key {}", path.display())),
    }
}

fn make(path: &Path) -> anyhow::Result<Secret<String>> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("no random bytes for an admin key: {error}"))?;
    let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // Whole or not at all: a full disk must not leave a piece of a key for the next start.
    let unfinished = path.with_extension("key.new");
    let write = || -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        writeln!(file, "{key}")?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().with_context(|| format!("cannot write the admin key {}", path.display()))?;
    Ok(Secret::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let key = load_or_make(dir.path()).unwrap();
        assert_eq!(key.expose().len(), 64);
        assert_eq!(load_or_make(dir.path()).unwrap(), key);
        let mode = fs::metadata(path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_empty_key_file_is_no_key() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(path(dir.path()), "\n").unwrap();
        assert!(load_or_make(dir.path()).unwrap_err().to_string().contains("is empty"));
    }
}
