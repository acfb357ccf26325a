use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use a6_core::{Clock, Secret};
use a6_resources::Kind;
use serde_json::Value;
use tokio::sync::Notify;

use crate::cache::{Cache, Job, SlotId};
use crate::manager::{Content, Environment, from_environment};
use crate::places;
use crate::reference::Reference;

/// What is known of the secrets that somebody refers to: filled by the [`crate::Keeper`] on the control thread, read by
/// whoever compiles.
pub struct Secrets {
    state: Mutex<State>,
    /// An attempt has ended.
    settled: Condvar,
    /// Something is to be fetched.
    wake: Notify,
    /// A value is another one.
    changed: Notify,
    clock: Clock,
    environment: Arc<Environment>,
}

#[derive(Default)]
struct State {
    cache: Cache,
    /// The references that did not resolve when their resource was looked at last.
    unresolved: BTreeMap<String, BTreeSet<String>>,
    /// Whether a keeper is at work.
    is_kept: bool,
}

/// A document with its references replaced, as far as they resolve. It holds secrets and does not print.
pub(crate) struct Resolved {
    /// The document. What does not resolve stands there as it was written.
    pub(crate) value: Value,
    /// What does not resolve.
    pub(crate) missing: Vec<Missing>,
    pub(crate) used: Vec<Used>,
}

/// A reference that does not resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// As it is written.
    pub(crate) reference: String,
    /// Why. It names the manager, the host and the cause, never a token or a value.
    pub(crate) reason: String,
}

/// A reference that does resolve.
pub(crate) struct Used {
    pub(crate) reference: String,
    pub(crate) value: Secret<String>,
}

impl Secrets {
    /// Nothing is known yet but the environment of this process.
    pub fn new(clock: Clock) -> Self {
        Self::with_environment(clock, Arc::new(|name: &str| std::env::var(name).ok()))
    }

    pub(crate) fn with_environment(clock: Clock, environment: Arc<Environment>) -> Self {
        Self {
            state: Mutex::default(),
            settled: Condvar::new(),
            wake: Notify::new(),
            changed: Notify::new(),
            clock,
            environment,
        }
    }

    /// Replaces the references of a resource's document by what is known now. It asks nobody and does not wait.
    pub(crate) fn resolve(&self, kind: Kind, document: &Value) -> Resolved {
        let mut value = document.clone();
        let (mut missing, mut used) = (Vec::new(), Vec::new());
        places::replace(kind, &mut value, &mut |text| {
            let found = Reference::parse(text)?.and_then(|reference| self.value(&reference));
            match found {
                Ok(value) => {
                    used.push(Used { reference: text.to_string(), value: Secret::new(value.clone()) });
                    Some(value)
                }
                Err(reason) => {
                    missing.push(Missing { reference: text.to_string(), reason });
                    None
                }
            }
        });
        Resolved { value, missing, used }
    }

    fn value(&self, reference: &Reference) -> Result<String, String> {
        match reference {
            Reference::Env { name, member } => from_environment(name, member.as_deref(), &*self.environment),
            Reference::Managed(managed) => self.lock().cache.value(managed),
        }
    }

    /// Notes what of a resource did not resolve.
    pub(crate) fn note_unresolved(&self, owner: &str, missing: &[Missing]) {
        let references: BTreeSet<String> = missing.iter().map(|missing| missing.reference.clone()).collect();
        let mut state = self.lock();
        match references.is_empty() {
            true => state.unresolved.remove(owner),
            false => state.unresolved.insert(owner.to_string(), references),
        };
    }

    /// What does not resolve at the moment, and what could not be asked for again: a sentence each, for an operator.
    pub fn troubles(&self) -> Vec<String> {
        let (unresolved, stale) = {
            let state = self.lock();
            (state.unresolved.clone(), state.cache.stale())
        };
        let mut troubles = Vec::new();
        for (owner, references) in unresolved {
            for text in references {
                let Some(found) = Reference::parse(&text) else { continue };
                if let Err(reason) = found.and_then(|reference| self.value(&reference)) {
                    troubles.push(format!(
                        "{owner}: {text} does not resolve, and what needs it is refused: {reason}"
                    ));
                }
            }
        }
        troubles.extend(stale.iter().map(|reason| format!("{reason}; the last value that is known stays")));
        troubles
    }

    /// Notes what a resource needs of managers, instead of what it needed before. None: it is gone.
    pub(crate) fn want(&self, owner: &str, kind: Kind, document: Option<&Value>) -> Vec<SlotId> {
        let mut values = Vec::new();
        if let Some(document) = document {
            places::each_text(kind, document, &mut |text| {
                if let Some(Ok(Reference::Managed(managed))) = Reference::parse(text) {
                    values.push(managed);
                }
            });
        }
        let ids: BTreeSet<SlotId> = values.iter().map(SlotId::from).collect();
        let wanted = ids.iter().cloned().collect();
        let mut state = self.lock();
        state.cache.want(owner, ids);
        for managed in &values {
            state.cache.ask_again(managed);
        }
        if document.is_none() {
            state.unresolved.remove(owner);
        }
        drop(state);
        self.wake.notify_one();
        wanted
    }

    /// A manager's resource was written, or deleted. Gives what is asked for anew.
    pub(crate) fn set_manager(&self, id: &str, conf: Option<Arc<Value>>) -> Vec<SlotId> {
        let mut state = self.lock();
        state.cache.set_manager(id, conf);
        let asked = state.cache.of_manager(id);
        drop(state);
        self.wake.notify_one();
        asked
    }

    /// Blocks until all of these have been asked for, at most for the limit; not at all where no keeper is at work.
    pub(crate) fn wait(&self, ids: &[SlotId], limit: Duration) {
        let is_open = |state: &mut State| state.is_kept && !state.cache.are_settled(ids);
        drop(self.settled.wait_timeout_while(self.lock(), limit, is_open));
    }

    /// Moves on with every change of a value.
    pub(crate) fn generation(&self) -> u64 {
        self.lock().cache.generation()
    }

    /// Waits until a value has changed since the last call. Then publish no changes at the revision in force: what needs
    /// the value is compiled anew; see [`crate::Resolving`].
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits until something may be to be fetched.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Hands out what is to be fetched now, and says in how many milliseconds there will be more.
    pub(crate) fn take_due(&self, room: usize) -> (Vec<Job>, Option<u64>) {
        let now = self.clock.unix_ms();
        let (jobs, next) = self.lock().cache.take_due(room, now);
        (jobs, next.map(|next| next.saturating_sub(now)))
    }

    /// Notes what came of a job.
    pub(crate) fn finish(&self, job: &Job, result: Result<Content, String>) {
        if let Err(reason) = &result {
            tracing::warn!(
                reason,
                "a secret could not be fetched; the last known value stays, if there is one"
            );
        }
        let now = self.clock.unix_ms();
        if self.lock().cache.finish(job, result, now) {
            self.changed.notify_one();
        }
        self.settled.notify_all();
    }

    /// From now on writes wait a moment for secrets that are new: a [`crate::Keeper`] is about to be at work.
    pub fn await_keeper(&self) {
        self.set_kept(true);
    }

    /// Says whether a keeper is at work.
    pub(crate) fn set_kept(&self, is_kept: bool) {
        self.lock().is_kept = is_kept;
        self.settled.notify_all();
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn environment(&self) -> &Arc<Environment> {
        &self.environment
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
