//! Recorded exchanges.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{CHAT, ask};
use crate::server::{Mock, Options};

/// A folder of our own that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn with(name: &str, file: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("a6-mock-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("hello.yaml"), file).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn replaying(folder: &Path) -> std::io::Result<Mock> {
    Mock::start(Options { replay: Some(folder.to_owned()), ..Options::default() })
}

#[test]
fn the_request_that_was_recorded_gets_the_recorded_reply() {
    let folder = Folder::with(
        "replay",
        r#"---
version: 2
interactions:
    - id: 0
      request:
        host: api.openai.com
        body: |-
            {
              "stream": true,
              "messages": []
            }
        url: https://api.openai.com/v1/chat/completions?x=1
        method: POST
      response:
        body: "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n"
        headers:
            Content-Type:
                - text/event-stream
            Content-Length:
                - "999"
            X-Kept:
                - "yes"
        status: 202 Accepted
        code: 202
"#,
    );
    let mock = replaying(&folder.0).unwrap();
    let reply = ask(&mock, CHAT, "", &json!({"messages": [], "stream": true}));
    assert_eq!(
        (reply.status, reply.header("x-kept"), reply.header("content-length")),
        (202, Some("yes"), None)
    );
    assert!(reply.body.ends_with(b"data: [DONE]\n\n"));
    let seen = &mock.settled(1)[0];
    assert_eq!((seen.content.as_str(), seen.prompt_tokens, seen.completion_tokens), ("Hi", 3, 4));
    assert_eq!((seen.events_written, seen.response_bytes), (3, reply.bytes));

    let other = ask(&mock, CHAT, "", &json!({"messages": [1], "stream": true}));
    let message = other.json()["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(other.status, 404);
    assert!(message.ends_with("The recordings are: hello."), "{message}");
}

#[test]
fn a_folder_that_cannot_be_replayed_is_named() {
    let folder = Folder::with("broken", "interactions: 7\n");
    let error = replaying(&folder.0).unwrap_err().to_string();
    assert!(error.starts_with("cannot replay ") && error.contains("hello.yaml: "), "{error}");
    let error = replaying(Path::new("no/such/folder")).unwrap_err().to_string();
    assert!(error.starts_with("cannot replay no/such/folder: "), "{error}");
}

#[test]
fn the_shared_recordings_are_replayed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/recorded-openai");
    if !folder.exists() {
        println!("skipped: ../shared/fixtures/recorded-openai is missing");
        return;
    }
    let mock = replaying(&folder).unwrap();
    let body = json!({"model": "gpt-5-nano", "messages": [{"role": "user", "content": "Hello!"}]});
    let reply = ask(&mock, CHAT, "", &body);
    assert_eq!(reply.status, 200);
    let answer: Value = reply.json();
    let seen = &mock.settled(1)[0];
    assert_eq!(answer["choices"][0]["message"]["content"], seen.content);
    assert_eq!(answer["usage"]["prompt_tokens"], seen.prompt_tokens);
    assert!(seen.prompt_tokens > 0 && reply.header("openai-processing-ms").is_some());
}
