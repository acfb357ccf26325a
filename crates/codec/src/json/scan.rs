use super::{Document, Member, Root};

/// Nesting beyond this is refused; APISIX's parser draws the line at the same depth.
const MAX_DEPTH: usize = 1000;

/// More top-level members than any request has; each costs memory beyond the text.
const MAX_MEMBERS: usize = 4096;

/// Why a text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at character {at}")]
pub struct JsonError {
    /// The offset in bytes, counted from 1.
    pub at: usize,
    /// What was expected or found.
    pub what: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Value,
    FirstItemOrEnd,
    FirstKeyOrEnd,
    Key,
    AfterValue,
    End,
}

/// Checks a JSON text without recursion and can stop between two tokens.
pub struct Scanner {
    pos: usize,
    state: State,
    /// One entry per open container: whether it is an object.
    open: Vec<bool>,
    members: Vec<Member>,
    key: std::ops::Range<usize>,
    key_escaped: bool,
    value_start: usize,
    root: Root,
    root_start: usize,
    root_end: usize,
    checked_utf8: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// At the start of a text.
    pub fn new() -> Self {
        Self {
            pos: 0,
            state: State::Value,
            open: Vec::new(),
            members: Vec::with_capacity(16),
            key: 0..0,
            key_escaped: false,
            value_start: 0,
            root: Root::Scalar,
            root_start: 0,
            root_end: 0,
            checked_utf8: 0,
        }
    }

    /// Scans on for about `bytes` bytes. `None` means that there is more to do: call again with the same text.
    ///
    /// # Errors
    /// The text is not one JSON value in UTF-8.
    pub fn advance(&mut self, text: &[u8], bytes: usize) -> Result<Option<Document>, JsonError> {
        let stop = self.pos.saturating_add(bytes);
        while self.pos < stop {
            let at = skip_space(text, self.pos);
            let byte = text.get(at).copied();
            self.pos = at;
            match self.state {
                State::End => {
                    if byte.is_some() {
                        return Err(error(at, "expected the end of the text"));
                    }
                    self.check_utf8(text, text.len())?;
                    return Ok(Some(self.finish()));
                }
                State::FirstItemOrEnd if byte == Some(b']') => self.close(at)?,
                State::Value | State::FirstItemOrEnd => self.value(text, at, byte)?,
                State::FirstKeyOrEnd if byte == Some(b'}') => self.close(at)?,
                State::Key | State::FirstKeyOrEnd => self.key(text, at, byte)?,
                State::AfterValue => self.after_value(at, byte)?,
            }
        }
        self.check_utf8(text, self.pos.min(text.len()))?;
        Ok(None)
    }

    fn value(&mut self, text: &[u8], at: usize, byte: Option<u8>) -> Result<(), JsonError> {
        match self.open.len() {
            0 => self.root_start = at,
            1 => self.value_start = at,
            _ => {}
        }
        let end = match byte {
            Some(b'{') => return self.enter(at, true),
            Some(b'[') => return self.enter(at, false),
            Some(b'"') => string_end(text, at)?.0,
            Some(b'-' | b'0'..=b'9') => number_end(text, at)?,
            Some(b't') => literal_end(text, at, b"true")?,
            Some(b'f') => literal_end(text, at, b"false")?,
            Some(b'n') => literal_end(text, at, b"null")?,
            Some(_) => return Err(error(at, "expected a value")),
            None => return Err(error(at, "expected a value but the text ends")),
        };
        self.complete(end)
    }

