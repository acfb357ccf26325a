//! JSON as it came: strings keep their escapes, so that what passes from one protocol to the other is neither decoded
//! nor encoded again.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What stands between the quotes of a JSON string, escapes and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) &'a str);

impl<'a> Text<'a> {
    /// The string that a value is; none if it is something else.
    pub(super) fn of(raw: &'a RawValue) -> Option<Self> {
        raw.get().strip_prefix('"')?.strip_suffix('"').map(Self)
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
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The value of the last member of that name.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The string of that name.
    pub(super) fn text(&self, name: &str) -> Option<Text<'a>> {
        self.get(name).and_then(Text::of)
    }

    /// The object of that name.
    pub(super) fn object(&self, name: &str) -> Option<Members<'a>> {
        self.get(name).and_then(|raw| members(raw.get()))
    }

    /// The items of the array of that name; none where there is no array.
    pub(super) fn items(&self, name: &str) -> Vec<&'a RawValue> {
        self.get(name).and_then(|raw| items(raw.get())).unwrap_or_default()
    }

    /// The whole number of that name.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(|raw| raw.get().parse().ok())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The members of a JSON object; none if the text is something else.
pub(super) fn members(text: &str) -> Option<Members<'_>> {
    serde_json::from_str(text).ok()
}

/// The items of a JSON array; none if the text is something else.
pub(super) fn items(text: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(text).ok()
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Vec::with_capacity(8);
                while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
                    let value = map.next_value::<&'de RawValue>()?;
                    if value.get() != "null" {
                        found.push((key, value));
                    }
                }
                Ok(Members(found))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// Whether a member asks for nothing: it may be left out without a word.
pub(super) fn asks_nothing(raw: &RawValue) -> bool {
    matches!(raw.get(), "false" | "0" | "0.0" | "[]" | "{}" | "\"\"")
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
    pub(super) fn raw(&mut self, name: &str, value: Option<&RawValue>) {
        if let Some(value) = value {
            put(self.key(name), value.get());
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
