//! Real exchanges with OpenAI, from `../shared/fixtures`; skipped where that folder is missing.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{ENVELOPE, data, holds_for_every_cut};
use crate::convert::{Conversion, Recall};
use crate::protocol::End;

/// The body of a recording's reply: a YAML scalar behind the last `body:`, in double quotes or as a block.
fn body(recording: &str) -> Option<String> {
    let at = recording.rfind(" body: ")? + " body: ".len();
    let scalar = &recording[at..];
    if scalar.starts_with('"') {
        let line = scalar.lines().next()?;
        return serde_json::from_str(line).ok();
    }
    let mut lines = scalar.lines().skip(1).peekable();
    let indent = lines.peek()?.len() - lines.peek()?.trim_start().len();
    let block = lines.take_while(|line| line.trim().is_empty() || line.starts_with(&" ".repeat(indent)));
    Some(block.map(|line| line.get(indent..).unwrap_or_default().to_string() + "\n").collect())
}

#[test]
fn recorded_replies_reach_anthropics_clients() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/recorded-openai");
    let Ok(files) = fs::read_dir(&folder) else {
        println!("skipped: ../shared/fixtures is missing");
        return;
    };
    let (mut streams, mut replies, mut errors) = (0, 0, 0);
    for file in files.map(|file| file.unwrap().path()) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if !name.contains("chat-") {
            continue;
        }
        let text = body(&fs::read_to_string(&file).unwrap()).unwrap_or_else(|| panic!("{name} has no body"));
        if text.starts_with("data:") {
            let whole = holds_for_every_cut(Conversion::MessagesToChat, &Recall::default(), &text);
            assert_eq!(whole.end, End::Complete, "{name}");
            assert_eq!(data(&whole.text).last().unwrap()["type"], "message_stop", "{name}");
            streams += 1;
            continue;
        }
        let converted = Conversion::MessagesToChat.reply(&Recall::default(), &ENVELOPE, text.as_bytes());
        let reply: Value = serde_json::from_slice(&converted.unwrap().body).unwrap();
        if reply["type"] == "error" {
            assert!(reply["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            errors += 1;
        } else {
            assert!(reply["usage"]["output_tokens"].as_u64().unwrap() > 0, "{name}");
            replies += 1;
        }
    }
    assert!(streams >= 2 && replies >= 5 && errors >= 2, "{streams} {replies} {errors}");
}
