use std::fs;
use std::path::Path;
use std::sync::Arc;

use a6_core::Secret;
use a6_resources::{Catalogue, Change, ConfKind, Kind, PluginSpec, Schema};
use serde_json::{Value, json};

use crate::{SealedStore, Sealing, SqliteStore, Store, StoreError};

/// One plugin, with a secret.
struct Door(Vec<PluginSpec>);

impl Catalogue for Door {
    fn specs(&self) -> &[PluginSpec] {
        &self.0
    }

    fn check(&self, _name: &str, _conf: &Value, _kind: ConfKind) -> Result<(), String> {
        Ok(())
    }
}

fn catalogue() -> Arc<dyn Catalogue> {
    Arc::new(Door(vec![PluginSpec {
        name: "door",
        priority: 1,
        version: "0.1",
        kind: None,
        schema: Schema::compile(json!({"type": "object"})).unwrap(),
        consumer_schema: None,
        metadata_schema: None,
        consumer_key: None,
        encrypt_fields: &["key"],
    }]))
}

fn sealing(dir: &Path, texts: &[&str]) -> Sealing {
    let texts = texts.iter().map(|text| Secret::new((*text).to_string())).collect();
    Sealing { keyring: dir.join("keyring"), texts, encrypts_fields: true }
}

fn open(dir: &Path, sealing: &Sealing) -> Result<SealedStore<SqliteStore>, StoreError> {
    SealedStore::open(SqliteStore::open(dir).unwrap(), sealing, catalogue())
}

fn put(kind: Kind, id: &str, value: Value) -> Change {
    Change { kind, id: id.to_string(), value: Some(Arc::new(value)) }
}

fn route(key: &str) -> Change {
    put(Kind::Route, "1", json!({"uri": "/a", "plugins": {"door": {"key": key, "other": "seen"}}}))
}

fn vault() -> Change {
    put(Kind::Secret, "vault/1", json!({"uri": "http://v", "prefix": "kv", "token": "hvs.hidden"}))
}

/// What is stored, as it stands at rest.
fn at_rest(dir: &Path) -> String {
    let (_, entries) = SqliteStore::open(dir).unwrap().load().unwrap();
    entries.iter().map(|entry| entry.value.to_string()).collect::<Vec<_>>().join("\n")
}

/// Whether the store's files have a text anywhere.
fn is_on_disk(dir: &Path, text: &str) -> bool {
    let files = ["config.db", "config.db-wal"].map(|name| fs::read(dir.join(name)).unwrap_or_default());
    files.iter().any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

fn keys_of(store: &impl Store) -> Vec<Value> {
    let (_, entries) = store.load().unwrap();
    let found = entries.iter().map(|entry| {
        let key = entry.value.pointer("/plugins/door/key").or_else(|| entry.value.get("token"));
        key.cloned().unwrap_or_default()
    });
    found.collect()
}

#[test]
fn what_is_older_than_the_key_ring_is_sealed_at_the_start_and_gone_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut old = SqliteStore::open(dir).unwrap();
    old.commit_until(&[route("sk-hidden"), vault()], Some(9_000)).unwrap();
    let (revision, before) = old.load().unwrap();
    drop(old);
    assert!(is_on_disk(dir, "sk-hidden") && is_on_disk(dir, "hvs.hidden"));

    let store = open(dir, &sealing(dir, &[])).unwrap();
    assert_eq!(keys_of(&store), ["sk-hidden", "hvs.hidden"]);
    let (after, entries) = store.load().unwrap();
    assert_eq!((after, entries), (revision, before), "neither revision nor times change");
    assert_eq!(store.expiries().unwrap().len(), 2, "and neither does when they end");
    drop(store);
    assert!(!is_on_disk(dir, "sk-hidden") && !is_on_disk(dir, "hvs.hidden"), "{}", at_rest(dir));
    let sealed = at_rest(dir);
    assert_eq!(sealed.matches("$a6$1$").count(), 2, "{sealed}");
    assert!(sealed.contains("seen"), "{sealed}");
    drop(open(dir, &sealing(dir, &[])).unwrap());
    assert_eq!(at_rest(dir), sealed, "what is sealed stays as it is");
}

