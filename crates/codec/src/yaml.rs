//! A YAML document as a tree that knows the line and column of each value.
//!
//! - `yaml/substitute.rs`: `${{VAR}}` and `${{VAR:=default}}` in such a tree.
//! - `yaml/json.rs`: JSON as such a tree, and such a tree as JSON.
//! - `yaml/cursor.rs`: a walk down such a tree by names.

mod cursor;
mod json;
mod substitute;

use granit_parser::{Event, Marker, Parser, ScalarStyle};
use std::collections::HashMap;

pub use cursor::Cursor;
pub use json::{json_problem, parse_json, to_json};
pub use substitute::{Variables, expand, mask};

/// Deepest nesting, aliases expanded; it bounds every recursion over a tree.
const MAX_DEPTH: usize = 64;
const NODE_WEIGHT: usize = 64;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the text; line and column count from 1.
    File {
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// From elsewhere, such as an environment variable or a flag, by its name.
    Named(String),
}

impl Origin {
    /// A reference from another message, such as `on line 5`.
    pub fn mention(&self) -> String {
        match self {
            Self::File { line, .. } => format!("on line {line}"),
            Self::Named(name) => format!("in {name}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// Path of the key, such as `routes[0].uri`; empty when the problem is not about one key.
    pub path: String,
    /// What was expected, what was found, what to do.
    pub message: String,
}

/// A value and where it stands. It may hold a secret, so it has no `Debug`.
#[derive(Clone)]
pub struct Node {
    /// Where it stands.
    pub origin: Origin,
    /// What stands there.
    pub value: Value,
}

/// What stands there.
#[derive(Clone)]
pub enum Value {
    /// Text as written. Only plain text (no quotes) can mean null, a boolean or a number.
    Scalar {
        /// The text.
        text: String,
        /// Whether it stands without quotes.
        plain: bool,
    },
    /// `- item` or `[item]`.
    List(Vec<Node>),
    /// `key: value`, in the order of the file.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub origin: Origin,
    /// The value.
    pub node: Node,
}

impl Node {
    /// A value that says nothing.
    pub fn null(origin: Origin) -> Self {
        Self { origin, value: Value::Scalar { text: String::new(), plain: true } }
    }

    /// The text of a scalar, null excepted.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    fn plain(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, plain: true } => Some(text),
            _ => None,
        }
    }

    /// Whether the key is there without a value, which counts as absent.
    pub fn is_null(&self) -> bool {
        matches!(self.plain(), Some("" | "~" | "null" | "Null" | "NULL"))
    }

    /// YAML 1.2's booleans.
    pub fn boolean(&self) -> Option<bool> {
        match self.plain()? {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    /// YAML 1.2's integers: decimal, `0x` and `0o`.
    pub fn integer(&self) -> Option<i128> {
        let text = self.plain()?;
        if let Some(digits) = text.strip_prefix("0x") {
            return digits_only(digits, 16);
        }
        if let Some(digits) = text.strip_prefix("0o") {
            return digits_only(digits, 8);
        }
        text.parse().ok()
    }

    /// A decimal number.
    pub fn number(&self) -> Option<f64> {
        let text = self.plain()?;
        let is_decimal = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
        if is_decimal { text.parse().ok() } else { None }
    }

    /// The value of a key of a mapping, and where the key stands.
    pub fn member(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Value::Scalar { .. } | Value::List(_) => None,
        }
    }

    /// What was found, for a message. `show` is false where the value may be a secret.
    pub fn describe(&self, show: bool) -> String {
        let kind = match &self.value {
            Value::List(_) => return "a list".into(),
            Value::Map(_) => return "a mapping".into(),
            Value::Scalar { .. } if self.is_null() => return "nothing".into(),
            Value::Scalar { .. } if self.boolean().is_some() => "a boolean",
            Value::Scalar { .. } if self.integer().is_some() => "an integer",
            Value::Scalar { .. } if self.number().is_some() => "a number",
            Value::Scalar { .. } => "a string",
        };
        match self.text() {
            Some(text) if show && kind == "a string" => format!("{kind} \"{}\"", printable(text, 40)),
            Some(text) if show => format!("{kind} {}", printable(text, 40)),
            _ => kind.into(),
        }
    }

    fn depth(&self) -> usize {
        let below = match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Node::depth).max().unwrap_or(0),
            Value::Map(entries) => entries.iter().map(|entry| entry.node.depth()).max().unwrap_or(0),
        };
        below + 1
    }

    fn weight(&self) -> usize {
        let inside = match &self.value {
            Value::Scalar { text, .. } => text.len(),
            Value::List(items) => items.iter().map(Node::weight).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.key.len() + entry.node.weight()).sum(),
        };
        NODE_WEIGHT + inside
    }
}

// `from_str_radix` takes a sign, which YAML does not allow behind the prefix.
fn digits_only(digits: &str, radix: u32) -> Option<i128> {
    let all = digits.chars().all(|c| c.is_digit(radix));
    if all { i128::from_str_radix(digits, radix).ok() } else { None }
}

