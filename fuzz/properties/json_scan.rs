//! The scanner takes what serde_json's grammar takes, in slices as in one go, and a splice is the edit of the tree that
//! leaves every other member's bytes alone. A walk over one level finds what the scanner finds.
//!
//! An input is a line of choices (lengths of slices, and edits), then the text. serde_json judges by `RawValue`, which
//! has no opinion on the range of numbers, on nesting, or on a `\u` escape that is half a character, as the scanner.

use std::borrow::Cow;
use std::ops::Range;

use a6_codec::json::{Document, Edit, JsonError, Member, Root, Scanner, items_of, members_of, merge, splice};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::cuts::{first_line, number};

/// The scanner's own limit.
const MAX_DEPTH: usize = 1000;
/// A key that needs an escape and is seldom there.
const NEW_KEY: &str = "new\"key";
const MOST_EDITS: usize = 8;
/// What members are set to.
static VALUES: [&str; 4] = ["null", "[0]", r#"{"a":"b\n"}"#, "-1.5"];

fn scan_in_slices(sizes: &[u8], text: &[u8]) -> Result<Document, JsonError> {
    let mut scanner = Scanner::new();
    let mut sizes = sizes.iter().map(|size| number(*size).max(1));
    loop {
        if let Some(document) = scanner.advance(text, sizes.next().unwrap_or(1))? {
            return Ok(document);
        }
    }
}

fn parts(document: &Document) -> (Root, &[Member], Range<usize>) {
    (document.root, &document.members, document.span.clone())
}

fn check_verdict(scanned: &Result<Document, JsonError>, text: &[u8]) {
    let theirs = serde_json::from_slice::<&RawValue>(text);
    match scanned {
        Ok(_) => assert!(theirs.is_ok(), "taken, but serde_json says {theirs:?}"),
        Err(error) if error.what.starts_with("nested") => {
            let opened = text.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
            assert!(opened > MAX_DEPTH, "{error}, with {opened} levels at most");
        }
        Err(error) => {
            assert!(theirs.is_err(), "{error}, but serde_json takes it");
            assert!((1..=text.len() + 1).contains(&error.at), "{error}, outside of the text");
        }
    }
}

/// A walk over one level finds what the scan found.
fn check_walk(document: &Document, text: &[u8]) {
    let members = members_of(text).map(|found| found.collect::<Vec<_>>());
    assert_eq!(members.as_ref(), (document.root == Root::Object).then_some(&document.members));
    let items = items_of(text).map(|found| {
        found
            .inspect(|item| assert!(Document::scan(&text[item.clone()]).is_ok(), "an item at {item:?}"))
            .count()
    });
    let expected = match document.root {
        Root::Array { items } => Some(items),
        Root::Object | Root::Scalar => None,
    };
    assert_eq!(items, expected);
}

fn edits<'k>(choices: &[u8], keys: &[&'k str]) -> Vec<Edit<'k>> {
    let edit = |choice: &u8| {
        let choice = number(*choice);
        let kinds = VALUES.len() + 1;
        let key = keys.get(choice / kinds % (keys.len() + 1)).copied().unwrap_or(NEW_KEY);
        match VALUES.get(choice % kinds) {
            Some(value) => Edit::Set(key, Cow::Borrowed(value.as_bytes())),
            None => Edit::Remove(key),
        }
    };
    choices.iter().take(MOST_EDITS).map(edit).collect()
}

/// Key and value of the members that no edit concerns, as they stand in the text.
fn untouched<'t>(text: &'t [u8], document: &Document, edits: &[Edit<'_>]) -> Vec<(&'t [u8], &'t [u8])> {
    let is_edited = |member: &Member| {
        edits.iter().any(|edit| {
            let (Edit::Set(key, _) | Edit::Remove(key)) = edit;
            member.is(text, key)
        })
    };
    let left = document.members.iter().filter(|member| !is_edited(member));
    left.map(|member| (&text[member.key.clone()], &text[member.value.clone()])).collect()
}

/// Holds an input to the property.
pub(crate) fn property(input: &[u8]) {
    let (choices, text) = first_line(input);
    let scanned = Document::scan(text);
    check_verdict(&scanned, text);
    let sliced = scan_in_slices(choices, text);
    // Which of two faults is met first depends on the slices; that there is one does not.
    assert_eq!(scanned.as_ref().ok().map(parts), sliced.as_ref().ok().map(parts), "whole and in slices");

    if let Ok(document) = &scanned {
        check_walk(document, text);
    }

    // A number out of range or half a character have no tree, and no other text is an object.
    let (Ok(document), Ok(Value::Object(tree))) = (scanned, serde_json::from_slice(text)) else { return };
    for (key, value) in &tree {
        let found = document.get(text, key).and_then(|raw| serde_json::from_slice::<Value>(raw).ok());
        assert_eq!(found.as_ref(), Some(value), "the member {key:?}");
    }
    assert_eq!(merge(text, &Value::Object(tree.clone()), false), None, "filled up with what it has");
    assert_eq!(splice(text, &document, &[]), text, "without an edit");

    let keys: Vec<&str> = tree.keys().map(String::as_str).collect();
    let edits = edits(choices, &keys);
    let spliced = splice(text, &document, &edits);
    let mut expected = tree.clone();
    for edit in &edits {
        match edit {
            Edit::Set(key, value) => {
                let value: Value = serde_json::from_slice(value).unwrap_or_default();
                expected.insert((*key).to_owned(), value);
            }
            Edit::Remove(key) => {
                expected.shift_remove(*key);
            }
        }
    }
    let found = serde_json::from_slice::<Value>(&spliced).ok();
    assert_eq!(found, Some(Value::Object(expected)), "after {edits:?}");
    let after = Document::scan(&spliced);
    assert_eq!(
        after.as_ref().map(|after| untouched(&spliced, after, &edits)),
        Ok(untouched(text, &document, &edits)),
        "after {edits:?}"
    );
}
