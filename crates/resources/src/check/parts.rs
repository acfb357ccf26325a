//! What a message of the checks is about, so that a file's reader can point there.

use std::borrow::Cow;

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'m> {
    /// A member of an object.
    Member(Cow<'m, str>),
    /// An item of a list, from 0.
    Item(usize),
}

/// The steps into a document that a message of [`crate::check`] names, from the outside in. Not every one of them has to be
/// there: a message may name what is missing, or a member that only means something further out.
pub fn parts(message: &str) -> Vec<Part<'_>> {
    let (mut parts, mut rest) = (Vec::new(), message);
    while let Some((found, after)) = next(rest) {
        parts.extend(found);
        rest = after;
    }
    parts
}

/// How the checks name the next thing: what stands before and after its name.
type Form = (&'static str, &'static str, fn(&str) -> Option<Vec<Part<'_>>>);

const FORMS: [Form; 7] = [
    ("property \"", "\"", |name| Some(vec![Part::Member(name.into())])),
    // In another plugin's configuration there are no plugins.
    ("configuration of plugin ", " err:", |name| Some(plugin(name))),
    ("plugin [", "]", |name| Some(plugin(name))),
    (" info by ", " id [", |kind| Some(vec![Part::Member(format!("{}_id", kind.replace(' ', "_")).into())])),
    ("validate the '", "' expression", |name| Some(vec![Part::Member(name.into())])),
    ("", " is Lua,", |name| (!name.contains([' ', '.'])).then(|| vec![Part::Member(name.into())])),
    ("validate item ", ":", |number| {
        let number: usize = number.parse().ok()?;
        Some(vec![Part::Item(number.checked_sub(1)?)])
    }),
];

fn plugin(name: &str) -> Vec<Part<'_>> {
    vec![Part::Member("plugins".into()), Part::Member(name.into())]
}

/// The first thing that a message names, and what follows it.
fn next(message: &str) -> Option<(Vec<Part<'_>>, &str)> {
    let found = FORMS.iter().filter_map(|(before, after, read)| {
        let (start, rest) = message.split_once(before)?;
        let (name, rest) = rest.split_once(after)?;
        Some((start.len(), read(name)?, rest))
    });
    found.min_by_key(|(start, ..)| *start).map(|(_, parts, rest)| (parts, rest))
}
