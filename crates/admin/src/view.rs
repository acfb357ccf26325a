use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use a6_resources::{Change, Entry, Kind, References, Shown, each_own_secret, has_own_secret, referred};
use a6_snapshot::Rejection;
use a6_store::Sealer;
use serde_json::{Map, Value, json};

use crate::answer::shown;

/// What is stored and in force, for readers on any thread. Only the writer's thread changes it, after the store and
/// the snapshot have taken a change.
pub struct View {
    state: RwLock<State>,
}

/// The content of a [`View`].
pub(crate) struct State {
    pub(crate) revision: u64,
    entries: BTreeMap<(Kind, String), Entry>,
    /// What reads show of documents whose secrets they show sealed. Sealed once per write, so that two reads are alike.
    sealed: BTreeMap<(Kind, String), Arc<Value>>,
    /// Who refers to a resource: a deletion looks only at those.
    referrers: BTreeMap<(Kind, String), BTreeSet<(Kind, String)>>,
    /// Which consumers and credentials have a text in the configuration of a plugin, so that one that another has is found
    /// among many.
    holders: BTreeMap<(String, String), BTreeSet<(Kind, String)>>,
    sealer: Option<Arc<dyn Sealer>>,
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
    /// A view of what the store has loaded; the sealer seals the secrets that reads do not show open.
    pub(crate) fn new(revision: u64, entries: Vec<Entry>, sealer: Option<Arc<dyn Sealer>>) -> Self {
        let mut state = State {
            revision,
            entries: BTreeMap::new(),
            sealed: BTreeMap::new(),
            referrers: BTreeMap::new(),
            holders: BTreeMap::new(),
            sealer,
            last_change: None,
            last_rejected: None,
            file: None,
        };
        state.load(entries);
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
        state.load(entries);
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

    /// The entries that refer to a resource, in the order of kind and id.
    pub(crate) fn referrers(&self, kind: Kind, id: &str) -> impl Iterator<Item = &Entry> {
        let places = self.referrers.get(&(kind, id.to_string()));
        places.into_iter().flatten().filter_map(|place| self.entries.get(place))
    }

    /// The document as a read shows it.
    pub(crate) fn shown<'a>(&'a self, entry: &'a Entry) -> Cow<'a, Value> {
        let is_sealed = entry.kind.spec().shown == Shown::Sealed && has_own_secret(entry.kind, &entry.value);
        let sealed = is_sealed.then(|| self.sealed.get(&(entry.kind, entry.id.clone()))).flatten();
        sealed.map_or_else(|| shown(entry.kind, &entry.value), |sealed| Cow::Borrowed(&**sealed))
    }

    fn load(&mut self, entries: Vec<Entry>) {
        (self.entries, self.sealed, self.referrers, self.holders) = Default::default();
        for entry in entries {
            self.put(entry);
        }
    }

    fn put(&mut self, entry: Entry) {
        let place = (entry.kind, entry.id.clone());
        self.remove(&place);
        for referred in referred(entry.kind, &entry.value) {
            self.referrers.entry(referred).or_default().insert(place.clone());
        }
        for text in texts(&entry) {
            self.holders.entry(text).or_default().insert(place.clone());
        }
        if let Some(sealed) = self.seal(&entry) {
            self.sealed.insert(place.clone(), Arc::new(sealed));
        }
        self.entries.insert(place, entry);
    }

    fn remove(&mut self, place: &(Kind, String)) {
        self.sealed.remove(place);
        let Some(old) = self.entries.remove(place) else { return };
        for referred in referred(old.kind, &old.value) {
            forget(&mut self.referrers, &referred, place);
        }
        for text in texts(&old) {
            forget(&mut self.holders, &text, place);
        }
    }

    fn seal(&self, entry: &Entry) -> Option<Value> {
        let sealer = self.sealer.as_ref().filter(|_| entry.kind.spec().shown == Shown::Sealed)?;
        sealer.seal_own(entry.kind, &entry.id, &entry.value).unwrap_or_else(|error| {
            tracing::error!(id = entry.id, %error, "a secret cannot be sealed; reads do not show it");
            let mut hidden = (*entry.value).clone();
            each_own_secret(entry.kind, &mut hidden, &mut |_, secret| *secret = Value::from("***"));
            Some(hidden)
        })
    }

    fn apply(&mut self, change: &Change, revision: u64) {
        let place = (change.kind, change.id.clone());
        let Some(value) = &change.value else {
            self.remove(&place);
            return;
        };
        let created = self.entries.get(&place).map_or(revision, |old| old.created);
        self.put(Entry {
            kind: change.kind,
            id: change.id.clone(),
            value: value.clone(),
            created,
            modified: revision,
        });
    }
}

/// Takes a place out of an index.
fn forget<K: Ord>(index: &mut BTreeMap<K, BTreeSet<(Kind, String)>>, key: &K, place: &(Kind, String)) {
    if let Some(places) = index.get_mut(key) {
        places.remove(place);
        if places.is_empty() {
            index.remove(key);
        }
    }
}

/// Every plugin and text in the configurations of a consumer's or credential's plugins.
fn texts(entry: &Entry) -> Vec<(String, String)> {
    if !matches!(entry.kind, Kind::Consumer | Kind::Credential) {
        return Vec::new();
    }
    let plugins = entry.value.get("plugins").and_then(Value::as_object).into_iter().flatten();
    let members = plugins.flat_map(|(name, conf)| {
        let members = conf.as_object().into_iter().flat_map(Map::values);
        members.filter_map(move |member| Some((name.clone(), member.as_str()?.to_string())))
    });
    members.collect()
}

impl References for State {
    fn exists(&self, kind: Kind, id: &str) -> bool {
        self.get(kind, id).is_some()
    }

    fn entries(&self, kind: Kind) -> Box<dyn Iterator<Item = &Entry> + '_> {
        Box::new(self.of_kind(kind))
    }

    fn holders(&self, plugin: &str, text: &str) -> Box<dyn Iterator<Item = &Entry> + '_> {
        let places = self.holders.get(&(plugin.to_string(), text.to_string()));
        Box::new(places.into_iter().flatten().filter_map(|place| self.entries.get(place)))
    }
}
