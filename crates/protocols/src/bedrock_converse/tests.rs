use std::borrow::Cow;

use a6_codec::json::Document;
use a6_codec::sse::Event;
use a6_core::{Fault, FaultKind};

use super::*;
use crate::testing::{detect, told};
use crate::{End, Protocol, Shaping};

const DELTA: (&str, &str) =
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"messageStop"}}"#);
const TOOL: (&str, &str) = ("contentBlockStart", r#"{"start":{"toolUse":{"name":"f"}}}"#);
const STOP: (&str, &str) = ("messageStop", r#"{"stopReason":"end_turn"}"#);
const METADATA: (&str, &str) = (
    "metadata",
    r#"{"usage":{"inputTokens":30,"outputTokens":5,"totalTokens":35,"cacheReadInputTokens":4,
        "cacheWriteInputTokens":2},"metrics":{"latencyMs":1}}"#,
);
const EXCEPTION: (&str, &str) = ("exception", r#"{"message":"too many"}"#);

fn read(frames: &[(&str, &str)]) -> ConverseStream {
    let mut stream = ConverseStream::default();
    for (name, payload) in frames {
        let event =
            Event { span: 0..0, name: Some(name.as_bytes()), data: Some(Cow::Borrowed(payload.as_bytes())) };
        stream.event(&event);
    }
    stream
}

#[test]
fn a_stream_is_complete_with_its_metadata() {
    let cases: &[(&[(&str, &str)], End)] = &[
        (&[], End::Truncated),
        (&[DELTA], End::Truncated),
        (&[DELTA, STOP], End::CompleteWithoutTerminal),
        (&[DELTA, STOP, METADATA], End::Complete),
        (&[DELTA, EXCEPTION], End::UpstreamError),
        (&[DELTA, ("messageStop", "{")], End::Truncated),
        (&[("messageStart", "{}"), ("contentBlockStop", "{}")], End::Truncated),
    ];
    for (frames, end) in cases {
        assert_eq!(read(frames).end(), *end, "{frames:?}");
    }
    let stream = read(&[TOOL, STOP, METADATA]);
    let usage = stream.usage();
    assert_eq!((usage.prompt, usage.completion, usage.total), (Some(30), Some(5), Some(35)));
    assert_eq!((usage.cache_read, usage.cache_creation), (Some(4), Some(2)));
    assert!(stream.has_tool_calls() && !read(&[DELTA]).has_tool_calls());
}

#[test]
fn plain_answers_tell_their_usage_and_their_calls() {
    let body = r#"{"output":{"message":{"content":[{"text":"a"},{"toolUse":{"input":{"usage":{}}}}]}},
        "usage":{"inputTokens":10,"outputTokens":4}}"#;
    let whole = told(Protocol::BedrockConverse, body);
    assert_eq!((whole.usage.total, whole.has_tool_calls), (Some(14), true));
    let text = told(Protocol::BedrockConverse, r#"{"output":{"message":{"content":[{"text":"a"}]}}}"#);
    assert!(!text.has_tool_calls && !text.usage.is_known());
}

#[test]
fn a_request_is_told_by_path_and_messages() {
    assert_eq!(detect("/model/x/converse", r#"{"messages":[]}"#), Some(Protocol::BedrockConverse));
    assert_eq!(detect("/model/x/converse", r#"{"messages":{ }}"#), Some(Protocol::BedrockConverse));
    assert_eq!(detect("/model/x/converse", r#"{"messages":{"a":1}}"#), Some(Protocol::OpenaiChat));
    assert_eq!(detect("/model/x/converse-stream", r#"{"messages":[]}"#), Some(Protocol::BedrockConverse));
    let body = br#"{"messages":[],"stream":true,"toolConfig":{"tools":[{},{},{}]}}"#;
    let document = Document::scan(body).unwrap();
    assert_eq!(Protocol::BedrockConverse.describe(&document, body).tool_count, 3);
    let prepared = Protocol::BedrockConverse.prepare(&document, body, &Shaping::default());
    assert_eq!(prepared.removes, Some("stream"));
}

#[test]
fn errors_have_bedrocks_form() {
    let fault = Fault::upstream(FaultKind::UpstreamConnect, "refused");
    let body: serde_json::Value = serde_json::from_slice(&error_body(&fault)).unwrap();
    assert_eq!(body["message"], "refused");
    assert_eq!(ConverseStream::default().error_event(&fault), None);
}

#[test]
fn paths_of_awss_sdks_tell_model_and_stream() {
    let converse = Protocol::BedrockConverse;
    for (path, model, stream) in [
        ("/model/a:1/converse", Some("a:1"), false),
        ("/aws/model/arn:aws:x/y/converse-stream", Some("arn:aws:x/y"), true),
        ("/model//converse", None, false),
        ("/model/a/invoke", None, false),
        ("/converse-stream", None, true),
    ] {
        let body = br#"{"messages":[]}"#;
        let document = Document::scan(body).unwrap();
        assert_eq!(converse.model_at(path), model, "{path}");
        assert_eq!(converse.wants_stream(path, &document, body), stream, "{path}");
    }
    assert_eq!(Protocol::OpenaiChat.model_at("/model/a/converse"), None);
}
