use serde_json::{Value, json};

use super::{data, has_terminal, holds_for_every_cut, run, run_frames};
use crate::convert::{Conversion, Recall};
use crate::protocol::End;

/// A chunk of OpenAI's.
fn chunk(delta: Value, finish_reason: Value) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish_reason});
    let chunk = json!({"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "told", "choices": [choice]});
    format!("data: {chunk}\n\n")
}

fn usage() -> String {
    let details = json!({"cached_tokens": 30});
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": details});
    format!("data: {}\n\n", json!({"id": "c-1", "model": "told", "choices": [], "usage": usage}))
}

const DONE: &str = "data: [DONE]\n\n";

fn event(data: Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

fn text(text: &str) -> String {
    chunk(json!({"content": text}), Value::Null)
}

#[test]
fn openais_text_becomes_anthropics_events() {
    let begin = chunk(json!({"role": "assistant", "content": ""}), Value::Null);
    let stop = chunk(json!({}), json!("stop"));
    let provider = [": ping\n\n", &begin, &text("é \"q\"\n"), &text("b"), &stop, &usage(), DONE].concat();
    let whole = holds_for_every_cut(Conversion::MessagesToChat, &Recall::default(), &provider);
    let delta = |text: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
    let expected: String = [
        json!({"type": "message_start", "message": {"id": "c-1", "type": "message", "role": "assistant",
            "model": "asked", "content": [], "usage": {"input_tokens": 0, "output_tokens": 0}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        delta("é \"q\"\n"),
        delta("b"),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
            "usage": {"input_tokens": 70, "output_tokens": 20, "cache_read_input_tokens": 30}}),
        json!({"type": "message_stop"}),
    ]
    .into_iter()
    .map(event)
    .collect();
    assert_eq!((whole.text, whole.end), (expected, End::Complete));
}

#[test]
fn a_chunk_like_the_one_before_it_is_read_as_any_other() {
    let texts =
        ["a", "é", "", "b", r#"\"q\""#, r"\\", r"\u00e9\n", "c", r#"x","refusal":"no"#, "d", "\u{1}", "e"];
    // A space more or less, and no chunk is like the one before it.
    let streamed = |spaces: [&str; 2]| {
        let chunk = |(text, space): (&&str, &&str)| {
            format!(
                "data: {{\"id\":\"c\",{space}\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
            )
        };
        let provider: String = texts.iter().zip(spaces.iter().cycle()).map(chunk).collect();
        run(Conversion::MessagesToChat, &Recall::default(), [provider.as_bytes()], true)
    };
    let alike = streamed(["", ""]);
    assert_eq!(alike, streamed(["", " "]));
    assert_eq!(alike.end, End::UpstreamError, "a raw control character is no JSON");
    for delta in ["é", "b", r#"\"q\""#, r"\u00e9\n", "no", "d"] {
        assert!(alike.text.contains(&format!("\"text\":\"{delta}\"}}")), "{delta}: {}", alike.text);
    }
}

#[test]
fn openais_thinking_text_and_tools_become_blocks_in_turn() {
    let call = |index: u64, id: Value, name: Value, arguments: &str| {
        let function = json!({"name": name, "arguments": arguments});
        chunk(json!({"tool_calls": [{"index": index, "id": id, "function": function}]}), Value::Null)
    };
    let provider = [
        chunk(json!({"reasoning_content": "hmm"}), Value::Null),
        text("so"),
        call(0, json!("t1"), json!("a_1"), ""),
        call(0, Value::Null, Value::Null, "{\"city\":"),
        call(1, json!("t2"), json!("w"), "{}"),
        call(0, Value::Null, Value::Null, "\"Oslo\"}"),
        chunk(json!({}), json!("tool_calls")),
        usage(),
        DONE.to_string(),
    ]
    .concat();
    let recall = Recall { names: vec![("a_1".into(), "ä".into())], ..Recall::default() };
    let whole = holds_for_every_cut(Conversion::MessagesToChat, &recall, &provider);
    let events = data(&whole.text);
    let starts: Vec<&Value> = events.iter().filter(|event| event["type"] == "content_block_start").collect();
    assert_eq!(starts.len(), 4);
    assert_eq!(starts[0]["content_block"]["type"], "thinking");
    assert_eq!(starts[1]["content_block"]["type"], "text");
    assert_eq!(starts[2]["content_block"], json!({"type": "tool_use", "id": "t1", "name": "ä", "input": {}}));
    assert_eq!(starts[3]["content_block"], json!({"type": "tool_use", "id": "t2", "name": "w", "input": {}}));
    let arguments = |index: u64| -> String {
        let of_block = events.iter().filter(|event| event["index"] == index);
        of_block.filter_map(|event| event["delta"]["partial_json"].as_str()).collect()
    };
    assert_eq!((arguments(2).as_str(), arguments(3).as_str()), (r#"{"city":"Oslo"}"#, "{}"));
    let stops = events.iter().filter(|event| event["type"] == "content_block_stop").count();
    assert_eq!(stops, 4);
    assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "tool_use");
}

#[test]
fn what_openais_imitators_leave_out_or_write_otherwise_is_not_lost() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "w", "arguments": "{}"}});
    let provider = [
        chunk(json!({"content": [{"type": "text", "text": "so"}]}), Value::Null),
        chunk(json!({"tool_calls": [call("t1"), call("t2")]}), Value::Null),
        chunk(json!({"tool_calls": [call("t3")]}), Value::Null),
        chunk(json!({}), json!("tool_calls")),
        DONE.to_string(),
    ]
    .concat();
    let whole = holds_for_every_cut(Conversion::MessagesToChat, &Recall::default(), &provider);
    let events = data(&whole.text);
    let ids: Vec<&Value> = events.iter().filter_map(|event| event.pointer("/content_block/id")).collect();
    assert_eq!(ids, ["t1", "t2", "t3"]);
    let texts: Vec<&Value> = events.iter().filter_map(|event| event.pointer("/delta/text")).collect();
    assert_eq!(texts, ["so"]);
}

#[test]
fn what_ends_openais_stream_decides_what_the_client_sees() {
    let stop = chunk(json!({}), json!("stop"));
    let stop = stop.as_str();
    let error = "data: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\"}}\n\n";
    let named = format!("event: error\n{error}");
    let cases: &[(Vec<&str>, bool, End)] = &[
        (vec![stop, DONE], false, End::Complete),
        (vec![stop, DONE, error], true, End::Complete),
        (vec![DONE], true, End::Complete),
        (vec![stop], true, End::CompleteWithoutTerminal),
        (vec![stop], false, End::Truncated),
        (vec![], true, End::Truncated),
        (vec![error], true, End::UpstreamError),
        (vec![error, stop, DONE], true, End::UpstreamError),
        (vec![named.as_str()], true, End::UpstreamError),
        (vec!["data: not json\n\n", DONE], true, End::UpstreamError),
        (vec!["data: \u{0}\n\n"], true, End::UpstreamError),
        (vec!["event: other\ndata: not json\n\n", stop, DONE], true, End::Complete),
    ];
    for (tail, is_proper, expected) in cases {
        let provider = text("a") + &tail.concat();
        let streamed = run(Conversion::MessagesToChat, &Recall::default(), [provider.as_bytes()], *is_proper);
        assert_eq!(streamed.end, *expected, "{tail:?}");
        let is_whole = matches!(expected, End::Complete | End::CompleteWithoutTerminal);
        assert_eq!(has_terminal(&streamed.text), is_whole, "{tail:?}");
        assert_eq!(streamed.text.contains("event: error"), *expected == End::UpstreamError, "{tail:?}");
        assert_eq!(streamed.text.matches("message_stop\ndata").count(), usize::from(is_whole), "{tail:?}");
    }
    let failed = run(Conversion::MessagesToChat, &Recall::default(), [error.as_bytes()], true);
    let expected = json!({"type": "error", "error": {"type": "server_error", "message": "boom"}});
    assert_eq!(failed.text, format!("event: error\ndata: {expected}\n\n"));
}

#[test]
fn a_stream_that_begins_with_its_end_is_an_error() {
    let streamed = run(Conversion::MessagesToChat, &Recall::default(), [DONE.as_bytes()], true);
    assert_eq!(streamed.end, End::UpstreamError);
    assert!(streamed.text.starts_with("event: error") && !has_terminal(&streamed.text));
}

/// Anthropic's events of a reply that thinks, speaks and calls.
fn anthropic() -> Vec<String> {
    let delta = |index: u64, delta: Value| {
        event(json!({"type": "content_block_delta", "index": index, "delta": delta}))
    };
    let start = |index: u64, block: Value| {
        event(json!({"type": "content_block_start", "index": index, "content_block": block}))
    };
    let stop = |index: u64| event(json!({"type": "content_block_stop", "index": index}));
    vec![
        event(json!({"type": "message_start", "message": {"id": "msg_1", "model": "told", "content": [],
            "usage": {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 5}}})),
        start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        event(json!({"type": "ping"})),
        delta(0, json!({"type": "thinking_delta", "thinking": "hmm"})),
        delta(0, json!({"type": "signature_delta", "signature": "s"})),
        stop(0),
        start(1, json!({"type": "text", "text": ""})),
        delta(1, json!({"type": "text_delta", "text": "é\n"})),
        stop(1),
        start(2, json!({"type": "tool_use", "id": "t1", "name": "w", "input": {}})),
        delta(2, json!({"type": "input_json_delta", "partial_json": ""})),
        delta(2, json!({"type": "input_json_delta", "partial_json": "{\"city\":"})),
        delta(2, json!({"type": "input_json_delta", "partial_json": "\"Oslo\"}"})),
        stop(2),
        start(3, json!({"type": "tool_use", "id": "t2", "name": "now", "input": {}})),
        stop(3),
        event(json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null},
            "usage": {"output_tokens": 20}})),
        event(json!({"type": "message_stop"})),
    ]
}

