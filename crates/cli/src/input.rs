//! `-f FILE` and `-f -`: one document, a mapping, in JSON or YAML. Text that starts with `{` is JSON, everything else is
//! YAML, whatever the file is called; a file of several documents is refused, since the others would get lost. Key order,
//! unknown fields and integers stay as written.

use std::fs;
use std::io::{self, BufRead, Read};

use serde_json::Value;

use crate::errors::{Failure, Result, system_text};
use crate::kinds::Object;
use a6_resources::StrictValue;

/// More than this many bytes are not read.
const LARGEST: u64 = 256 << 20;

/// Reads the document at `path`, or on `input` when the path is `-`.
pub(crate) fn read(path: &str, input: &mut dyn BufRead) -> Result<Object> {
    let (name, text) = text(path, input)?;
    parse(name, &text)
}

/// Reads the text at `path`, or on `input` when the path is `-`, and gives the name by which messages call it.
pub(crate) fn text<'p>(path: &'p str, input: &mut dyn BufRead) -> Result<(&'p str, String)> {
    let (name, bytes) = if path == "-" {
        ("standard input", limited(input, LARGEST))
    } else {
        (path, fs::File::open(path).and_then(|file| limited(file, LARGEST)))
    };
    let bytes = bytes.map_err(|error| {
        let what = if path == "-" { "read" } else { "open" };
        Failure::new(format!("failed to read file: {what} {name}: {}", system_text(&error)))
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(format!("failed to read file: {name} is not UTF-8 text (byte {at})"))
    })?;
    Ok((name, text))
}

/// A device or a pipe may never end.
fn limited(source: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

fn parse(name: &str, text: &str) -> Result<Object> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let json = text.trim_start().starts_with('{');
    let format = if json { "JSON" } else { "YAML" };
    let failed = |why: String| Failure::new(format!("failed to parse {format} file: {name}: {why}"));
    let parsed = if json { json_value(text) } else { yaml_value(text) };
    match parsed.map_err(failed)? {
        Value::Object(object) => Ok(object),
        other => Err(failed(format!("the document must be a mapping, found {}", found(&other)))),
    }
}

fn json_value(text: &str) -> std::result::Result<Value, String> {
    serde_json::from_str(text).map(|StrictValue(value)| value).map_err(|error| error.to_string())
}

fn yaml_value(text: &str) -> std::result::Result<Value, String> {
    let options = serde_saphyr::options! {
        // The words that YAML 1.1 alone takes for booleans and the digits of `007` are text to the a6 tool as well.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        with_snippet: false,
    };
    let mut bytes = text.as_bytes();
    let mut documents = serde_saphyr::read_with_options::<_, Value>(&mut bytes, options);
    let first = documents.next();
    // A marker at the end opens a document with nothing in it.
    let second = documents.next().filter(|second| !matches!(second, Ok(Value::Null)));
    match (first, second) {
        (Some(Ok(value)), None) => Ok(value),
        (Some(Ok(_)), Some(Ok(_))) => {
            Err("there is more than one document; write each with a command of its own".to_owned())
        }
        (Some(Err(error)), _) | (_, Some(Err(error))) => {
            let why = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
            let tabs = text.lines().any(|line| line.trim_start_matches(' ').starts_with('\t'));
            let advice =
                if tabs { "; YAML is indented with spaces, and a line here begins with a tab" } else { "" };
            Err(format!("{why}{advice}"))
        }
        (None, _) => Err("the document is empty".to_owned()),
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_keep_order_numbers_and_unknown_fields() {
        let cases = [
            (
                "{\"uri\":\"/x\",\"id\":9007199254740993,\"a\":1.5}",
                r#"{"uri":"/x","id":9007199254740993,"a":1.5}"#,
            ),
            ("\u{feff}  {\"uri\": \"/x\"}\n", r#"{"uri":"/x"}"#),
            ("uri: /x\nid: 18446744073709551615\n", r#"{"uri":"/x","id":18446744073709551615}"#),
            ("---\nb: 1\na: [yes, on, true, 007]\n", r#"{"b":1,"a":["yes","on",true,"007"]}"#),
            (
                "nodes: {\"127.0.0.1:80\": 1}\nports: {80: x}\n",
                r#"{"nodes":{"127.0.0.1:80":1},"ports":{"80":"x"}}"#,
            ),
            ("---\nuri: /first\n---\n", r#"{"uri":"/first"}"#),
            ("uri: /first\n...\n", r#"{"uri":"/first"}"#),
        ];
        for (text, expected) in cases {
            let parsed = parse("r", text).map(Value::Object).map_err(|failure| failure.to_string());
            assert_eq!(parsed.map(|value| value.to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn bad_documents_name_file_format_and_place() {
        let cases: [(&str, &[&str]); 11] = [
            (
                "uri: /first\n---\nuri: /second\n",
                &["failed to parse YAML file: r: there is more than one document"],
            ),
            ("a: 1\n---\nb: [\n", &["failed to parse YAML file: r: "]),
            ("", &["failed to parse YAML file: r: the document is empty"]),
            ("# only a comment\n", &["the document is empty"]),
            ("- a\n", &["failed to parse YAML file: r: the document must be a mapping, found a list"]),
            ("[1]", &["must be a mapping, found a list"]),
            ("just text", &["must be a mapping, found a string"]),
            ("uri: /a\nname: x\nuri: /b\n", &["duplicate", "uri", "line 3"]),
            (
                "{\"uri\": 1,\n \"uri\": 2}",
                &["failed to parse JSON file: r: duplicate key \"uri\"", "line 2"],
            ),
            ("{\"uri\": }", &["failed to parse JSON file: r: expected value at line 1"]),
            ("plugins:\n\tkey-auth: {}\n", &["failed to parse YAML file: r: ", "indented with spaces"]),
        ];
        for (text, parts) in cases {
            let failure = parse("r", text).map_err(|failure| failure.to_string()).unwrap_err();
            for part in parts {
                assert!(failure.contains(part), "{text:?}: {failure:?} lacks {part:?}");
            }
        }
    }

    #[test]
    fn what_never_ends_is_not_read_for_ever() {
        assert_eq!(limited(&b"four"[..], 4).unwrap(), b"four");
        let failure = limited(io::repeat(b'x'), 4).unwrap_err();
        assert_eq!(failure.to_string(), "it has more than 4 bytes");
    }

    #[test]
    fn a_path_is_a_file_and_a_dash_is_standard_input() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("route.yaml");
        fs::write(&file, "uri: /file\n").unwrap();
        let binary = folder.path().join("binary");
        fs::write(&binary, [b'a', 0xff]).unwrap();
        let read_text = |path: &str| {
            let mut input: &[u8] = b"{\"uri\": \"/input\"}";
            read(path, &mut input).map(Value::Object).map_err(|failure| failure.to_string())
        };
        let (file, binary) = (file.to_str().unwrap(), binary.to_str().unwrap());
        let folder = folder.path().to_str().unwrap();
        assert_eq!(read_text(file), Ok(json!({"uri": "/file"})));
        assert_eq!(read_text("-"), Ok(json!({"uri": "/input"})));
        let cases = [
            (format!("{file}.no"), "failed to read file: open PATH: no such file or directory"),
            (folder.to_owned(), "failed to read file: open PATH: is a directory"),
            (binary.to_owned(), "failed to read file: PATH is not UTF-8 text (byte 1)"),
        ];
        for (path, expected) in cases {
            assert_eq!(read_text(&path), Err(expected.replace("PATH", &path)));
        }
    }
}
