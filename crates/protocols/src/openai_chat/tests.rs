use a6_codec::json::Document;
use a6_codec::sse::events;
use a6_core::FaultKind;

use super::*;
use crate::protocol::{End, Verdict};
use crate::testing::every_cut;
use crate::{Protocol, Shaping};

fn read(run: &str, hide_usage: bool) -> (End, Vec<Verdict>, Usage) {
    let mut stream = ChatStream::new(hide_usage);
    let verdicts = events(run.as_bytes()).map(|event| stream.event(&event)).collect();
    (stream.end(), verdicts, stream.usage())
}

#[test]
fn a_stream_is_complete_only_in_a_terminal_state() {
    let delta =
        r#"data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"usage":null}"#;
    let finish = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let second = r#"data: {"choices":[{"index":1,"delta":{"content":"b"}}]}"#;
    let tool = r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":3,"id":"x"}]},"finish_reason":null}]}"#;
    let error = r#"data: {"error":{"message":"overloaded"}}"#;
    let quoted = r#"data: {"choices":[{"index":0,"delta":{"content":"\"finish_reason\":\"stop\""}}]}"#;
    let cases: &[(&[&str], End)] = &[
        (&[], End::Truncated),
        (&[delta], End::Truncated),
        (&[delta, "data: [DONE]"], End::Complete),
        (&["data:[DONE]"], End::Complete),
        (&[delta, finish], End::CompleteWithoutTerminal),
        (&[delta, second, finish], End::Truncated),
        (&[tool, finish], End::CompleteWithoutTerminal),
        (&[quoted], End::Truncated),
        (&[delta, error], End::UpstreamError),
        (&[error, "data: [DONE]"], End::UpstreamError),
        (&["data: not json"], End::Truncated),
        (&[": ping"], End::Truncated),
    ];
    for (lines, expected) in cases {
        let run: String = lines.iter().map(|line| format!("{line}\n\n")).collect();
        assert_eq!(read(&run, true).0, *expected, "{run}");
    }
}

