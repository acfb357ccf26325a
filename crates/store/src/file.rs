//! A file that says what the configuration is.
//!
//! - `file/json.rs`: JSON as a tree of values with their places.
//! - `file/place.rs`: where a message of the checks points to.
//! - `file/watch.rs`: when the file may have changed.

mod json;
mod place;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use a6_codec::yaml::{self, Node, Origin, Problem, Value as Tree, Variables, printable};
use a6_resources::{Catalogue, Configuration, ItemFault, Kind};

use crate::{Opener, Unopened};

pub use watch::Watch;

/// So many bytes a file may have, far more than ten thousand routes need.
const MAX_FILE: u64 = 64 << 20;
/// Rough bytes of its tree, aliases expanded.
const MAX_WEIGHT: usize = 512 << 20;
/// So many faults are told.
const TOLD: usize = 10;
/// What a YAML file ends with: one without it is still being written.
const END: &[u8] = b"#END";
/// The end of the file in which that must stand, in bytes; APISIX's own number.
const END_WITHIN: usize = 10;

/// The language of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// YAML with `#END` as its end.
    Yaml,
    /// JSON.
    Json,
}

/// Why a file cannot be taken: a line for each fault, with file, line and column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FileError(pub String);

/// A file of the whole configuration, and what it is read with.
#[derive(Clone)]
pub struct ConfigFile {
    path: PathBuf,
    format: FileFormat,
    variables: Arc<[(String, String)]>,
    catalogue: Arc<dyn Catalogue>,
    opener: Opener,
}

/// What a file says, every part of it checked.
pub struct Document {
    /// The resources.
    pub configuration: Arc<Configuration>,
    /// What has no effect, one sentence each.
    pub warnings: Vec<String>,
    file: String,
    root: Node,
}

impl ConfigFile {
    /// The file of that path; `variables` is the environment, for `${{NAME}}`. What APISIX has encrypted in it is opened.
    pub fn new(
        path: PathBuf,
        format: FileFormat,
        variables: Vec<(String, String)>,
        catalogue: Arc<dyn Catalogue>,
        opener: Opener,
    ) -> Self {
        Self { path, format, variables: variables.into(), catalogue, opener }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes, as they are now.
    ///
    /// # Errors
    /// It cannot be read, or is too large.
    pub fn bytes(&self) -> Result<Vec<u8>, FileError> {
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            File::open(&self.path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|error| {
            self.whole(&format!(
                "cannot read the configuration: {error}; make the file, or name another by a6.config_file"
            ))
        })?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(self.whole("larger than 64 MiB"));
        }
        Ok(bytes)
    }

    /// Reads and checks its bytes: schemas, references, plugins, as the Admin API does.
    ///
    /// # Errors
    /// Anything is wrong; then nothing of it is to be used.
    pub fn document(&self, bytes: &[u8]) -> Result<Document, FileError> {
        if self.format == FileFormat::Yaml && !has_end(bytes) {
            return Err(FileError(format!(
                "missing valid end flag in file {}: its last line must be #END, which says that it is whole",
                self.path.display()
            )));
        }
        let mut problems = Vec::new();
        let root = self.tree(bytes, &mut problems);
        let mut document = Document {
            configuration: Arc::default(),
            warnings: Vec::new(),
            file: self.path.display().to_string(),
            root,
        };
        // A value that lacks its variable, or stands twice, is no value that could be checked.
        let mut unopened = Vec::new();
        if problems.is_empty() {
            let mut configuration = document.fill(&mut problems);
            unopened = self.opener.open_all(&mut configuration);
            document.configuration = Arc::new(configuration);
        }
        if problems.is_empty() {
            let faults = document.configuration.check(&*self.catalogue);
            problems.extend(faults.into_iter().map(|fault| {
                let reason = Unopened::explain(&unopened, &fault);
                document.problem(&ItemFault { reason, ..fault })
            }));
            document.warn_of(&unopened);
        }
        if problems.is_empty() { Ok(document) } else { Err(document.refusal(problems)) }
    }

    fn tree(&self, bytes: &[u8], problems: &mut Vec<Problem>) -> Node {
        let at = |line, column| Origin::File { line, column };
        let text = match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let before = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
                let last = before.rsplit('\n').next().unwrap_or_default();
                let origin = at(before.matches('\n').count() + 1, last.chars().count() + 1);
                let message = "not UTF-8; save the file as UTF-8".to_owned();
                problems.push(Problem { origin, path: String::new(), message });
                return Node::null(at(1, 1));
            }
        };
        let parsed = match self.format {
            FileFormat::Yaml => yaml::parse(&yaml::mask(text), MAX_WEIGHT, at),
            FileFormat::Json => json::tree(text),
        };
        let mut root = match parsed {
            Ok(root) => root,
            Err(problem) => {
                problems.push(problem);
                return Node::null(at(1, 1));
            }
        };
        let lookup =
            |name: &str| self.variables.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
        // JSON has no other way to have a variable's number.
        let variables = Variables { lookup: &lookup, retype_quoted: self.format == FileFormat::Json };
        yaml::expand(&mut root, "", &variables, &mut |problem| problems.push(problem));
        yaml::duplicates(&root, "", &mut |problem| problems.push(problem));
        root
    }

    fn whole(&self, message: &str) -> FileError {
        FileError(format!("{}: {message}", self.path.display()))
    }
}

