//! Regular expressions as APISIX understands them: PCRE's syntax, and ngx.re's options and replacements.
//!
//! A pattern without look-around and back references is handed to an engine whose time grows with the text only; the
//! others may try only so many ways, and a pattern that has used them up has not matched.
//!
//! Classes such as `\w` know all of Unicode here, and `$` does not match before a final line feed.

use fancy_regex::{Error, ParseError, Regex, RegexBuilder};

/// A thread serves nobody else while it matches: this many steps take about a millisecond.
const MAX_STEPS: usize = 100_000;

/// A regular expression.
#[derive(Debug)]
pub(crate) struct Pattern(Regex);

/// What a pattern has found in a text.
pub(crate) struct Captures<'t> {
    text: &'t str,
    groups: fancy_regex::Captures<'t, str>,
}

/// What takes the place of a match: text with `$0`, `$1`, `${1}` for its groups and `$$` for `$`.
#[derive(Debug)]
pub(crate) struct Replacement(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Group(usize),
}

/// How many matches are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The first.
    Once,
    /// All.
    Global,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// It is malformed, in the words of OpenResty, such as
    /// `pcre2_compile() failed: missing closing parenthesis in "("`.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        Self::with_options(text, "")
    }

    /// Compiles a pattern with ngx.re's options: `i`, `m`, `s` and `x` as in Perl, `a` to match at the start only.
    ///
    /// # Errors
    /// As [`Pattern::new`] and [`check_options`].
    pub(crate) fn with_options(text: &str, options: &str) -> Result<Self, String> {
        check_options(options)?;
        let has = |option| options.contains(option);
        let anchored;
        let pattern: &str = if has('a') {
            anchored = format!(r"\A(?:{text})");
            &anchored
        } else {
            text
        };
        RegexBuilder::new(pattern)
            .case_insensitive(has('i'))
            .multi_line(has('m'))
            .dot_matches_new_line(has('s'))
            .ignore_whitespace(has('x'))
            .backtrack_limit(MAX_STEPS)
            .build()
            .map(Self)
            .map_err(|error| explain(text, &error))
    }

    /// Whether it matches somewhere in the text.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text).unwrap_or(false)
    }

    /// The first match.
    pub(crate) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.captures_from(text, 0)
    }

    fn captures_from<'t>(&self, text: &'t str, at: usize) -> Option<Captures<'t>> {
        let groups = self.0.captures_from_pos(text, at).ok()??;
        Some(Captures { text, groups })
    }

    /// The text with its matches replaced; none if there are no matches.
    pub(crate) fn replace(&self, text: &str, by: &Replacement, scope: Scope) -> Option<String> {
        let mut found = self.captures(text)?;
        if scope == Scope::Once {
            return Some(found.replaced(by));
        }
        let mut replaced = String::with_capacity(text.len());
        let mut copied = 0;
        let mut at = 0;
        loop {
            let (start, end) = found.span();
            replaced.push_str(text.get(copied..start).unwrap_or_default());
            by.expand(&found, &mut replaced);
            copied = end.max(copied);
            at = if start < end && at < end { end } else { next_char(text, at.max(end)) };
            match self.captures_from(text, at) {
                Some(next) => found = next,
                None => break,
            }
        }
        replaced.push_str(text.get(copied..).unwrap_or_default());
        Some(replaced)
    }
}

impl<'t> Captures<'t> {
    /// What a group has matched; 0 is the whole pattern. None if it took no part, or there is no such group.
    pub(crate) fn get(&self, group: usize) -> Option<&'t str> {
        self.text.get(self.groups.get(group)?.range())
    }

    fn span(&self) -> (usize, usize) {
        self.groups.get(0).map_or((0, 0), |whole| (whole.start(), whole.end()))
    }

    /// The text with this match replaced.
    pub(crate) fn replaced(&self, by: &Replacement) -> String {
        let (start, end) = self.span();
        let mut replaced = self.text.get(..start).unwrap_or_default().to_string();
        by.expand(self, &mut replaced);
        replaced.push_str(self.text.get(end..).unwrap_or_default());
        replaced
    }
}

impl Replacement {
    /// Takes a replacement apart.
    ///
    /// # Errors
    /// A `$` that nothing known follows.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                literal.push('$');
                rest = after;
                continue;
            }
            let Some((group, length)) = group_reference(after) else {
                return Err("failed to compile the replacement template".into());
            };
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Group(group));
            rest = &after[length..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    fn expand(&self, captures: &Captures<'_>, into: &mut String) {
        for part in &self.0 {
            match part {
                Part::Text(text) => into.push_str(text),
                Part::Group(group) => into.push_str(captures.get(*group).unwrap_or_default()),
            }
        }
    }
}

