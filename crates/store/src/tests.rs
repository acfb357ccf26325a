use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use a6_resources::{Change, Entry, Kind};
use serde_json::{Value, json};

use crate::sqlite::use_log;
use crate::{Expiry, MemoryStore, SqliteStore, Store, StoreError, migrations};

fn put(kind: Kind, id: &str, value: Value) -> Change {
    Change { kind, id: id.to_string(), value: Some(Arc::new(value)) }
}

fn delete(kind: Kind, id: &str) -> Change {
    Change { kind, id: id.to_string(), value: None }
}

fn entry(kind: Kind, id: &str, value: Value, created: u64, modified: u64) -> Entry {
    Entry { kind, id: id.to_string(), value: Arc::new(value), created, modified }
}

/// What every store must do; `open` opens the same place again and again.
fn suite(open: &dyn Fn() -> Box<dyn Store>) {
    let mut store = open();
    assert_eq!(store.load().unwrap(), (0, vec![]));

    let both =
        [put(Kind::Upstream, "u", json!({"z": 1, "a": [1.5]})), put(Kind::Route, "b", json!({"uri": "/ü"}))];
    assert_eq!(store.commit(&both).unwrap(), 1, "changes of one commit share its revision");
    assert_eq!(store.commit(&[put(Kind::Route, "a", json!({"n": 9_007_199_254_740_993_u64}))]).unwrap(), 2);
    assert_eq!(store.commit(&[put(Kind::Route, "b", json!({"uri": "/c"}))]).unwrap(), 3);
    let expected = vec![
        entry(Kind::Route, "a", json!({"n": 9_007_199_254_740_993_u64}), 2, 2),
        entry(Kind::Route, "b", json!({"uri": "/c"}), 1, 3),
        entry(Kind::Upstream, "u", json!({"z": 1, "a": [1.5]}), 1, 1),
    ];
    assert_eq!(store.load().unwrap(), (3, expected.clone()));

    drop(store);
    let mut store = open();
    let (revision, entries) = store.load().unwrap();
    assert_eq!((revision, &entries), (3, &expected), "what was committed is there when it is opened again");
    assert_eq!(entries[2].value.to_string(), r#"{"z":1,"a":[1.5]}"#, "members keep their order");

    assert_eq!(store.commit(&[delete(Kind::Route, "b"), delete(Kind::Route, "none")]).unwrap(), 4);
    assert_eq!(store.commit(&[put(Kind::Route, "b", json!({}))]).unwrap(), 5);
    assert_eq!(store.load().unwrap().1[1], entry(Kind::Route, "b", json!({}), 5, 5), "made anew");
    assert_eq!(store.commit(&[put(Kind::Service, "b", json!({}))]).unwrap(), 6);
    assert_eq!(store.load().unwrap().1.len(), 4, "the same id in another kind is another resource");
    drop(store);
    ends(open);
    people(open);
}

/// Consumers and their credentials share a collection and are told apart by their ids.
fn people(open: &dyn Fn() -> Box<dyn Store>) {
    let mut store = open();
    let rows = [
        (Kind::Credential, "jack/credentials/c"),
        (Kind::Credential, "rose/credentials/c"),
        (Kind::Consumer, "jack"),
        (Kind::Consumer, "jack-2"),
        (Kind::Consumer, "rose"),
    ];
    let all: Vec<Change> = rows.iter().map(|(kind, id)| put(*kind, id, json!({}))).collect();
    store.commit(&all).unwrap();
    drop(store);
    let mut store = open();
    let stored = |store: &dyn Store| -> Vec<(Kind, String)> {
        let (_, entries) = store.load().unwrap();
        let people = [Kind::Credential, Kind::Consumer];
        entries.into_iter().filter(|e| people.contains(&e.kind)).map(|e| (e.kind, e.id)).collect()
    };
    assert_eq!(stored(&*store), rows.map(|(kind, id)| (kind, id.to_string())));
    store.commit(&[delete(Kind::Credential, "jack/credentials/c"), delete(Kind::Consumer, "jack")]).unwrap();
    let left = [rows[1], rows[3], rows[4]].map(|(kind, id)| (kind, id.to_string()));
    assert_eq!(stored(&*store), left);
}

/// What is to end is known after the next start too; a later write or a deletion makes that void.
fn ends(open: &dyn Fn() -> Box<dyn Store>) {
    let expiry = |id: &str, at: u64| Expiry { kind: Kind::Proto, id: id.to_string(), at };
    let mut store = open();
    let both = [put(Kind::Proto, "a", json!({})), put(Kind::Proto, "b", json!({}))];
    store.commit_until(&both, Some(5_000)).unwrap();
    let far = i64::MAX.unsigned_abs();
    store.commit_until(&[put(Kind::Proto, "b", json!({}))], Some(far)).unwrap();
    drop(store);
    let mut store = open();
    assert_eq!(store.expiries().unwrap(), [expiry("a", 5_000), expiry("b", far)]);
    store.commit(&[put(Kind::Proto, "a", json!({}))]).unwrap();
    assert_eq!(store.expiries().unwrap(), [expiry("b", far)]);
    store.commit_until(&[delete(Kind::Proto, "b")], Some(1)).unwrap();
    assert_eq!(store.expiries().unwrap(), []);
    store.commit(&[delete(Kind::Proto, "a")]).unwrap();
}

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir).unwrap()
}

