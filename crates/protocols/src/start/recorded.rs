//! What stands before the first word, in each protocol's own streams.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use a6_codec::sse::{Event, SseDecoder, events};
use bytes::Bytes;

use crate::{Protocol, Start};

/// What came before something that is no scaffolding, and what that is; none where the stream has nothing else.
fn begin(protocol: Protocol, stream: &[u8], step: usize) -> (usize, Option<Start>) {
    let mut decoder = SseDecoder::default();
    let mut before = 0;
    for piece in stream.chunks(step.max(1)) {
        let run = decoder.push(Bytes::copy_from_slice(piece));
        for event in events(&run) {
            match protocol.start(&event) {
                Start::Scaffolding => before += 1,
                other => return (before, Some(other)),
            }
        }
    }
    (before, None)
}

/// Whole and byte by byte, which must tell the same.
fn begins(protocol: Protocol, stream: &str) -> (usize, Option<Start>) {
    let whole = begin(protocol, stream.as_bytes(), stream.len());
    assert_eq!(begin(protocol, stream.as_bytes(), 1), whole, "byte by byte: {stream}");
    whole
}

fn data(all: &[&str]) -> String {
    all.iter().map(|data| format!("data: {data}\n\n")).collect()
}

fn named(all: &[(&str, &str)]) -> String {
    all.iter().map(|(name, data)| format!("event: {name}\ndata: {data}\n\n")).collect()
}

fn status_of(start: Option<Start>) -> Option<u16> {
    match start {
        Some(Start::Error(error)) => error.status.map(|status| status.as_u16()),
        other => panic!("no error: {other:?}"),
    }
}

