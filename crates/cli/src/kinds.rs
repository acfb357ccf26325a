//! The table of resource kinds. A kind is a row: what it is called, where it lives in the Admin API, how it is written,
//! what its list shows and in which order its fields print. Nothing outside this folder names a kind.

mod cells;
mod shapes;
mod table;

use serde_json::{Map, Value};

use crate::client::escape;
use crate::errors::{Failure, Result};

pub(crate) use table::KINDS;

/// A resource as the Admin API holds it.
pub(crate) type Object = Map<String, Value>;

/// One kind of resource.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The command word, as in `a6 route`.
    pub(crate) command: &'static str,
    /// Other words for it: what people type who know the section of the declarative file or the path of the API.
    pub(crate) aliases: &'static [&'static str],
    /// One of them in a prompt: `Delete proto 1?`.
    pub(crate) singular: &'static str,
    /// One of them in a sentence, with its article: `a proto definition`.
    pub(crate) one: &'static str,
    /// One of them at the start of a sentence.
    pub(crate) title: &'static str,
    /// Several of them in a sentence.
    pub(crate) plural: &'static str,
    /// Path of the collection on the Admin API; `{owner}` stands for whose it is.
    pub(crate) path: &'static str,
    /// The kind (and flag) whose object owns these.
    pub(crate) owner: Option<&'static str>,
    /// The member that holds the id.
    pub(crate) identity: &'static str,
    /// What the id is called in messages and help.
    pub(crate) id_name: &'static str,
    /// Of how many segments, divided by `/`, an id consists.
    pub(crate) id_segments: usize,
    /// How one is created.
    pub(crate) create: Create,
    /// How `update` writes a document.
    pub(crate) update: Update,
    /// Whether the Admin API merges (PATCH); elsewhere the command line does.
    pub(crate) has_patch: bool,
    /// Paths of objects that are one value each: a merge replaces them, it does not join them.
    pub(crate) whole: &'static [&'static [&'static str]],
    /// Whether there is a `list`.
    pub(crate) has_list: bool,
    /// Whether many are deleted and exported at once.
    pub(crate) has_bulk: bool,
    /// Whether the Control API tells the health of one.
    pub(crate) has_health: bool,
    /// The question before a deletion and the line after it, where they are not the usual ones; with `{id}` and `{owner}`.
    pub(crate) deletion: Option<[&'static str; 2]>,
    /// What a line of the picker says; without it there is no picker and the id must be given.
    pub(crate) pick: Option<fn(&Item) -> String>,
    /// Flags of `list` that become query parameters.
    pub(crate) filters: &'static [&'static str],
    /// Columns of the table that `list` prints.
    pub(crate) columns: &'static [Column],
    /// Order in which the fields print.
    pub(crate) shape: &'static Shape,
    /// A document that the help shows.
    pub(crate) example: &'static str,
    /// The id that goes with it in the help's other lines.
    pub(crate) example_id: &'static str,
}

/// How an object of a kind is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Create {
    /// POST to the collection, or PUT to its own path for a document that brings its id.
    PostOrPut,
    /// PUT to its own path; the document must bring the id.
    PutById,
    /// PUT to the collection; the document names itself.
    PutToCollection,
    /// PUT to its own path; the id is an argument, or one of these members of the document, which is then taken out.
    PutByArgument(&'static [&'static str]),
}

/// How `update` writes a document when no flag says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// It always merges.
    Merge,
    /// It replaces when the document has at least one member of each group, and merges otherwise.
    ReplaceWith(&'static [&'static [&'static str]]),
}

/// One column of a table.
#[derive(Debug)]
pub(crate) struct Column {
    /// Heading, in upper case.
    pub(crate) title: &'static str,
    /// What the cell says about an object; empty when the object has nothing to say.
    pub(crate) cell: fn(&Item) -> String,
}

/// The order in which an object's fields print; unknown fields follow in alphabetical order.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Names of the known fields.
    pub(crate) fields: &'static [&'static str],
    /// Those fields that are objects with an order of their own.
    pub(crate) nested: &'static [(&'static str, &'static Shape)],
}

/// An object of a list.
#[derive(Debug)]
pub(crate) struct Item {
    /// Its id; empty when neither the object nor its key says one.
    pub(crate) id: String,
    /// The object.
    pub(crate) object: Object,
}

impl Item {
    /// Reads an item of a list answer, `{key, value, ...}`; none when it has no object.
    pub(crate) fn read(kind: &Kind, item: &Value) -> Option<Self> {
        let object = item.get("value")?.as_object()?.clone();
        let key = item.get("key").and_then(Value::as_str).unwrap_or_default();
        let of_object = object.get(kind.identity).and_then(scalar);
        let id = of_object.filter(|id| id.split('/').count() == kind.id_segments);
        Some(Item { id: id.unwrap_or_else(|| last_segments(key, kind.id_segments)), object })
    }
}

fn last_segments(key: &str, count: usize) -> String {
    let segments: Vec<&str> = key.split('/').collect();
    segments.get(segments.len().saturating_sub(count)..).unwrap_or_default().join("/")
}

/// Where objects of a kind are: the kind and, where it has one, the owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The kind.
    pub(crate) kind: &'static Kind,
    /// Whose they are.
    pub(crate) owner: Option<&'a str>,
}

impl Place<'_> {
    /// Path of the collection.
    pub(crate) fn collection(&self) -> String {
        self.kind.path.replace("{owner}", &escape(self.owner.unwrap_or_default()))
    }

    /// Path of one object. Fails when the id has not the kind's form.
    pub(crate) fn object(&self, id: &str) -> Result<String> {
        let segments: Vec<&str> = id.split('/').collect();
        let kind = self.kind;
        if kind.id_segments > 1 && (segments.len() != kind.id_segments || segments.contains(&"")) {
            return Err(Failure::new(format!(
                "invalid {} id {id:?}: expected {}",
                kind.singular, kind.id_name
            ))
            .with_hint(format!("write it like {}", kind.example_id)));
        }
        let escaped = if kind.id_segments > 1 {
            segments.into_iter().map(escape).collect::<Vec<_>>().join("/")
        } else {
            escape(id)
        };
        Ok(format!("{}/{escaped}", self.collection()))
    }
}

/// The kind behind a command word.
pub(crate) fn by_command(word: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.command == word)
}

/// Whether the word is only another word for a kind.
pub(crate) fn is_alias(word: &str) -> bool {
    KINDS.iter().any(|kind| kind.aliases.contains(&word))
}

/// A scalar as a cell: strings bare, numbers and booleans as they are, anything else empty.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