fn refusal(dir: &Path) -> String {
    SqliteStore::open(dir).unwrap_err().to_string()
}

#[test]
fn sqlite_does_what_every_store_must() {
    let dir = tempfile::tempdir().unwrap();
    suite(&|| Box::new(open(&dir.path().join("made/when/missing"))));
    let mut store = open(&dir.path().join("other"));
    store.commit_until(&[put(Kind::Proto, "a", json!({}))], Some(u64::MAX)).unwrap();
    assert_eq!(store.expiries().unwrap()[0].at, i64::MAX.unsigned_abs(), "as far as a column reaches");
}

/// A store in memory that is opened again: the same one.
struct Shared(Arc<Mutex<MemoryStore>>);

impl Store for Shared {
    fn commit_until(&mut self, changes: &[Change], until: Option<u64>) -> Result<u64, StoreError> {
        self.0.lock().unwrap().commit_until(changes, until)
    }

    fn rewrite(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.0.lock().unwrap().rewrite(entries)
    }

    fn load(&self) -> Result<(u64, Vec<Entry>), StoreError> {
        self.0.lock().unwrap().load()
    }

    fn expiries(&self) -> Result<Vec<Expiry>, StoreError> {
        self.0.lock().unwrap().expiries()
    }
}

#[test]
fn memory_does_what_every_store_must() {
    let memory = Arc::new(Mutex::new(MemoryStore::new()));
    suite(&|| Box::new(Shared(memory.clone())));
}

#[test]
fn the_file_and_its_log_are_private_and_a_file_that_was_open_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    let mut store = open(dir.path());
    store.commit(&[put(Kind::Route, "a", json!({}))]).unwrap();
    assert_eq!([mode("config.db"), mode("config.db-wal"), mode("lock")], [0o600; 3]);
    drop(store);
    fs::set_permissions(dir.path().join("config.db"), fs::Permissions::from_mode(0o644)).unwrap();
    let store = open(dir.path());
    assert_eq!(mode("config.db"), 0o600);
    assert_eq!(store.load().unwrap().1.len(), 1);
}

#[test]
fn commits_are_synced_through_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mode: String = store.connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    let synchronous: i64 = store.connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
    assert_eq!((mode.as_str(), synchronous), ("wal", 2), "2 is FULL");
    let nowhere = rusqlite::Connection::open_in_memory().unwrap();
    assert_eq!(use_log(&nowhere).unwrap(), "memory", "a refused mode is told, not an error");
}

#[test]
fn a_second_process_is_told_who_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let holder = format!("is in use by process {};", std::process::id());
    let text = refusal(dir.path());
    assert!(text.contains(&holder) && text.contains(&dir.path().display().to_string()), "{text}");
    drop(first);
    assert_eq!(open(dir.path()).load().unwrap().0, 0);
}

