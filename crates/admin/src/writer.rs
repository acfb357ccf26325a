use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use a6_core::Clock;
use a6_resources::{Catalogue, Change};
use a6_snapshot::{Publisher, Rejection};
use a6_store::{Store, StoreError};
use http::StatusCode;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use crate::answer::{Answer, label};
use crate::change::{Context, Prepared, Write, prepare, removal};
use crate::expiries::Expiries;
use crate::view::View;

/// So many writes may wait; more clients wait for a place.
const QUEUE: usize = 256;
/// What has ended and cannot be taken away is tried again after this time, in milliseconds.
const RETRY: u64 = 10_000;

/// The way to the one thread that writes. It ends when the last clone is gone.
#[derive(Clone)]
pub struct Writer {
    commands: mpsc::Sender<Command>,
    view: Arc<View>,
}

struct Command {
    write: Write,
    reply: oneshot::Sender<Answer>,
}

impl Writer {
    /// Loads and publishes everything that is stored, then starts the thread that owns store and publisher. Gives also
    /// what could not be taken into force.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the thread cannot be started.
    pub fn start(
        store: Box<dyn Store>,
        mut publisher: Box<dyn Publisher>,
        catalogue: Arc<dyn Catalogue>,
        clock: Clock,
    ) -> Result<(Self, JoinHandle<()>, Vec<Rejection>), StoreError> {
        let (revision, entries) = store.load()?;
        let expiries = Expiries::of(store.expiries()?);
        let changes: Vec<Change> = entries
            .iter()
            .map(|entry| Change { kind: entry.kind, id: entry.id.clone(), value: Some(entry.value.clone()) })
            .collect();
        let rejections = publisher.publish(&changes, revision);
        let view = Arc::new(View::new(revision, entries, store.sealer()));
        view.reject(&rejections, clock.unix_seconds());
        let (commands, inbox) = mpsc::channel(QUEUE);
        let worker = Worker { store, publisher, catalogue, clock, view: view.clone(), expiries, retry_at: 0 };
        let failed = |error| StoreError(format!("the thread that writes cannot be started: {error}"));
        let timer = runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let thread = Builder::new()
            .name("a6-writer".to_string())
            .spawn(move || timer.block_on(worker.run(inbox)))
            .map_err(failed)?;
        Ok((Self { commands, view }, thread, rejections))
    }

    /// What is stored and in force.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Does a write; when it answers with success, the change is on disk and in force.
    pub(crate) async fn write(&self, write: Write) -> Answer {
        let (reply, answer) = oneshot::channel();
        let stopped =
            || Answer::error(StatusCode::SERVICE_UNAVAILABLE, "a6 is shutting down; nothing was written");
        if self.commands.send(Command { write, reply }).await.is_err() {
            return stopped();
        }
        answer.await.unwrap_or_else(|_| stopped())
    }
}

struct Worker {
    store: Box<dyn Store>,
    publisher: Box<dyn Publisher>,
    catalogue: Arc<dyn Catalogue>,
    clock: Clock,
    view: Arc<View>,
    expiries: Expiries,
    /// Nothing is taken away before, in Unix milliseconds.
    retry_at: u64,
}