fn openai(choices: Value, usage: Option<Value>) -> String {
    let mut chunk = json!({"id": "msg_1", "object": "chat.completion.chunk", "created": 1700, "model": "asked",
        "choices": choices});
    if let Some(usage) = usage {
        chunk["usage"] = usage;
    }
    format!("data: {chunk}\n\n")
}

#[test]
fn anthropics_events_become_openais_chunks() {
    let wants_usage = Recall { include_usage: true, ..Recall::default() };
    let whole = holds_for_every_cut(Conversion::ChatToMessages, &wants_usage, &anthropic().concat());
    let delta = |delta: Value| openai(json!([{"index": 0, "delta": delta, "finish_reason": null}]), None);
    let call = |call: Value| delta(json!({"tool_calls": [call]}));
    let started = |index: u64, id: &str, name: &str| {
        let function = json!({"name": name, "arguments": ""});
        call(json!({"index": index, "id": id, "type": "function", "function": function}))
    };
    let arguments =
        |index: u64, arguments: &str| call(json!({"index": index, "function": {"arguments": arguments}}));
    let expected = [
        delta(json!({"role": "assistant", "content": ""})),
        delta(json!({"reasoning_content": "hmm"})),
        delta(json!({"content": "é\n"})),
        started(0, "t1", "w"),
        arguments(0, "{\"city\":"),
        arguments(0, "\"Oslo\"}"),
        started(1, "t2", "now"),
        arguments(1, "{}"),
        openai(json!([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]), None),
        openai(
            json!([]),
            Some(json!({"prompt_tokens": 15, "completion_tokens": 20, "total_tokens": 35,
                "prompt_tokens_details": {"cached_tokens": 5}})),
        ),
        DONE.to_string(),
    ]
    .concat();
    assert_eq!((whole.text, whole.end), (expected, End::Complete));
    let without =
        run(Conversion::ChatToMessages, &Recall::default(), [anthropic().concat().as_bytes()], true);
    assert!(!without.text.contains("\"usage\"") && has_terminal(&without.text));
}

