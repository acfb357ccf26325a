use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use a6_core::Clock;
use a6_resources::{Catalogue, Change, Configuration};
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
/// What logs call a configuration that is written at once.
const WHOLE: &str = "the whole configuration";

/// The way to the one thread that writes. It ends when the last clone is gone.
#[derive(Clone)]
pub struct Writer {
    commands: mpsc::Sender<Command>,
    view: Arc<View>,
}

enum Command {
    Write {
        write: Box<Write>,
        reply: oneshot::Sender<Answer>,
    },
    Replace {
        configuration: Arc<Configuration>,
        reply: oneshot::Sender<Replaced>,
    },
    /// What a publisher knows besides has changed.
    Refresh,
}

/// What became of a whole configuration: the revision in force (which stays where nothing differs) and the Unix seconds,
/// or why it is not in force.
pub(crate) type Replaced = Result<(u64, u64), Refused>;

const STOPPED: Refused =
    Refused::Failed(StatusCode::SERVICE_UNAVAILABLE, "a6 is shutting down; nothing was written");

/// Why changes are not in force.
pub(crate) enum Refused {
    /// The store did not take them.
    Store(StoreError),
    /// The snapshot did not take this one; what was there before serves on.
    Snapshot(Rejection),
    /// The same, but the commit could not be undone.
    Stuck(Rejection, StoreError),
    /// The writer has ended, or has failed; the text says which.
    Failed(StatusCode, &'static str),
}

impl Refused {
    /// What a client is told.
    pub(crate) fn answer(self) -> Answer {
        match self {
            Self::Store(error) => Answer::error(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            Self::Snapshot(rejection) => Answer::refused(rejection.reason),
            Self::Stuck(Rejection { reason, .. }, error) => Answer::error(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{reason}; it is stored but not in force, and could not be taken back: {error}"),
            ),
            Self::Failed(status, why) => Answer::error(status, why),
        }
    }
}

/// A way to the writer that does not keep it from ending.
pub(crate) struct Replacer {
    commands: mpsc::WeakSender<Command>,
    pub(crate) view: Arc<View>,
}

impl Replacer {
    /// Puts a whole configuration in the place of what is there, and waits; none once the writer has ended. Not for use
    /// within a runtime.
    pub(crate) fn replace(&self, configuration: Arc<Configuration>) -> Option<Replaced> {
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.upgrade()?;
        commands.blocking_send(Command::Replace { configuration, reply }).ok()?;
        drop(commands);
        answer.blocking_recv().ok()
    }

    /// Whether the writer has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.commands.upgrade().is_none()
    }
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

    /// Has the publisher look again at what it has, without a change: a secret that it needs is another one, say.
    pub async fn refresh(&self) {
        // Where the thread has ended there is nothing to be looked at.
        let _ = self.commands.send(Command::Refresh).await;
    }

    /// Does a write; when it answers with success, the change is on disk and in force.
    pub(crate) async fn write(&self, write: Write) -> Answer {
        let (reply, answer) = oneshot::channel();
        let stopped = || STOPPED.answer();
        if self.commands.send(Command::Write { write: Box::new(write), reply }).await.is_err() {
            return stopped();
        }
        answer.await.unwrap_or_else(|_| stopped())
    }

    /// Puts a whole configuration, which was checked, in the place of what is there. Only what differs is written.
    pub(crate) async fn replace(&self, configuration: Arc<Configuration>) -> Replaced {
        let (reply, answer) = oneshot::channel();
        let stopped = || Err(STOPPED);
        if self.commands.send(Command::Replace { configuration, reply }).await.is_err() {
            return stopped();
        }
        answer.await.unwrap_or_else(|_| stopped())
    }

    /// A way to it for a thread that it does not wait for.
    pub(crate) fn replacer(&self) -> Replacer {
        Replacer { commands: self.commands.downgrade(), view: self.view.clone() }
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
            match command {
                Ok(Some(command)) => self.execute(command),
                Ok(None) => return,
                Err(_) => {}
            }
        }
    }

    fn execute(&mut self, command: Command) {
        let (subject, is_heard) = match command {
            Command::Write { write, reply } => {
                let subject = format!("{:?} {}", write.verb, write.place.label());
                let result = catch_unwind(AssertUnwindSafe(|| self.apply(*write)));
                let answer = result.unwrap_or_else(|_| self.recover(&subject).answer());
                (subject, reply.send(answer).is_ok())
            }
            Command::Replace { configuration, reply } => {
                let subject = WHOLE.to_string();
                let result = catch_unwind(AssertUnwindSafe(|| self.replace(&configuration)));
                let outcome = result.unwrap_or_else(|_| Err(self.recover(&subject)));
                (subject, reply.send(outcome).is_ok())
            }
            Command::Refresh => return self.refresh(),
        };
        if !is_heard {
            tracing::debug!(subject, "the client left before its write was answered");
        }
    }

