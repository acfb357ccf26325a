//! Keeps what is in force as a file says.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::Builder;

use a6_core::Clock;
use a6_store::{FileError, Watch};

use crate::view::View;
use crate::writer::{Refused, Replaced, Replacer, Writer};

/// Takes over what the file says whenever it changes: all of it or, where anything is wrong, nothing. `warnings` are of what
/// it said so far. The thread ends a second after the writer at the latest, and nobody has to wait for it.
///
/// # Errors
/// The thread cannot be started.
pub fn follow_file(watch: Watch, warnings: Vec<String>, writer: &Writer, clock: Clock) -> io::Result<()> {
    let replacer = writer.replacer();
    writer.view().take_file(watch.file().path(), warnings);
    let mut follower = Follower { watch, replacer, clock };
    Builder::new().name("a6-file".to_string()).spawn(move || follower.run())?;
    Ok(())
}

struct Follower {
    watch: Watch,
    replacer: Replacer,
    clock: Clock,
}

impl Follower {
    fn run(&mut self) {
        while !self.replacer.is_over() {
            let Some(news) = self.watch.wait() else { continue };
            // A thread that ended would leave every later change unseen.
            let taking = catch_unwind(AssertUnwindSafe(|| self.take(news)));
            let outcome = taking.unwrap_or_else(|_| {
                let text = "reading the file panicked; this is a bug, please report it";
                Some(Err(FileError(text.to_string())))
            });
            let Some(outcome) = outcome else { return };
            let path: &Path = self.watch.file().path();
            let view: &Arc<View> = &self.replacer.view;
            match outcome {
                Ok(warnings) => {
                    for warning in &warnings {
                        tracing::warn!("{warning}");
                    }
                    tracing::info!(file = %path.display(), "the file is in force");
                    view.take_file(path, warnings);
                }
                Err(error) => {
                    for line in error.0.lines() {
                        tracing::error!("{line}");
                    }
                    tracing::error!(
                        file = %path.display(),
                        "the file is refused, all of it; what it said before serves on"
                    );
                    view.refuse_file(&error.0, self.clock.unix_seconds());
                }
            }
        }
    }

    /// Gives the warnings of what is in force now, or why it is not; none once the writer has ended.
    fn take(&self, news: Result<Vec<u8>, FileError>) -> Option<Result<Vec<String>, FileError>> {
        let document = match news.and_then(|bytes| self.watch.file().document(&bytes)) {
            Ok(document) => document,
            Err(error) => return Some(Err(error)),
        };
        let outcome: Replaced = self.replacer.replace(document.configuration.clone())?;
        Some(match outcome {
            Ok(_) => Ok(document.warnings),
            Err(Refused::Snapshot(rejection)) => Err(document.refused(&rejection.key, &rejection.reason)),
            Err(Refused::Stuck(rejection, error)) => {
                Err(FileError(format!("{}: {}; {error}", rejection.key, rejection.reason)))
            }
            Err(Refused::Store(error)) => Err(FileError(error.to_string())),
            Err(Refused::Failed(_, why)) => Err(FileError(why.to_string())),
        })
    }
}
