//! The `a6` binary: the gateway, its Admin API and its command line.
//!
//! - `serve.rs`: `a6 serve`: settings, signals, what is printed at start.
//! - `running.rs`: the wiring: rooms put together into a running gateway.
//! - `control.rs`: the control thread, and what runs on it.
//! - `secrets.rs`: how secrets are kept, and where those are fetched that are kept elsewhere.
//! - `source.rs`: where resources come from: the embedded store, a file, a client.
//! - `metrics.rs`: what the settings say of metrics, and what only the binary knows to tell.
//! - `admin_key.rs`: the admin key that the first start makes.
//! - `quickstart.rs`, `quickstart/`: `a6 quickstart`.

mod admin_key;
mod control;
mod metrics;
mod quickstart;
mod running;
mod secrets;
mod serve;
mod source;

use std::process::ExitCode;
use std::sync::Arc;

use a6_plugins::Builtins;
use clap::{CommandFactory, Parser};

const EXAMPLES: &str = "Examples:

a6 serve

a6 route create -f route.yaml

a6 route list -o json

source <(a6 completion bash)";

/// a6: an AI gateway, its Admin API and its command line
#[derive(Parser)]
#[command(name = "a6", after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    flags: a6_cli::GlobalFlags,
    #[command(subcommand)]
    command: Command,
}

/// Commands
#[derive(clap::Subcommand)]
enum Command {
    /// Run the gateway
    Serve(serve::Args),
    /// See it work: one request through a gateway of its own
    Quickstart(quickstart::Args),
    /// Run a mock provider of language models, with faults on demand
    Mock(Box<a6_mock::Args>),
    #[command(flatten)]
    Cli(a6_cli::Command),
}

fn main() -> ExitCode {
    a6_cli::complete_if_asked(Arguments::command);
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return a6_cli::report_usage_error(&error),
    };
    let result = match arguments.command {
        Command::Serve(args) => return serve::run(&args),
        Command::Quickstart(args) => quickstart::run(&args),
        Command::Mock(args) => mock(*args),
        Command::Cli(command) => {
            return a6_cli::run(&arguments.flags, command, &|| Arc::new(Builtins::default()));
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            serve::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn mock(args: a6_mock::Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(a6_mock::run(args))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_commands_or_flags_are_in_each_others_way() {
        Arguments::command().debug_assert();
        for line in ["serve", "quickstart", "mock --require-key k", "route list", "version --api-key k"] {
            let arguments = std::iter::once("a6").chain(line.split(' '));
            assert!(Arguments::try_parse_from(arguments).is_ok(), "{line}");
        }
    }
}
