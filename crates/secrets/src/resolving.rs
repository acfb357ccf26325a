use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use a6_resources::{Change, Kind, is_reference};
use a6_snapshot::{Publisher, Rejection};
use serde_json::Value;

use crate::cache::SlotId;
use crate::places;
use crate::secrets::{Resolved, Secrets, Used};

/// A write waits this long for a secret that nobody has asked for before, so that it is in force with its value when it
/// is answered. What comes later is taken in when it comes.
const PATIENCE: Duration = Duration::from_secs(1);
/// The first call, which has everything that is stored, waits so long: no request should be refused for what a manager
/// says in time.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);

/// Puts secrets into documents on their way to the compiler.
///
/// The compiler sees values, and the texts of references that do not resolve. With every call those resources are
/// published again in which a value has changed since, and no others; a call without changes at the revision in force
/// does that alone.
pub struct Resolving<P> {
    inner: P,
    secrets: Arc<Secrets>,
    /// The resources that refer to secrets.
    owners: HashMap<(Kind, String), Owner>,
    /// [`Secrets::generation`] when all owners were looked at last.
    generation: u64,
    revision: Option<u64>,
}

/// A resource that refers to secrets.
struct Owner {
    /// As it is stored.
    document: Arc<Value>,
    /// As it was compiled last; none before.
    compiled: Option<Arc<Value>>,
}

impl<P: Publisher> Resolving<P> {
    /// In front of a compiler.
    pub fn new(inner: P, secrets: Arc<Secrets>) -> Self {
        Self { inner, secrets, owners: HashMap::new(), generation: 0, revision: None }
    }

    /// Notes managers, and who refers to what. Gives the secrets that the changes ask for.
    fn note(&mut self, changes: &[Change]) -> Vec<SlotId> {
        let mut asked = Vec::new();
        for change in changes {
            if change.kind == Kind::Secret {
                asked.extend(self.secrets.set_manager(&change.id, change.value.clone()));
                continue;
            }
            let place = (change.kind, change.id.clone());
            let document = change.value.as_ref().filter(|document| has_reference(change.kind, document));
            let was_owner = match document {
                Some(document) => {
                    self.owners.insert(place, Owner { document: document.clone(), compiled: None });
                    true
                }
                None => self.owners.remove(&place).is_some(),
            };
            if was_owner {
                let wanted =
                    self.secrets.want(&key(change.kind, &change.id), change.kind, document.map(|d| &**d));
                asked.extend(wanted);
            }
        }
        asked
    }

    /// The owners that a look at the secrets makes other documents of, those among the changes always.
    fn resolve(&mut self, changes: &[Change], used: &mut Vec<Used>) -> Vec<Change> {
        let written: HashSet<_> = changes.iter().map(|change| (change.kind, change.id.as_str())).collect();
        // Read first: what changes while owners are looked at is seen by the next call.
        let generation = self.secrets.generation();
        let mut resolved = Vec::with_capacity(changes.len());
        for change in changes {
            match self.owners.get_mut(&(change.kind, change.id.clone())) {
                Some(owner) => resolved.extend(owner.resolve(change.kind, &change.id, &self.secrets, used)),
                None => resolved.push(change.clone()),
            }
        }
        if generation != self.generation {
            self.generation = generation;
            let others =
                self.owners.iter_mut().filter(|((kind, id), _)| !written.contains(&(*kind, id.as_str())));
            for ((kind, id), owner) in others {
                resolved.extend(owner.resolve(*kind, id, &self.secrets, used));
            }
        }
        resolved
    }
}

impl<P: Publisher> Publisher for Resolving<P> {
    fn publish(&mut self, changes: &[Change], revision: u64) -> Vec<Rejection> {
        let asked = self.note(changes);
        let patience = if self.revision.is_some() { PATIENCE } else { FIRST_PATIENCE };
        self.secrets.wait(&asked, patience);
        let mut used = Vec::new();
        let resolved = self.resolve(changes, &mut used);
        if resolved.is_empty() && self.revision == Some(revision) {
            return Vec::new();
        }
        self.revision = Some(revision);
        let mut rejections = self.inner.publish(&resolved, revision);
        if !rejections.is_empty() {
            // A change may make the compiler look at others again, which have secrets of their own.
            for ((kind, _), owner) in &self.owners {
                used.extend(self.secrets.resolve(*kind, &owner.document).used);
            }
        }
        for rejection in &mut rejections {
            rejection.reason = scrub(&rejection.reason, &used);
        }
        rejections
    }
}

impl Owner {
    /// The document with the secrets that are known now; none if it is the one that was compiled last.
    fn resolve(&mut self, kind: Kind, id: &str, secrets: &Secrets, used: &mut Vec<Used>) -> Option<Change> {
        let Resolved { value, missing, used: own } = secrets.resolve(kind, &self.document);
        if self.compiled.as_ref().is_some_and(|compiled| **compiled == value) {
            return None;
        }
        secrets.note_unresolved(&key(kind, id), &missing);
        for missing in missing {
            tracing::warn!(
                key = key(kind, id),
                reference = missing.reference,
                reason = missing.reason,
                "a secret reference does not resolve; what needs it is refused until it does"
            );
        }
        used.extend(own);
        let value = Arc::new(value);
        self.compiled = Some(value.clone());
        Some(Change { kind, id: id.to_string(), value: Some(value) })
    }
}

fn has_reference(kind: Kind, document: &Value) -> bool {
    let mut found = false;
    places::each_text(kind, document, &mut |text| found |= is_reference(text));
    found
}

/// The key of a resource, such as `routes/1`.
fn key(kind: Kind, id: &str) -> String {
    format!("{}/{id}", kind.spec().collection)
}

/// Why a document cannot be compiled may quote what it holds: its secrets are named by their references instead.
fn scrub(reason: &str, used: &[Used]) -> String {
    let mut quoted: Vec<(String, &str)> = Vec::new();
    for Used { reference, value } in used {
        let value = value.expose();
        // As it stands, as Rust's `Debug` quotes it, and as JSON does.
        for form in [format!("\"{value}\""), format!("{value:?}"), Value::from(value.as_str()).to_string()] {
            let inner = form.get(1..form.len() - 1).unwrap_or_default();
            if !inner.is_empty() {
                quoted.push((inner.to_string(), reference.as_str()));
            }
        }
    }
    // A secret may be a part of another one.
    quoted.sort_by_key(|(value, _)| Reverse(value.len()));
    quoted
        .iter()
        .fold(reason.to_string(), |reason, (value, reference)| reason.replace(value.as_str(), reference))
}
