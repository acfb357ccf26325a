//! OpenAI Responses, and what is asked for by other paths.

use serde_json::{Value, json};

use super::{Client, ask, data, mock, post};
use crate::knobs::Knobs;

const RESPONSES: &str = "/v1/responses";

#[test]
fn plain_and_streamed_responses_tell_what_the_ledger_has() {
    let mock = mock(Knobs::default());
    let mut body = json!({"model": "gpt", "instructions": "Be brief.", "input": "Hi there"});
    let plain = ask(&mock, RESPONSES, "", &body).json();
    body["stream"] = json!(true);
    let reply = ask(&mock, RESPONSES, "", &body);
    let ledger = mock.settled(2);
    assert_eq!(plain["output"][0]["content"][0]["text"], ledger[0].content);
    assert_eq!(plain["usage"]["input_tokens"], ledger[0].prompt_tokens);
    assert_eq!(plain["usage"]["output_tokens"], ledger[0].completion_tokens);

    let events = data(&reply.body);
    let numbers: Vec<Option<u64>> = events.iter().map(|event| event["sequence_number"].as_u64()).collect();
    assert_eq!(numbers, (0..events.len() as u64).map(Some).collect::<Vec<_>>());
    let deltas = events.iter().filter(|event| event["type"] == "response.output_text.delta");
    let content: String = deltas.filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(content, ledger[1].content);
    // The SDKs put the text into the part that was added.
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    let at = |kind: &str| kinds.iter().position(|known| *known == kind).expect(kind);
    assert!(at("response.output_item.added") < at("response.content_part.added"), "{kinds:?}");
    assert_eq!(at("response.content_part.added") + 1, at("response.output_text.delta"), "{kinds:?}");
    assert_eq!(events[at("response.content_part.done")]["part"]["text"], ledger[1].content);
    let last = events.last().unwrap();
    assert_eq!(
        (&last["type"], &last["response"]["status"]),
        (&json!("response.completed"), &json!("completed"))
    );
    assert_eq!(
        last["response"]["usage"]["total_tokens"],
        ledger[1].prompt_tokens + ledger[1].completion_tokens
    );
}

#[test]
fn the_ends_can_be_left_out_and_a_tool_be_called() {
    let short = mock(Knobs { no_done: true, ..Knobs::default() });
    let body = json!({"input": [{"role": "user", "content": "Hi"}], "stream": true});
    let events = data(&ask(&short, RESPONSES, "", &body).body);
    assert_eq!(events.last().unwrap()["type"], "response.output_item.done");

    let silent = mock(Knobs { no_usage: true, ..Knobs::default() });
    let body = json!({"input": "call the tool", "tools": [{"type": "function", "name": "look"}]});
    let plain = ask(&silent, RESPONSES, "", &body).json();
    assert_eq!((&plain["output"][0]["name"], &plain["usage"]), (&json!("look"), &Value::Null));
    assert_eq!(ask(&silent, RESPONSES, "", &json!({"input": []})).status, 400);
}

#[test]
fn bytes_are_the_same_for_the_same_request() {
    let mock = mock(Knobs::default());
    let speech = |text: &str| ask(&mock, "/v1/audio/speech", "", &json!({"input": text}));
    let (first, again, other) = (speech("a"), speech("a"), speech("b"));
    assert_eq!((first.body.len(), &first.body), (3000, &again.body));
    assert_ne!(first.body, other.body);
    assert!(std::str::from_utf8(&first.body).is_err());

    let mut client = Client::of(&mock);
    client.send(post("/v1/audio/transcriptions", "Content-Type: audio/wav\r\n", "RIFF"));
    assert_eq!(client.reply().json(), json!({"text": "4 bytes of audio/wav"}));
    client.send("GET /v1/files/f/content HTTP/1.1\r\n\r\n");
    assert_eq!(client.reply().body.len(), 3000);
}

#[test]
fn converse_takes_neither_model_nor_stream() {
    let mock = mock(Knobs::default());
    let mut body = json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]});
    let plain = ask(&mock, "/model/m/converse", "", &body).json();
    let ledger = mock.settled(1);
    assert_eq!(plain["output"]["message"]["content"][0]["text"], ledger[0].content);
    assert_eq!(plain["usage"]["outputTokens"], ledger[0].completion_tokens);
    body["model"] = json!("m");
    assert_eq!(ask(&mock, "/model/m/converse", "", &body).status, 400);
}
