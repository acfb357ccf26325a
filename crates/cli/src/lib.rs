//! Room `cli`: the `a6` commands. A client of the Admin API and of nothing else in this workspace: what it knows of a
//! gateway it learns over HTTP, so it works just as well against a gateway on another machine.
//!
//! | file | what is in it |
//! |---|---|
//! | `command_line.rs` | flags and commands as clap sees them; the commands of a kind are built from its table row |
//! | `usage.rs` | clap's errors in the words and exit codes of the a6 tool |
//! | `kinds.rs` | the table of resource kinds: names, path, list filters, columns, field order |
//! | `resource.rs` | create, get, list, update and delete of any kind |
//! | `bulk.rs` | `delete --all` and `delete --label` |
//! | `input.rs` | `-f FILE` and `-f -`: one JSON or YAML mapping, duplicate keys refused |
//! | `output.rs`, `yaml.rs`, `table.rs` | what is printed: formats and field order, JSON; YAML; tables |
//! | `client.rs` | HTTP to the Admin API |
//! | `contexts.rs`, `context_commands.rs` | the file of known gateways and the commands that keep it |
//! | `version.rs` | `a6 version` |
//! | `testing.rs` | for unit tests: a shell of its own and a scripted server |
//! | `session.rs`, `errors.rs` | what every command gets from its surroundings; what it says when it fails |

pub mod contexts;

mod bulk;
mod client;
mod command_line;
mod context_commands;
mod errors;
mod input;
mod kinds;
mod output;
mod resource;
mod session;
mod table;
#[cfg(test)]
mod testing;
mod usage;
mod version;
mod yaml;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

pub use command_line::{Command, GlobalFlags};
pub use usage::report_usage_error;

use command_line::Action;
use errors::Failure;
use session::Session;

/// Carries out one command against the process's own standard streams and environment. Data goes to stdout, prompts and
/// errors to stderr; the exit code is 0 on success and 1 on any error, as in the a6 tool.
pub fn run(flags: &GlobalFlags, command: Command) -> ExitCode {
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    let mut errors = io::stderr().lock();
    let mut session = Session {
        flags,
        env: &session::process_env,
        input_is_terminal: io::stdin().is_terminal(),
        output_is_terminal: io::stdout().is_terminal(),
        input: &mut input,
        output: &mut output,
        errors: &mut errors,
    };
    if perform(&mut session, command) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the command and reports its failure on the session's error stream; true when it succeeded.
fn perform(session: &mut Session<'_>, command: Command) -> bool {
    let outcome = match command.0 {
        Action::Resource { kind, verb } => resource::run(session, kind, verb),
        Action::Context(verb) => context_commands::run(session, verb),
        Action::Version => version::run(session),
    };
    match outcome.and_then(|()| session.output.flush().map_err(Failure::from)) {
        Ok(()) => true,
        Err(failure) => {
            // A broken stderr leaves nobody to tell; the exit code still says it.
            let _ = failure.write_to(session.errors);
            false
        }
    }
}
