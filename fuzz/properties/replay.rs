//! Replays the kept inputs of a fuzz target as a plain test.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// Fewer files than this, and the test looks at the wrong folder.
const FEWEST: usize = 10;

/// Holds every file of `fuzz/corpus/«target»` to the property, and names those that break it.
pub(crate) fn replay(target: &str, property: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("a folder of kept inputs")
        .map(|entry| entry.expect("a readable entry").path())
        .collect();
    files.sort();
    assert!(files.len() >= FEWEST, "only {} inputs in {}", files.len(), folder.display());
    files.retain(|file| {
        let input = fs::read(file).expect("a readable file");
        catch_unwind(|| property(&input)).is_err()
    });
    assert!(files.is_empty(), "these inputs break the property: {files:#?}");
}
