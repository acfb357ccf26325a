//! `update`: a whole document replaces what is there, a part of one is merged into it. What a whole document has stands
//! in the row of its kind; `--merge` and `--replace` decide where that guess is wrong. Where the Admin API does not
//! merge, it is done here, and a write in between by somebody else makes it fail instead of getting lost.

use std::mem;

use serde_json::{Map, Value};
use ureq::http::Method;

use crate::client::Client;
use crate::errors::{Failure, Result};
use crate::kinds::{Create, Object, Place, Update};
use crate::session::Session;
use crate::{output, pick, resource};

/// What the flags ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Merge,
    Replace,
}

/// The mode that `--merge` and `--replace` name, if they do.
pub(crate) fn mode(merge: bool, replace: bool) -> Result<Option<Mode>> {
    match (merge, replace) {
        (true, true) => Err(Failure::new("--merge and --replace are mutually exclusive")),
        (true, false) => Ok(Some(Mode::Merge)),
        (false, true) => Ok(Some(Mode::Replace)),
        (false, false) => Ok(None),
    }
}

/// Writes the document of a file to one object, and prints the object.
pub(crate) fn run(
    session: &mut Session<'_>,
    place: Place<'_>,
    id: Option<String>,
    file: Option<String>,
    mode: Option<Mode>,
) -> Result<()> {
    let file = resource::required_file(file)?;
    let id = pick::id(session, place, id)?;
    let path = place.object(&id)?;
    let format = output::object_format(session)?;
    let client = session.client()?;
    let mut document = resource::read_document(session, &file)?;
    resource::drop_own_name(place.kind, &id, &mut document);
    let answer = match mode.unwrap_or_else(|| usual(place, &document)) {
        Mode::Replace => replace(&client, place, &id, &path, document),
        Mode::Merge if place.kind.has_patch => patch(&client, place, &path, document),
        Mode::Merge => merge_here(&client, place, &path, document),
    };
    resource::print_value(session, place.kind, answer?, format)
}

/// What the document looks like: a whole one, or a part.
fn usual(place: Place<'_>, document: &Object) -> Mode {
    match place.kind.update {
        Update::Merge => Mode::Merge,
        Update::ReplaceWith(groups) => {
            let whole = groups.iter().all(|names| names.iter().any(|name| document.contains_key(*name)));
            if whole { Mode::Replace } else { Mode::Merge }
        }
    }
}

fn replace(client: &Client, place: Place<'_>, id: &str, path: &str, mut document: Object) -> Result<Value> {
    let collection = place.collection();
    let path = match place.kind.create {
        // These are written to their collection and name themselves: by the argument, whatever the file says.
        Create::PutToCollection => {
            document.insert(place.kind.identity.to_owned(), Value::from(id));
            collection.as_str()
        }
        _ => path,
    };
    client.json(Method::PUT, path, &[], Some(&Value::Object(document))).map_err(|failure| {
        // Merging does not help where another object is named.
        if failure.status() == Some(400) && !failure.to_string().contains("): wrong ") {
            failure.or_hint(
                "the document replaces all that is there; --merge changes only the members that it has",
            )
        } else {
            failure
        }
    })
}

fn patch(client: &Client, place: Place<'_>, path: &str, mut document: Object) -> Result<Value> {
    if place.kind.whole.iter().any(|way| object_at(&document, way).is_some()) {
        let stored = client.json(Method::GET, path, &[], None)?;
        if let Some(stored) = stored.get("value").and_then(Value::as_object) {
            for way in place.kind.whole {
                drop_what_is_not_named(&mut document, stored, way);
            }
        }
    }
    client.json(Method::PATCH, path, &[], Some(&Value::Object(document)))
}

/// Lets a merge replace the object at `way`: what is stored there and not named becomes null, which removes it. An
/// object that has nulls of its own is a change that somebody wrote as one, and stays.
fn drop_what_is_not_named(document: &mut Object, stored: &Object, way: &[&str]) {
    let Some(old) = object_at(stored, way) else { return };
    let Some(new) = object_at_mut(document, way) else { return };
    if new.values().any(Value::is_null) {
        return;
    }
    for name in old.keys() {
        if !new.contains_key(name) {
            new.insert(name.clone(), Value::Null);
        }
    }
}

fn object_at<'v>(object: &'v Object, way: &[&str]) -> Option<&'v Object> {
    let (first, rest) = way.split_first()?;
    let inner = object.get(*first)?.as_object()?;
    if rest.is_empty() { Some(inner) } else { object_at(inner, rest) }
}

fn object_at_mut<'v>(object: &'v mut Object, way: &[&str]) -> Option<&'v mut Object> {
    let (first, rest) = way.split_first()?;
    let inner = object.get_mut(*first)?.as_object_mut()?;
    if rest.is_empty() { Some(inner) } else { object_at_mut(inner, rest) }
}

fn merge_here(client: &Client, place: Place<'_>, path: &str, mut document: Object) -> Result<Value> {
    let mut stored = client.json(Method::GET, path, &[], None)?;
    let modified = stored.get("modifiedIndex").and_then(Value::as_u64);
    let Some(Value::Object(mut value)) = stored.get_mut("value").map(Value::take) else {
        return Err(Failure::new("failed to parse response: it has no object in \"value\""));
    };
    for time in resource::TIMES {
        value.shift_remove(time);
    }
    if let Create::PutByArgument(names) = place.kind.create {
        // The server adds it to what it shows.
        value.retain(|name, _| !names.contains(&name.as_str()));
    }
    for way in place.kind.whole {
        drop_what_is_not_named(&mut document, &value, way);
    }
    merge(&mut value, document);
    client.replace_unchanged(path, &Value::Object(value), modified)
}

/// Merges as the Admin API does: objects member by member, null removes, all else replaces; an empty object empties.
fn merge(target: &mut Map<String, Value>, changes: Map<String, Value>) {
    for (name, change) in changes {
        match change {
            Value::Null => {
                target.shift_remove(&name);
            }
            Value::Object(new) => {
                let mut merged = match target.get_mut(&name) {
                    Some(Value::Object(old)) if !new.is_empty() => mem::take(old),
                    _ => Map::new(),
                };
                merge(&mut merged, new);
                target.insert(name, Value::Object(merged));
            }
            change => {
                target.insert(name, change);
            }
        }
    }
}

#[cfg(test)]
mod tests;