#[test]
fn what_ends_anthropics_stream_decides_what_the_client_sees() {
    let events = anthropic();
    let all = events.len();
    let error =
        event(json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}));
    let cases = [
        (events.concat(), End::Complete),
        (events[..all - 1].concat(), End::Truncated),
        (events[..3].concat() + &error, End::UpstreamError),
        (error.clone(), End::UpstreamError),
        (events[1..].concat(), End::UpstreamError),
        ("data: []\n\n".to_string(), End::UpstreamError),
        (String::new(), End::Truncated),
    ];
    for (provider, expected) in cases {
        let streamed = run(Conversion::ChatToMessages, &Recall::default(), [provider.as_bytes()], true);
        assert_eq!(streamed.end, expected, "{provider}");
        assert_eq!(has_terminal(&streamed.text), expected == End::Complete, "{provider}");
        assert_eq!(streamed.text.contains("{\"error\":"), expected == End::UpstreamError, "{provider}");
    }
    let failed = run(Conversion::ChatToMessages, &Recall::default(), [error.as_bytes()], true);
    let expected =
        json!({"error": {"message": "Overloaded", "type": "overloaded_error", "param": null, "code": null}});
    assert_eq!(data(&failed.text), [expected]);
}

#[test]
fn blocks_that_openai_does_not_know_are_named() {
    let mut events = anthropic();
    let search = json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}});
    let cites = json!({"type": "citations_delta", "citation": {}});
    let input = json!({"type": "input_json_delta", "partial_json": "{}"});
    let added = [
        event(json!({"type": "content_block_start", "index": 9, "content_block": search})),
        event(json!({"type": "content_block_delta", "index": 9, "delta": input})),
        event(json!({"type": "content_block_delta", "index": 9, "delta": cites})),
        event(json!({"type": "content_block_stop", "index": 9})),
    ];
    events.splice(1..1, added);
    let provider = events.concat();
    let streamed = run(Conversion::ChatToMessages, &Recall::default(), [provider.as_bytes()], true);
    assert_eq!(streamed.dropped, ["content.server_tool_use", "content.citations"]);
    let plain = anthropic().concat();
    assert_eq!(
        streamed.text,
        run(Conversion::ChatToMessages, &Recall::default(), [plain.as_bytes()], true).text
    );
}

