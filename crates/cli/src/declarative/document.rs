//! A file of configuration, read with the place of each value. Nothing that stands in it is dropped: what no section takes is
//! a warning.

use std::io::BufRead;

use a6_codec::yaml::{self, Node, Origin, Problem, Value as Tree, printable};
use serde_json::Value;

use super::sections::{self, Section};
use crate::errors::{Failure, Result};
use crate::input;
use crate::kinds::Object;

/// Rough bytes of the tree, aliases expanded: as much as the gateway takes of its own file.
const MAX_WEIGHT: usize = 512 << 20;

/// What a file says.
pub(super) struct Document {
    /// The name by which messages call the file.
    pub(super) name: String,
    /// What is ignored, a line each.
    pub(super) warnings: Vec<String>,
    /// The version, as it is written, and where; none where there is none.
    pub(super) version: Option<Node>,
    /// The sections that are there, in the order of a dump.
    pub(super) given: Vec<Given>,
    /// What is wrong with values by themselves.
    pub(super) problems: Vec<Problem>,
}

/// A section of a file.
pub(super) struct Given {
    /// Which one.
    pub(super) section: &'static Section,
    /// Its objects, in the order of the file.
    pub(super) items: Vec<Item>,
}

/// An object of a section.
pub(super) struct Item {
    /// Where it stands in its section, from 0.
    pub(super) index: usize,
    /// Its values and their places.
    pub(super) node: Node,
    /// The same without places.
    pub(super) object: Object,
}

impl Document {
    /// Reads the file of that path, or `input` where it is `-`.
    pub(super) fn read(path: &str, input: &mut dyn BufRead) -> Result<Self> {
        let (name, text) = input::text(path, input)?;
        Self::parse(name, &text)
    }

    /// Reads a text; what is wrong with single values is among the problems.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let is_json = text.trim_start().starts_with(['{', '[']);
        let format = if is_json { "JSON" } else { "YAML" };
        let at = |line, column| Origin::File { line, column };
        let parsed =
            if is_json { yaml::parse_json(text, &|text| text) } else { yaml::parse(text, MAX_WEIGHT, at) };
        let failed = |problem: &Problem| {
            Failure::new(format!("failed to parse {format} file: {}", located(name, problem)))
        };
        let mut root = parsed.map_err(|problem| {
            let failure = failed(&problem);
            let is_tab = problem.message.split(' ').any(|word| matches!(word, "tab" | "tabs"));
            if is_tab { failure.with_hint("YAML is indented with spaces, never with tabs") } else { failure }
        })?;
        let whole = |message: String| {
            failed(&Problem { origin: root.origin.clone(), path: String::new(), message })
                .with_hint("it needs version: \"1\" and sections such as routes; `a6 config dump` prints one")
        };
        if root.is_null() {
            return Err(whole("the document is empty".to_owned()));
        }
        if !matches!(root.value, Tree::Map(_)) {
            return Err(whole(format!("the document must be a mapping, found {}", root.describe(false))));
        }
        let mut problems = Vec::new();
        yaml::duplicates(&root, "", &mut |problem| problems.push(problem));
        quote_leading_zeros(&mut root);
        let mut document = Document {
            name: name.to_owned(),
            warnings: Vec::new(),
            version: None,
            given: Vec::new(),
            problems,
        };
        if let Tree::Map(entries) = root.value {
            for entry in entries {
                document.take(entry);
            }
        }
        document.given.sort_by_key(|given| place(given.section));
        Ok(document)
    }

    /// Whether the file says what a section has. Of credentials it says nothing where it has none of that section; of every
    /// other section that it does not name, that it is empty.
    pub(super) fn manages(&self, section: &Section) -> bool {
        !section.is_optional() || self.has(section)
    }

    /// Whether the section is there.
    pub(super) fn has(&self, section: &Section) -> bool {
        self.given.iter().any(|given| given.section.name == section.name)
    }

    /// Every object of the file.
    pub(super) fn items(&self) -> impl Iterator<Item = (&'static Section, &Item)> {
        self.given.iter().flat_map(|given| given.items.iter().map(move |item| (given.section, item)))
    }

    fn take(&mut self, entry: yaml::Entry) {
        let yaml::Entry { key, origin, node } = entry;
        if key == "version" {
            self.version = Some(node);
            return;
        }
        let problem = |message: String| Problem { origin: origin.clone(), path: key.clone(), message };
        let Some(section) = sections::named(&key) else {
            let what = problem("unknown section, ignored".to_owned());
            self.warnings.push(format!("warning: {}", located(&self.name, &what)));
            return;
        };
        if self.has(section) {
            // The same key twice has been told.
            if !self.problems.iter().any(|told| told.path == key) {
                let alias = section.alias.unwrap_or_default();
                let message = format!("{} and {alias} are the same section; keep one of them", section.name);
                self.problems.push(problem(message));
            }
            return;
        }
        let items = match node.value {
            // A name without anything is no decision that all of it has to go.
            Tree::Scalar { .. } if node.is_null() => return,
            Tree::List(items) => items,
            _ => {
                let message = format!("expected a list, found {}", node.describe(false));
                self.problems.push(problem(message));
                return;
            }
        };
        let mut given = Given { section, items: Vec::new() };
        for (index, node) in items.into_iter().enumerate() {
            let path = format!("{}[{index}]", section.name);
            let value = yaml::to_json(&node, &path, &mut |problem| self.problems.push(problem));
            match value {
                Value::Object(object) => given.items.push(Item { index, node, object }),
                _ => {
                    let message = format!("expected a mapping, found {}", node.describe(false));
                    self.problems.push(Problem { origin: node.origin.clone(), path, message });
                }
            }
        }
        self.given.push(given);
    }
}

fn place(section: &Section) -> usize {
    sections::SECTIONS.iter().position(|own| own.name == section.name).unwrap_or_default()
}

/// A problem in one line: file, line, column, path, message.
pub(super) fn located(name: &str, problem: &Problem) -> String {
    let Problem { origin, path, message } = problem;
    let place = match origin {
        Origin::File { line, column } => format!("{name}:{line}:{column}"),
        Origin::Named(other) => format!("{name}: {other}"),
    };
    if path.is_empty() {
        format!("{place}: {message}")
    } else {
        format!("{place}: {}: {message}", printable(path, 120))
    }
}

/// The digits of `007` are text here as in the documents of `a6 route create`.
fn quote_leading_zeros(node: &mut Node) {
    match &mut node.value {
        Tree::Scalar { text, plain } => {
            let digits = text.trim_start_matches(['-', '+']);
            let second = digits.chars().nth(1);
            if digits.starts_with('0') && second.is_some_and(|second| second.is_ascii_digit()) {
                *plain = false;
            }
        }
        Tree::List(items) => items.iter_mut().for_each(quote_leading_zeros),
        Tree::Map(entries) => entries.iter_mut().for_each(|entry| quote_leading_zeros(&mut entry.node)),
    }
}
