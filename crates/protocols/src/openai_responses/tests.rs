use a6_codec::sse::events;
use a6_core::{Fault, FaultKind};

use super::*;
use crate::testing::{detect, every_cut, read, told};
use crate::{End, Protocol};

fn event(kind: &str, number: u64, rest: &str) -> String {
    format!("event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{number}{rest}}}\n\n")
}

fn last(kind: &str) -> String {
    let rest = r#","response":{"status":"x","output":[{"type":"reasoning"},{"type":"function_call","name":"f"}],
        "metadata":{"usage":{"input_tokens":99}},
        "usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":8},"output_tokens":87,
        "output_tokens_details":{"reasoning_tokens":64},"total_tokens":123}}"#;
    // A line of data has no line feed.
    event(kind, 4, &rest.replace('\n', " "))
}

#[test]
fn every_cut_of_a_stream_is_told() {
    let stream = [
        event("response.created", 0, r#","response":{"status":"in_progress","usage":null}"#),
        event("response.output_text.delta", 1, ",\"item_id\":\"m\",\"delta\":\"h\u{e9} response.completed\""),
        event("response.output_text.done", 2, ""),
        last("response.completed"),
    ]
    .concat();
    let whole = every_cut(Protocol::OpenaiResponses, stream.as_bytes());
    let usage = whole.usage;
    assert_eq!((usage.prompt, usage.completion, usage.total), (Some(36), Some(87), Some(123)));
    assert_eq!((usage.cache_read, usage.reasoning, usage.cache_creation), (Some(8), Some(64), None));
    assert!(whole.calls_tool);
}

#[test]
fn a_stream_ends_with_its_status() {
    let delta = event("response.output_text.delta", 1, "");
    let cases = [
        (vec![], End::Truncated),
        (vec![delta.clone()], End::Truncated),
        (vec![delta.clone(), last("response.completed")], End::Complete),
        (vec![delta.clone(), last("response.incomplete")], End::Complete),
        (vec![delta.clone(), last("response.failed")], End::UpstreamError),
        (vec![delta.clone(), event("error", 2, ",\"code\":\"x\"")], End::UpstreamError),
        (vec![delta.clone(), event("response.output_item.done", 2, "")], End::Truncated),
        (vec![delta, "data: [DONE]\n\n".to_string()], End::Truncated),
        (vec!["data: {\"type\":\"response.completed\"}\n\n".to_string()], End::Complete),
    ];
    for (events, end) in cases {
        let run = events.concat();
        assert_eq!(read(Protocol::OpenaiResponses, [run.as_bytes()]).end, end, "{run}");
    }
    for kind in ["response.incomplete", "response.failed"] {
        let seen = read(Protocol::OpenaiResponses, [last(kind).as_bytes()]);
        assert_eq!(seen.usage.total, Some(123), "{kind}");
    }
}

#[test]
fn the_error_event_has_the_next_number() {
    let mut stream = ResponseStream::default();
    for event in events(event("response.in_progress", 41, "").as_bytes()) {
        stream.event(&event);
    }
    let fault = Fault::upstream(FaultKind::UpstreamTruncated, "cut");
    let event = String::from_utf8(stream.error_event(&fault).unwrap().to_vec()).unwrap();
    let data = event.strip_prefix("event: error\ndata: ").unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!((&data["type"], &data["sequence_number"]), (&"error".into(), &42.into()));
    assert_eq!((&data["code"], &data["message"]), (&"upstream_truncated".into(), &"cut".into()));
}

#[test]
fn plain_answers_tell_their_usage_and_their_calls() {
    let body = r#"{"output":[{"type":"function_call"}],"metadata":{"usage":"a"},
        "usage":{"input_tokens":10,"output_tokens":4}}"#;
    let whole = told(Protocol::OpenaiResponses, body);
    assert_eq!((whole.usage.total, whole.has_tool_calls), (Some(14), true));
    let text =
        told(Protocol::OpenaiResponses, r#"{"output":[{"type":"message","content":[]}],"usage":null}"#);
    assert!(!text.has_tool_calls && !text.usage.is_known());
}

#[test]
fn a_request_is_told_by_path_and_input() {
    assert_eq!(detect("/v1/responses", r#"{"input":null,"messages":[]}"#), Some(Protocol::OpenaiResponses));
    assert_eq!(detect("/x/v1/responses", r#"{"input":[]}"#), Some(Protocol::OpenaiResponses));
    assert_eq!(detect("/v1/responses", r#"{"messages":[]}"#), Some(Protocol::OpenaiChat));
    assert_eq!(detect("/v1/responses/x", r#"{"input":[]}"#), Some(Protocol::OpenaiEmbeddings));
}
