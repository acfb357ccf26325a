//! A Protocol Buffers definition. No plugin of a6 compiles one yet; so far its text is only looked at from outside: that
//! it consists of statements, and that what is opened is closed.

use serde_json::Value;

/// How a statement outside of all braces begins.
const STATEMENTS: [&str; 9] =
    ["syntax", "edition", "package", "import", "option", "message", "enum", "service", "extend"];

/// Checks a proto that conforms to its schema.
pub(super) fn check(value: &Value) -> Result<(), String> {
    let content = value.get("content").and_then(Value::as_str).unwrap_or_default();
    // A compiled definition comes in base64; what its first byte must be makes that begin with a C.
    let is_base64 = content.len().is_multiple_of(4)
        && content.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
    if is_base64 && content.starts_with('C') {
        return Ok(());
    }
    statements(content).map_err(|why| format!("invalid content: {why}"))
}

fn statements(content: &str) -> Result<(), String> {
    let mut tokens = Tokens { rest: content, line: 1 };
    let mut open: Vec<(char, usize)> = Vec::new();
    let mut statement: Vec<&str> = Vec::new();
    while let Some((token, line)) = tokens.next()? {
        let failed = |expected: &str| Err(format!("line {line}: expected {expected}, found {token}"));
        if open.is_empty() && statement.is_empty() && token != ";" && !STATEMENTS.contains(&token) {
            return failed(&format!("one of {}", STATEMENTS.join(", ")));
        }
        let is_text = token.starts_with(['"', '\'']);
        match statement.as_slice() {
            ["syntax"] if token != "=" => return failed("="),
            ["syntax", "="] if !is_text => return failed("a quoted text"),
            _ => {}
        }
        match token {
            "{" | "(" | "[" => open.extend(token.chars().map(|bracket| (bracket, line))),
            "}" | ")" | "]" => {
                let closes = open.pop().map(|(bracket, _)| bracket);
                if !matches!((closes, token), (Some('{'), "}") | (Some('('), ")") | (Some('['), "]")) {
                    return failed("what closes the bracket that is open");
                }
            }
            _ => {}
        }
        statement.push(token);
        if open.is_empty() && matches!(token, ";" | "}") {
            statement.clear();
        }
    }
    match (open.last(), statement.is_empty()) {
        (Some((bracket, line)), _) => Err(format!("line {line}: {bracket} is never closed")),
        (None, false) => Err("the last statement does not end with ; or }".to_owned()),
        (None, true) => Ok(()),
    }
}

/// Words, quoted texts and single signs; comments are left out.
struct Tokens<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Tokens<'a> {
    /// The next token and its line.
    fn next(&mut self) -> Result<Option<(&'a str, usize)>, String> {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.take(blank);
            let length = if self.rest.starts_with("//") {
                self.rest.find('\n').unwrap_or(self.rest.len())
            } else if self.rest.starts_with("/*") {
                self.rest.find("*/").ok_or_else(|| format!("line {}: the comment never ends", self.line))? + 2
            } else {
                break;
            };
            self.take(length);
        }
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let is_word = |character: char| character.is_alphanumeric() || "_.".contains(character);
        let length = match first {
            '"' | '\'' => quoted(self.rest, first)
                .ok_or_else(|| format!("line {}: the quoted text never ends", self.line))?,
            first if is_word(first) => self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len()),
            first => first.len_utf8(),
        };
        let line = self.line;
        Ok(Some((self.take(length), line)))
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }
}

/// The length of a quoted text with its quotes; none if it does not end on its line.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_looked_at_from_outside() {
        let good = "syntax = \"proto3\"; // a\npackage a.b;\n/* c\n */ import 'x.proto';\n\
            service G { rpc S (stream R) returns (R) { option (google.api.http) = { get: \"/a{b}\" }; } };\n\
            message R { string name = 1 [json_name = \"it's\"]; map<string, int32> m = 2; }";
        let statements = "one of syntax, edition, package, import, option, message, enum, service, extend";
        let cases = [
            (good, String::new()),
            ("message A {}", String::new()),
            ("CgRhYmNk", String::new()),
            ("oops", format!("line 1: expected {statements}, found oops")),
            ("syntax = oops", "line 1: expected a quoted text, found oops".to_owned()),
            ("syntax \"proto3\";", "line 1: expected =, found \"proto3\"".to_owned()),
            ("\nmassage A {}", format!("line 2: expected {statements}, found massage")),
            ("$env://PROTO", format!("line 1: expected {statements}, found $")),
            ("message A {\n string a = 1;", "line 1: { is never closed".to_owned()),
            ("message A ( }", "line 1: expected what closes the bracket that is open, found }".to_owned()),
            ("package a", "the last statement does not end with ; or }".to_owned()),
            ("import \"a;\n\"", "line 1: the quoted text never ends".to_owned()),
            ("package a; /* b", "line 1: the comment never ends".to_owned()),
        ];
        for (content, expected) in cases {
            let expected =
                if expected.is_empty() { String::new() } else { format!("invalid content: {expected}") };
            let found = check(&json!({"content": content})).err().unwrap_or_default();
            assert_eq!(found, expected, "{content}");
        }
    }
}