#[test]
fn a_key_in_front_takes_over_and_the_old_one_may_go() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    open(dir, &sealing(dir, &["first"])).unwrap().commit(&[route("sk-hidden"), vault()]).unwrap();
    assert!(!dir.join("keyring").exists(), "the settings have a key");
    let with_first = at_rest(dir);
    assert_eq!(
        keys_of(&open(dir, &sealing(dir, &["second", "first"])).unwrap()),
        ["sk-hidden", "hvs.hidden"]
    );
    assert!(at_rest(dir) != with_first);
    assert_eq!(keys_of(&open(dir, &sealing(dir, &["second"])).unwrap()), ["sk-hidden", "hvs.hidden"]);
    let error = open(dir, &sealing(dir, &["first"])).err().unwrap().0;
    assert!(error.contains("routes/1 plugins.door.key") && error.contains("not in the key ring"), "{error}");
    let error = open(dir, &sealing(dir, &[])).err().unwrap().0;
    assert!(error.contains("the key ring is missing") && !dir.join("keyring").exists(), "{error}");
}

#[test]
fn a_missing_key_ring_is_told_before_a_new_one_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    open(dir, &sealing(dir, &[])).unwrap().commit(&[route("sk-hidden")]).unwrap();
    let kept = fs::read(dir.join("keyring")).unwrap();
    fs::remove_file(dir.join("keyring")).unwrap();
    let error = open(dir, &sealing(dir, &[])).err().unwrap().0;
    let is_told = error.contains("keyring") && error.contains("put the file back from a backup");
    assert!(is_told && !dir.join("keyring").exists(), "{error}");
    fs::write(dir.join("keyring"), kept).unwrap();
    assert_eq!(keys_of(&open(dir, &sealing(dir, &[])).unwrap()), ["sk-hidden"]);
}

#[test]
fn fields_of_plugins_may_stay_open_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let open_fields = Sealing { encrypts_fields: false, ..sealing(dir, &["key"]) };
    let marked = put(Kind::Route, "2", json!({"uri": "/b", "plugins": {"door": {"key": "$a6$1$written"}}}));
    let mut store = open(dir, &open_fields).unwrap();
    store.commit(&[route("sk-open"), marked, vault()]).unwrap();
    assert_eq!(keys_of(&store), ["sk-open", "$a6$1$written", "hvs.hidden"]);
    drop(store);
    let stored = at_rest(dir);
    assert!(stored.contains("sk-open") && !stored.contains("hvs.hidden"), "{stored}");
    assert!(!stored.contains("$a6$1$written"), "what looks sealed has to be: {stored}");
    assert_eq!(keys_of(&open(dir, &sealing(dir, &["key"])).unwrap())[0], "sk-open");
    assert!(!is_on_disk(dir, "sk-open"));
}

#[test]
fn what_apisix_has_encrypted_is_opened_and_a_reference_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), &sealing(folder.path(), &["qeddd145sfvddff3"])).unwrap();
    let ciphertext = "Yp0DN37Kt9N6gOe079LZBhAjzq2/XbO4ritsZqIV2Vk=";
    let cases = [
        (ciphertext, "sk-live-1234567890"),
        ("sk-live", "sk-live"),
        ("$secret://vault/1/a/b", "$secret://vault/1/a/b"),
    ];
    for (written, expected) in cases {
        let mut document = json!({"plugins": {"door": {"key": written, "other": ciphertext}}});
        store.open_foreign(Kind::Route, "1", &mut document);
        let expected = json!({"plugins": {"door": {"key": expected, "other": ciphertext}}});
        assert_eq!(document, expected, "only what is a secret is looked at");
    }
}
