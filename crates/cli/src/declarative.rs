//! `a6 config` and `a6 schema`: the whole configuration as one file.
//!
//! - `sections.rs`: the table of sections: how their objects are called, where they live in the Admin API, in which order
//!   they are written.
//! - `document.rs`: a file, read with the place of each value; `check.rs`: what is wrong with it.
//! - `remote.rs`: what the gateway has.
//! - `changes.rs`, `same.rs`: what differs, and what counts as equal; `shown.rs`: how that is printed.
//! - `dump.rs`, `sync.rs`, `apply.rs`: the commands that do more than look.
//! - `schema.rs`: the JSON Schema of the file.

mod apply;
mod changes;
mod check;
mod document;
mod dump;
mod remote;
mod same;
mod schema;
mod sections;
mod shown;
mod sync;

use clap::{ArgMatches, FromArgMatches, Subcommand};

use crate::errors::{Failure, Result};
use crate::flag_values;
use crate::output::{self, Format};
use crate::session::Session;
use changes::Changes;
use document::Document;
use remote::Remote;

/// A command of `a6 config` or `a6 schema`.
#[derive(Debug)]
pub(crate) enum Verb {
    /// `a6 config ...`
    Config(ConfigVerb),
    /// `a6 schema ...`
    Schema(SchemaVerb),
}

/// Manage declarative APISIX configuration
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Print everything that the gateway has: a6 config dump -f gateway.yaml
    Dump {
        /// File to write; standard output without it.
        #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        file: Option<String>,
    },
    /// Show what a sync would change; exit code 1 if anything differs: a6 config diff -f gateway.yaml
    Diff {
        /// YAML or JSON file of the configuration; - reads standard input.
        #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        file: Option<String>,
    },
    /// Make the gateway have what the file says: a6 config sync -f gateway.yaml
    Sync {
        /// YAML or JSON file of the configuration; - reads standard input.
        #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        file: Option<String>,
        /// Only shows what would be changed.
        #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
              value_name = "BOOL", value_parser = flag_values::boolean, default_value = "false",
              default_missing_value = "true", hide_default_value = true)]
        dry_run: bool,
        /// Whether to delete what the file does not have; --delete=false keeps it.
        #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
              value_parser = flag_values::boolean)]
        delete: Option<bool>,
    },
    /// Check a file without a gateway; tells every error with line and column: a6 config validate -f gateway.yaml
    Validate {
        /// YAML or JSON file of the configuration; - reads standard input.
        #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        file: Option<String>,
    },
}

/// Print schemas for editors and other tools
#[derive(Debug, Subcommand)]
pub(crate) enum SchemaVerb {
    /// Print the JSON Schema of the declarative file: a6 schema declarative > a6.schema.json
    Declarative,
}

/// The words of these commands.
pub(crate) const WORDS: [&str; 2] = ["config", "schema"];

/// Puts the commands into their groups, `config` and `schema`.
pub(crate) fn commands(group: fn(&'static str) -> clap::Command) -> [clap::Command; 2] {
    let [config, schema] = WORDS;
    [ConfigVerb::augment_subcommands(group(config)), SchemaVerb::augment_subcommands(group(schema))]
}

/// Reads the arguments behind one of [`WORDS`].
pub(crate) fn verb(word: &str, arguments: &ArgMatches) -> std::result::Result<Verb, clap::Error> {
    match word {
        "config" => ConfigVerb::from_arg_matches(arguments).map(Verb::Config),
        _ => SchemaVerb::from_arg_matches(arguments).map(Verb::Schema),
    }
}

/// Carries out one command.
pub(crate) fn run(session: &mut Session<'_>, verb: Verb) -> Result<()> {
    match verb {
        Verb::Config(ConfigVerb::Dump { file }) => dump::run(session, file.as_deref()),
        Verb::Config(ConfigVerb::Diff { file }) => diff(session, file),
        Verb::Config(ConfigVerb::Sync { file, dry_run, delete }) => {
            sync::run(session, &required_file(file)?, dry_run, delete)
        }
        Verb::Config(ConfigVerb::Validate { file }) => validate(session, file),
        Verb::Schema(SchemaVerb::Declarative) => {
            let format = output::requested(session)?.unwrap_or(Format::Json);
            let document = schema::document(&*(session.catalogue)());
            Ok(write!(session.output, "{}", output::render(&document, format)?)?)
        }
    }
}

fn diff(session: &mut Session<'_>, file: Option<String>) -> Result<()> {
    let (_, changes) = compared(session, &required_file(file)?)?;
    let text = match session.flags.output.as_deref() {
        Some("json") => output::render(&shown::json(&changes), Format::Json)?,
        _ => shown::text(&changes),
    };
    write!(session.output, "{text}")?;
    // What differs has been printed; the exit code says that something does.
    if changes.are_none() { Ok(()) } else { Err(Failure::new("")) }
}

fn validate(session: &mut Session<'_>, file: Option<String>) -> Result<()> {
    let document = read(session, &required_file(file)?)?;
    let mut faults = check::structure(&document);
    let refused = check::resources(&document, &faults, &*(session.catalogue)());
    faults.extend(refused);
    check::outcome(&document, faults)?;
    Ok(writeln!(session.output, "Config is valid")?)
}

/// The file, and how the gateway differs from it.
fn compared(session: &mut Session<'_>, file: &str) -> Result<(Document, Changes)> {
    let document = read(session, file)?;
    let mut faults = check::structure(&document);
    faults.extend(check::identities(&document));
    check::outcome(&document, faults)?;
    let remote = Remote::fetch(&session.client()?, &|section| document.manages(section))?;
    let changes = Changes::between(&document, remote);
    Ok((document, changes))
}

fn read(session: &mut Session<'_>, file: &str) -> Result<Document> {
    let document = Document::read(file, session.input)?;
    for warning in &document.warnings {
        writeln!(session.errors, "{warning}")?;
    }
    Ok(document)
}

fn required_file(file: Option<String>) -> Result<String> {
    file.ok_or_else(|| Failure::new("required flag \"file\" not set"))
}

#[cfg(test)]
mod tests;
