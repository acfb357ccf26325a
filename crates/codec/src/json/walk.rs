//! One level of a value inside a text that was checked: nothing is checked again, so that each level costs little.
//! A text that was not gives no panic, but nothing that could be relied on either.

use std::ops::Range;

use super::Member;
use super::scan::{skip_space, string_end};

/// The members of an object in order of appearance, duplicates included, as offsets into it; none if the value is
/// something else.
pub fn members_of(value: &[u8]) -> Option<impl Iterator<Item = Member>> {
    let mut at = inside(value, b'{')?;
    Some(std::iter::from_fn(move || {
        let key = skip_space(value, at);
        if value.get(key) != Some(&b'"') {
            return None;
        }
        let (key_end, may_be_escaped) = string_end(value, key).ok()?;
        let start = skip_space(value, skip_space(value, key_end) + 1);
        let end = value_end(value, start)?;
        at = behind_comma(value, end);
        let escaped = may_be_escaped && value[key..key_end].contains(&b'\\');
        Some(Member { key: key..key_end, escaped, value: start..end })
    }))
}

/// The items of an array, as offsets into it; none if the value is something else.
pub fn items_of(value: &[u8]) -> Option<impl Iterator<Item = Range<usize>>> {
    let mut at = inside(value, b'[')?;
    Some(std::iter::from_fn(move || {
        let start = skip_space(value, at);
        let end = value_end(value, start)?;
        at = behind_comma(value, end);
        Some(start..end)
    }))
}

/// Where the content of a container begins that is opened by that byte.
fn inside(value: &[u8], opening: u8) -> Option<usize> {
    let start = skip_space(value, 0);
    (value.get(start) == Some(&opening)).then_some(start + 1)
}

fn behind_comma(value: &[u8], end: usize) -> usize {
    let at = skip_space(value, end);
    if value.get(at) == Some(&b',') { at + 1 } else { at }
}

/// The end of the value that begins at `start`; none if none does.
fn value_end(text: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        match text.get(at)? {
            b'"' => at = string_end(text, at).ok()?.0,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            _ => at = word_end(text, at),
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The end of a number or a literal.
fn word_end(text: &[u8], start: usize) -> usize {
    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
    text[start..].iter().position(ends).map_or(text.len(), |length| start + length)
}
