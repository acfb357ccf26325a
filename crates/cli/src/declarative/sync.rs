//! `a6 config sync`: a gateway gets what a file says. What would be lost is said before it is.

use std::fmt::Write;

use a6_codec::yaml::{Origin, Problem};

use super::apply::{self, Done, Verb};
use super::changes::{Changes, SectionChanges};
use super::document::Document;
use super::{check, compared, sections, shown};
use crate::errors::{Failure, Result};
use crate::session::Session;

/// Makes the gateway have what the file says; `delete` is what the user said of deleting.
pub(super) fn run(session: &mut Session<'_>, file: &str, dry_run: bool, delete: Option<bool>) -> Result<()> {
    let (document, mut changes) = compared(session, file)?;
    if dry_run {
        return Ok(write!(session.output, "{}", shown::text(&changes))?);
    }
    let mut faults = check::masks(&document, &*(session.catalogue)());
    faults.extend(keyless(&document, &changes));
    check::outcome(&document, faults)?;
    if delete == Some(false) {
        changes.sections.iter_mut().for_each(|own| own.delete.clear());
    }
    if session.input_is_terminal {
        if !agreed(session, &changes)? {
            return Ok(());
        }
    } else if delete.is_none() && !session.flags.force {
        refuse_emptied(&document, &changes)?;
    }
    let done = apply::run(session, &changes)?;
    let told = sections::told().into_iter().filter_map(|section| changes.of(section));
    Ok(write!(session.output, "{}", summary(told, &done))?)
}

/// Shows the plan, and asks where something is deleted.
fn agreed(session: &mut Session<'_>, changes: &Changes) -> Result<bool> {
    let mut deleted = 0;
    for own in sections::told().into_iter().filter_map(|section| changes.of(section)) {
        for (word, key) in shown::lines(own) {
            writeln!(session.errors, "{word} {}", sections::label(own.section, key))?;
        }
        deleted += own.delete.len();
    }
    if deleted == 0 {
        return Ok(true);
    }
    let noun = if deleted == 1 { "object" } else { "objects" };
    session.confirm(&format!("Delete {deleted} {noun} that the file does not have?"))
}

/// A section that a file does not name at all was more likely forgotten than meant to be emptied.
fn refuse_emptied(document: &Document, changes: &Changes) -> Result<()> {
    let emptied = |own: &&SectionChanges| !own.is_given && !own.delete.is_empty();
    let mut text = String::new();
    for own in sections::told().into_iter().filter_map(|section| changes.of(section)).filter(emptied) {
        let keys: Vec<&str> = own.delete.iter().map(|change| change.key.as_str()).collect();
        // Writing to a string cannot fail.
        let _ = write!(text, "\n- {}: {}", own.section.name, keys.join(", "));
    }
    if text.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "nothing was changed: {} has no section for these, so everything in them would be deleted:{text}",
        document.name
    ))
    .with_hint(
        "--delete=true or --force deletes them, --delete=false keeps them; `a6 config dump` has all sections",
    ))
}

/// Certificates that the gateway does not have, and that it cannot be given without their keys.
fn keyless(document: &Document, changes: &Changes) -> Vec<Problem> {
    let mut faults = Vec::new();
    for own in changes.sections.iter().filter(|own| own.section.hides_keys()) {
        for change in own.create.iter().filter(|change| !change.object.contains_key("key")) {
            let mut items = document.items().filter(|(section, _)| section.name == own.section.name);
            let item = items.find(|(section, item)| section.key(&item.object).as_ref() == Ok(&change.key));
            let (origin, index) = match item {
                Some((_, item)) => (item.node.origin.clone(), item.index),
                None => (Origin::File { line: 1, column: 1 }, 0),
            };
            faults.push(Problem {
                origin,
                path: format!("{}[{index}]", own.section.name),
                message: format!(
                    "the gateway has no certificate {:?}, and the file has no key for it; add \"key\", since no gateway \
                     shows one",
                    change.key
                ),
            });
        }
    }
    faults
}

fn summary<'c>(told: impl Iterator<Item = &'c SectionChanges>, done: &[Done]) -> String {
    let mut text = String::from("Sync completed:\n");
    for own in told {
        let count = |verb: Verb| {
            let is_own = |done: &&Done| done.section.name == own.section.name && done.verb == verb;
            done.iter().filter(is_own).count()
        };
        let (created, updated, deleted) = (count(Verb::Create), count(Verb::Update), count(Verb::Delete));
        let name = own.section.name;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}: created={created} updated={updated} deleted={deleted}");
    }
    text
}
