//! What is wrong with a file: as a file, and, with the gateway's own schemas, as resources. Everything is told, each with its
//! place.

use std::collections::HashSet;

use a6_codec::yaml::{Cursor, Node, Origin, Problem};
use a6_resources::{
    Catalogue, Configuration, Kind, Part, credential_id, each_own_secret, each_secret, id_text, parts,
    split_credential_id,
};
use serde_json::Value;

use super::document::{Document, Item, located};
use super::same;
use super::sections::{Identity, SECTIONS, Section};
use crate::errors::{Failure, Result};
use crate::kinds::Object;

/// What a gateway shows in the place of a secret that it cannot show.
const MASK: &str = "***";
/// Passes for a secret that is not in the file, since no check looks behind a reference.
const ELSEWHERE: &str = "$env://NOT_IN_THE_FILE";

/// Fails with all that is wrong, in the order of the file.
pub(super) fn outcome(document: &Document, mut faults: Vec<Problem>) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    faults.sort_by_key(|fault| match fault.origin {
        Origin::File { line, column } => (line, column),
        Origin::Named(_) => (0, 0),
    });
    let mut text = String::from("config validation failed:");
    let mut told = HashSet::new();
    for fault in &faults {
        let line = located(&document.name, fault);
        if told.insert(line.clone()) {
            text.push_str("\n- ");
            text.push_str(&line);
        }
    }
    Err(Failure::new(text))
}

/// What is wrong with the file, whatever gateway it is for: version, names, names that are there twice.
pub(super) fn structure(document: &Document) -> Vec<Problem> {
    let mut faults = document.problems.clone();
    let version = document.version.as_ref().filter(|node| node.text().is_some_and(|text| !text.is_empty()));
    let wrong = match version.map(|node| (node, node.text())) {
        None => Some((Origin::File { line: 1, column: 1 }, "version is required")),
        Some((_, Some("1"))) => None,
        Some((node, _)) => Some((node.origin.clone(), "version must be \"1\"")),
    };
    faults.extend(wrong.map(|(origin, message)| Problem {
        origin,
        path: String::new(),
        message: message.to_owned(),
    }));
    let mut seen = HashSet::new();
    for (section, item) in document.items() {
        if section.kind == Some(Kind::Route) && !has_uri(&item.object) {
            faults.push(fault(section, item, None, "either uri or uris is required".to_owned()));
        }
        let named = name_fault(section, &item.object);
        let repeated = || {
            let key = section.key(&item.object).ok()?;
            let is_new = seen.insert((section.name, key));
            let (member, value) = last_name(section, &item.object)?;
            (!is_new).then(|| (member, format!("duplicate {member} {value:?}")))
        };
        if let Some((member, message)) = named.or_else(repeated) {
            faults.push(fault(section, item, Some(member), message));
        }
    }
    faults
}

/// What keeps objects from being told apart: diff and sync need their names.
pub(super) fn identities(document: &Document) -> Vec<Problem> {
    let unnamed = document.items().filter_map(|(section, item)| {
        let why = section.key(&item.object).err()?;
        Some(fault(section, item, None, why))
    });
    unnamed.collect()
}

/// Secrets in whose place there is the mask of one: written, it would be the secret.
pub(super) fn masks(document: &Document, catalogue: &dyn Catalogue) -> Vec<Problem> {
    let mut faults = Vec::new();
    for (section, item) in document.items() {
        let Some(kind) = section.kind else { continue };
        let id = section.key(&item.object).unwrap_or_default();
        let mut value = Value::Object(item.object.clone());
        each_secret(kind, &id, &mut value, catalogue, &mut |path, secret| {
            if secret.as_str() == Some(MASK) {
                let cursor = reach(section, item, path.split('.'));
                let message =
                    format!("{MASK} stands for a secret that was hidden; write the secret, or a reference");
                faults.push(Problem { origin: cursor.origin, path: cursor.path, message });
            }
        });
    }
    faults
}

/// What the gateway would refuse, by its schemas and plugins; `structure` are the faults that are known already.
pub(super) fn resources(
    document: &Document,
    structure: &[Problem],
    catalogue: &dyn Catalogue,
) -> Vec<Problem> {
    let mut faults = masks(document, catalogue);
    let mut configuration = Configuration::default();
    let mut seen = HashSet::new();
    for (section, item) in document.items() {
        let Some(kind) = section.kind else {
            let message = "stream mode is disabled, can not add stream routes".to_owned();
            faults.push(fault(section, item, None, message));
            continue;
        };
        // Without a name nothing is known of it but that it has none.
        let Some(mut value) = resource(kind, section, &item.object) else { continue };
        let is_repeated = section.key(&item.object).is_ok_and(|key| !seen.insert((section.name, key)));
        match section.identity {
            // Else the one that has the same name would not be looked at.
            Identity::Id if is_repeated => value["id"] = Value::from(format!("repeated_{}", item.index)),
            _ if is_repeated => continue,
            _ => {}
        }
        let kind = if kind == Kind::Credential { Kind::Consumer } else { kind };
        configuration.add(kind, item.index, value);
    }
    // A section that is not in the file may be in the gateway.
    let absent = SECTIONS.iter().filter(|section| !document.has(section));
    let elsewhere: Vec<Kind> = absent.filter_map(|section| section.kind).collect();
    for told in configuration.faults(&elsewhere, catalogue) {
        let is_credential = told.collection == "consumers" && split_credential_id(&told.id).is_some();
        let is_meant = |section: &Section| {
            section.collection == told.collection
                && (section.identity == Identity::Credential) == is_credential
        };
        let found = document.items().find(|(section, item)| is_meant(section) && item.index == told.index);
        let Some((section, item)) = found else { continue };
        let own = format!("{}[{}]", section.name, item.index);
        let (origin, path) = deepest(&item.node, own.clone(), &told.reason);
        // The same in the words of a schema: a name that is wrong, and what is missing.
        let is_name = section.named_by().iter().any(|name| path.ends_with(&format!(".{name}")));
        let is_known = structure.iter().any(|known| {
            known.path == own && (is_name || (path == own && known.message.ends_with("is required")))
        });
        if !is_known {
            faults.push(Problem { origin, path, message: told.reason });
        }
    }
    faults
}

