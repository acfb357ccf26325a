use a6_snapshot::{Record, Request};

use super::variables::{Source, Variable};

/// An access log's format, as nginx's `log_format` has it, compiled once.
///
/// `$name` and `${name}` stand for a variable's value, or `-` where the request has none; `${name ?? default}` for the
/// value or the default. All else stands for itself.
#[derive(Clone, Debug)]
pub struct Format {
    segments: Vec<Segment>,
    unknown: Vec<String>,
}

#[derive(Clone, Debug)]
enum Segment {
    Literal(Box<str>),
    Value { variable: Variable, absent: Box<str> },
}

/// A format that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A `$` that no name follows.
    #[error(
        "nginx_config.http.access_log_format: no name follows the $ at byte {at}; write $name or ${{name}}"
    )]
    NoName {
        /// Where the `$` stands, from 1.
        at: usize,
    },
    /// A `${` that does not end.
    #[error("nginx_config.http.access_log_format: the ${{ at byte {at} has no closing }}")]
    Unclosed {
        /// Where the `$` stands, from 1.
        at: usize,
    },
}

impl Format {
    /// Compiles a format.
    ///
    /// # Errors
    /// A `$` begins no variable's name, or a `${` does not end; its place is told.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let mut format = Self { segments: Vec::new(), unknown: Vec::new() };
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            let at = text.len() - rest.len() + dollar + 1;
            format.literal(&rest[..dollar]);
            let after = &rest[dollar + 1..];
            let (name, absent, length) = match after.strip_prefix('{') {
                None => {
                    let length = after.find(|c| !is_name(c)).unwrap_or(after.len());
                    (&after[..length], "-", length)
                }
                Some(inner) => {
                    let end = inner.find('}').ok_or(FormatError::Unclosed { at })?;
                    let (name, absent) = inner[..end].split_once("??").unwrap_or((&inner[..end], "-"));
                    (name.trim(), absent.trim(), end + 2)
                }
            };
            if name.is_empty() || !name.chars().all(is_name) {
                return Err(FormatError::NoName { at });
            }
            format.variable(name, absent);
            rest = &after[length..];
        }
        format.literal(rest);
        Ok(format)
    }

    /// Names that are no variables of ours; they print what stands for an absent value.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Appends the line of a request that is over, its end included.
    pub fn write(&self, request: &Request, record: &Record, line: &mut Vec<u8>) {
        let source = Source { request, record };
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => line.extend_from_slice(text.as_bytes()),
                Segment::Value { variable, absent } => {
                    if variable.write(&source, line).is_none() {
                        line.extend_from_slice(absent.as_bytes());
                    }
                }
            }
        }
        line.push(b'\n');
    }

    fn literal(&mut self, text: &str) {
        if !text.is_empty() {
            self.segments.push(Segment::Literal(text.into()));
        }
    }

    fn variable(&mut self, name: &str, absent: &str) {
        match Variable::named(name) {
            Some(variable) => self.segments.push(Segment::Value { variable, absent: absent.into() }),
            None => {
                self.literal(absent);
                if !self.unknown.iter().any(|known| known == name) {
                    self.unknown.push(name.to_string());
                }
            }
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_cannot_be_used_says_where() {
        for (text, error) in [
            ("a $ b", FormatError::NoName { at: 3 }),
            ("$", FormatError::NoName { at: 1 }),
            ("$host $$", FormatError::NoName { at: 7 }),
            ("${}", FormatError::NoName { at: 1 }),
            ("x${ho st}", FormatError::NoName { at: 2 }),
            ("${?? x}", FormatError::NoName { at: 1 }),
            ("é${host", FormatError::Unclosed { at: 3 }),
        ] {
            assert_eq!(Format::parse(text).unwrap_err(), error, "{text}");
        }
        let told = Format::parse("$ ").unwrap_err().to_string();
        assert_eq!(
            told,
            "nginx_config.http.access_log_format: no name follows the $ at byte 1; write $name or ${name}"
        );
    }

    #[test]
    fn names_that_are_not_ours_are_listed_once() {
        let format = Format::parse("$host $no_such ${neither_this ?? 0} $no_such $http_x").unwrap();
        assert_eq!(format.unknown(), ["no_such", "neither_this"]);
    }
}
