//! All that is wrong with a resource, for who corrects a file: a request is told the first.

use serde_json::Value;

use super::{Part, References, at_most_one, check, parts, plugins, special};
use crate::{Catalogue, ConfKind, Kind, schema};

/// All that [`check`] may find wrong, one after the other mended, in its words. Empty where it finds nothing. What one
/// fault makes unreadable is not looked into: of a plugin that does not conform to its schema, no more than that is told.
pub fn faults(
    kind: Kind,
    id: Option<&str>,
    value: &Value,
    references: &dyn References,
    catalogue: &dyn Catalogue,
) -> Vec<String> {
    let Err(first) = check(kind, id, value, references, catalogue) else { return Vec::new() };
    let mut rest = value.clone();
    let mut found = Vec::new();
    if kind == Kind::Route {
        for (single, several) in [("host", "hosts"), ("remote_addr", "remote_addrs")] {
            if let Err(why) = at_most_one(&rest, single, several) {
                found.push(why);
                if let Some(members) = rest.as_object_mut() {
                    members.shift_remove(several);
                }
            }
        }
    }
    let violations = schema::of(kind).map(|schema| schema.violations(&rest)).unwrap_or_default();
    for why in violations {
        forget(&mut rest, &why);
        found.push(format!("invalid configuration: {why}"));
    }
    let (holder, prefix) = match kind {
        Kind::Consumer | Kind::Credential => (ConfKind::Consumer, "invalid plugins configuration: "),
        _ => (ConfKind::Route, ""),
    };
    if kind != Kind::PluginMetadata {
        for (name, why) in plugins::faults(&rest, holder, catalogue) {
            found.push(format!("{prefix}{why}"));
            if let Some(plugins) = rest.get_mut("plugins").and_then(Value::as_object_mut) {
                plugins.shift_remove(&name);
            }
        }
    }
    // What refers to something, and what no schema says: such members do not ask for each other.
    while let Err(why) = special(kind, id, &rest, references, catalogue) {
        let is_forgotten = forget(&mut rest, &why);
        if !found.contains(&why) {
            found.push(why);
        }
        if !is_forgotten {
            break;
        }
    }
    if found.is_empty() {
        found.push(first);
    }
    found
}

/// Takes away what a message is about, as far inside as it is there; false where that is nothing or the whole.
fn forget(value: &mut Value, message: &str) -> bool {
    let mut steps = Vec::new();
    let mut place = &*value;
    for part in parts(message) {
        let inner = match &part {
            Part::Member(name) => place.get(&**name),
            Part::Item(index) => place.get(*index),
        };
        if let Some(inner) = inner {
            place = inner;
            steps.push(part);
        }
    }
    let Some((last, outer)) = steps.split_last() else { return false };
    let mut place = value;
    for step in outer {
        let inner = match step {
            Part::Member(name) => place.get_mut(&**name),
            Part::Item(index) => place.get_mut(*index),
        };
        let Some(inner) = inner else { return false };
        place = inner;
    }
    match (place, last) {
        (Value::Object(members), Part::Member(name)) => members.shift_remove(&**name).is_some(),
        // The others keep their numbers.
        (Value::Array(items), Part::Item(index)) => {
            items.get_mut(*index).is_some_and(|item| !std::mem::replace(item, Value::Null).is_null())
        }
        _ => false,
    }
}