    /// Takes what differs into force, or nothing.
    fn replace(&mut self, configuration: &Configuration) -> Replaced {
        let now = self.clock.unix_seconds();
        let (revision, changes) = {
            let state = self.view.read();
            (state.revision, configuration.changes(&mut state.all()))
        };
        if changes.is_empty() {
            return Ok((revision, now));
        }
        self.take_effect(WHOLE, &changes, None, now).map(|revision| (revision, now))
    }

    /// Takes away what has ended.
    fn expire(&mut self) {
        let now = self.clock.unix_ms();
        if now < self.retry_at {
            return;
        }
        for (kind, id) in self.expiries.due(now) {
            let Prepared { key, changes, until, .. } = removal(kind, id, &self.view.read());
            if self.take_effect(&key, &changes, until, now / 1000).is_err() {
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
            Ok(Prepared { key, changes, until, answer }) => {
                self.take_effect(&key, &changes, until, now).map_or_else(Refused::answer, |_| answer)
            }
            Err(answer) => answer,
        }
    }

    /// Commits changes and takes them into force, or undoes the commit; gives their revision. `key` is what was asked for.
    fn take_effect(
        &mut self,
        key: &str,
        changes: &[Change],
        until: Option<u64>,
        now: u64,
    ) -> Result<u64, Refused> {
        let revision = self.store.commit_until(changes, until).map_err(|error| {
            tracing::error!(key, %error, "a write could not be stored");
            Refused::Store(error)
        })?;
        let rejections = self.publish(changes, key, revision);
        self.tell(&rejections, now);
        let written = |rejection: &Rejection| {
            rejection.key == WHOLE
                || changes
                    .iter()
                    .any(|change| change.value.is_some() && label(change.kind, &change.id) == rejection.key)
        };
        match rejections.into_iter().find(written) {
            Some(rejection) => {
                let refused = self.take_back(changes, key, rejection, revision, now);
                if matches!(refused, Refused::Stuck(..)) {
                    self.expiries.note(changes, until);
                }
                Err(refused)
            }
            None => {
                self.view.apply(changes, key, revision, now);
                self.expiries.note(changes, until);
                let deleted = changes.iter().all(|change| change.value.is_none());
                tracing::info!(key, revision, deleted, "configuration changed");
                Ok(revision)
            }
        }
    }

    fn refresh(&mut self) {
        let revision = self.view.read().revision;
        let rejections = self.publish(&[], "what depends on secrets", revision);
        self.tell(&rejections, self.clock.unix_seconds());
    }

    fn tell(&self, rejections: &[Rejection], now: u64) {
        self.view.reject(rejections, now);
        for rejection in rejections {
            tracing::warn!(
                key = rejection.key,
                reason = rejection.reason,
                "a resource could not be taken into force"
            );
        }
    }

    /// Undoes a commit that the snapshot does not take: what is stored is what is in force, so that a restart changes
    /// nothing.
    fn take_back(
        &mut self,
        changes: &[Change],
        key: &str,
        rejection: Rejection,
        revision: u64,
        now: u64,
    ) -> Refused {
        let undo: Vec<Change> = {
            let state = self.view.read();
            let old = |change: &Change| Change {
                kind: change.kind,
                id: change.id.clone(),
                value: state.get(change.kind, &change.id).map(|entry| entry.value.clone()),
            };
            changes.iter().map(old).collect()
        };
        // Of what has an end only one resource is written at a time.
        let until = changes.last().and_then(|change| self.expiries.of_resource(change.kind, &change.id));
        match self.store.commit_until(&undo, until) {
            Ok(revision) => {
                self.publish(&undo, key, revision);
                self.view.apply(&undo, key, revision, now);
                Refused::Snapshot(rejection)
            }
            Err(error) => {
                self.view.apply(changes, key, revision, now);
                Refused::Stuck(rejection, error)
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
    fn recover(&mut self, subject: &str) -> Refused {
        tracing::error!(subject, "a write panicked; this is a bug, please report it");
        let stored = self.store.load().and_then(|loaded| Ok((loaded, self.store.expiries()?)));
        match stored {
            Ok(((revision, entries), expiries)) => {
                self.view.reload(revision, entries);
                self.expiries = Expiries::of(expiries);
            }
            Err(error) => tracing::error!(%error, "the store could not be read again"),
        }
        Refused::Failed(
            StatusCode::INTERNAL_SERVER_ERROR,
            "a6 failed while it wrote this; this is a bug, please report it. GET the resource to see what is stored",
        )
    }
}