    fn enter(&mut self, at: usize, object: bool) -> Result<(), JsonError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(error(at, "nested deeper than 1000 levels"));
        }
        if self.open.is_empty() {
            self.root = if object { Root::Object } else { Root::Array { items: 0 } };
        }
        self.open.push(object);
        self.state = if object { State::FirstKeyOrEnd } else { State::FirstItemOrEnd };
        self.pos = at + 1;
        Ok(())
    }

    fn close(&mut self, at: usize) -> Result<(), JsonError> {
        self.open.pop();
        self.complete(at + 1)
    }

    /// A value ended at `end`.
    fn complete(&mut self, end: usize) -> Result<(), JsonError> {
        self.pos = end;
        self.state = State::AfterValue;
        match (self.open.len(), &mut self.root) {
            (0, _) => {
                self.root_end = end;
                self.state = State::End;
            }
            (1, Root::Array { items }) => *items += 1,
            (1, _) if self.members.len() == MAX_MEMBERS => {
                return Err(error(self.key.start, "more than 4096 members"));
            }
            (1, _) => self.members.push(Member {
                key: self.key.clone(),
                escaped: self.key_escaped,
                value: self.value_start..end,
            }),
            _ => {}
        }
        Ok(())
    }

    fn key(&mut self, text: &[u8], at: usize, byte: Option<u8>) -> Result<(), JsonError> {
        if byte != Some(b'"') {
            return Err(error(at, "expected a member name in double quotes"));
        }
        let (end, may_be_escaped) = string_end(text, at)?;
        if self.open.len() == 1 {
            self.key = at..end;
            self.key_escaped = may_be_escaped && text[at..end].contains(&b'\\');
        }
        let colon = skip_space(text, end);
        if text.get(colon) != Some(&b':') {
            return Err(error(colon, "expected ':'"));
        }
        self.pos = colon + 1;
        self.state = State::Value;
        Ok(())
    }

    fn after_value(&mut self, at: usize, byte: Option<u8>) -> Result<(), JsonError> {
        let in_object = self.open.last() == Some(&true);
        match byte {
            Some(b',') => {
                self.pos = at + 1;
                self.state = if in_object { State::Key } else { State::Value };
                Ok(())
            }
            Some(b'}') if in_object => self.close(at),
            Some(b']') if !in_object => self.close(at),
            _ if in_object => Err(error(at, "expected ',' or '}'")),
            _ => Err(error(at, "expected ',' or ']'")),
        }
    }

    /// Checks what was scanned since the last call; a token never ends inside a character.
    fn check_utf8(&mut self, text: &[u8], until: usize) -> Result<(), JsonError> {
        let fresh = text.get(self.checked_utf8..until).unwrap_or_default();
        if simdutf8::basic::from_utf8(fresh).is_err() {
            let valid = std::str::from_utf8(fresh).map_or_else(|bad| bad.valid_up_to(), str::len);
            return Err(error(self.checked_utf8 + valid, "invalid UTF-8"));
        }
        self.checked_utf8 = until;
        Ok(())
    }

    fn finish(&mut self) -> Document {
        Document {
            root: self.root,
            members: std::mem::take(&mut self.members),
            span: self.root_start..self.root_end,
        }
    }
}

fn error(at: usize, what: &'static str) -> JsonError {
    JsonError { at: at + 1, what }
}

pub(super) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The end of the string whose opening quote is at `start`, and whether it may have escapes.
pub(super) fn string_end(text: &[u8], start: usize) -> Result<(usize, bool), JsonError> {
    if let Some(quote) = a6_simd::short_string(text, start) {
        return Ok((quote + 1, false));
    }
    let stop = a6_simd::string_stop(text, start);
    let what = match &text[stop..] {
        [b'"', ..] => return Ok((stop + 1, true)),
        [b'\\', b'u', ..] => "a malformed \\u escape",
        [b'\\', ..] => "an unknown escape",
        [_, ..] => "a control character in a string",
        [] => "a string does not end",
    };
    Err(error(stop, what))
}

fn number_end(text: &[u8], start: usize) -> Result<usize, JsonError> {
    let digits = |mut at: usize| {
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let whole = if text[start] == b'-' { start + 1 } else { start };
    let mut at = digits(whole);
    let leading_zero = text.get(whole) == Some(&b'0') && at > whole + 1;
    if at == whole || leading_zero {
        return Err(error(start, "a malformed number"));
    }
    if text.get(at) == Some(&b'.') {
        let fraction = at + 1;
        at = digits(fraction);
        if at == fraction {
            return Err(error(start, "a malformed number"));
        }
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = at + 1;
        let exponent = if matches!(text.get(sign), Some(b'+' | b'-')) { sign + 1 } else { sign };
        at = digits(exponent);
        if at == exponent {
            return Err(error(start, "a malformed number"));
        }
    }
    Ok(at)
}

fn literal_end(text: &[u8], start: usize, literal: &[u8]) -> Result<usize, JsonError> {
    let end = start + literal.len();
    if text.get(start..end) == Some(literal) { Ok(end) } else { Err(error(start, "expected a value")) }
}
