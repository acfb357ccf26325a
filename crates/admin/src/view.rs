use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use a6_resources::{Change, Entry, Kind, References};
use a6_snapshot::Rejection;
use serde_json::{Map, Value, json};

/// What is stored and in force, for readers on any thread. Only the writer's thread changes it, after the store and
/// the snapshot have taken a change.
pub struct View {
    state: RwLock<State>,
}

/// The content of a [`View`].
pub(crate) struct State {
    pub(crate) revision: u64,
    entries: BTreeMap<(Kind, String), Entry>,
    last_change: Option<Value>,
    last_rejected: Option<Value>,
    /// The file that rules, where one does.
    file: Option<FileState>,
}

/// A file that rules, and whether what it says now is in force.
struct FileState {
    path: String,
    warnings: Vec<String>,
    /// `{reason, at}`; none if it is in force.
    refused: Option<Value>,
}

impl View {
    /// A view of what the store has loaded.
    pub(crate) fn new(revision: u64, entries: Vec<Entry>) -> Self {
        let entries = by_key(entries);
        let state = State { revision, entries, last_change: None, last_rejected: None, file: None };
        Self { state: RwLock::new(state) }
    }

    // A panic while the lock was held leaves single inserts and removals done or not done, never half done.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the changes of one commit over, all at once for readers; `key` is what was asked for, `at` is in Unix
    /// seconds.
    pub(crate) fn apply(&self, changes: &[Change], key: &str, revision: u64, at: u64) {
        let mut state = self.write();
        for change in changes {
            state.apply(change, revision);
        }
        state.revision = revision;
        state.last_change = Some(json!({ "key": key, "at": at }));
    }

    /// Notes what could not be taken into force; `at` is in Unix seconds.
    pub(crate) fn reject(&self, rejections: &[Rejection], at: u64) {
        if let Some(last) = rejections.last() {
            self.write().last_rejected = Some(json!({ "key": last.key, "reason": last.reason, "at": at }));
        }
    }

    /// Notes that what the file says is in force, and what in it has no effect.
    pub(crate) fn take_file(&self, path: &Path, warnings: Vec<String>) {
        self.write().file = Some(FileState { path: path.display().to_string(), warnings, refused: None });
    }

    /// Notes why what the file says is not in force; `at` is in Unix seconds.
    pub(crate) fn refuse_file(&self, reason: &str, at: u64) {
        let mut state = self.write();
        if let Some(file) = &mut state.file {
            file.refused = Some(json!({ "reason": reason, "at": at }));
            let rejected = json!({ "key": file.path, "reason": reason, "at": at });
            state.last_rejected = Some(rejected);
        }
    }

    /// Replaces all entries by what the store has.
    pub(crate) fn reload(&self, revision: u64, entries: Vec<Entry>) {
        let mut state = self.write();
        state.revision = revision;
        state.entries = by_key(entries);
    }

    /// Everything that is stored.
    pub fn entries(&self) -> Vec<Entry> {
        self.read().all().cloned().collect()
    }

    /// The revision, the last change (`{key, at}`), the last rejected change (`{key, reason, at}`) and the number of
    /// resources of each kind; times in Unix seconds, `null` where there was none since the start. Where a file rules, also
    /// `file`: its `path`, `warnings`, and `refused` (`{reason, at}`), `null` while what it says is in force.
    pub fn status(&self) -> Value {
        let state = self.read();
        let counts: Map<String, Value> = Kind::all()
            .iter()
            .map(|spec| (spec.plural.to_string(), Value::from(state.of_kind(spec.kind).count())))
            .collect();
        let mut status = json!({
            "revision": state.revision,
            "last_change": state.last_change,
            "last_rejected": state.last_rejected,
            "entries": counts,
        });
        if let Some(file) = &state.file {
            let FileState { path, warnings, refused } = file;
            status["file"] = json!({ "path": path, "warnings": warnings, "refused": refused });
        }
        status
    }
}

impl State {
    /// The entry of that kind and id.
    pub(crate) fn get(&self, kind: Kind, id: &str) -> Option<&Entry> {
        self.entries.get(&(kind, id.to_string()))
    }

    /// All entries, in the order of kind and id.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The entries of a kind, in the order of their ids.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Entry> {
        self.below(kind, "")
    }

    /// The entries of a kind whose ids begin like that, in the order of their ids.
    pub(crate) fn below<'a>(&'a self, kind: Kind, prefix: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries
            .range((kind, prefix.to_string())..)
            .take_while(move |((own, id), _)| *own == kind && id.starts_with(prefix))
            .map(|(_, entry)| entry)
    }

    fn apply(&mut self, change: &Change, revision: u64) {
        let place = (change.kind, change.id.clone());
        let Some(value) = &change.value else {
            self.entries.remove(&place);
            return;
        };
        let created = self.entries.get(&place).map_or(revision, |old| old.created);
        let entry = Entry {
            kind: change.kind,
            id: change.id.clone(),
            value: value.clone(),
            created,
            modified: revision,
        };
        self.entries.insert(place, entry);
    }
}

impl References for State {
    fn exists(&self, kind: Kind, id: &str) -> bool {
        self.get(kind, id).is_some()
    }

    fn entries(&self, kind: Kind) -> Box<dyn Iterator<Item = &Entry> + '_> {
        Box::new(self.of_kind(kind))
    }
}

fn by_key(entries: Vec<Entry>) -> BTreeMap<(Kind, String), Entry> {
    entries.into_iter().map(|entry| ((entry.kind, entry.id.clone()), entry)).collect()
}
