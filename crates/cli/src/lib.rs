//! Room `cli`: the `a6` commands. A client of the Admin API: what it knows of a gateway it learns over HTTP, so it works
//! just as well against a gateway on another machine. Only `a6 config validate` and `a6 schema` ask the binary's own plugins.
//!
//! | file | what is in it |
//! |---|---|
//! | `command_line.rs` | flags and commands as clap sees them |
//! | `kind_commands.rs`, `kind_help.rs` | the commands of a kind, built from its table row; what their help says below the flags |
//! | `flag_values.rs` | numbers and booleans in the forms that the a6 tool takes |
//! | `usage.rs` | clap's errors in the words and exit codes of the a6 tool |
//! | `kinds.rs`, `kinds/` | what a kind is; the table of them, their columns and field orders |
//! | `resource.rs` | create, get, list and delete of any kind |
//! | `update.rs` | `update`: replace or merge |
//! | `bulk.rs`, `export.rs` | `delete --all` and `delete --label`; `export` |
//! | `pick.rs` | the picker on a terminal, where no id is given |
//! | `plugin_commands.rs`, `health.rs` | `a6 plugin`; `a6 upstream health` |
//! | `input.rs` | `-f FILE` and `-f -`: one JSON or YAML mapping, duplicate keys refused |
//! | `output.rs`, `yaml.rs`, `table.rs` | what is printed: formats and field order, JSON; YAML; tables |
//! | `declarative.rs`, `declarative/` | `a6 config` and `a6 schema`: the whole configuration as one file |
//! | `client.rs` | HTTP to the Admin API |
//! | `contexts.rs`, `context_commands.rs` | the file of known gateways and the commands that keep it |
//! | `completion.rs` | `a6 completion`, and what its scripts ask for |
//! | `debug/` | `a6 debug`: what became of a request, and what the gateway logs |
//! | `version.rs` | `a6 version` |
//! | `testing.rs` | for unit tests: a shell of its own and a scripted server |
//! | `session.rs`, `errors.rs` | what every command gets from its surroundings; what it says when it fails |

pub mod contexts;

mod bulk;
mod client;
mod command_line;
mod completion;
mod context_commands;
mod debug;
mod declarative;
mod errors;
mod export;
mod flag_values;
mod health;
mod input;
mod kind_commands;
mod kind_help;
mod kinds;
mod output;
mod pick;
mod plugin_commands;
mod resource;
mod session;
mod table;
#[cfg(test)]
mod testing;
mod update;
mod usage;
mod version;
mod yaml;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

pub use command_line::{Command, GlobalFlags};
pub use completion::complete_if_asked;
pub use session::Plugins;
pub use usage::report_usage_error;

use command_line::Action;
use errors::Failure;
use session::Session;

/// Carries out one command against the process's own standard streams and environment. Data goes to stdout, prompts and
/// errors to stderr; the exit code is 0 on success and 1 on any error, as in the a6 tool. `catalogue` makes the plugins that a
/// file of configuration is checked with.
pub fn run(flags: &GlobalFlags, command: Command, catalogue: Plugins<'_>) -> ExitCode {
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    let mut errors = io::stderr().lock();
    let mut session = Session {
        flags,
        env: &session::process_env,
        catalogue,
        input_is_terminal: io::stdin().is_terminal(),
        output_is_terminal: io::stdout().is_terminal(),
        picker: &pick::on_terminal,
        input: &mut input,
        output: &mut output,
        errors: &mut errors,
    };
    if perform(&mut session, command) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the command and reports its failure on the session's error stream; true when it succeeded.
fn perform(session: &mut Session<'_>, command: Command) -> bool {
    let outcome = match command.0 {
        Action::Resource { kind, owner, verb } => resource::run(session, kind, owner.as_deref(), verb),
        Action::Plugin(verb) => plugin_commands::run(session, verb),
        Action::Context(verb) => context_commands::run(session, verb),
        Action::Completion(shell) => completion::run(session, &shell),
        Action::Declarative(verb) => declarative::run(session, verb),
        Action::Debug(verb) => debug::run(session, &verb),
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