impl Worker {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        loop {
            let pause = self.expiries.pause(self.clock.unix_ms(), self.retry_at);
            let command = match pause {
                Some(pause) => tokio::time::timeout(pause, inbox.recv()).await,
                None => Ok(inbox.recv().await),
            };
            // First, so that a write never meets what has ended.
            if catch_unwind(AssertUnwindSafe(|| self.expire())).is_err() {
                self.recover("what has ended");
            }
            let Command { write, reply } = match command {
                Ok(Some(command)) => command,
                Ok(None) => return,
                Err(_) => continue,
            };
            let subject = format!("{:?} {}", write.verb, write.place.label());
            let result = catch_unwind(AssertUnwindSafe(|| self.apply(write)));
            let answer = result.unwrap_or_else(|_| self.recover(&subject));
            if reply.send(answer).is_err() {
                tracing::debug!(subject, "the client left before its write was answered");
            }
        }
    }

    /// Takes away what has ended.
    fn expire(&mut self) {
        let now = self.clock.unix_ms();
        if now < self.retry_at {
            return;
        }
        for (kind, id) in self.expiries.due(now) {
            let prepared = removal(kind, id, &self.view.read());
            let key = prepared.key.clone();
            if self.take_effect(prepared, now / 1000).status != StatusCode::OK {
                tracing::error!(key, "a resource has ended and could not be taken away; this is tried again");
                self.retry_at = now.saturating_add(RETRY);
                return;
            }
        }
    }

    fn apply(&mut self, write: Write) -> Answer {
        let now_ms = self.clock.unix_ms();
        let now = now_ms / 1000;
        let prepared = {
            let state = self.view.read();
            let context =
                Context { state: &state, catalogue: &*self.catalogue, now, now_ms, store: &*self.store };
            prepare(write, &context)
        };
        match prepared {
            Ok(prepared) => self.take_effect(prepared, now),
            Err(answer) => answer,
        }
    }

    fn take_effect(&mut self, prepared: Prepared, now: u64) -> Answer {
        let Prepared { key, changes, until, answer } = prepared;
        let revision = match self.store.commit_until(&changes, until) {
            Ok(revision) => revision,
            Err(error) => {
                tracing::error!(key, %error, "a write could not be stored");
                return Answer::error(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
            }
        };
        let rejections = self.publish(&changes, &key, revision);
        self.view.reject(&rejections, now);
        for rejection in &rejections {
            tracing::warn!(
                key = rejection.key,
                reason = rejection.reason,
                "a resource could not be taken into force"
            );
        }
        let written = |rejection: &Rejection| {
            changes
                .iter()
                .any(|change| change.value.is_some() && label(change.kind, &change.id) == rejection.key)
        };
        match rejections.iter().find(|rejection| written(rejection)) {
            Some(rejection) => {
                let answer = self.take_back(&changes, &key, &rejection.reason, revision, now);
                if answer.status == StatusCode::SERVICE_UNAVAILABLE {
                    self.expiries.note(&changes, until);
                }
                answer
            }
            None => {
                self.view.apply(&changes, &key, revision, now);
                self.expiries.note(&changes, until);
                let deleted = changes.iter().all(|change| change.value.is_none());
                tracing::info!(key, revision, deleted, "configuration changed");
                answer
            }
        }
    }

    /// Undoes a commit that the snapshot does not take: what is stored is what is in force, so that a restart changes
    /// nothing.
    fn take_back(&mut self, changes: &[Change], key: &str, reason: &str, revision: u64, now: u64) -> Answer {
        let undo: Vec<Change> = {
            let state = self.view.read();
            let old = |change: &Change| Change {
                kind: change.kind,
                id: change.id.clone(),
                value: state.get(change.kind, &change.id).map(|entry| entry.value.clone()),
            };
            changes.iter().map(old).collect()
        };
        // Only what is written can be refused, and that is one resource.
        let until = changes.last().and_then(|change| self.expiries.of_resource(change.kind, &change.id));
        match self.store.commit_until(&undo, until) {
            Ok(revision) => {
                self.publish(&undo, key, revision);
                self.view.apply(&undo, key, revision, now);
                Answer::refused(reason)
            }
            Err(error) => {
                self.view.apply(changes, key, revision, now);
                let text =
                    format!("{reason}; it is stored but not in force, and could not be taken back: {error}");
                Answer::error(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }

    /// Publishes the changes of one commit; a panic in the compiler of snapshots counts as a rejection of what was asked
    /// for.
    fn publish(&mut self, changes: &[Change], key: &str, revision: u64) -> Vec<Rejection> {
        let publisher = &mut self.publisher;
        catch_unwind(AssertUnwindSafe(|| publisher.publish(changes, revision))).unwrap_or_else(|_| {
            let reason = "a6 cannot compile this configuration; this is a bug, please report it".to_string();
            vec![Rejection { key: key.to_string(), reason }]
        })
    }

    /// After a panic the store alone knows what was written.
    fn recover(&mut self, subject: &str) -> Answer {
        tracing::error!(subject, "a write panicked; this is a bug, please report it");
        let stored = self.store.load().and_then(|loaded| Ok((loaded, self.store.expiries()?)));
        match stored {
            Ok(((revision, entries), expiries)) => {
                self.view.reload(revision, entries);
                self.expiries = Expiries::of(expiries);
            }
            Err(error) => tracing::error!(%error, "the store could not be read again"),
        }
        Answer::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "a6 failed while it wrote this; this is a bug, please report it. GET the resource to see what is stored",
        )
    }
}
