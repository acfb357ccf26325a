//! Flags and commands as clap sees them. The commands of a resource kind are built from its row in the table of kinds,
//! so a new kind needs no code here.

use std::fmt;

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, FromArgMatches, Subcommand};
use clap_complete::engine::ArgValueCandidates;

use crate::completion;
use crate::debug::DebugVerb;
use crate::declarative;
use crate::flag_values;
use crate::kind_commands::{self, Verb};
use crate::kinds::{self, KINDS, Kind};

/// The flags that every command accepts, before or after its name.
#[derive(Clone, Default, clap::Args)]
pub struct GlobalFlags {
    /// Output format: table, json or yaml; by default a table or YAML on a terminal, JSON elsewhere.
    #[arg(short, long, global = true, value_name = "FORMAT", help_heading = "Global options",
          add = ArgValueCandidates::new(completion::formats))]
    pub output: Option<String>,
    /// Context to use instead of the current one; it also wins over A6_SERVER and A6_API_KEY.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global options",
          add = ArgValueCandidates::new(completion::contexts))]
    pub context: Option<String>,
    /// Address of the Admin API, such as http://127.0.0.1:9180; default A6_SERVER, then the context.
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    pub server: Option<String>,
    /// Key for the Admin API; default A6_API_KEY, then the context.
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        help_heading = "Global options",
        allow_hyphen_values = true
    )]
    pub api_key: Option<String>,
    /// Shows each request and its status on stderr.
    #[arg(long, global = true, help_heading = "Global options", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
          value_name = "BOOL", value_parser = flag_values::boolean, default_value = "false",
          default_missing_value = "true", hide_default_value = true)]
    pub verbose: bool,
    /// Does not ask before deleting.
    #[arg(long, global = true, help_heading = "Global options", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
          value_name = "BOOL", value_parser = flag_values::boolean, default_value = "false",
          default_missing_value = "true", hide_default_value = true)]
    pub force: bool,
    /// Time that the server has to answer, in seconds; default 60.
    #[arg(long, global = true, value_name = "SECONDS", help_heading = "Global options",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
}

/// Leaves the key out, so that a derived Debug around these flags cannot show it.
impl fmt::Debug for GlobalFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GlobalFlags")
            .field("output", &self.output)
            .field("context", &self.context)
            .field("server", &self.server)
            .field("api_key", &self.api_key.as_ref().map(|_| "..."))
            .field("verbose", &self.verbose)
            .field("force", &self.force)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// One a6 command: `#[command(flatten)]` it into the binary's subcommands and hand it to [`crate::run`].
#[derive(Debug)]
pub struct Command(pub(crate) Action);

/// What the user asked for.
#[derive(Debug)]
pub(crate) enum Action {
    /// A verb on one kind of resource, and whose object it is about.
    Resource { kind: &'static Kind, owner: Option<String>, verb: Verb },
    /// `a6 plugin ...`
    Plugin(PluginVerb),
    /// `a6 context ...`
    Context(ContextVerb),
    /// `a6 completion SHELL`
    Completion(String),
    /// `a6 config ...`, `a6 schema ...`
    Declarative(declarative::Verb),
    /// `a6 debug ...`
    Debug(Box<DebugVerb>),
    /// `a6 version`
    Version,
}

/// Show the plugins that a gateway has
#[derive(Debug, Subcommand)]
pub(crate) enum PluginVerb {
    /// List available plugins
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n\na6 plugin list\n\na6 plugin list --subsystem stream"
    )]
    List {
        /// Which plugins: http or stream.
        #[arg(long, value_name = "NAME", default_value = "http")]
        subsystem: String,
    },
    /// Get plugin schema by name
    #[command(after_help = "Examples:\n\na6 plugin get limit-count -o yaml")]
    Get {
        /// Name of the plugin.
        #[arg(add = ArgValueCandidates::new(completion::plugins))]
        name: String,
    },
}

/// Manage the gateways that a6 knows
// clap shows that sentence as the help of `a6 context`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextVerb {
    /// Save a gateway under a name
    #[command(after_help = "Examples:\n\na6 context create dev --server http://127.0.0.1:9180 --api-key KEY")]
    Create {
        /// Name to save it under.
        name: String,
    },
    /// Make a context the current one
    Use {
        /// Name of the context.
        #[arg(add = ArgValueCandidates::new(completion::contexts))]
        name: String,
    },
    /// List the contexts
    #[command(visible_alias = "ls")]
    List,
    /// Forget a context
    #[command(visible_alias = "rm")]
    Delete {
        /// Name of the context.
        #[arg(add = ArgValueCandidates::new(completion::contexts))]
        name: String,
    },
    /// Show the current context
    #[command(after_help = "Examples:\n\na6 context current\n\na6 context current -o json")]
    Current,
}

impl Subcommand for Command {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        let context = ContextVerb::augment_subcommands(group("context"));
        let plugin = PluginVerb::augment_subcommands(group("plugin"));
        KINDS
            .iter()
            .fold(command, |command, kind| command.subcommand(kind_commands::command(kind)))
            .subcommand(plugin)
            .subcommand(context)
            .subcommand(completion_command())
            .subcommands(declarative::commands(group))
            .subcommand(DebugVerb::augment_subcommands(group("debug")))
            .subcommand(clap::Command::new("version").about("Show the version of a6"))
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        matches!(name, "plugin" | "context" | "completion" | "debug" | "version")
            || declarative::WORDS.contains(&name)
            || kinds::by_command(name).is_some()
            || kinds::is_alias(name)
    }
}

impl FromArgMatches for Command {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || -> clap::Error { clap::Error::new(ErrorKind::MissingSubcommand) };
        let (name, rest) = matches.subcommand().ok_or_else(missing)?;
        let action = match name {
            "context" => Action::Context(ContextVerb::from_arg_matches(rest)?),
            "plugin" => Action::Plugin(PluginVerb::from_arg_matches(rest)?),
            "completion" => Action::Completion(rest.get_one::<String>("shell").cloned().unwrap_or_default()),
            "debug" => Action::Debug(Box::new(DebugVerb::from_arg_matches(rest)?)),
            "version" => Action::Version,
            word if declarative::WORDS.contains(&word) => Action::Declarative(declarative::verb(word, rest)?),
            _ => {
                let kind = kinds::by_command(name).ok_or_else(missing)?;
                let (word, arguments) = rest.subcommand().ok_or_else(missing)?;
                let verb = kind_commands::verb(kind, word, arguments).ok_or_else(missing)?;
                Action::Resource { kind, owner: kind_commands::owner(arguments), verb }
            }
        };
        Ok(Command(action))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn completion_command() -> clap::Command {
    clap::Command::new("completion")
        .about("Print what makes a shell complete a6's commands, flags and ids")
        .after_help(completion::HELP)
        .arg(
            Arg::new("shell")
                .required(true)
                .value_name("SHELL")
                .help("bash, zsh, fish or powershell")
                .add(ArgValueCandidates::new(completion::shells)),
        )
}

/// A command that only holds others: alone it prints its help, and of a repeated flag the last one counts.
pub(crate) fn group(name: &'static str) -> clap::Command {
    clap::Command::new(name).subcommand_required(true).arg_required_else_help(true).args_override_self(true)
}