impl Document {
    /// Why a resource of the document cannot be taken into force, with its place; `key` is of the form `routes/1`.
    pub fn refused(&self, key: &str, reason: &str) -> FileError {
        let kind = key.split_once('/').and_then(|(collection, id)| Some((Kind::of_key(collection, id)?, id)));
        let place = kind.and_then(|(kind, id)| Some((self.configuration.place(kind, id)?, id)));
        match place {
            Some(((collection, index), id)) => {
                let fault = ItemFault { collection, index, id: id.to_owned(), reason: reason.to_owned() };
                self.refusal(vec![self.problem(&fault)])
            }
            None => FileError(format!("{}: {key}: {reason}", self.file)),
        }
    }

    /// Every item of every section.
    fn fill(&mut self, problems: &mut Vec<Problem>) -> Configuration {
        let mut configuration = Configuration::default();
        let sections = match &self.root.value {
            Tree::Map(sections) => sections,
            _ if self.root.is_null() => return configuration,
            _ => {
                let message = "expected a mapping of sections such as routes".to_owned();
                problems.push(Problem { origin: self.root.origin.clone(), path: String::new(), message });
                return configuration;
            }
        };
        for section in sections {
            let name = section.key.as_str();
            let warn = |message: &str| {
                format!("{}: {}: {message}", position(&self.file, &section.origin), printable(name, 120))
            };
            let kind = Kind::of_collection(name);
            if kind.is_none() && name != "stream_routes" {
                let known = "known to APISIX, not served by a6 yet: every plugin of a6 may be used; ignored";
                let message = if name == "plugins" { known } else { "unknown section, ignored" };
                self.warnings.push(warn(message));
                continue;
            }
            let items = match &section.node.value {
                Tree::List(items) => items,
                _ if section.node.is_null() => continue,
                _ => {
                    let message = format!("expected a list, found {}", section.node.describe(false));
                    problems.push(Problem { origin: section.origin.clone(), path: name.to_owned(), message });
                    continue;
                }
            };
            for (index, item) in items.iter().enumerate() {
                let path = format!("{name}[{index}]");
                let Some(kind) = kind else {
                    let message = "stream mode is disabled, can not add stream routes".to_owned();
                    problems.push(Problem { origin: item.origin.clone(), path, message });
                    continue;
                };
                let value = yaml::to_json(item, &path, &mut |problem| problems.push(problem));
                if let Some(replaced) = configuration.add(kind, index, value) {
                    let first = items.get(replaced).map(|item| item.origin.mention()).unwrap_or_default();
                    let place = position(&self.file, &item.origin);
                    self.warnings.push(format!(
                        "{place}: {path}: something before it {first} has the same id; this one counts"
                    ));
                }
            }
        }
        configuration
    }

    fn item(&self, collection: &str, index: usize) -> Option<&Node> {
        match &self.root.member(collection)?.node.value {
            Tree::List(items) => items.get(index),
            _ => None,
        }
    }

    /// Warns of secrets that no key opens.
    fn warn_of(&mut self, unopened: &[Unopened]) {
        for one in unopened.iter().take(TOLD) {
            let place = self.configuration.place(one.kind, &one.id);
            let item = place.and_then(|(collection, index)| self.item(collection, index));
            let origin = place::below(item.unwrap_or(&self.root), &one.path);
            self.warnings.push(format!("{}: {}", position(&self.file, &origin), one.warning()));
        }
        if let Some(more) = unopened.len().checked_sub(TOLD).filter(|more| *more > 0) {
            self.warnings.push(format!("{}: and {more} more secrets that no key opens", self.file));
        }
    }

    fn problem(&self, fault: &ItemFault) -> Problem {
        let path = format!("{}[{}]", fault.collection, fault.index);
        let item = self.item(fault.collection, fault.index);
        let (origin, path) = place::deepest(item.unwrap_or(&self.root), path, &fault.reason);
        Problem {
            origin,
            path,
            message: format!("{} {}: {}", fault.collection, printable(&fault.id, 80), fault.reason),
        }
    }

    /// The problems as one text, in the order of the file.
    fn refusal(&self, mut problems: Vec<Problem>) -> FileError {
        problems.sort_by_key(|problem| match problem.origin {
            Origin::File { line, column } => (line, column),
            Origin::Named(_) => (0, 0),
        });
        let mut text = String::new();
        for (number, problem) in problems.iter().enumerate() {
            if number == TOLD {
                // Writing to a string cannot fail.
                let _ = write!(text, "\n{}: and {} more", self.file, problems.len() - TOLD);
                break;
            }
            let separator = if number == 0 { "" } else { "\n" };
            let _ = write!(text, "{separator}{}: ", position(&self.file, &problem.origin));
            if !problem.path.is_empty() {
                let _ = write!(text, "{}: ", printable(&problem.path, 120));
            }
            text.push_str(&problem.message);
        }
        FileError(text)
    }
}

fn position(file: &str, origin: &Origin) -> String {
    match origin {
        Origin::File { line, column } => format!("{file}:{line}:{column}"),
        Origin::Named(name) => format!("{file}: {name}"),
    }
}

/// Whether the mark stands at the end, with nothing but white space behind it.
fn has_end(bytes: &[u8]) -> bool {
    let last = bytes.get(bytes.len().saturating_sub(END_WITHIN)..).unwrap_or_default();
    last.trim_ascii_end().ends_with(END)
}
