//! JSON as it came: strings keep their escapes, so that what passes from one protocol to the other is neither decoded
//! nor encoded again.

use std::borrow::Cow;

use a6_codec::json::{Document, Member, Root, items_of, members_of};
use serde_json::value::RawValue;

/// A value as it came, inside a text that was checked.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    pub(super) fn get(self) -> &'a str {
        self.0
    }

    /// Its members, if it is an object.
    pub(super) fn members(self) -> Option<Members<'a>> {
        Members::collect(self.0, members_of(self.0.as_bytes())?)
    }

    /// Its items, if it is an array.
    pub(super) fn items(self) -> Option<Vec<Raw<'a>>> {
        items_of(self.0.as_bytes())?.map(|item| self.0.get(item).map(Raw)).collect()
    }
}

/// What stands between the quotes of a JSON string, escapes and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) &'a str);

impl<'a> Text<'a> {
    /// The string that a value is; none if it is something else.
    pub(super) fn of(raw: Raw<'a>) -> Option<Self> {
        raw.0.strip_prefix('"')?.strip_suffix('"').map(Self)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The text that the string stands for; none if it has half a surrogate pair, which no text can hold.
    pub(super) fn decoded(self) -> Option<Cow<'a, str>> {
        if !self.0.contains('\\') {
            return Some(Cow::Borrowed(self.0));
        }
        serde_json::from_str(&format!("\"{}\"", self.0)).ok().map(Cow::Owned)
    }
}

/// The members of an object in their order, without those that are `null`.
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, Raw<'a>)>);

impl<'a> Members<'a> {
    /// The members of a text that was scanned; none if it is no object.
    pub(super) fn of(text: &'a str, document: &Document) -> Option<Self> {
        let members = (document.root == Root::Object).then_some(&document.members)?;
        Self::collect(text, members.iter().cloned())
    }

    fn collect(text: &'a str, found: impl Iterator<Item = Member>) -> Option<Self> {
        let mut members = Vec::with_capacity(8);
        for Member { key, escaped, value } in found {
            let key = text.get(key.start + 1..key.end - 1)?;
            // A name with half a surrogate pair is none.
            let key = if escaped { Text(key).decoded()? } else { Cow::Borrowed(key) };
            let value = text.get(value)?;
            if value != "null" {
                members.push((key, Raw(value)));
            }
        }
        Some(Self(members))
    }

    /// The value of the last member of that name.
    pub(super) fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The string of that name.
    pub(super) fn text(&self, name: &str) -> Option<Text<'a>> {
        self.get(name).and_then(Text::of)
    }

    /// The object of that name.
    pub(super) fn object(&self, name: &str) -> Option<Members<'a>> {
        self.get(name).and_then(Raw::members)
    }

    /// The items of the array of that name; none where there is no array.
    pub(super) fn items(&self, name: &str) -> Vec<Raw<'a>> {
        self.get(name).and_then(Raw::items).unwrap_or_default()
    }

    /// The whole number of that name.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(|raw| raw.0.parse().ok())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Raw<'a>)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The members of a JSON object; none if the text is something else.
pub(super) fn members(text: &str) -> Option<Members<'_>> {
    match Document::scan(text.as_bytes()) {
        Ok(document) => Members::of(text, &document),
        // The scanner is fast, but a reply may be nested deeper than it goes.
        Err(_) => serde_json::from_str::<&RawValue>(text).ok().and_then(|_| Raw(text).members()),
    }
}

/// Whether a member asks for nothing: it may be left out without a word.
pub(super) fn asks_nothing(raw: Raw<'_>) -> bool {
    matches!(raw.0, "false" | "0" | "0.0" | "[]" | "{}" | "\"\"")
}

/// Writes text that is JSON already.
pub(super) fn put(out: &mut Vec<u8>, json: &str) {
    out.extend_from_slice(json.as_bytes());
}

/// Writes a string that came as JSON.
pub(super) fn put_text(out: &mut Vec<u8>, text: Text<'_>) {
    out.push(b'"');
    put(out, text.0);
    out.push(b'"');
}

/// Writes several strings that came as JSON as one.
pub(super) fn put_joined<'t>(out: &mut Vec<u8>, texts: impl IntoIterator<Item = Text<'t>>) {
    out.push(b'"');
    for text in texts {
        put(out, text.0);
    }
    out.push(b'"');
}

/// Writes any text as a JSON string.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    // Writing to a vector cannot fail, and a text is always a JSON string.
    let _ = serde_json::to_writer(out, text);
}

/// Writes a number.
pub(super) fn put_number(out: &mut Vec<u8>, number: u64) {
    let _ = serde_json::to_writer(out, &number);
}

/// An object that is being written.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Object<'o> {
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Begins a member, whose value is to be written to what this returns. The name has nothing to escape.
    pub(super) fn key(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        put(self.out, name);
        put(self.out, "\":");
        self.out
    }

    /// A member as it came, if it did.
    pub(super) fn raw(&mut self, name: &str, value: Option<Raw<'_>>) {
        if let Some(value) = value {
            put(self.key(name), value.0);
        }
    }

    /// A string as it came, if it did.
    pub(super) fn text(&mut self, name: &str, value: Option<Text<'_>>) {
        if let Some(value) = value {
            put_text(self.key(name), value);
        }
    }

    /// A member of our own.
    pub(super) fn json(&mut self, name: &str, value: &str) {
        put(self.key(name), value);
    }

    /// A number.
    pub(super) fn number(&mut self, name: &str, value: u64) {
        put_number(self.key(name), value);
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }
}

/// An array that is being written.
pub(super) struct List<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> List<'o> {
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'[');
        Self { out, empty: true }
    }

    /// Begins an item, which is to be written to what this returns.
    pub(super) fn item(&mut self) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out
    }

    pub(super) fn end(self) {
        self.out.push(b']');
    }
}
