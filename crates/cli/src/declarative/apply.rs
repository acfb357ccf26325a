//! Carries changes out: first what others refer to, and what is deleted last and the other way round. The first failure
//! ends it, and says what was done.

use std::fmt::Write;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use ureq::http::Method;

use super::changes::{Change, Changes};
use super::sections::{self, Section, label};
use crate::client::Client;
use crate::errors::{Failure, Result};
use crate::kinds::Object;
use crate::session::Session;

/// How long is waited before a deletion is tried again that the gateway refuses because of something that is deleted
/// already: some gateways take a moment to notice.
const WAITS: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// It is new.
    Create,
    /// It is replaced.
    Update,
    /// It goes.
    Delete,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// What it is called once it is done.
    pub(super) fn past(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Update => "updated",
            Self::Delete => "deleted",
        }
    }
}

/// Something that was done.
pub(super) struct Done {
    /// In which section.
    pub(super) section: &'static Section,
    /// What.
    pub(super) verb: Verb,
    key: String,
}

/// Something to do.
struct Step<'c> {
    section: &'static Section,
    verb: Verb,
    key: &'c str,
    request: Request,
}

struct Request {
    method: Method,
    path: String,
    body: Option<Value>,
}

/// Does everything; a person sees each step.
pub(super) fn run(session: &mut Session<'_>, changes: &Changes) -> Result<Vec<Done>> {
    let client = session.client()?;
    let steps = steps(changes);
    let mut done: Vec<Done> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        if let Err(failure) = carry_out(&client, step) {
            return Err(broken_off(&failure, &done, steps.get(number..).unwrap_or_default()));
        }
        done.push(Done { section: step.section, verb: step.verb, key: step.key.to_owned() });
        if session.output_is_terminal {
            let (past, name) = (step.verb.past(), label(step.section, step.key));
            writeln!(session.errors, "✓ [{}/{}] {past} {name}", number + 1, steps.len())?;
        }
    }
    Ok(done)
}

fn steps(changes: &Changes) -> Vec<Step<'_>> {
    let order = || sections::written().into_iter().filter_map(move |section| changes.of(section));
    let mut steps = Vec::new();
    for own in order() {
        for change in &own.create {
            steps.push(Step::new(own.section, Verb::Create, change, put(own.section, change)));
        }
    }
    for own in order() {
        for (change, theirs) in &own.update {
            // The keys that are there stay: the gateway showed none that could be written back.
            let is_merged = own.section.hides_keys() && !change.object.contains_key("key");
            let request =
                if is_merged { merge(own.section, change, theirs) } else { put(own.section, change) };
            steps.push(Step::new(own.section, Verb::Update, change, request));
        }
    }
    for own in order().collect::<Vec<_>>().into_iter().rev() {
        for change in &own.delete {
            let request = Request { method: Method::DELETE, path: own.section.path(&change.key), body: None };
            steps.push(Step::new(own.section, Verb::Delete, change, request));
        }
    }
    steps
}

impl<'c> Step<'c> {
    fn new(section: &'static Section, verb: Verb, change: &'c Change, request: Request) -> Self {
        Self { section, verb, key: &change.key, request }
    }
}

fn put(section: &Section, change: &Change) -> Request {
    let body = Some(Value::Object(section.body(&change.object)));
    Request { method: Method::PUT, path: section.written_to(&change.key), body }
}

fn merge(section: &Section, change: &Change, theirs: &Object) -> Request {
    let body = merge_patch(&section.body(theirs), &section.body(&change.object));
    Request { method: Method::PATCH, path: section.path(&change.key), body: Some(Value::Object(body)) }
}

/// What has to be merged into `from` for it to become `to`; null takes a member away.
fn merge_patch(from: &Object, to: &Object) -> Object {
    let mut patch = Object::new();
    for (name, wanted) in to {
        match (from.get(name), wanted) {
            (Some(Value::Object(old)), Value::Object(new)) if !old.is_empty() && !new.is_empty() => {
                let inner = merge_patch(old, new);
                if !inner.is_empty() {
                    patch.insert(name.clone(), Value::Object(inner));
                }
            }
            (Some(old), wanted) if old == wanted => {}
            (_, wanted) => {
                patch.insert(name.clone(), wanted.clone());
            }
        }
    }
    let gone = from.keys().filter(|name| !to.contains_key(*name));
    patch.extend(gone.map(|name| (name.clone(), Value::Null)));
    patch
}

fn carry_out(client: &Client, step: &Step<'_>) -> Result<()> {
    let Request { method, path, body } = &step.request;
    let mut waits = WAITS.iter();
    loop {
        let failure = match client.send(method.clone(), path, &[], body.as_ref()) {
            Ok(_) => return Ok(()),
            Err(failure) => failure,
        };
        // Somebody else has deleted it.
        if step.verb == Verb::Delete && failure.status() == Some(404) {
            return Ok(());
        }
        let is_used = failure.status() == Some(400) && failure.to_string().contains("still using it");
        match waits.next().filter(|_| step.verb == Verb::Delete && is_used) {
            Some(wait) => thread::sleep(*wait),
            None => return Err(failure),
        }
    }
}

/// What the user has to know: what is done and what is not.
fn broken_off(failure: &Failure, done: &[Done], left: &[Step<'_>]) -> Failure {
    let mut text = String::new();
    // Writing to a string cannot fail.
    if let Some(failed) = left.first() {
        let name = label(failed.section, failed.key);
        let _ = write!(text, "failed to {} {name}: {failure}", failed.verb.name());
    }
    text.push_str(if done.is_empty() { "\napplied before that: nothing" } else { "\napplied before that:" });
    for done in done {
        let _ = write!(text, "\n- {} {}", done.verb.past(), label(done.section, &done.key));
    }
    // Without an answer the write may be there all the same: that must not be called not applied.
    let (unknown, left) = left.split_at(usize::from(failure.is_unanswered() && !left.is_empty()));
    for step in unknown {
        let name = label(step.section, step.key);
        let _ = write!(text, "\napplied or not, since no answer came:\n- {} {name}", step.verb.name());
    }
    if !left.is_empty() {
        text.push_str("\nnot applied:");
    }
    for step in left {
        let _ = write!(text, "\n- {} {}", step.verb.name(), label(step.section, step.key));
    }
    Failure::new(text).with_hint("put it right and run the same command again; it goes on from here")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_makes_one_document_of_the_other() {
        let cases = [
            (
                json!({"a": 1, "b": {"c": 1, "d": 2}}),
                json!({"a": 1, "b": {"c": 1}}),
                json!({"b": {"d": null}}),
            ),
            (json!({"a": 1}), json!({"b": [1]}), json!({"b": [1], "a": null})),
            (json!({"a": {"b": 1}}), json!({"a": {}}), json!({"a": {}})),
            (json!({"a": {"b": 1}}), json!({"a": {"b": 1}}), json!({})),
        ];
        for (from, to, expected) in cases {
            let patch = merge_patch(from.as_object().unwrap(), to.as_object().unwrap());
            assert_eq!(Value::Object(patch), expected, "{from} -> {to}");
        }
    }
}
