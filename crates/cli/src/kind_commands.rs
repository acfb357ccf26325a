//! The commands of a resource kind, built from its row in the table of kinds, and what the user asked of them.

use clap::{Arg, ArgMatches, ValueHint};
use clap_complete::engine::ArgValueCandidates;

use crate::command_line::group;
use crate::completion;
use crate::flag_values::{integer, switch};
use crate::kind_help as help;
use crate::kinds::{Create, Kind};

/// What to do with resources of a kind.
#[derive(Debug)]
pub(crate) enum Verb {
    List { page: i64, page_size: i64, filters: Vec<(&'static str, String)> },
    Get { id: Option<String> },
    Create { id: Option<String>, file: Option<String> },
    Update { id: Option<String>, file: Option<String>, merge: bool, replace: bool },
    Delete { id: Option<String>, all: bool, label: Option<String> },
    Export { label: Option<String>, file: Option<String> },
    Health { id: Option<String>, control_url: Option<String> },
}

/// Reads the verb and its flags; none for a word that is no verb.
pub(crate) fn verb(kind: &'static Kind, word: &str, arguments: &ArgMatches) -> Option<Verb> {
    let text = |name: &str| arguments.try_get_one::<String>(name).ok().flatten().cloned();
    let number = |name: &str| arguments.try_get_one::<i64>(name).ok().flatten().copied();
    let flag = |name: &str| arguments.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or(false);
    let given = |name: &str| text(name).filter(|value| !value.is_empty());
    Some(match word {
        "list" => Verb::List {
            page: number("page")?,
            page_size: number("page-size")?,
            filters: kind.filters.iter().filter_map(|name| Some((*name, given(name)?))).collect(),
        },
        "get" => Verb::Get { id: text("id") },
        "create" => Verb::Create { id: text("id"), file: text("file") },
        "update" => Verb::Update {
            id: text("id"),
            file: text("file"),
            merge: flag("merge"),
            replace: flag("replace"),
        },
        "delete" => Verb::Delete { id: text("id"), all: flag("all"), label: given("label") },
        "export" => Verb::Export { label: given("label"), file: given("file") },
        "health" => Verb::Health { id: text("id"), control_url: given("control-url") },
        _ => return None,
    })
}

/// The owner that the command names, for kinds whose objects have one.
pub(crate) fn owner(arguments: &ArgMatches) -> Option<String> {
    arguments.try_get_one::<String>("owner").ok().flatten().cloned()
}

/// `a6 KIND` with all its verbs.
pub(crate) fn command(kind: &'static Kind) -> clap::Command {
    let mut command = group(kind.command)
        .about(format!("Manage {}", kind.plural))
        .aliases(kind.aliases.iter().copied())
        .after_help(help::after(kind, if kind.has_list { "list" } else { "get" }))
        .subcommand(create(kind))
        .subcommand(leaf(kind, "get", format!("Get {} by {}", kind.one, help::id_words(kind))).arg(id(kind)));
    if kind.has_list {
        command = command.subcommand(list(kind));
    }
    command = command.subcommand(update(kind)).subcommand(delete(kind));
    if kind.has_bulk {
        command = command.subcommand(export(kind));
    }
    if kind.has_health {
        command = command.subcommand(health(kind));
    }
    command
}

fn leaf(kind: &'static Kind, name: &'static str, about: String) -> clap::Command {
    let command = clap::Command::new(name).about(about).after_help(help::after(kind, name));
    match kind.owner {
        Some(owner) => command.arg(
            Arg::new("owner")
                .long(owner)
                .value_name("USERNAME")
                .required(true)
                .help(format!("The {owner} whose {} it is", kind.singular))
                .add(ArgValueCandidates::new(move || completion::ids_of(owner))),
        ),
        None => command,
    }
}

fn create(kind: &'static Kind) -> clap::Command {
    let command = leaf(kind, "create", format!("Create {} from a file", kind.one)).arg(document());
    match kind.create {
        Create::PutByArgument(_) => command.arg(
            Arg::new("id")
                .value_name(kind.id_name)
                .help(format!("ID of the {}; left out, the document brings it", kind.singular)),
        ),
        _ => command,
    }
}

fn list(kind: &'static Kind) -> clap::Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("N")
            .help(help)
            .value_parser(integer)
            .allow_negative_numbers(true)
            .default_value(default)
    };
    let about = match kind.owner {
        Some(owner) => format!("List {} for a {owner}", kind.plural),
        None => format!("List {}", kind.plural),
    };
    leaf(kind, "list", about)
        .visible_alias("ls")
        .arg(number("page", "1", "Page to show"))
        .arg(number("page-size", "20", "Objects on a page, 10 to 500"))
        .args(kind.filters.iter().map(|name| filter(name)))
}

fn update(kind: &'static Kind) -> clap::Command {
    let flag = |name: &'static str, help: &'static str| switch(Arg::new(name).long(name).help(help));
    leaf(kind, "update", format!("Update {}", kind.one))
        .arg(id(kind))
        .arg(document())
        .arg(flag("merge", "Change only the members that the document has; null removes one"))
        .arg(flag("replace", "Let the document replace all that is there"))
}

fn delete(kind: &'static Kind) -> clap::Command {
    let command = leaf(kind, "delete", format!("Delete {}", kind.one)).arg(id(kind));
    if !kind.has_bulk {
        return command;
    }
    let all = switch(Arg::new("all").long("all"));
    command
        .arg(all.help(format!("Delete all {}", kind.plural)))
        .arg(filter("label").help(format!("Delete the {} with this label, key or key=value", kind.plural)))
}

fn export(kind: &'static Kind) -> clap::Command {
    let file = Arg::new("file").short('f').long("file").value_name("FILE").value_hint(ValueHint::FilePath);
    leaf(kind, "export", format!("Export {} as YAML or JSON", kind.plural))
        .arg(filter("label"))
        .arg(file.help("File to write instead of standard output; one that is there is replaced"))
}

fn health(kind: &'static Kind) -> clap::Command {
    leaf(kind, "health", format!("Show health check status of {} nodes", kind.singular)).arg(id(kind)).arg(
        Arg::new("control-url")
            .long("control-url")
            .value_name("URL")
            .help("Address of the Control API; by default port 9090 on the Admin API's host"),
    )
}

fn id(kind: &'static Kind) -> Arg {
    Arg::new("id")
        .value_name(kind.id_name)
        .help(format!("{} of the {}", help::id_words(kind), kind.singular))
        .required(kind.pick.is_none())
        .add(ArgValueCandidates::new(move || completion::ids(kind)))
}

fn document() -> Arg {
    Arg::new("file")
        .short('f')
        .long("file")
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .help("JSON or YAML file with one document; - reads standard input")
}

fn filter(name: &'static str) -> Arg {
    let (value, help) = match name {
        "label" => ("KEY[=VALUE]", "Only objects with this label"),
        "uri" => ("URI", "Only objects whose URI contains this"),
        _ => ("TEXT", "Only objects whose name contains this"),
    };
    Arg::new(name).long(name).value_name(value).help(help)
}
