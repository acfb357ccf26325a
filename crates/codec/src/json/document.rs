use std::borrow::Cow;
use std::ops::Range;

use super::{JsonError, Scanner, members_of};

/// What a document is at its top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// An object; its members are known.
    Object,
    /// An array.
    Array {
        /// How many items it has.
        items: usize,
    },
    /// A string, number, boolean or null.
    Scalar,
}

/// A member of the top-level object, as offsets into the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The key with its quotes.
    pub key: Range<usize>,
    /// Whether the key is written with escapes.
    pub escaped: bool,
    /// The value without surrounding white space.
    pub value: Range<usize>,
}

/// A checked document's top level.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it is.
    pub root: Root,
    /// The members of an object in order of appearance, duplicates included.
    pub members: Vec<Member>,
    /// Where the root value stands.
    pub span: Range<usize>,
}

impl Document {
    /// Checks the whole text and finds its top-level members.
    ///
    /// # Errors
    /// The text is not one JSON value.
    pub fn scan(text: &[u8]) -> Result<Self, JsonError> {
        let mut scanner = Scanner::new();
        loop {
            if let Some(document) = scanner.advance(text, usize::MAX)? {
                return Ok(document);
            }
        }
    }

    /// The top level of an object that was just written without white space around it: it is not checked.
    pub fn written(text: &[u8]) -> Self {
        let members = members_of(text).into_iter().flatten().collect();
        Self { root: Root::Object, members, span: 0..text.len() }
    }

    /// The value of a member; the last one where a key stands twice, as most parsers read it.
    pub fn get<'t>(&self, text: &'t [u8], key: &str) -> Option<&'t [u8]> {
        let member = self.members.iter().rev().find(|member| member.is(text, key))?;
        text.get(member.value.clone())
    }

    /// The value of a member that is a string.
    pub fn get_str<'t>(&self, text: &'t [u8], key: &str) -> Option<Cow<'t, str>> {
        text_of(self.get(text, key)?)
    }

    /// Whether a member is there and `true`.
    pub fn is_true(&self, text: &[u8], key: &str) -> bool {
        self.get(text, key) == Some(b"true")
    }
}

impl Member {
    /// Whether the key is that one, however it is escaped.
    pub fn is(&self, text: &[u8], key: &str) -> bool {
        let Some(raw) = text.get(self.key.clone()) else { return false };
        if self.escaped {
            return text_of(raw).is_some_and(|decoded| decoded == key);
        }
        raw.len() == key.len() + 2 && &raw[1..raw.len() - 1] == key.as_bytes()
    }
}

/// The text of a JSON string, borrowed where it has no escapes.
pub fn text_of(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.contains(&b'\\') {
        return serde_json::from_slice::<String>(raw).ok().map(Cow::Owned);
    }
    std::str::from_utf8(inner).ok().map(Cow::Borrowed)
}
