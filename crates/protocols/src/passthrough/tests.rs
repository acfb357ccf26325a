use a6_core::{Fault, FaultKind};
use bytes::Bytes;

use super::*;
use crate::testing::{detect, read, told};
use crate::{End, Protocol};

#[test]
fn whatever_says_anything_passes() {
    for body in [r#"{"prompt":1}"#, "[1]", r#"{"messages":null}"#, r#"{"messages":"x"}"#] {
        assert_eq!(detect("/v1/completions", body), Some(Protocol::Passthrough), "{body}");
    }
    for body in ["{}", "[]", "3", "\"x\"", "null", "true"] {
        assert_eq!(detect("/v1/completions", body), None, "{body}");
    }
    assert_eq!(detect("/x", r#"{"messages":[]}"#), Some(Protocol::OpenaiChat));
    assert_eq!(detect("/x", r#"{"messages":{}}"#), Some(Protocol::OpenaiChat));
}

#[test]
fn bytes_pass_where_they_are_meant_to() {
    let yes = [
        "/v1/audio/speech",
        "/v1/images/edits",
        "/openai/v1/files",
        "/v1/files/file-1/content",
        "/v1/uploads/u/parts",
        "/v1/models",
        "/v1/models/gpt",
        "/v1/batches",
        "/v1/messages/count_tokens",
        "/v1/messages/batches/b/results",
    ];
    let no =
        ["/v1/audio", "/v1/filesystem", "/v1/chat/completions", "/anything", "/v1/modelsx", "/v1/messages"];
    for path in yes {
        assert!(takes_bytes(path), "{path}");
    }
    for path in no {
        assert!(!takes_bytes(path), "{path}");
    }
}

#[test]
fn nothing_in_an_answer_is_read() {
    let told = told(Protocol::Passthrough, r#"{"usage":{"prompt_tokens":1},"choices":[]}"#);
    assert!(!told.usage.is_known() && !told.has_tool_calls && told.is_whole);
    let seen = read(Protocol::Passthrough, [&b"data: {\"usage\":{\"total_tokens\":1}}\n\ndata: x"[..]]);
    assert_eq!((seen.end, seen.events.len()), (End::Unjudged, 2));
    let mut sound = Protocol::Passthrough.plain_reader().unread();
    sound.push(&Bytes::from_static(b"\x00\x01"));
    assert!(sound.finish(true).unwrap().is_whole);
}

#[test]
fn a_fault_is_an_event_of_its_own() {
    let fault = Fault::upstream(FaultKind::UpstreamTruncated, "cut");
    let event = PassingStream.error_event(&fault).unwrap();
    assert!(event.starts_with(b"event: error\ndata: {\"error\":{\"message\":\"cut\""), "{event:?}");
}