/// The object as the gateway checks it; none where it has no name that the gateway needs.
fn resource(kind: Kind, section: &Section, object: &Object) -> Option<Value> {
    let key = section.key(object).ok();
    let mut body = section.body(object);
    match section.identity {
        Identity::Id => {}
        Identity::Username | Identity::Secret => {
            key?;
        }
        Identity::Plugin => {
            body.insert("id".to_owned(), Value::from(key?));
        }
        Identity::Credential => {
            let key = key?;
            let (consumer, id) = key.split_once('/')?;
            body.insert("id".to_owned(), Value::from(credential_id(consumer, id)));
        }
    }
    if kind == Kind::Ssl {
        // A dump has no keys, since no gateway shows them; a sync leaves those that are there.
        if !body.contains_key("key") {
            body.insert("key".to_owned(), Value::from(ELSEWHERE));
        }
        if let (Some(Value::Array(certs)), None) = (body.get("certs"), body.get("keys")) {
            let keys = vec![Value::from(ELSEWHERE); certs.len()];
            body.insert("keys".to_owned(), Value::Array(keys));
        }
    }
    let mut value = Value::Object(body);
    each_own_secret(kind, &mut value, &mut |_, secret| {
        if secret.as_str().is_some_and(same::is_sealed) {
            *secret = Value::from(ELSEWHERE);
        }
    });
    Some(value)
}

/// What is wrong with how an object is called, and with which member of it.
fn name_fault(section: &Section, object: &Object) -> Option<(&'static str, String)> {
    let text = |member: &str| object.get(member).and_then(id_text);
    let checked = |member: &'static str| {
        let value = text(member).filter(|value| !is_name(value))?;
        Some((member, format!("invalid {member} {value:?}")))
    };
    let required = |member: &'static str| {
        let is_blank = text(member).is_none_or(|value| value.trim().is_empty());
        is_blank.then(|| (member, format!("{member} is required")))
    };
    match section.identity {
        Identity::Id => checked("id"),
        Identity::Username => required("username").or_else(|| checked("username")),
        Identity::Credential => {
            required("consumer").or_else(|| checked("consumer")).or_else(|| checked("id"))
        }
        Identity::Secret => {
            let id = text("id")?;
            let is_right = id.split_once('/').is_some_and(|(manager, own)| is_name(manager) && is_name(own));
            (!is_right).then(|| ("id", format!("invalid id {id:?}")))
        }
        Identity::Plugin => match object.get("plugin_name") {
            None => Some(("plugin_name", "plugin_name is required".to_owned())),
            Some(Value::String(name)) if !name.trim().is_empty() => checked("plugin_name"),
            Some(_) => Some(("plugin_name", "plugin_name must be a non-empty string".to_owned())),
        },
    }
}

/// The member by which objects of a section differ, and its text.
fn last_name(section: &Section, object: &Object) -> Option<(&'static str, String)> {
    let member = section.named_by().last().copied()?;
    Some((member, object.get(member).and_then(id_text)?))
}

fn is_name(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&text.len()) && text.chars().all(is_letter)
}

fn has_uri(route: &Object) -> bool {
    let is_written = |value: &Value| value.as_str().is_none_or(|text| !text.trim().is_empty());
    let uris = route.get("uris").and_then(Value::as_array).into_iter().flatten();
    route.get("uri").into_iter().chain(uris).any(is_written)
}

/// A fault of an object, or of that member, whose name the message has.
fn fault(section: &Section, item: &Item, member: Option<&str>, message: String) -> Problem {
    let origin = reach(section, item, member.into_iter()).origin;
    Problem { origin, path: format!("{}[{}]", section.name, item.index), message }
}

/// Goes to a member of an object, as far as it is there.
fn reach<'d, 's>(section: &Section, item: &'d Item, steps: impl Iterator<Item = &'s str>) -> Cursor<'d> {
    let mut cursor = Cursor::at(&item.node, format!("{}[{}]", section.name, item.index));
    steps.for_each(|step| cursor.member(step));
    cursor
}

/// The deepest place that a message of the gateway's checks is about.
fn deepest(node: &Node, path: String, message: &str) -> (Origin, String) {
    let mut cursor = Cursor::at(node, path);
    for part in parts(message) {
        match part {
            Part::Member(name) => cursor.member(&name),
            Part::Item(index) => cursor.item(index),
        }
    }
    (cursor.origin, cursor.path)
}
