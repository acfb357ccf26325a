//! Flags and commands as clap sees them. The commands of a resource kind are built from its row in the table of kinds,
//! so a new kind needs no code here.

use std::fmt;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, FromArgMatches, Subcommand};

use crate::kinds::{self, KINDS, Kind};

/// The flags that every command accepts, before or after its name.
#[derive(Clone, Default, clap::Args)]
pub struct GlobalFlags {
    /// Output format: table, json or yaml; by default a table or YAML on a terminal, JSON elsewhere.
    #[arg(short, long, global = true, value_name = "FORMAT", help_heading = "Global options")]
    pub output: Option<String>,
    /// Context to use instead of the current one; it also wins over A6_SERVER and A6_API_KEY.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global options")]
    pub context: Option<String>,
    /// Address of the Admin API, such as http://127.0.0.1:9180; default A6_SERVER, then the context.
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    pub server: Option<String>,
    /// Key for the Admin API; default A6_API_KEY, then the context.
    #[arg(long, global = true, value_name = "KEY", help_heading = "Global options")]
    pub api_key: Option<String>,
    /// Shows each request and its status on stderr.
    #[arg(long, global = true, help_heading = "Global options")]
    pub verbose: bool,
    /// Does not ask before deleting.
    #[arg(long, global = true, help_heading = "Global options")]
    pub force: bool,
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
            .finish()
    }
}

/// One a6 command: `#[command(flatten)]` it into the binary's subcommands and hand it to [`crate::run`].
#[derive(Debug)]
pub struct Command(pub(crate) Action);

/// What the user asked for.
#[derive(Debug)]
pub(crate) enum Action {
    /// A verb on one kind of resource.
    Resource { kind: &'static Kind, verb: Verb },
    /// `a6 context ...`
    Context(ContextVerb),
    /// `a6 version`
    Version,
}

/// What to do with resources of a kind.
#[derive(Debug)]
pub(crate) enum Verb {
    List { page: i64, page_size: i64, filters: Vec<(&'static str, String)> },
    Get { id: Option<String> },
    Create { file: Option<String> },
    Update { id: Option<String>, file: Option<String> },
    Delete { id: Option<String>, all: bool, label: Option<String> },
}

/// Manage the gateways that a6 knows
// clap shows that sentence as the help of `a6 context`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextVerb {
    /// Save a gateway under a name: a6 context create dev --server http://127.0.0.1:9180 --api-key KEY
    Create {
        /// Name to save it under.
        name: String,
    },
    /// Make a context the current one
    Use {
        /// Name of the context.
        name: String,
    },
    /// List the contexts
    #[command(visible_alias = "ls")]
    List,
    /// Forget a context
    #[command(visible_alias = "rm")]
    Delete {
        /// Name of the context.
        name: String,
    },
    /// Show the current context
    Current,
}

impl Subcommand for Command {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        let context = ContextVerb::augment_subcommands(group("context"));
        KINDS
            .iter()
            .fold(command, |command, kind| command.subcommand(kind_command(kind)))
            .subcommand(context)
            .subcommand(clap::Command::new("version").about("Show the version of a6"))
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        matches!(name, "context" | "version") || kinds::by_command(name).is_some()
    }
}

impl FromArgMatches for Command {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || -> clap::Error { clap::Error::new(ErrorKind::MissingSubcommand) };
        let (name, rest) = matches.subcommand().ok_or_else(missing)?;
        let action = match name {
            "context" => Action::Context(ContextVerb::from_arg_matches(rest)?),
            "version" => Action::Version,
            _ => {
                let kind = kinds::by_command(name).ok_or_else(missing)?;
                let (word, arguments) = rest.subcommand().ok_or_else(missing)?;
                Action::Resource { kind, verb: verb(kind, word, arguments).ok_or_else(missing)? }
            }
        };
        Ok(Command(action))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn verb(kind: &'static Kind, word: &str, arguments: &ArgMatches) -> Option<Verb> {
    let text = |name: &str| arguments.try_get_one::<String>(name).ok().flatten().cloned();
    let number = |name: &str| arguments.try_get_one::<i64>(name).ok().flatten().copied();
    Some(match word {
        "list" => Verb::List {
            page: number("page")?,
            page_size: number("page-size")?,
            filters: kind
                .filters
                .iter()
                .filter_map(|name| Some((*name, text(name).filter(|value| !value.is_empty())?)))
                .collect(),
        },
        "get" => Verb::Get { id: text("id") },
        "create" => Verb::Create { file: text("file") },
        "update" => Verb::Update { id: text("id"), file: text("file") },
        "delete" => Verb::Delete {
            id: text("id"),
            all: arguments.get_flag("all"),
            label: text("label").filter(|label| !label.is_empty()),
        },
        _ => return None,
    })
}

/// A command that only holds others: alone it prints its help, and of a repeated flag the last one counts.
fn group(name: &'static str) -> clap::Command {
    clap::Command::new(name).subcommand_required(true).arg_required_else_help(true).args_override_self(true)
}

fn kind_command(kind: &'static Kind) -> clap::Command {
    let one = format!("{} {}", kind.article, kind.singular);
    let command = |name: &'static str, about: String| clap::Command::new(name).about(about);
    let file = || {
        Arg::new("file")
            .short('f')
            .long("file")
            .value_name("FILE")
            .help("JSON or YAML file with the whole document; - reads standard input")
    };
    let id = || Arg::new("id").value_name("ID").help(format!("ID of the {}", kind.singular));
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("N")
            .help(help)
            .value_parser(clap::value_parser!(i64))
            .allow_negative_numbers(true)
            .default_value(default)
    };
    let list = command("list", format!("List {}", kind.plural))
        .visible_alias("ls")
        .arg(number("page", "1", "Page to show"))
        .arg(number("page-size", "20", "Objects on a page, 10 to 500"))
        .args(kind.filters.iter().map(|name| filter(name)));
    let delete = command("delete", format!("Delete {one}"))
        .arg(id())
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .help(format!("Delete all {}", kind.plural)),
        )
        .arg(filter("label").help(format!("Delete the {} with this label, key or key=value", kind.plural)));
    group(kind.command)
        .about(format!("Manage {}", kind.plural))
        .subcommand(command("create", format!("Create {one} from a file")).arg(file()))
        .subcommand(command("get", format!("Get {one} by ID")).arg(id()))
        .subcommand(list)
        .subcommand(command("update", format!("Update {one}")).arg(id()).arg(file()))
        .subcommand(delete)
}

fn filter(name: &'static str) -> Arg {
    let (value, help) = match name {
        "label" => ("KEY[=VALUE]", "Only objects with this label"),
        "uri" => ("URI", "Only objects whose URI contains this"),
        _ => ("TEXT", "Only objects whose name contains this"),
    };
    Arg::new(name).long(name).value_name(value).help(help)
}