/// The group that a text behind `$` begins with, as `1` or `{1}`, and how long that is.
pub(crate) fn group_reference(rest: &str) -> Option<(usize, usize)> {
    let (digits, length) = if let Some(inner) = rest.strip_prefix('{') {
        let (digits, _) = inner.split_once('}')?;
        (digits, digits.len() + 2)
    } else {
        let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        (&rest[..length], length)
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { Some((digits.parse().ok()?, length)) } else { None }
}

/// Checks options for [`Pattern::with_options`].
///
/// # Errors
/// One is unknown, in the words of lua-resty-core.
pub(crate) fn check_options(options: &str) -> Result<(), String> {
    match options.chars().find(|option| !"adijmosuxDJU".contains(*option)) {
        Some(unknown) => Err(format!("unknown flag \"{unknown}\" (flags \"{options}\")")),
        None => Ok(()),
    }
}

fn next_char(text: &str, at: usize) -> usize {
    let next = text.get(at..).and_then(|rest| rest.chars().next());
    at + next.map_or(1, char::len_utf8)
}

fn explain(pattern: &str, error: &Error) -> String {
    let (what, at) = match error {
        Error::ParseError(_, ParseError::UnclosedOpenParen) => {
            ("missing closing parenthesis".to_string(), pattern.len())
        }
        Error::ParseError(_, ParseError::TrailingBackslash) => {
            ("\\ at end of pattern".to_string(), pattern.len())
        }
        Error::ParseError(at, ParseError::InvalidClass) if *at >= pattern.len() => {
            ("missing terminating ] for character class".to_string(), pattern.len())
        }
        Error::ParseError(at, ParseError::TargetNotRepeatable) => {
            ("quantifier does not follow a repeatable item".to_string(), *at)
        }
        Error::ParseError(at, _) if pattern.get(*at..).is_some_and(|rest| rest.starts_with(')')) => {
            ("unmatched closing parenthesis".to_string(), *at)
        }
        Error::ParseError(at, other) => (other.to_string(), *at),
        other => (other.to_string(), pattern.len()),
    };
    match pattern.get(at..) {
        Some(rest) if !rest.is_empty() => {
            format!("pcre2_compile() failed: {what} in \"{pattern}\" at \"{rest}\"")
        }
        _ => format!("pcre2_compile() failed: {what} in \"{pattern}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pattern: &str, options: &str, text: &str, by: &str, scope: Scope) -> Option<String> {
        let by = Replacement::parse(by).unwrap();
        Pattern::with_options(pattern, options).unwrap().replace(text, &by, scope)
    }

    #[test]
    fn matches_are_replaced() {
        use Scope::{Global, Once};
        let cases = [
            ("t", "", "a tot", "T", Once, Some("a Tot")),
            ("t", "", "a tot", "T", Global, Some("a ToT")),
            ("z", "", "a tot", "T", Global, None),
            ("(a)(b)?", "", "xay", "<$1|$2|${0}|$$>", Once, Some("x<a||a|$>y")),
            ("GET", "i", "a get", "x", Once, Some("a x")),
            ("^b", "m", "a\nb", "x", Once, Some("a\nx")),
            ("^b", "", "a\nb", "x", Once, None),
            ("a.b", "s", "a\nb", "x", Once, Some("x")),
            ("b", "a", "ab", "x", Global, None),
            ("a b", "x", "ab", "x", Once, Some("x")),
            ("", "", "é", "-", Global, Some("-é-")),
            ("a*", "jo", "baac", "x", Global, Some("xbxxcx")),
            (r"(\w)\1", "", "hello book", "<$0>", Global, Some("he<ll>o b<oo>k")),
            (r"\d+(?=€)", "", "10$ 20€", "n", Global, Some("10$ n€")),
            (r"a\Kb", "", "abab", "x", Global, Some("axax")),
        ];
        for (pattern, options, text, by, scope, expected) in cases {
            assert_eq!(replaced(pattern, options, text, by, scope).as_deref(), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_malformed_is_named_as_openresty_names_it() {
        let cases = [
            ("(", "pcre2_compile() failed: missing closing parenthesis in \"(\""),
            ("a)b", "pcre2_compile() failed: unmatched closing parenthesis in \"a)b\" at \")b\""),
            ("[a", "pcre2_compile() failed: missing terminating ] for character class in \"[a\""),
            ("\\", "pcre2_compile() failed: \\ at end of pattern in \"\\\""),
        ];
        for (pattern, expected) in cases {
            assert_eq!(Pattern::new(pattern).err().as_deref(), Some(expected));
        }
        assert_eq!(check_options("jz").err().as_deref(), Some("unknown flag \"z\" (flags \"jz\")"));
        for text in ["$x", "a$", "${1", "${x}", "$99999999999999999999999"] {
            assert!(Replacement::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_that_tries_too_much_has_not_matched() {
        let pattern = Pattern::new(r"^(a+)+\1b$").unwrap();
        assert!(!pattern.is_match(&"a".repeat(4000)));
        assert!(Pattern::new("^(a+)+$").unwrap().is_match(&"a".repeat(4000)));
    }
}
