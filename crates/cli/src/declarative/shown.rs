//! Changes as they are printed.

use std::fmt::Write;

use serde_json::{Value, json};

use super::changes::{Change, Changes, SectionChanges};
use super::sections;
use crate::kinds::Object;

/// The changes as text: a line for each section, below it one for each object that differs.
pub(super) fn text(changes: &Changes) -> String {
    if changes.are_none() {
        return "No differences found.\n".to_owned();
    }
    let mut text = String::from("Differences found:\n");
    for own in sections::told().into_iter().filter_map(|section| changes.of(section)) {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}: create={} update={} delete={} unchanged={}",
            own.section.name,
            own.create.len(),
            own.update.len(),
            own.delete.len(),
            own.unchanged.len()
        );
        for (word, key) in lines(own) {
            let _ = writeln!(text, "  {word} {key}");
        }
    }
    text
}

/// What is done to which key.
pub(super) fn lines(own: &SectionChanges) -> impl Iterator<Item = (&'static str, &str)> {
    let create = own.create.iter().map(|change| ("CREATE", change.key.as_str()));
    let update = own.update.iter().map(|(change, _)| ("UPDATE", change.key.as_str()));
    let delete = own.delete.iter().map(|change| ("DELETE", change.key.as_str()));
    create.chain(update).chain(delete)
}

/// The changes as one object, empty lists left out.
pub(super) fn json(changes: &Changes) -> Value {
    let sections = changes.sections.iter().map(|own| {
        let update: Vec<Value> = own.update.iter().map(|(change, _)| entry(change)).collect();
        let mut object = Object::new();
        for (name, list) in [
            ("create", own.create.iter().map(entry).collect()),
            ("update", update),
            ("delete", own.delete.iter().map(entry).collect()),
            ("unchanged", own.unchanged.iter().map(|key| Value::from(key.as_str())).collect()),
        ] {
            if !list.is_empty() {
                object.insert(name.to_owned(), Value::Array(list));
            }
        }
        (own.section.name.to_owned(), Value::Object(object))
    });
    Value::Object(sections.collect())
}

fn entry(change: &Change) -> Value {
    json!({ "key": change.key, "value": change.object })
}
