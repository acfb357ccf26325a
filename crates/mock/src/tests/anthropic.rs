//! Anthropic messages.

use serde_json::{Value, json};

use super::{ask, data, mock};
use crate::knobs::Knobs;

const MESSAGES: &str = "/v1/messages";

#[test]
fn plain_and_streamed_messages_tell_what_the_ledger_has() {
    let mock = mock(Knobs::default());
    let messages = json!([{"role": "user", "content": [{"type": "text", "text": "Hi there"}]}]);
    let mut body = json!({"model": "claude", "system": "Be brief.", "max_tokens": 9, "messages": messages});
    let plain = ask(&mock, MESSAGES, "", &body).json();
    body["stream"] = json!(true);
    let reply = ask(&mock, MESSAGES, "", &body);
    let ledger = mock.settled(2);

    assert_eq!(plain["content"][0]["text"], ledger[0].content);
    assert_eq!(plain["usage"]["input_tokens"], ledger[0].prompt_tokens);
    assert_eq!(plain["usage"]["output_tokens"], ledger[0].completion_tokens);
    assert_eq!((plain["stop_reason"].as_str(), ledger[0].prompt_tokens), (Some("end_turn"), 5));

    let events = data(&reply.body);
    let types: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(types[..4], ["message_start", "content_block_start", "ping", "content_block_delta"]);
    assert_eq!(types[types.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
    let content: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!(content, ledger[1].content);
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], ledger[1].prompt_tokens);
    let end = &events[events.len() - 2];
    assert_eq!(end["usage"]["output_tokens"], ledger[1].completion_tokens);
    assert_eq!((ledger[1].events_written, ledger[1].response_bytes), (events.len() as u64, reply.bytes));
}

#[test]
fn the_ends_can_be_left_out() {
    let mock = mock(Knobs { no_done: true, no_usage: true, no_finish: true, ..Knobs::default() });
    let body = json!({"messages": [{"role": "user", "content": "Hi"}], "stream": true});
    let events = data(&ask(&mock, MESSAGES, "", &body).body);
    let last = events.last().unwrap();
    assert_eq!(
        last,
        &json!({"type": "message_delta", "delta": {"stop_reason": null, "stop_sequence": null}})
    );
    assert!(events[0]["message"].get("usage").is_none());
}

#[test]
fn a_tool_is_called() {
    let mock = mock(Knobs::default());
    let tools = json!([{"name": "look", "input_schema": {}}]);
    let mut body = json!({"messages": [{"role": "user", "content": "call the tool"}], "tools": tools});
    let plain = ask(&mock, MESSAGES, "", &body).json();
    assert_eq!((&plain["content"][0]["name"], &plain["content"][0]["input"]), (&json!("look"), &json!({})));
    assert_eq!(plain["stop_reason"], "tool_use");
    body["stream"] = json!(true);
    let events = data(&ask(&mock, MESSAGES, "", &body).body);
    assert_eq!(events[1]["content_block"]["name"], "look");
    assert_eq!(events[3]["delta"], json!({"type": "input_json_delta", "partial_json": "{}"}));
}

#[test]
fn errors_have_the_shape_of_anthropic() {
    let mock = mock(Knobs::default());
    for (headers, body, status, kind) in [
        ("", json!({}), 400, "invalid_request_error"),
        ("", json!({"model": "no-such-model", "messages": [{}]}), 404, "not_found_error"),
        ("x-mock-status: 529\r\n", json!({}), 529, "overloaded_error"),
    ] {
        let reply = ask(&mock, MESSAGES, headers, &body);
        let error: Value = reply.json();
        assert_eq!(
            (reply.status, &error["type"], &error["error"]["type"]),
            (status, &json!("error"), &json!(kind))
        );
    }
}