#[test]
fn chunks_like_the_one_before_are_told_from_those_that_only_look_so() {
    let chunk = |text: &str, behind: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":{behind}}}]}}\n\n"
        )
    };
    let plain = chunk("a", "null");
    // The text closes early and brings a finish of its own; only the whole chunk tells.
    let early = chunk(r#"b"},"finish_reason":"stop"},{"index":0,"delta":{"content":"c"#, "null");
    for (run, expected) in [
        (format!("{plain}{}", chunk("b", "null")), End::Truncated),
        (format!("{plain}{}", chunk("b", "\"stop\"")), End::CompleteWithoutTerminal),
        (format!("{plain}{early}"), End::CompleteWithoutTerminal),
        (format!("{plain}{}", chunk(r#"\"finish_reason\":\"stop\""#, "null")), End::Truncated),
    ] {
        assert_eq!(read(&run, true).0, expected, "{run}");
    }
}

#[test]
fn a_usage_named_once_is_found_without_reading_the_rest() {
    let cases = [
        (r#"{"usage" : {"prompt_tokens":1,"completion_tokens":2}, "x":[}"#, Some(Some(3))),
        (r#"{"a":"\"usage\":{}","usage":{"total_tokens":7}}"#, Some(Some(7))),
        (r#"{"usage":null}"#, None),
        (r#"{"usage":{"total_tokens":1},"x":{"usage":{"total_tokens":9}}}"#, None),
        (r#"{"content":"usage"}"#, None),
    ];
    for (text, total) in cases {
        assert_eq!(only_usage(text.as_bytes()).map(|usage| usage.total), total, "{text}");
    }
}

#[test]
fn only_the_usage_event_that_nobody_asked_for_is_hidden() {
    let usage = r#""usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}"#;
    let alone = format!("data: {{\"choices\":[],{usage}}}\n\n");
    let with_choice =
        format!("data: {{\"choices\":[{{\"index\":0,\"finish_reason\":\"stop\"}}],{usage}}}\n\n");
    assert_eq!(read(&alone, true).1, [Verdict::Hide]);
    assert_eq!(read(&alone, false).1, [Verdict::Pass]);
    assert_eq!(read(&with_choice, true).1, [Verdict::Pass]);
    for run in [alone, with_choice] {
        assert_eq!(read(&run, true).2.total, Some(5));
    }
}

#[test]
fn plain_answers_tell_their_usage() {
    let text = br#"{"usage":{"prompt_tokens":9,"completion_tokens":4,
        "prompt_tokens_details":{"cached_tokens":8},"completion_tokens_details":{"reasoning_tokens":2}}}"#;
    let told = usage(&Document::scan(text).unwrap(), text);
    assert_eq!((told.prompt, told.completion, told.total), (Some(9), Some(4), Some(13)));
    assert_eq!((told.cache_read, told.reasoning), (Some(8), Some(2)));
    let odd = br#"{"usage":{"prompt_tokens":12.5,"completion_tokens":4,"prompt_tokens_details":[]}}"#;
    let told = usage(&Document::scan(odd).unwrap(), odd);
    assert_eq!((told.prompt, told.completion), (None, Some(4)));
    let silent = br#"{"usage":null}"#;
    assert!(!usage(&Document::scan(silent).unwrap(), silent).is_known());
}

#[test]
fn include_usage_is_added_beside_the_clients_stream_options() {
    let cases = [
        (r#"{"stream":true}"#, Some(r#"{"include_usage":true}"#), true),
        (r#"{"stream":true,"stream_options":null}"#, Some(r#"{"include_usage":true}"#), true),
        (r#"{"stream":true,"stream_options":{"x": 1}}"#, Some(r#"{"x": 1,"include_usage":true}"#), true),
        (
            r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
            Some(r#"{"include_usage":true}"#),
            true,
        ),
        (r#"{"stream":true,"stream_options":{"include_usage":true}}"#, None, false),
        (r#"{"stream":1}"#, Some(r#"{"include_usage":true}"#), true),
        (r#"{"stream":"true"}"#, Some(r#"{"include_usage":true}"#), true),
        (r#"{"stream":null}"#, None, false),
        (r#"{"stream":false}"#, None, false),
        (r#"{"messages":[]}"#, None, false),
    ];
    for (body, stream_options, hides) in cases {
        let prepared =
            request::prepare(&Document::scan(body.as_bytes()).unwrap(), body.as_bytes(), &Shaping::default());
        let written = prepared.stream_options.map(|raw| String::from_utf8(raw).unwrap());
        assert_eq!((written.as_deref(), prepared.hides_usage), (stream_options, hides), "{body}");
    }
}

#[test]
fn every_cut_of_a_stream_is_told() {
    let chunk = |choice: &str| format!("data: {{\"choices\":[{choice}]}}\n\n");
    let stream = [
        ": a comment\n\n".to_string(),
        chunk(r#"{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}"#),
        chunk(r#"{"index":0,"delta":{"content":"h\u00e9 é"},"finish_reason":null}"#),
        chunk(r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"x"}]},"finish_reason":null}"#),
        chunk(r#"{"index":0,"delta":{},"finish_reason":"tool_calls"}"#),
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n".to_string(),
        "data: [DONE]\n\n".to_string(),
    ]
    .concat();
    let whole = every_cut(Protocol::OpenaiChat, stream.as_bytes());
    assert_eq!((whole.usage.total, whole.calls_tool), (Some(5), true));
}

#[test]
fn a_cache_is_told_in_two_ways() {
    let cases = [
        (r#"{"usage":{"prompt_tokens":9,"prompt_cache_hit_tokens":4}}"#, (Some(4), None)),
        (
            r#"{"usage":{"prompt_tokens":9,"prompt_cache_hit_tokens":4,
                "prompt_tokens_details":{"cached_tokens":5,"cache_creation_input_tokens":2}}}"#,
            (Some(5), Some(2)),
        ),
    ];
    for (text, cache) in cases {
        let told = usage(&Document::scan(text.as_bytes()).unwrap(), text.as_bytes());
        assert_eq!((told.cache_read, told.cache_creation), cache, "{text}");
    }
}

#[test]
fn errors_have_openais_form() {
    let fault = Fault::upstream(FaultKind::UpstreamTruncated, "a \"quote\"");
    let event = String::from_utf8(error_event(&fault).to_vec()).unwrap();
    assert!(event.starts_with("data: {") && event.ends_with("}\n\n"));
    let value: serde_json::Value = serde_json::from_str(event.trim_start_matches("data: ")).unwrap();
    assert_eq!(value["error"]["type"], "upstream_truncated");
    assert_eq!(value["error"]["message"], "a \"quote\"");
}
