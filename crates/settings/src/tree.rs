//! A YAML document as a tree that knows the line and column of each value.

use crate::error::{Origin, Report, printable};
use granit_parser::{Event, Marker, Parser, ScalarStyle};
use std::collections::HashMap;

/// Deepest nesting, aliases expanded; it bounds every recursion over a tree.
const MAX_DEPTH: usize = 64;
/// Rough bytes of a tree, aliases expanded, so that a small file cannot fill the memory.
const MAX_WEIGHT: usize = 32 << 20;
const NODE_WEIGHT: usize = 64;

/// A value and where it stands. It may hold a secret, so it has no `Debug`.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

/// What stands there.
#[derive(Clone)]
pub(crate) enum Value {
    /// Text as written. Only plain text (no quotes) can mean null, a boolean or a number.
    Scalar { text: String, plain: bool },
    /// `- item` or `[item]`.
    List(Vec<Node>),
    /// `key: value`, in the order of the file.
    Map(Vec<Entry>),
}

/// A key with its value; `origin` is where the key stands.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) origin: Origin,
    pub(crate) node: Node,
}

impl Node {
    /// A value that says nothing.
    pub(crate) fn null(origin: Origin) -> Self {
        Self { origin, value: Value::Scalar { text: String::new(), plain: true } }
    }

    /// The text of a scalar, null excepted.
    pub(crate) fn text(&self) -> Option<&str> {
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
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.plain(), Some("" | "~" | "null" | "Null" | "NULL"))
    }

    /// YAML 1.2's booleans.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.plain()? {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    /// YAML 1.2's integers: decimal, `0x` and `0o`.
    pub(crate) fn integer(&self) -> Option<i128> {
        let text = self.plain()?;
        if let Some(digits) = text.strip_prefix("0x") {
            return digits_only(digits, 16);
        }
        if let Some(digits) = text.strip_prefix("0o") {
            return digits_only(digits, 8);
        }
        text.parse().ok()
    }

    fn is_number(&self) -> bool {
        self.plain().is_some_and(|text| {
            text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) && text.parse::<f64>().is_ok()
        })
    }

    /// What was found, for a message. `show` is false where the value may be a secret.
    pub(crate) fn describe(&self, show: bool) -> String {
        let kind = match &self.value {
            Value::List(_) => return "a list".into(),
            Value::Map(_) => return "a mapping".into(),
            Value::Scalar { .. } if self.is_null() => return "nothing".into(),
            Value::Scalar { .. } if self.boolean().is_some() => "a boolean",
            Value::Scalar { .. } if self.integer().is_some() => "an integer",
            Value::Scalar { .. } if self.is_number() => "a number",
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
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Reads one document. `at` turns line and column, both from 1, into an origin. None, with the reason in the report,
/// when it is no YAML or more than one document; an empty text is null.
pub(crate) fn parse(text: &str, at: impl Fn(usize, usize) -> Origin, report: &mut Report) -> Option<Node> {
    // Another crate of the build may switch comment events on; they are no values.
    let options = granit_parser::options! { emit_comments: false };
    let place = |marker: Marker| at(marker.line().max(1), marker.col() + 1);
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let outcome = match event {
            Ok((event, span)) => {
                let origin = place(span.start);
                builder.take(event, origin.clone()).map_err(|message| (origin, message.to_owned()))
            }
            Err(error) => Err((place(*error.marker()), format!("not valid YAML: {}", error.info()))),
        };
        if let Err((origin, message)) = outcome {
            report.error(&origin, "", message);
            return None;
        }
    }
    Some(builder.root.unwrap_or_else(|| Node::null(at(1, 1))))
}

/// Reports every key that a mapping has twice. `path` is the path of `node`.
pub(crate) fn report_duplicates(node: &Node, path: &str, report: &mut Report) {
    match &node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                report_duplicates(item, &format!("{path}[{index}]"), report);
            }
        }
        Value::Map(entries) => {
            let mut seen: HashMap<&str, &Origin> = HashMap::new();
            for entry in entries {
                let path = join(path, &entry.key);
                if let Some(first) = seen.get(entry.key.as_str()) {
                    let message = format!("duplicate key, first set {}; keep one of them", first.mention());
                    report.error(&entry.origin, &path, message);
                } else {
                    seen.insert(&entry.key, &entry.origin);
                }
                report_duplicates(&entry.node, &path, report);
            }
        }
    }
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
            Err("nested too deeply; settings need a few levels")
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
        if self.weight <= MAX_WEIGHT { Ok(()) } else { Err("too large, with aliases expanded; write less") }
    }
}
