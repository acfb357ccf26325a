//! Ctrl-C and SIGTERM: they end what follows a log, in good order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use crate::errors::{Failure, Result, system_text};

/// Whether somebody wants it to end.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Told by the first SIGINT or SIGTERM from now on.
    pub(super) fn on_signals() -> Result<Self> {
        let stop = Self::default();
        stop.catch().map_err(|error| {
            Failure::new(format!("signals cannot be waited for: {}", system_text(&error)))
        })?;
        Ok(stop)
    }

    fn catch(&self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let told = self.clone();
        thread::Builder::new().spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            told.tell();
        })?;
        Ok(())
    }

    /// Whether it was told to end.
    pub(super) fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Tells it.
    pub(super) fn tell(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