/// The path of `key` below `path`.
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Reads one document of at most `max_weight` rough bytes, aliases expanded, so that a small text cannot fill the memory.
/// `at` turns line and column, both from 1, into an origin. An empty text is null.
///
/// # Errors
/// It is no YAML, more than one document, nested too deeply or too large.
pub fn parse(text: &str, max_weight: usize, at: impl Fn(usize, usize) -> Origin) -> Result<Node, Problem> {
    // Another crate of the build may switch comment events on; they are no values.
    let options = granit_parser::options! { emit_comments: false };
    let place = |marker: Marker| at(marker.line().max(1), marker.col() + 1);
    let problem = |origin, message| Problem { origin, path: String::new(), message };
    let mut builder = Builder { max_weight, ..Builder::default() };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => {
                let origin = place(span.start);
                builder.take(event, origin.clone()).map_err(|message| problem(origin, message.to_owned()))?;
            }
            Err(error) => {
                return Err(problem(place(*error.marker()), format!("not valid YAML: {}", error.info())));
            }
        }
    }
    Ok(builder.root.unwrap_or_else(|| Node::null(at(1, 1))))
}

/// Reports every key that a mapping has twice. `path` is the path of `node`.
pub fn duplicates(node: &Node, path: &str, report: &mut dyn FnMut(Problem)) {
    match &node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                duplicates(item, &format!("{path}[{index}]"), report);
            }
        }
        Value::Map(entries) => {
            let mut seen: HashMap<&str, &Origin> = HashMap::new();
            for entry in entries {
                let path = join(path, &entry.key);
                if let Some(first) = seen.get(entry.key.as_str()) {
                    let message = format!("duplicate key, first set {}; keep one of them", first.mention());
                    report(Problem { origin: entry.origin.clone(), path: path.clone(), message });
                } else {
                    seen.insert(&entry.key, &entry.origin);
                }
                duplicates(&entry.node, &path, report);
            }
        }
    }
}

/// Text from a file as it may be printed in one line: control characters escaped, at most `limit` characters.
pub fn printable(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            shown.push('…');
            break;
        }
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A list or mapping whose end has not been read yet.
struct Open {
    origin: Origin,
    anchor: usize,
    value: Value,
    key: Option<(String, Origin)>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    weight: usize,
    max_weight: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, origin: Origin) -> Result<(), &'static str> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err("a second document starts here; keep everything in one")
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_string = tag.is_some_and(|tag| tag.core_suffix() == Some("str"));
                let plain = style == ScalarStyle::Plain && !is_string;
                self.add_weight(NODE_WEIGHT + text.len())?;
                self.place(Node { origin, value: Value::Scalar { text: text.into_owned(), plain } }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(origin, anchor, Value::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => self.begin(origin, anchor, Value::Map(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.place(Node { origin: open.origin, value: open.value }, open.anchor),
                None => Ok(()),
            },
            Event::Alias(id) => self.alias(id),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, origin: Origin, anchor: usize, value: Value) -> Result<(), &'static str> {
        self.add_weight(NODE_WEIGHT)?;
        self.open.push(Open { origin, anchor, value, key: None });
        if self.open.len() < MAX_DEPTH {
            Ok(())
        } else {
            Err("nested too deeply; a configuration needs a few levels")
        }
    }

    fn alias(&mut self, id: usize) -> Result<(), &'static str> {
        let Some(node) = self.anchors.get(&id) else {
            return Err("an alias stands inside the value it names; write the value out");
        };
        if self.open.len() + node.depth() > MAX_DEPTH {
            return Err("nested too deeply once aliases are expanded; write the values out");
        }
        // Weighed before it is copied: the copy is what fills the memory.
        let weight = node.weight();
        self.add_weight(weight)?;
        match self.anchors.get(&id).cloned() {
            Some(node) => self.place(node, 0),
            None => Ok(()),
        }
    }

    fn place(&mut self, node: Node, anchor: usize) -> Result<(), &'static str> {
        if anchor > 0 {
            self.add_weight(node.weight())?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.value {
            Value::Scalar { .. } => {}
            Value::List(items) => items.push(node),
            Value::Map(entries) => match (open.key.take(), node.value) {
                (Some((key, at)), value) => {
                    entries.push(Entry { key, origin: at, node: Node { origin: node.origin, value } });
                }
                (None, Value::Scalar { text, plain: true }) if text == "<<" => {
                    return Err("merge keys (<<) are not supported; write the keys out");
                }
                (None, Value::Scalar { text, .. }) => open.key = Some((text, node.origin)),
                (None, _) => return Err("a key must be text, not a list or a mapping"),
            },
        }
        Ok(())
    }

    fn add_weight(&mut self, weight: usize) -> Result<(), &'static str> {
        self.weight += weight;
        if self.weight <= self.max_weight {
            Ok(())
        } else {
            Err("too large, with aliases expanded; write less")
        }
    }
}
