use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use a6_core::Clock;
use a6_resources::{Catalogue, Change};
use a6_snapshot::{Publisher, Rejection};
use a6_store::{Store, StoreError};
use http::StatusCode;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::answer::{Answer, key, label};
use crate::change::{Context, Prepared, Write, prepare};
use crate::view::View;

/// So many writes may wait; more clients wait for a place.
const QUEUE: usize = 256;

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
        let changes: Vec<Change> = entries
            .iter()
            .map(|entry| Change { kind: entry.kind, id: entry.id.clone(), value: Some(entry.value.clone()) })
            .collect();
        let rejections = publisher.publish(&changes, revision);
        let view = Arc::new(View::new(revision, entries));
        view.reject(&rejections, clock.unix_seconds());
        let (commands, inbox) = mpsc::channel(QUEUE);
        let worker = Worker { store, publisher, catalogue, clock, view: view.clone() };
        let thread = Builder::new()
            .name("a6-writer".to_string())
            .spawn(move || worker.run(inbox))
            .map_err(|error| StoreError(format!("the thread that writes cannot be started: {error}")))?;
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
}

impl Worker {
    fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        while let Some(Command { write, reply }) = inbox.blocking_recv() {
            let subject =
                format!("{:?} {}", write.verb, label(write.kind, write.id.as_deref().unwrap_or_default()));
            let result = catch_unwind(AssertUnwindSafe(|| self.apply(write)));
            let answer = result.unwrap_or_else(|_| self.recover(&subject));
            if reply.send(answer).is_err() {
                tracing::debug!(subject, "the client left before its write was answered");
            }
        }
    }

    fn apply(&mut self, write: Write) -> Answer {
        let now = self.clock.unix_seconds();
        let prepared = {
            let state = self.view.read();
            let context = Context { state: &state, catalogue: &*self.catalogue, now };
            prepare(write, &context)
        };
        match prepared {
            Ok(prepared) => self.take_effect(&prepared, now),
            Err(answer) => answer,
        }
    }

    fn take_effect(&mut self, prepared: &Prepared, now: u64) -> Answer {
        let change = &prepared.change;
        let own = label(change.kind, &change.id);
        let revision = match self.store.commit(slice::from_ref(change)) {
            Ok(revision) => revision,
            Err(error) => {
                tracing::error!(key = own, %error, "a write could not be stored");
                return Answer::error(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
            }
        };
        let rejections = self.publish(change, revision);
        self.view.reject(&rejections, now);
        for rejection in &rejections {
            tracing::warn!(
                key = rejection.key,
                reason = rejection.reason,
                "a resource could not be taken into force"
            );
        }
        match rejections.into_iter().find(|rejection| rejection.key == own && change.value.is_some()) {
            Some(rejection) => self.take_back(change, &rejection.reason, revision, now),
            None => {
                self.view.apply(change, revision, now);
                tracing::info!(
                    key = own,
                    revision,
                    deleted = change.value.is_none(),
                    "configuration changed"
                );
                answer_to(prepared)
            }
        }
    }

    /// Undoes a commit that the snapshot does not take: what is stored is what is in force, so that a restart changes
    /// nothing.
    fn take_back(&mut self, change: &Change, reason: &str, revision: u64, now: u64) -> Answer {
        let old = self.view.read().get(change.kind, &change.id).map(|entry| entry.value.clone());
        let undo = Change { kind: change.kind, id: change.id.clone(), value: old };
        match self.store.commit(slice::from_ref(&undo)) {
            Ok(revision) => {
                self.publish(&undo, revision);
                self.view.apply(&undo, revision, now);
                Answer::refused(reason)
            }
            Err(error) => {
                self.view.apply(change, revision, now);
                let text =
                    format!("{reason}; it is stored but not in force, and could not be taken back: {error}");
                Answer::error(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }

    /// Publishes one change; a panic in the compiler of snapshots counts as a rejection.
    fn publish(&mut self, change: &Change, revision: u64) -> Vec<Rejection> {
        let publisher = &mut self.publisher;
        catch_unwind(AssertUnwindSafe(|| publisher.publish(slice::from_ref(change), revision)))
            .unwrap_or_else(|_| {
                let reason =
                    "a6 cannot compile this configuration; this is a bug, please report it".to_string();
                vec![Rejection { key: label(change.kind, &change.id), reason }]
            })
    }

    /// After a panic the store alone knows what was written.
    fn recover(&self, subject: &str) -> Answer {
        tracing::error!(subject, "a write panicked; this is a bug, please report it");
        match self.store.load() {
            Ok((revision, entries)) => self.view.reload(revision, entries),
            Err(error) => tracing::error!(%error, "the store could not be read again"),
        }
        Answer::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "a6 failed while it wrote this; this is a bug, please report it. GET the resource to see what is stored",
        )
    }
}

fn answer_to(prepared: &Prepared) -> Answer {
    let Change { kind, id, value } = &prepared.change;
    let key = key(*kind, id);
    let body = match value {
        Some(value) => json!({ "key": key, "value": **value }),
        None => json!({ "key": key, "deleted": "1" }),
    };
    Answer::json(prepared.status, &body)
}
