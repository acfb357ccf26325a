//! Text with variables, as many plugins take it: `$name`, `${name}` and `${name ?? default}`.

use std::borrow::Cow;

use crate::expr::{Operand, Variable, Variables};

/// Text with variables, taken apart once.
#[derive(Clone, Debug)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Variable { variable: Variable, default: Option<String> },
}

/// A template filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// How many of its variables had a value or a default.
    pub resolved: usize,
}

impl Template {
    /// Takes a text apart. An unescaped `$` before `{...}` or before letters, digits, `_` and `.` begins a variable;
    /// anything else is text, and `\$` stays as it is.
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, dollar) = rest.split_at(at);
            literal.push_str(before);
            let found = if before.ends_with('\\') { None } else { variable(&dollar[1..]) };
            match found {
                None => {
                    literal.push('$');
                    rest = &dollar[1..];
                }
                Some((part, length)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(part);
                    rest = &dollar[1 + length..];
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Self { parts }
    }

    /// Whether it has any variable.
    pub fn has_variables(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Variable { .. }))
    }

    /// Whether filling it in may need the request's body.
    pub fn needs_body(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Variable { variable, .. } if variable.needs_body()))
    }

    /// Fills in the variables; an absent one leaves nothing.
    pub fn render(&self, variables: &dyn Variables) -> Rendered {
        self.render_with(variables, |value| Cow::Borrowed(value))
    }

    /// The same, with every value passed through `encode` first.
    pub fn render_with(
        &self,
        variables: &dyn Variables,
        encode: impl for<'v> Fn(&'v str) -> Cow<'v, str>,
    ) -> Rendered {
        let mut rendered = Rendered { text: String::new(), resolved: 0 };
        for part in &self.parts {
            match part {
                Part::Text(text) => rendered.text.push_str(text),
                Part::Variable { variable, default } => {
                    let value = variables.value(variable).map(Operand::into_text);
                    let value = value.as_deref().or(default.as_deref());
                    if let Some(value) = value {
                        rendered.text.push_str(&encode(value));
                        rendered.resolved += 1;
                    }
                }
            }
        }
        rendered
    }
}

/// The variable that a text behind `$` begins with, and how long its name is there.
fn variable(rest: &str) -> Option<(Part, usize)> {
    let (name, default, length) = if let Some(inner) = rest.strip_prefix('{') {
        let end = inner.find('}')?;
        let (name, default) = match inner[..end].split_once("??") {
            Some((name, default)) => (name.trim(), Some(default.trim().to_string())),
            None => (inner[..end].trim(), None),
        };
        (name, default, end + 2)
    } else {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        (&rest[..end], None, end)
    };
    if name.is_empty() {
        return None;
    }
    // A path into the body that cannot be parsed is a variable that nobody has.
    let variable = Variable::parse(name).unwrap_or_else(|_| Variable::Named(name.to_string()));
    Some((Part::Variable { variable, default }, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Names;

    impl Variables for Names {
        fn value(&self, variable: &Variable) -> Option<Operand<'_>> {
            let text = match variable {
                Variable::Named(name) if name == "host" => "h",
                Variable::Arg(name) if name == "a" => "1 2",
                _ => return None,
            };
            Some(Operand::Text(text.into()))
        }
    }

    #[test]
    fn variables_are_filled_in_and_counted() {
        let cases = [
            ("plain", "plain", 0),
            ("$host/x", "h/x", 1),
            ("${host}.com", "h.com", 1),
            ("$host.com", "", 0),
            ("$arg_a-$nothing-", "1 2--", 1),
            ("${nothing ?? d}", "d", 1),
            ("${nothing??}", "", 1),
            (r"\$host", r"\$host", 0),
            ("$", "$", 0),
            ("a$-b", "a$-b", 0),
            ("${host", "${host", 0),
        ];
        for (text, expected, resolved) in cases {
            let rendered = Template::parse(text).render(&Names);
            assert_eq!((rendered.text.as_str(), rendered.resolved), (expected, resolved), "{text}");
        }
    }

    #[test]
    fn values_are_encoded_and_text_is_not() {
        let rendered = Template::parse("a b$arg_a").render_with(&Names, |v| v.replace(' ', "%20").into());
        assert_eq!(rendered.text, "a b1%202");
    }
}