#[test]
fn a_file_of_schema_version_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let old = rusqlite::Connection::open(dir.path().join("config.db")).unwrap();
    old.execute_batch(migrations::STEPS[0]).unwrap();
    old.execute_batch(
        r#"PRAGMA user_version = 1; UPDATE meta SET revision = 41;
           INSERT INTO resources VALUES ('routes', 'r', '{"uri":"/a"}', 7, 40);"#,
    )
    .unwrap();
    drop(old);
    let mut store = open(dir.path());
    assert_eq!(store.load().unwrap(), (41, vec![entry(Kind::Route, "r", json!({"uri": "/a"}), 7, 40)]));
    assert_eq!(store.commit(&[]).unwrap(), 42);
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_to_do() {
    let whole = {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        store.commit(&[put(Kind::Route, "a", json!({"uri": "/".repeat(20_000)}))]).unwrap();
        drop(store);
        fs::read(dir.path().join("config.db")).unwrap()
    };
    let letter = b"Dear mother, this is a letter and not a database. ".repeat(100);
    let mut torn_page = whole.clone();
    torn_page[4096..4200].fill(0xff);
    let cases: [(&str, &[u8], &str); 3] = [
        ("no database", &letter[..], DAMAGED),
        ("a torn page", &torn_page[..], DAMAGED),
        ("cut in the middle", &whole[..whole.len() / 2], DAMAGED),
    ];
    for (name, bytes, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.db");
        fs::write(&path, bytes).unwrap();
        let text = refusal(dir.path());
        assert!(text.starts_with(&path.display().to_string()) && text.contains(expected), "{name}: {text}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{name}: the file is left as it was");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("config.db")).unwrap();
    assert!(refusal(dir.path()).contains("check that it is a file"), "{}", refusal(dir.path()));
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refusal(&file).starts_with(&format!("data directory {}", file.display())), "{}", refusal(&file));
}

const DAMAGED: &str = "the file is damaged; restore it from a backup";

#[test]
fn a_row_that_is_not_json_or_not_known_is_named() {
    for (kind, text, expected) in [
        ("routes", "{", "routes/x: not JSON"),
        ("rockets", "{}", "rockets/x: this a6 does not know such resources"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        store.connection.execute("INSERT INTO resources VALUES (?1, 'x', ?2, 1, 1)", [kind, text]).unwrap();
        let error = store.load().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn damage_that_sqlite_does_not_see_is_told_as_damage() {
    let row = |kind: &str, value: &str| format!("INSERT INTO resources VALUES ({kind}, 'x', {value}, 1, 1)");
    let cases = [
        ("a value that is not UTF-8", row("'routes'", "CAST(X'22FF22' AS TEXT)"), "routes/x: not JSON"),
        ("a kind that is not UTF-8", row("CAST(X'FF' AS TEXT)", "'{}'"), "utf-8"),
        ("a kind that is not text", row("X'01'", "'{}'"), "config.db: "),
        ("no revision", "DELETE FROM meta".to_string(), "config.db: "),
    ];
    for (name, sql, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        store.connection.execute(&sql, []).unwrap();
        let text = store.load().unwrap_err().to_string();
        assert!(text.contains(expected) && text.contains(DAMAGED), "{name}: {text}");
    }
}

#[test]
fn a_full_disk_changes_nothing_and_passes() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.commit(&[put(Kind::Route, "a", json!({"uri": "/a"}))]).unwrap();
    let before = store.load().unwrap();
    let limit = |store: &SqliteStore, pages: u32| {
        store.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    };
    let large =
        [put(Kind::Route, "a", json!({"uri": "/b"})), put(Kind::Route, "b", json!("x".repeat(100_000)))];
    limit(&store, 1);
    for _ in 0..2 {
        let text = store.commit(&large).unwrap_err().to_string();
        assert!(text.contains("free disk space"), "{text}");
        assert_eq!(store.load().unwrap(), before, "neither of the two changes");
    }
    limit(&store, 1_000_000);
    assert_eq!(store.commit(&large).unwrap(), 2);
    assert_eq!(store.load().unwrap().1.len(), 2);
}

#[test]
fn a_read_only_file_changes_nothing_and_passes() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let change = [put(Kind::Route, "a", json!({}))];
    // Permissions do not bind root; SQLite refuses in the same way when it is told to.
    store.connection.execute_batch("PRAGMA query_only = ON").unwrap();
    let text = store.commit(&change).unwrap_err().to_string();
    assert!(text.contains("make the file and its directory writable"), "{text}");
    assert_eq!(store.load().unwrap(), (0, vec![]));
    store.connection.execute_batch("PRAGMA query_only = OFF").unwrap();
    assert_eq!(store.commit(&change).unwrap(), 1);
}