const CONVERSE: [(&str, &str); 13] = [
    ("messageStart", r#"{"role":"assistant","p":"abc"}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hmm"}}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"s"}}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"text":"é\n"}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
    ("contentBlockStart", r#"{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"t1","name":"w"}}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"city\":"}}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"\"Oslo\"}"}}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":2}"#),
    ("someNewEvent", "{}"),
    ("messageStop", r#"{"stopReason":"tool_use"}"#),
    (
        "metadata",
        r#"{"usage":{"inputTokens":10,"outputTokens":20,"totalTokens":30},"metrics":{"latencyMs":5}}"#,
    ),
];

#[test]
fn bedrocks_frames_become_openais_chunks() {
    let wants_usage = Recall { include_usage: true, ..Recall::default() };
    let whole = run_frames(&wants_usage, &CONVERSE, true);
    let events = data(&whole.text);
    assert_eq!(whole.end, End::Complete);
    assert!(events.iter().all(|event| event == "[DONE]" || event["id"] == "req-1"), "{events:?}");
    let deltas: Vec<&Value> = events.iter().map(|event| &event["choices"][0]["delta"]).collect();
    assert_eq!(deltas[1], &json!({"reasoning_content": "hmm"}));
    assert_eq!(deltas[2], &json!({"content": "é\n"}));
    assert_eq!(deltas[3]["tool_calls"][0]["function"]["name"], "w");
    assert_eq!(events[6]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(events[7]["usage"]["total_tokens"], 30);
    assert_eq!(events.len(), 9);
    for cut in 0..CONVERSE.len() {
        let broken = run_frames(&wants_usage, &CONVERSE[..cut], false);
        assert_eq!(broken.end, End::Truncated, "{cut}");
        assert!(whole.text.starts_with(&broken.text) && !has_terminal(&broken.text), "{cut}");
    }
    let without_counts = run_frames(&wants_usage, &CONVERSE[..12], true);
    assert_eq!(without_counts.end, End::CompleteWithoutTerminal);
    assert!(has_terminal(&without_counts.text));
}

#[test]
fn bedrocks_exceptions_are_openais_errors() {
    let cases: &[(&[(&str, &str)], &str, &str)] = &[
        (&[("throttlingException", r#"{"message":"Too many"}"#)], "throttlingException", "Too many"),
        (
            &[CONVERSE[0], ("modelStreamErrorException", "")],
            "modelStreamErrorException",
            "modelStreamErrorException",
        ),
    ];
    for (frames, kind, message) in cases {
        let streamed = run_frames(&Recall::default(), frames, true);
        assert_eq!(streamed.end, End::UpstreamError);
        let last = data(&streamed.text).pop().unwrap();
        assert_eq!((&last["error"]["type"], &last["error"]["message"]), (&json!(kind), &json!(message)));
    }
    let malformed: [&[(&str, &str)]; 3] =
        [&[("messageStart", "[]")], &[CONVERSE[4]], &[CONVERSE[0], ("contentBlockDelta", "{}")]];
    for frames in malformed {
        let streamed = run_frames(&Recall::default(), frames, true);
        assert_eq!(streamed.end, End::UpstreamError, "{frames:?}");
        assert!(streamed.text.contains("upstream_protocol_error") && !has_terminal(&streamed.text));
    }
}
