//! JSON as the tree that YAML becomes, so that both are read on in one way.

use std::fmt;

use a6_codec::yaml::{Entry, Node, Origin, Problem, Value, mask};
use a6_resources::StrictValue;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Reads a document; references to variables are masked in its texts.
pub(super) fn tree(text: &str) -> Result<Node, Problem> {
    // Names what is wrong, a repeated key too; what is read after it cannot fail.
    serde_json::from_str::<StrictValue>(text).map_err(|error| problem(&error))?;
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| problem(&error))?;
    let newlines = text.match_indices('\n').map(|(offset, _)| offset).collect();
    Text { text, newlines }.node(whole).map_err(|error| problem(&error))
}

fn problem(error: &serde_json::Error) -> Problem {
    let origin = Origin::File { line: error.line(), column: error.column().max(1) };
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    Problem { origin, path: String::new(), message: format!("not valid JSON: {message}") }
}

struct Text<'t> {
    text: &'t str,
    newlines: Vec<usize>,
}

impl<'t> Text<'t> {
    fn node(&self, raw: &'t RawValue) -> serde_json::Result<Node> {
        let origin = self.origin(raw);
        let own = raw.get();
        let value = match own.as_bytes().first() {
            Some(b'{') => {
                let Members(members) = serde_json::from_str(own)?;
                let entry = |(key, raw): (String, &'t RawValue)| -> serde_json::Result<Entry> {
                    Ok(Entry { key: mask(&key), origin: self.origin(raw), node: self.node(raw)? })
                };
                Value::Map(members.into_iter().map(entry).collect::<serde_json::Result<_>>()?)
            }
            Some(b'[') => {
                let items: Vec<&'t RawValue> = serde_json::from_str(own)?;
                Value::List(items.into_iter().map(|item| self.node(item)).collect::<serde_json::Result<_>>()?)
            }
            Some(b'"') => {
                let text: String = serde_json::from_str(own)?;
                Value::Scalar { text: mask(&text), plain: false }
            }
            _ => Value::Scalar { text: own.to_owned(), plain: true },
        };
        Ok(Node { origin, value })
    }

    /// Where a value that was read from this text stands.
    fn origin(&self, raw: &'t RawValue) -> Origin {
        let offset = (raw.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let line = self.newlines.partition_point(|newline| *newline < offset);
        let start =
            line.checked_sub(1).and_then(|line| self.newlines.get(line)).map_or(0, |newline| newline + 1);
        let before = self.text.get(start..offset).unwrap_or_default();
        Origin::File { line: line + 1, column: before.chars().count() + 1 }
    }
}

/// The members of an object, in their order.
struct Members<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
