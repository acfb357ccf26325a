//! What is wrong with the settings, with place and key, in the words that a person reads.

use std::fmt;

pub(crate) use a6_codec::yaml::{Origin, printable};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `«file»:«line»:«column»`, or the name of an environment variable or a flag.
    pub place: String,
    /// Path of the key, such as `apisix.node_listen[1].port`; empty when the problem is not about one key.
    pub key: String,
    /// What was expected, what was found, what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.place, &self.key] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.message)
    }
}

/// The settings cannot be used. Displays as one line per problem, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct SettingsError {
    problems: Vec<Problem>,
}

impl SettingsError {
    /// Everything that is wrong, at least one entry.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// Collects problems and warnings while the settings are read.
pub(crate) struct Report {
    file: String,
    errors: Vec<Entry>,
    warnings: Vec<Entry>,
}

struct Entry {
    order: (usize, usize),
    problem: Problem,
}

impl Report {
    /// A report about the file of this name; empty when there is none.
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), errors: Vec::new(), warnings: Vec::new() }
    }

    /// Adds a problem that keeps the settings from being used.
    pub(crate) fn error(&mut self, origin: &Origin, key: &str, message: impl Into<String>) {
        let entry = self.entry(origin, key, message.into());
        self.errors.push(entry);
    }

    /// Adds what is wrong with the text of a file or variable.
    pub(crate) fn problem(&mut self, problem: a6_codec::yaml::Problem) {
        self.error(&problem.origin, &problem.path, problem.message);
    }

    /// As [`Report::error`], unless there is an error already: for what may only follow from it.
    pub(crate) fn error_if_sound(&mut self, origin: &Origin, key: &str, message: impl Into<String>) {
        if self.errors.is_empty() {
            self.error(origin, key, message);
        }
    }

    /// Adds a remark that does not.
    pub(crate) fn warn(&mut self, origin: &Origin, key: &str, message: impl Into<String>) {
        let entry = self.entry(origin, key, message.into());
        self.warnings.push(entry);
    }

    /// Warns of a key that nobody knows, with the one that was probably meant.
    pub(crate) fn unknown(&mut self, origin: &Origin, key: &str, meant: Option<&str>) {
        let hint = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        self.warn(origin, key, format!("unknown key, ignored{hint}"));
    }

    fn entry(&self, origin: &Origin, key: &str, message: String) -> Entry {
        let (place, order) = match origin {
            Origin::File { line, column } => (format!("{}:{line}:{column}", self.file), (*line, *column)),
            Origin::Named(name) => (name.clone(), (usize::MAX, 0)),
        };
        Entry { order, problem: Problem { place, key: printable(key, 120), message } }
    }

    /// The warnings, or all errors if there is one.
    pub(crate) fn finish(mut self) -> Result<Vec<String>, SettingsError> {
        if self.errors.is_empty() {
            self.warnings.sort_by_key(|entry| entry.order);
            return Ok(self.warnings.iter().map(|entry| entry.problem.to_string()).collect());
        }
        self.errors.sort_by_key(|entry| entry.order);
        Err(SettingsError { problems: self.errors.into_iter().map(|entry| entry.problem).collect() })
    }

    /// An error about the file as a whole.
    pub(crate) fn fail(file: &str, message: String) -> SettingsError {
        SettingsError { problems: vec![Problem { place: file.to_owned(), key: String::new(), message }] }
    }
}
