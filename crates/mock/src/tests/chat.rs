//! OpenAI chat completions.

use serde_json::{Value, json};

use super::{Answered, CHAT, ask, data, mock};
use crate::knobs::Knobs;
use crate::ledger::{Exchange, Outcome};
use crate::server::{Mock, Options};

/// Asks, and checks that the ledger has the same bytes and no more than this exchange.
fn asked(mock: &Mock, body: &Value) -> (Answered, Exchange) {
    mock.clear();
    let reply = ask(mock, CHAT, "", body);
    let ledger = mock.settled(1);
    assert_eq!(ledger.len(), 1);
    assert_eq!((ledger[0].status, ledger[0].response_bytes), (reply.status, reply.bytes));
    assert_eq!(ledger[0].json().as_ref(), Some(body));
    (reply, ledger[0].clone())
}

#[test]
fn a_plain_answer_tells_what_the_ledger_has() {
    let mock = mock(Knobs::default());
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello, you!"}]});
    let (reply, seen) = asked(&mock, &body);
    let answer = reply.json();
    assert_eq!(answer["choices"][0]["message"]["content"], seen.content);
    assert_eq!((answer["model"].as_str(), seen.content.as_str()), (Some("gpt-4o"), "You said: Hello, you!"));
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["prompt_tokens"], seen.prompt_tokens);
    assert_eq!(answer["usage"]["completion_tokens"], seen.completion_tokens);
    assert_eq!(answer["usage"]["total_tokens"], seen.prompt_tokens + seen.completion_tokens);
    assert_eq!((seen.prompt_tokens, seen.completion_tokens, seen.outcome), (4, 7, Outcome::Complete));
    for name in ["x-request-id", "openai-processing-ms", "x-ratelimit-remaining-requests"] {
        assert!(reply.header(name).is_some(), "{name} in {}", reply.head);
    }
    assert_eq!(asked(&mock, &body).0.json(), answer, "equal requests get equal answers");
}

#[test]
fn a_stream_adds_up_to_what_the_ledger_has() {
    let mock = mock(Knobs::default());
    for (options, usage) in [(json!(null), false), (json!({"include_usage": true}), true)] {
        let messages = json!([{"role": "user", "content": "Hi"}]);
        let body = json!({"model": "m", "messages": messages, "stream": true, "stream_options": options});
        let (reply, seen) = asked(&mock, &body);
        assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"));
        let mut events = data(&reply.body);
        assert_eq!(events.len() as u64, seen.events_written);
        assert_eq!(events.pop(), Some(json!("[DONE]")));
        if usage {
            let last = events.pop().unwrap();
            assert_eq!(last["choices"], json!([]));
            assert_eq!(last["usage"]["prompt_tokens"], seen.prompt_tokens);
            assert_eq!(last["usage"]["completion_tokens"], seen.completion_tokens);
        }
        let content: String =
            events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(content, seen.content);
        assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "stop");
        assert!(events.iter().all(|event| event.get("usage").is_none()));
    }
}

#[test]
fn a_tool_is_called_when_forced_or_asked_for() {
    let mock = mock(Knobs::default());
    let tools = json!([{"type": "function", "function": {"name": "look"}}, {"function": {"name": "jump"}}]);
    for (said, choice, called) in [
        ("hello", json!("required"), Some("look")),
        ("please call the tool", json!("auto"), Some("look")),
        ("hello", json!({"type": "function", "function": {"name": "jump"}}), Some("jump")),
        ("please call the tool", json!("none"), None),
        ("hello", json!(null), None),
    ] {
        let mut body =
            json!({"messages": [{"role": "user", "content": said}], "tools": tools, "tool_choice": choice});
        let plain = asked(&mock, &body).0.json();
        let call = &plain["choices"][0]["message"]["tool_calls"][0];
        assert_eq!(call["function"]["name"].as_str(), called, "{said} {choice}");

        body["stream"] = json!(true);
        let events = data(&asked(&mock, &body).0.body);
        let first = &events[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"];
        assert_eq!(first.as_str(), called, "{said} {choice}");
        if called.is_some() {
            assert_eq!(call["function"]["arguments"], "{}");
            assert_eq!(events[1]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"], "{}");
            assert_eq!(events[2]["choices"][0]["finish_reason"], "tool_calls");
            assert_eq!(plain["choices"][0]["finish_reason"], "tool_calls");
        }
    }
}

#[test]
fn several_choices_and_json_answers() {
    let mock = mock(Knobs::default());
    let messages = json!([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]);
    let body =
        json!({"messages": messages, "n": 2, "response_format": {"type": "json_object"}, "stream": true});
    let (reply, seen) = asked(&mock, &body);
    let mut contents = [String::new(), String::new()];
    for choice in data(&reply.body).iter().filter_map(|event| event["choices"].get(0)) {
        let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
        contents[index].push_str(choice["delta"]["content"].as_str().unwrap_or(""));
    }
    assert_eq!(contents.join("\n"), seen.content);
    for (content, answer) in contents.iter().zip(["You said: Hi", "You said (2): Hi"]) {
        assert_eq!(serde_json::from_str::<Value>(content).unwrap(), json!({"answer": answer}));
    }
}

#[test]
fn wrong_requests_are_refused_as_openai_refuses_them() {
    let mock = mock(Knobs::default());
    for (body, status, code) in [
        (json!({"model": "m"}), 400, json!("missing_required_parameter")),
        (json!({"model": "m", "messages": []}), 400, json!("empty_array")),
        (json!({"model": "no-such-model", "messages": [{}]}), 404, json!("model_not_found")),
        (json!("no object"), 400, json!("missing_required_parameter")),
    ] {
        let (reply, _) = asked(&mock, &body);
        let error = &reply.json()["error"];
        assert_eq!((reply.status, &error["code"]), (status, &code), "{body}");
        assert_eq!(error["type"], "invalid_request_error");
    }
}

#[test]
fn the_key_is_checked_and_never_repeated() {
    let mock = Mock::start(Options { api_key: Some("sk-1".to_owned()), ..Options::default() }).unwrap();
    let body = json!({"messages": [{"role": "user", "content": "Hi"}]});
    for (header, status, code) in [
        ("authorization: Bearer sk-1\r\n", 200, None),
        ("x-api-key: sk-1\r\n", 200, None),
        ("api-key: sk-1\r\n", 200, None),
        ("authorization: Bearer sk-2\r\n", 401, Some("invalid_api_key")),
        ("authorization: sk-1\r\n", 401, Some("invalid_api_key")),
        ("", 401, None),
    ] {
        let reply = ask(&mock, CHAT, header, &body);
        assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (status, code), "{header}");
        assert!(!String::from_utf8(reply.body).unwrap().contains("sk-"), "{header}");
    }
}
