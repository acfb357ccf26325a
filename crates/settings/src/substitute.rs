//! `${{VAR}}` and `${{VAR:=default}}` in keys and values of the settings file.
//!
//! The braces are masked while the YAML is parsed and replaced in the parsed text, so that a value with `#`, `: ` or a
//! line break stays one value, comments are left alone, and columns are those of the file.

use crate::env::lookup;
use crate::error::{Origin, Report};
use crate::tree::{Node, Value, join};

/// ASCII moved by this much lies in Unicode's private use area: no YAML syntax, and one character stays one.
const SHIFT: u32 = 0xE000;
const OPEN: &str = "${{";
const CLOSE: &str = "}}";
const MASKED_OPEN: &str = "\u{E024}\u{E07B}\u{E07B}";
const MASKED_CLOSE: &str = "\u{E07D}\u{E07D}";

/// The text with every reference masked.
pub(crate) fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(OPEN) {
        let (before, from) = rest.split_at(start);
        masked.push_str(before);
        let line = from.lines().next().unwrap_or(from);
        let length = match line.find(CLOSE) {
            Some(close) => close + CLOSE.len(),
            None => OPEN.len(),
        };
        let (reference, after) = from.split_at(length);
        if length > OPEN.len() {
            masked.extend(reference.chars().map(|c| shift(c, 0..0x80, SHIFT)));
        } else {
            masked.push_str(reference);
        }
        rest = after;
    }
    masked.push_str(rest);
    masked
}

fn unmask(text: &str) -> String {
    text.chars().map(|c| shift(c, SHIFT..SHIFT + 0x80, SHIFT.wrapping_neg())).collect()
}

fn shift(c: char, from: std::ops::Range<u32>, by: u32) -> char {
    if from.contains(&u32::from(c)) { char::from_u32(u32::from(c).wrapping_add(by)).unwrap_or(c) } else { c }
}

/// Replaces the references in a tree whose text was masked. `path` is the path of `node`.
pub(crate) fn expand(node: &mut Node, path: &str, env: &[(String, String)], report: &mut Report) {
    match &mut node.value {
        Value::Scalar { text, plain } => {
            if expand_text(text, &node.origin, path, env, report) {
                // Quoted or not, what came from a variable may be a number or a boolean, as in APISIX.
                *plain = true;
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                expand(item, &format!("{path}[{index}]"), env, report);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                expand_text(&mut entry.key, &entry.origin, path, env, report);
                expand(&mut entry.node, &join(path, &entry.key), env, report);
            }
        }
    }
}

/// Returns whether there was a reference. A reference without a value leaves the text empty, so that the same value is
/// not reported again as a wrong type.
fn expand_text(
    text: &mut String,
    origin: &Origin,
    path: &str,
    env: &[(String, String)],
    report: &mut Report,
) -> bool {
    if !text.contains(MASKED_OPEN) {
        return false;
    }
    match replaced(text, env) {
        Ok(value) => *text = value,
        Err(message) => {
            report.error(origin, path, message);
            text.clear();
        }
    }
    true
}

fn replaced(text: &str, env: &[(String, String)]) -> Result<String, String> {
    let mut value = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once(MASKED_OPEN) {
        let Some((inside, after)) = from.split_once(MASKED_CLOSE) else { break };
        value.push_str(before);
        value.push_str(&resolved(&unmask(inside), env)?);
        rest = after;
    }
    value.push_str(rest);
    Ok(value)
}

/// The value of what stands between the braces.
fn resolved(reference: &str, env: &[(String, String)]) -> Result<String, String> {
    let (name, default) = match reference.split_once(":=") {
        Some((name, default)) => (name.trim(), Some(default.trim())),
        None => (reference.trim(), None),
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err("expected ${{NAME}} or ${{NAME:=default}}, NAME being letters, digits and _".into());
    }
    match lookup(env, name).or(default) {
        Some(value) => Ok(value.to_owned()),
        None => Err(format!(
            "environment variable {name} is not set; set it or write a default: ${{{{{name}:=default}}}}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{mask, replaced, unmask};

    #[test]
    fn references_are_replaced() {
        let env = [("PORT".to_owned(), "9081".to_owned()), ("ODD".to_owned(), "a #b: [c".to_owned())];
        for (text, expected) in [
            ("no reference", "no reference"),
            ("${{PORT}}", "9081"),
            ("${{ PORT }}", "9081"),
            ("http://${{HOST:=local host}}:${{PORT}}/x", "http://local host:9081/x"),
            ("${{PORT:=1}}", "9081"),
            ("${{NONE:=}}", ""),
            ("${{ODD}}", "a #b: [c"),
            ("${{NONE:=a #b: ü}}", "a #b: ü"),
            ("open ${{PORT", "open ${{PORT"),
            ("$PORT ${PORT} {{PORT}}", "$PORT ${PORT} {{PORT}}"),
        ] {
            let masked = mask(text);
            assert_eq!(masked.chars().count(), text.chars().count(), "{text}");
            assert_eq!(unmask(&masked), text);
            assert_eq!(replaced(&masked, &env).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_reference_without_a_value_is_an_error_that_names_it() {
        for (text, part) in [
            ("${{NONE}}", "variable NONE is not set"),
            ("${{NONE}}", "${{NONE:=default}}"),
            ("x${{A-B}}", "expected ${{NAME}}"),
            ("${{}}", "expected ${{NAME}}"),
        ] {
            let message = replaced(&mask(text), &[]).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
