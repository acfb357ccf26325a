//! JSON as the tree that YAML becomes, and that tree as JSON's values: what reads on has one form to look at.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value as Json};

use super::{Entry, MAX_DEPTH, Node, Origin, Problem, Value, join};

/// Reads a document of JSON; keys and texts go through `text`. A key that an object has twice is twice in the tree, see
/// [`super::duplicates`].
///
/// # Errors
/// It is no JSON, or nested too deeply.
pub fn parse_json(text: &str, each: &dyn Fn(String) -> String) -> Result<Node, Problem> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| json_problem(&error))?;
    let newlines = text.match_indices('\n').map(|(offset, _)| offset).collect();
    Text { text, newlines, each }.node(whole, 1)
}

/// What is wrong with a text that is no JSON, and where.
pub fn json_problem(error: &serde_json::Error) -> Problem {
    let origin = Origin::File { line: error.line().max(1), column: error.column().max(1) };
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    Problem { origin, path: String::new(), message: format!("not valid JSON: {message}") }
}

/// The tree as JSON: null, booleans and numbers where YAML 1.2 means them. Of a repeated key the last one counts.
/// Reports numbers that cannot be kept; `path` is the path of `node`.
pub fn to_json(node: &Node, path: &str, report: &mut dyn FnMut(Problem)) -> Json {
    match &node.value {
        Value::List(items) => {
            let items = items.iter().enumerate();
            items.map(|(index, item)| to_json(item, &format!("{path}[{index}]"), report)).collect()
        }
        Value::Map(entries) => {
            let members = entries
                .iter()
                .map(|entry| (entry.key.clone(), to_json(&entry.node, &join(path, &entry.key), report)));
            Json::Object(members.collect::<Map<_, _>>())
        }
        Value::Scalar { .. } if node.is_null() => Json::Null,
        Value::Scalar { text, .. } => {
            if let Some(flag) = node.boolean() {
                return Json::Bool(flag);
            }
            match number(node) {
                None => Json::String(text.clone()),
                Some(Some(number)) => Json::Number(number),
                Some(None) => {
                    let message = "this number is too large; quote it if it is text".to_owned();
                    report(Problem { origin: node.origin.clone(), path: path.to_owned(), message });
                    Json::Null
                }
            }
        }
    }
}

/// None where it is no number, and inside where it is one that cannot be kept.
fn number(node: &Node) -> Option<Option<Number>> {
    let Some(whole) = node.integer() else { return node.number().map(Number::from_f64) };
    let exact = u64::try_from(whole).map(Number::from).or_else(|_| i64::try_from(whole).map(Number::from));
    Some(exact.ok().or_else(|| Number::from_f64(whole as f64)))
}

struct Text<'t> {
    text: &'t str,
    newlines: Vec<usize>,
    each: &'t dyn Fn(String) -> String,
}

impl<'t> Text<'t> {
    fn node(&self, raw: &'t RawValue, depth: usize) -> Result<Node, Problem> {
        let origin = self.origin(raw);
        // It bounds every recursion over the tree, this one too.
        if depth > MAX_DEPTH {
            let message = "nested too deeply; a configuration needs a few levels".to_owned();
            return Err(Problem { origin, path: String::new(), message });
        }
        // The whole was read once; a part of it fails only where the whole did.
        let failed = |error: serde_json::Error| Problem { origin: origin.clone(), ..json_problem(&error) };
        let own = raw.get();
        let value = match own.as_bytes().first() {
            Some(b'{') => {
                let Members(members) = serde_json::from_str(own).map_err(failed)?;
                let entry = |(key, raw): (String, &'t RawValue)| -> Result<Entry, Problem> {
                    let node = self.node(raw, depth + 1)?;
                    Ok(Entry { key: (self.each)(key), origin: node.origin.clone(), node })
                };
                Value::Map(members.into_iter().map(entry).collect::<Result<_, _>>()?)
            }
            Some(b'[') => {
                let items: Vec<&'t RawValue> = serde_json::from_str(own).map_err(failed)?;
                let items = items.into_iter().map(|item| self.node(item, depth + 1));
                Value::List(items.collect::<Result<_, _>>()?)
            }
            Some(b'"') => {
                let text: String = serde_json::from_str(own).map_err(failed)?;
                Value::Scalar { text: (self.each)(text), plain: false }
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

#[cfg(test)]
mod tests {
    use super::super::{duplicates, parse};
    use super::*;

    #[test]
    fn json_becomes_a_tree_with_places_and_the_same_values() {
        let text =
            "{\"a\": [1, -2.5, 18446744073709551615],\n \"b\": {\"c\": \"1\", \"d\": null, \"e\": true}}";
        let root = parse_json(text, &|text| text).unwrap();
        let back = to_json(&root, "", &mut |problem| panic!("{problem:?}"));
        assert_eq!(back, serde_json::from_str::<Json>(text).unwrap());
        let inner = root.member("b").and_then(|entry| entry.node.member("e")).unwrap();
        assert_eq!(inner.node.origin, Origin::File { line: 2, column: 34 });
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
        for (text, line, message) in [
            ("{\"a\": }", 1, "not valid JSON: expected value"),
            ("", 1, "not valid JSON: EOF"),
            ("{\n\"a\": 1} x", 2, "not valid JSON: trailing characters"),
            (deep.as_str(), 1, "nested too deeply"),
        ] {
            let problem = parse_json(text, &|text| text).err().unwrap();
            assert!(problem.message.starts_with(message), "{text}: {problem:?}");
            assert!(
                matches!(problem.origin, Origin::File { line: found, .. } if found == line),
                "{problem:?}"
            );
        }
        let twice = parse_json("{\"a\": 1, \"a\": 2}", &|text| text).unwrap();
        let mut told = Vec::new();
        duplicates(&twice, "", &mut |problem| told.push(problem.path));
        assert_eq!(told, ["a"]);
    }

    #[test]
    fn numbers_that_cannot_be_kept_are_reported() {
        let root = parse("a: 1e999\nb: '1e999'\n", 1 << 20, |line, column| Origin::File { line, column });
        let mut told = Vec::new();
        to_json(&root.unwrap(), "", &mut |problem| told.push(problem.path));
        assert_eq!(told, ["a"]);
    }
}
