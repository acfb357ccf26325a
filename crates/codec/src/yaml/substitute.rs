//! `${{VAR}}` and `${{VAR:=default}}` in keys and values.
//!
//! The braces are masked while the YAML is parsed and replaced in the parsed text, so that a value with `#`, `: ` or a
//! line break stays one value, comments are left alone, and columns are those of the file.

use super::{Node, Origin, Problem, Value, join};

/// ASCII moved by this much lies in Unicode's private use area: no YAML syntax, and one character stays one.
const SHIFT: u32 = 0xE000;
const OPEN: &str = "${{";
const CLOSE: &str = "}}";
const MASKED_OPEN: &str = "\u{E024}\u{E07B}\u{E07B}";
const MASKED_CLOSE: &str = "\u{E07D}\u{E07D}";

/// What references are replaced by.
pub struct Variables<'v> {
    /// The value of a variable.
    pub lookup: &'v dyn Fn(&str) -> Option<String>,
    /// Whether quoted text that came from a variable may be a number or a boolean too, as in APISIX; else it is text.
    pub retype_quoted: bool,
}

/// The text with every reference masked.
pub fn mask(text: &str) -> String {
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

/// Replaces the references in a tree whose text was masked. `path` is the path of `node`. A reference without a value is
/// reported and leaves the text empty, so that the same value is not reported again as a wrong type.
pub fn expand(node: &mut Node, path: &str, variables: &Variables<'_>, report: &mut dyn FnMut(Problem)) {
    match &mut node.value {
        Value::Scalar { text, plain } => {
            if expand_text(text, &node.origin, path, variables, report) && variables.retype_quoted {
                *plain = true;
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                expand(item, &format!("{path}[{index}]"), variables, report);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                expand_text(&mut entry.key, &entry.origin, path, variables, report);
                expand(&mut entry.node, &join(path, &entry.key), variables, report);
            }
        }
    }
}

/// Returns whether there was a reference.
fn expand_text(
    text: &mut String,
    origin: &Origin,
    path: &str,
    variables: &Variables<'_>,
    report: &mut dyn FnMut(Problem),
) -> bool {
    if !text.contains(MASKED_OPEN) {
        return false;
    }
    match replaced(text, variables.lookup) {
        Ok(value) => *text = value,
        Err(message) => {
            report(Problem { origin: origin.clone(), path: path.to_owned(), message });
            text.clear();
        }
    }
    true
}

fn replaced(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut value = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once(MASKED_OPEN) {
        let Some((inside, after)) = from.split_once(MASKED_CLOSE) else { break };
        value.push_str(before);
        value.push_str(&resolved(&unmask(inside), lookup)?);
        rest = after;
    }
    value.push_str(rest);
    Ok(value)
}

/// The value of what stands between the braces.
fn resolved(reference: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (name, default) = match reference.split_once(":=") {
        Some((name, default)) => (name.trim(), Some(default.trim())),
        None => (reference.trim(), None),
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err("expected ${{NAME}} or ${{NAME:=default}}, NAME being letters, digits and _".into());
    }
    lookup(name).or_else(|| default.map(str::to_owned)).ok_or_else(|| {
        format!("environment variable {name} is not set; set it or write a default: ${{{{{name}:=default}}}}")
    })
}

#[cfg(test)]
mod tests {
    use super::{mask, replaced, unmask};

    #[test]
    fn references_are_replaced() {
        let lookup = |name: &str| match name {
            "PORT" => Some("9081".to_owned()),
            "ODD" => Some("a #b: [c".to_owned()),
            _ => None,
        };
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
            assert_eq!(replaced(&masked, &lookup).as_deref(), Ok(expected), "{text}");
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
            let message = replaced(&mask(text), &|_| None).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