#[test]
fn openai_chat_names_the_role_first() {
    let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}]}"#;
    let azure = r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#;
    let content = [
        r#"{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning_content":"Hm"},"finish_reason":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":""}},{"index":1,"delta":{"content":"x"}}]}"#,
        r#"{"choices":[],"usage":{"total_tokens":3}}"#,
        r#"{"something":"else"}"#,
        "[DONE]",
        "no JSON",
    ];
    for content in content {
        let stream = format!(": ping\n\n{}", data(&[azure, role, role, content]));
        assert_eq!(begins(Protocol::OpenaiChat, &stream), (4, Some(Start::Content)), "{content}");
    }
    assert_eq!(begins(Protocol::OpenaiChat, &data(&[azure, role])), (2, None));
    let error = r#"{"error":{"message":"too many","type":"tokens","code":"rate_limit_exceeded"}}"#;
    let (before, start) = begins(Protocol::OpenaiChat, &data(&[role, error]));
    assert_eq!((before, status_of(start)), (1, Some(429)));
    let (_, start) = begins(Protocol::OpenaiChat, &data(&[r#"{"error":"lost"}"#]));
    assert_eq!(status_of(start), None);
}

#[test]
fn anthropic_opens_message_and_block_first() {
    let opening = [
        ("message_start", r#"{"type":"message_start","message":{"id":"m","content":[]}}"#),
        (
            "content_block_start",
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        ),
        ("ping", r#"{"type":"ping"}"#),
        (
            "content_block_delta",
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}"#,
        ),
    ];
    let text = (
        "content_block_delta",
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#,
    );
    let tool = (
        "content_block_start",
        r#"{"type":"content_block_start","content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
    );
    let end = ("message_delta", r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#);
    for content in [text, tool, end] {
        let stream = named(&[&opening[..], &[content]].concat());
        assert_eq!(begins(Protocol::AnthropicMessages, &stream), (4, Some(Start::Content)), "{content:?}");
    }
    let error = ("error", r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#);
    let (before, start) = begins(Protocol::AnthropicMessages, &named(&[&opening[..], &[error]].concat()));
    assert_eq!((before, status_of(start)), (4, Some(529)));
    let (_, start) = begins(Protocol::AnthropicMessages, &named(&[("error", "{")]));
    assert_eq!(status_of(start), None);
}

#[test]
fn openai_responses_open_response_item_and_part_first() {
    let opening = [
        ("response.created", r#"{"type":"response.created","response":{}}"#),
        ("response.in_progress", r#"{"type":"response.in_progress","response":{}}"#),
        ("response.output_item.added", r#"{"item":{"type":"message","content":[]}}"#),
        ("response.content_part.added", r#"{"part":{"type":"output_text","text":""}}"#),
    ];
    let content = [
        ("response.output_text.delta", r#"{"delta":"Hi"}"#),
        ("response.output_item.added", r#"{"item":{"type":"function_call","name":"f"}}"#),
        ("response.completed", r#"{"response":{}}"#),
    ];
    for content in content {
        let stream = named(&[&opening[..], &[content]].concat());
        assert_eq!(begins(Protocol::OpenaiResponses, &stream), (4, Some(Start::Content)), "{content:?}");
    }
    let errors = [
        ("response.failed", r#"{"response":{"error":{"code":"server_error","message":"x"}}}"#, Some(500)),
        ("error", r#"{"type":"error","code":"rate_limit_exceeded","message":"x"}"#, Some(429)),
        ("error", r#"{"type":"error","error":{"type":"invalid_request_error","message":"x"}}"#, Some(400)),
        ("response.failed", "no JSON", None),
    ];
    for (name, error, status) in errors {
        let (before, start) =
            begins(Protocol::OpenaiResponses, &named(&[&opening[..], &[(name, error)]].concat()));
        assert_eq!((before, status_of(start)), (4, status), "{error}");
    }
}

#[test]
fn bedrock_opens_the_message_first() {
    let frame = |name: &'static str, payload: &'static str| {
        let data = Some(Cow::Borrowed(payload.as_bytes()));
        Protocol::BedrockConverse.start(&Event { span: 0..0, name: Some(name.as_bytes()), data })
    };
    assert_eq!(frame("messageStart", r#"{"role":"assistant"}"#), Start::Scaffolding);
    assert_eq!(frame("contentBlockStart", r#"{"contentBlockIndex":0,"start":{}}"#), Start::Scaffolding);
    let tool = r#"{"contentBlockIndex":0,"start":{"toolUse":{"name":"f"}}}"#;
    assert_eq!(frame("contentBlockStart", tool), Start::Content);
    assert_eq!(frame("contentBlockDelta", r#"{"delta":{"text":"Hi"}}"#), Start::Content);
    assert_eq!(frame("messageStop", r#"{"stopReason":"end_turn"}"#), Start::Content);
    let exception = frame("throttlingException", r#"{"message":"Too many requests"}"#);
    let Start::Error(error) = exception else { panic!("{exception:?}") };
    assert_eq!(error.status.map(|status| status.as_u16()), Some(429));
    assert_eq!(error.message.as_deref(), Some("Too many requests"));
    assert_eq!(status_of(Some(frame("exception", ""))), None);
}

#[test]
fn of_an_unknown_protocol_only_comments_say_nothing() {
    let found = begins(Protocol::Passthrough, ": ping\n\ndata: {\"error\":1}\n\n");
    assert_eq!(found, (1, Some(Start::Content)));
}

/// The events of a recorded stream: lines of YAML that are the stream's own, indented.
fn recorded(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let events: Vec<&str> = text.lines().map(str::trim).filter(|line| line.starts_with("data: ")).collect();
    Some(events.iter().map(|event| format!("{event}\n\n")).collect())
}

#[test]
fn recorded_streams_begin_behind_their_role() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/recorded-openai");
    if !folder.exists() {
        println!("skipped: ../shared/fixtures/recorded-openai is missing");
        return;
    }
    for name in ["chat-streaming.yaml", "chat-streaming-detailed-usage.yaml"] {
        let stream = recorded(&folder.join(name)).expect(name);
        assert!(stream.ends_with("data: [DONE]\n\n"), "{name}: {stream}");
        assert_eq!(begins(Protocol::OpenaiChat, &stream), (1, Some(Start::Content)), "{name}");
        let role = stream.split_inclusive("\n\n").next().expect("an event");
        assert_eq!(begins(Protocol::OpenaiChat, role), (1, None), "{name}");
    }
}
