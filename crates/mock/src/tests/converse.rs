//! Amazon Bedrock Converse, and who may ask it.

use a6_codec::event_stream::{FrameDecoder, Value as Header};
use serde_json::{Value, json};

use super::{ask, mock};
use crate::knobs::Knobs;
use crate::server::{Mock, Options};

const PLAIN: &str = "/model/m/converse";
const STREAM: &str = "/model/m/converse-stream";

fn conversation() -> Value {
    json!({"messages": [{"role": "user", "content": [{"text": "Hi there"}]}]})
}

/// Name and payload of each frame.
fn frames(body: &[u8]) -> Vec<(String, Value)> {
    let mut decoder = FrameDecoder::default();
    decoder.push(body);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.frame().unwrap() {
        let name = frame.header(":event-type").and_then(Header::text).unwrap();
        frames.push((name.to_owned(), serde_json::from_slice(frame.payload()).unwrap()));
    }
    decoder.finish().unwrap();
    frames
}

#[test]
fn plain_and_streamed_answers_tell_what_the_ledger_has() {
    let mock = mock(Knobs::default());
    let plain = ask(&mock, PLAIN, "", &conversation()).json();
    let streamed = ask(&mock, STREAM, "", &conversation());
    let ledger = mock.settled(2);
    assert_eq!(plain["output"]["message"]["content"][0]["text"], ledger[0].content);
    assert_eq!(plain["usage"]["outputTokens"], ledger[0].completion_tokens);

    assert!(
        streamed.head.contains("content-type: application/vnd.amazon.eventstream\r\n"),
        "{}",
        streamed.head
    );
    let frames = frames(&streamed.body);
    let text: String = frames.iter().filter_map(|(_, payload)| payload["delta"]["text"].as_str()).collect();
    assert_eq!(text, ledger[1].content);
    let (last, payload) = frames.last().unwrap();
    assert_eq!(
        (last.as_str(), &payload["usage"]["inputTokens"]),
        ("metadata", &json!(ledger[1].prompt_tokens))
    );
    assert_eq!(ledger[1].events_written, frames.len() as u64);
}

#[test]
fn the_ends_can_be_left_out() {
    let cases = [
        (Knobs { no_done: true, ..Knobs::default() }, "messageStop"),
        (Knobs { no_done: true, no_finish: true, ..Knobs::default() }, "contentBlockStop"),
    ];
    for (knobs, last) in cases {
        let reply = ask(&mock(knobs), STREAM, "", &conversation());
        assert_eq!(frames(&reply.body).last().unwrap().0, last);
    }
}

#[test]
fn what_is_not_signed_is_refused_as_aws_refuses() {
    let aws_key = Some("us-east-1:AKID:secret".parse().unwrap());
    let mock = Mock::start(Options { aws_key, ..Options::default() }).unwrap();
    let reply = ask(&mock, PLAIN, "", &conversation());
    assert_eq!((reply.status, reply.json()), (403, json!({"message": "Missing Authentication Token"})));
    assert!(
        reply.head.contains("x-amzn-errortype: MissingAuthenticationTokenException\r\n"),
        "{}",
        reply.head
    );
    let elsewhere = ask(&mock, super::CHAT, "", &json!({"messages": [{"role": "user", "content": "x"}]}));
    assert_eq!(elsewhere.status, 200);
}

#[test]
fn a_tool_is_called_when_forced_or_asked_for() {
    let mock = mock(Knobs::default());
    let tools = json!([{"toolSpec": {"name": "look"}}, {"toolSpec": {"name": "find"}}]);
    let asked = |choice: Value, text: &str| {
        let mut body = json!({"messages": [{"role": "user", "content": [{"text": text}]}]});
        body["toolConfig"] = json!({"tools": tools, "toolChoice": choice});
        body
    };
    for (choice, text, expected) in [
        (json!({"auto": {}}), "Hi", None),
        (json!({"auto": {}}), "call the tool", Some("look")),
        (json!({"any": {}}), "Hi", Some("look")),
        (json!({"tool": {"name": "find"}}), "Hi", Some("find")),
    ] {
        let body = asked(choice, text);
        let plain = ask(&mock, PLAIN, "", &body).json();
        let call = &plain["output"]["message"]["content"][0]["toolUse"];
        assert_eq!(call["name"].as_str(), expected, "{body}");
        let reason = if expected.is_some() { "tool_use" } else { "end_turn" };
        assert_eq!(plain["stopReason"], reason, "{body}");

        let frames = frames(&ask(&mock, STREAM, "", &body).body);
        let of = |name: &str| frames.iter().find(|(known, _)| known == name).map(|(_, payload)| payload);
        let start = of("contentBlockStart").map(|payload| &payload["start"]["toolUse"]);
        assert_eq!(start.map(|start| &start["name"]), expected.map(|_| &call["name"]), "{body}");
        assert_eq!(start.map(|start| &start["toolUseId"]), expected.map(|_| &call["toolUseId"]), "{body}");
        assert_eq!(of("messageStop").unwrap()["stopReason"], reason, "{body}");
    }
}

#[test]
fn errors_are_in_the_shape_of_aws() {
    for (status, kind) in [
        (400, "ValidationException"),
        (403, "AccessDeniedException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ] {
        let reply =
            ask(&mock(Knobs { status: Some(status), ..Knobs::default() }), STREAM, "", &conversation());
        assert_eq!(reply.status, status);
        assert_eq!(reply.json(), json!({"message": format!("The mock was asked to answer {status}.")}));
        assert_eq!(reply.header("x-amzn-errortype"), Some(kind));
    }
    let locked = Mock::start(Options { api_key: Some("key".to_owned()), ..Options::default() }).unwrap();
    let reply = ask(&locked, PLAIN, "", &conversation());
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (403, Some("AccessDeniedException")));
}
