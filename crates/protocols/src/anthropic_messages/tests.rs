use a6_codec::json::Document;
use a6_core::{Fault, FaultKind};

use super::*;
use crate::testing::{detect, every_cut, read, told};
use crate::{Description, End, Protocol};

const START: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[],",
    "\"usage\":{\"input_tokens\":25,\"cache_read_input_tokens\":7,\"cache_creation_input_tokens\":3,",
    "\"output_tokens\":1}}}\n\n"
);
const TEXT: &str = concat!(
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,",
    "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,",
    "\"delta\":{\"type\":\"text_delta\",\"text\":\"h\u{e9} message_stop\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
);
const TOOL: &str = concat!(
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,",
    "\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}\n\n"
);
const DELTA: &str = concat!(
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},",
    "\"usage\":{\"output_tokens\":15,\"input_tokens\":0}}\n\n"
);
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const ERROR: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n";

#[test]
fn every_cut_of_a_stream_is_told() {
    let whole = every_cut(Protocol::AnthropicMessages, [START, TEXT, TOOL, DELTA, STOP].concat().as_bytes());
    let usage = whole.usage;
    assert_eq!((usage.prompt, usage.completion, usage.total), (Some(25), Some(15), Some(40)));
    assert_eq!((usage.cache_read, usage.cache_creation, usage.reasoning), (Some(7), Some(3), None));
    assert!(whole.calls_tool);
    let crlf = [START, TEXT, DELTA, STOP].concat().replace('\n', "\r\n");
    assert!(!every_cut(Protocol::AnthropicMessages, crlf.as_bytes()).calls_tool);
}

#[test]
fn only_message_stop_completes_a_stream() {
    let nameless = "data: {\"type\":\"message_stop\"}\n\n";
    let cases: &[(&[&str], End)] = &[
        (&[], End::Truncated),
        (&[START, TEXT, DELTA], End::Truncated),
        (&[START, STOP], End::Complete),
        (&[START, nameless], End::Complete),
        (&[START, ERROR], End::UpstreamError),
        (&["data: [DONE]\n\n"], End::Truncated),
        (&["event: message_start\ndata: not JSON\n\n", STOP], End::Complete),
    ];
    for (events, end) in cases {
        let run = events.concat();
        assert_eq!(read(Protocol::AnthropicMessages, [run.as_bytes()]).end, *end, "{run}");
    }
}

#[test]
fn plain_answers_tell_their_usage_and_their_calls() {
    let body = r#"{"content":[{"type":"text","text":"a"},{"type":"tool_use","input":{"usage":{"input_tokens":9}}}],
        "usage":{"input_tokens":10,"output_tokens":4,"cache_read_input_tokens":2}}"#;
    let whole = told(Protocol::AnthropicMessages, body);
    assert_eq!((whole.usage.total, whole.usage.cache_read), (Some(14), Some(2)));
    assert!(whole.has_tool_calls && whole.is_whole);
    for silent in [r#"{"content":[],"usage":null}"#, r#"{"content":"x"}"#, "[]", "3"] {
        let told = told(Protocol::AnthropicMessages, silent);
        assert!(!told.usage.is_known() && !told.has_tool_calls, "{silent}");
    }
    let odd = told(Protocol::AnthropicMessages, r#"{"usage":{"input_tokens":1.5,"output_tokens":"4"}}"#);
    assert!(!odd.usage.is_known());
}

#[test]
fn a_request_is_told_by_its_path() {
    assert_eq!(detect("/x/v1/messages", "{}"), Some(Protocol::AnthropicMessages));
    assert_eq!(detect("/v1/messages", "[]"), Some(Protocol::AnthropicMessages));
    assert_eq!(detect("/v1/messages", "3"), None);
    assert_eq!(detect("/v1/messages/count_tokens", r#"{"a":1}"#), Some(Protocol::Passthrough));
    let body = br#"{"tools":[{},{}],"metadata":{"user_id":"u\u0031"},"user":"no"}"#;
    let described = Protocol::AnthropicMessages.describe(&Document::scan(body).unwrap(), body);
    assert_eq!(described, Description { tool_count: 2, end_user: Some("u1".to_string()) });
}

#[test]
fn errors_have_anthropics_form() {
    let fault = Fault::upstream(FaultKind::UpstreamTimeout, "a \"quote\"");
    let body: serde_json::Value = serde_json::from_slice(&error_body(&fault)).unwrap();
    assert_eq!(
        body,
        json!({"type": "error", "error": {"type": "upstream_timeout", "message": "a \"quote\""}})
    );
    let event = MessageStream::default().error_event(&fault).unwrap();
    assert!(event.starts_with(b"event: error\ndata: {\"type\":\"error\","), "{event:?}");
}
