//! What a command gets from its surroundings: flags, environment and the three standard streams. Commands touch the
//! process only through this, so tests run them whole without a process of their own.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use a6_resources::Catalogue;

use crate::client::Client;
use crate::command_line::GlobalFlags;
use crate::contexts;
use crate::errors::{Failure, Result};

/// Looks an environment variable up by name; `None` when unset or not UTF-8.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Lets a person choose one of these lines under a title; gives its position.
pub(crate) type Picker<'a> = &'a dyn Fn(&str, Vec<String>) -> Result<usize>;

/// Time that a server has to answer, unless `--timeout` says otherwise. Admin answers take milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes the plugins that are known; few commands ask.
pub type Plugins<'a> = &'a dyn Fn() -> Arc<dyn Catalogue>;

/// The environment of this process.
pub(crate) fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// One run of one command.
pub(crate) struct Session<'a> {
    /// The flags every command knows.
    pub(crate) flags: &'a GlobalFlags,
    /// The environment.
    pub(crate) env: Env<'a>,
    /// How a person chooses on a terminal.
    pub(crate) picker: Picker<'a>,
    /// The plugins that are known.
    pub(crate) catalogue: Plugins<'a>,
    /// Standard input: documents of `-f -` and answers to prompts.
    pub(crate) input: &'a mut dyn BufRead,
    /// Standard output: data.
    pub(crate) output: &'a mut dyn Write,
    /// Standard error: prompts and what is not data.
    pub(crate) errors: &'a mut dyn Write,
    /// Whether a person can answer prompts.
    pub(crate) input_is_terminal: bool,
    /// Whether a person reads the output; decides the default format.
    pub(crate) output_is_terminal: bool,
}

impl Session<'_> {
    /// A client for the Admin API that flags, environment and contexts point to.
    pub(crate) fn client(&self) -> Result<Client> {
        Client::new(contexts::target(self.flags, self.env)?, self.patience(), self.flags.verbose, self.env)
    }

    /// Time that a server has to answer.
    pub(crate) fn patience(&self) -> Duration {
        self.flags.timeout.map_or(PATIENCE, Duration::from_secs)
    }

    /// Asks before something is destroyed. True without asking when `--force` is given or nobody can answer.
    pub(crate) fn confirm(&mut self, question: &str) -> Result<bool> {
        if self.flags.force || !self.input_is_terminal {
            return Ok(true);
        }
        write!(self.errors, "{question} (y/N): ")?;
        self.errors.flush()?;
        let mut line = String::new();
        self.input
            .read_line(&mut line)
            .map_err(|error| Failure::new(format!("failed to read confirmation: {error}")))?;
        if !line.ends_with('\n') {
            return Err(Failure::new("failed to read confirmation: EOF"));
        }
        if matches!(line.trim().to_lowercase().as_str(), "y" | "yes") {
            return Ok(true);
        }
        writeln!(self.errors, "Aborted.")?;
        Ok(false)
    }
}
