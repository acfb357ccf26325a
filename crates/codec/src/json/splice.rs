use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde_json::Value;

use super::{Document, Root};

/// A change of a top-level member.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit<'a> {
    /// Gives the member this value (JSON text), at every place where the key stands, else at the end.
    Set(&'a str, Cow<'a, [u8]>),
    /// Takes the member out.
    Remove(&'a str),
}

/// Applies edits to an object; every byte that no edit concerns stays as it came. Edits of one key: the last wins.
pub fn splice(text: &[u8], document: &Document, edits: &[Edit<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 256);
    apply(text, document, edits, &mut out);
    out
}

/// The same, where long stretches of the text are shared and not copied.
pub fn splice_shared(text: &Bytes, document: &Document, edits: &[Edit<'_>]) -> Vec<Bytes> {
    let fresh = Vec::with_capacity(text.len().min(WORTH_SHARING) + 256);
    let mut parts = Parts { text, parts: Vec::with_capacity(4), fresh };
    apply(text, document, edits, &mut parts);
    parts.finish()
}

/// Where an edited document goes.
trait Sink {
    /// Bytes that were not in the text.
    fn add(&mut self, bytes: &[u8]);
    /// A stretch of the text as it stands.
    fn keep(&mut self, text: &[u8], range: Range<usize>);
    /// Takes a comma back, and white space behind it, if that is what was written last.
    fn drop_comma(&mut self);
}

impl Sink for Vec<u8> {
    fn add(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn keep(&mut self, text: &[u8], range: Range<usize>) {
        self.extend_from_slice(&text[range]);
    }

    fn drop_comma(&mut self) {
        let content = self.trim_ascii_end().len();
        if self[..content].ends_with(b",") {
            self.truncate(content - 1);
        }
    }
}

/// Shorter stretches are cheaper to copy than to write apart.
const WORTH_SHARING: usize = 8 << 10;

struct Parts<'a> {
    text: &'a Bytes,
    parts: Vec<Bytes>,
    fresh: Vec<u8>,
}

impl Parts<'_> {
    fn flush(&mut self) {
        if !self.fresh.is_empty() {
            self.parts.push(std::mem::take(&mut self.fresh).into());
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.flush();
        self.parts
    }
}

impl Sink for Parts<'_> {
    fn add(&mut self, bytes: &[u8]) {
        self.fresh.extend_from_slice(bytes);
    }

    fn keep(&mut self, text: &[u8], range: Range<usize>) {
        if range.len() < WORTH_SHARING {
            self.fresh.extend_from_slice(&text[range]);
        } else {
            self.flush();
            self.parts.push(self.text.slice(range));
        }
    }

    fn drop_comma(&mut self) {
        if self.fresh.is_empty()
            && let Some(last) = self.parts.pop()
        {
            self.fresh = last.into();
        }
        self.fresh.drop_comma();
    }
}

fn apply(text: &[u8], document: &Document, edits: &[Edit<'_>], out: &mut impl Sink) {
    let mut cuts: Vec<(Range<usize>, &[u8])> = Vec::new();
    let mut appended: Vec<(&str, &[u8])> = Vec::new();
    let mut kept = document.members.len();
    for (index, edit) in edits.iter().enumerate() {
        let key = edit.key();
        if edits[index + 1..].iter().any(|later| later.key() == key) {
            continue;
        }
        let places = document.members.iter().enumerate().filter(|(_, member)| member.is(text, key));
        match edit {
            Edit::Set(_, value) => {
                let before = cuts.len();
                cuts.extend(places.map(|(_, member)| (member.value.clone(), value.as_ref())));
                if cuts.len() == before {
                    appended.push((key, value));
                }
            }
            Edit::Remove(_) => {
                let before = cuts.len();
                cuts.extend(places.map(|(place, _)| (with_comma(document, place), &b""[..])));
                kept -= cuts.len() - before;
            }
        }
    }
    cuts.sort_by_key(|(range, _)| range.start);
    write(text, document, &cuts, &appended, kept, out);
}

impl Edit<'_> {
    fn key(&self) -> &str {
        match self {
            Self::Set(key, _) | Self::Remove(key) => key,
        }
    }
}

/// The span of a member and of the comma that goes with it.
///
/// A member takes the comma behind it; the last one takes the comma before it. Where the last members go together,
/// the earlier ones' spans end where the next key begins, so that the spans never overlap, and `write` removes the comma
/// that is left over.
fn with_comma(document: &Document, place: usize) -> Range<usize> {
    let member = &document.members[place];
    match document.members.get(place + 1) {
        Some(next) => member.key.start..next.key.start,
        None => member.key.start..member.value.end,
    }
}

fn write(
    text: &[u8],
    document: &Document,
    cuts: &[(Range<usize>, &[u8])],
    appended: &[(&str, &[u8])],
    kept: usize,
    out: &mut impl Sink,
) {
    let end = document.span.end.saturating_sub(1);
    let mut at = 0;
    for (range, value) in cuts {
        out.keep(text, at..range.start);
        out.add(value);
        at = range.end;
    }
    let last_went = document.members.last().is_some_and(|last| {
        cuts.last().is_some_and(|(range, value)| value.is_empty() && range.start == last.key.start)
    });
    if last_went {
        out.drop_comma();
    }
    let tail_start = at.max(document.members.last().map_or(end, |last| last.value.end));
    out.keep(text, at..tail_start);
    for (index, (key, value)) in appended.iter().enumerate() {
        if kept > 0 || index > 0 {
            out.add(b",");
        }
        // A string is always serialisable.
        out.add(Value::String((*key).to_string()).to_string().as_bytes());
        out.add(b":");
        out.add(value);
    }
    out.keep(text, tail_start..text.len());
}

/// Merges a patch into a JSON value, deep and in place: objects member by member; any other value is set where the
/// document has none, or everywhere if `force`. `None` means that nothing changed.
pub fn merge(text: &[u8], patch: &Value, force: bool) -> Option<Vec<u8>> {
    let Value::Object(wanted) = patch else {
        return force.then(|| patch.to_string().into_bytes());
    };
    let Some(document) = Document::scan(text).ok().filter(|document| document.root == Root::Object) else {
        return force.then(|| patch.to_string().into_bytes());
    };
    let mut edits = Vec::new();
    for (key, value) in wanted {
        match document.get(text, key) {
            None => edits.push(Edit::Set(key, value.to_string().into_bytes().into())),
            Some(present) => {
                if let Some(merged) = merge(present, value, force) {
                    edits.push(Edit::Set(key, merged.into()));
                }
            }
        }
    }
    (!edits.is_empty()).then(|| splice(text, &document, &edits))
}
