//! Promise: a client keeps its protocol where the provider has another: requests, replies, streams and errors are converted,
//! what cannot be carried is named, what it cost is known, and a stream that is cut never looks whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Duration;

use a6_mock::{Mock, Options};
use serde_json::{Value, json};
use support::{Answer, Gateway, Scripted, Setup, Step, ai_route, chunk};

/// Who asks whom, and how.
struct Case {
    name: &'static str,
    plugin: Value,
    /// Behind the provider's address.
    endpoint: &'static str,
    path: &'static str,
    body: Value,
    /// Where the provider is asked.
    target: &'static str,
    /// Where the text of a plain reply is, in the client's protocol.
    said: &'static str,
}

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn mock() -> Mock {
    let aws_key = Some(format!("us-east-1:AKIDEXAMPLE:{SECRET}").parse().unwrap());
    Mock::start(Options { ledger: true, aws_key, ..Options::default() }).unwrap()
}

fn cases() -> [Case; 3] {
    let chat = json!({"model": "m", "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "h\u{e9} there"},
    ]});
    let aws = json!({"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET});
    [
        Case {
            name: "messages to chat",
            plugin: json!({"provider": "openai", "auth": {"header": {"Authorization": "Bearer sk"}}}),
            endpoint: "",
            path: "/v1/messages",
            body: json!({"model": "m", "max_tokens": 9, "top_k": 3, "system": "be brief",
                         "messages": [{"role": "user", "content": "h\u{e9} there"}]}),
            target: "/v1/chat/completions",
            said: "/content/0/text",
        },
        Case {
            name: "chat to messages",
            plugin: json!({"provider": "anthropic", "auth": {"header": {"x-api-key": "sk"}}}),
            endpoint: "/v1/messages",
            path: "/v1/chat/completions",
            body: chat.clone(),
            target: "/v1/messages",
            said: "/choices/0/message/content",
        },
        Case {
            name: "chat to converse",
            plugin: json!({"provider": "bedrock", "auth": {"aws": aws}, "provider_conf": {"region": "us-east-1"}}),
            endpoint: "",
            path: "/v1/chat/completions",
            body: chat,
            target: "/model/m/converse",
            said: "/choices/0/message/content",
        },
    ]
}

impl Case {
    fn route(&self, provider: &str, extra: &Value) -> Value {
        let mut plugin = self.plugin.clone();
        plugin["override"] = json!({"endpoint": format!("{provider}{}", self.endpoint)});
        plugin.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"uri": "/*", "plugins": {"ai-proxy": plugin}})
    }

    fn ask(&self, gateway: &Gateway, stream: bool, headers: &[(&str, &str)]) -> Answer {
        let mut body = self.body.clone();
        if stream {
            body["stream"] = json!(true);
        }
        support::post(gateway.data, self.path, headers, &body)
    }
}

/// The text of a stream, whichever of the two protocols it is in.
fn streamed_text(answer: &Answer) -> String {
    let text = answer.text();
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events =
        events.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str::<Value>(data).unwrap());
    let said = events.filter_map(|event| {
        let text = event.pointer("/delta/text").or(event.pointer("/choices/0/delta/content"))?;
        Some(text.as_str()?.to_string())
    });
    said.collect()
}

#[test]
fn plain_replies_and_streams_say_the_same_and_tell_what_they_cost() {
    let mock = mock();
    let gateway = Setup::new().start();
    let mut requests = 0;
    for case in cases() {
        gateway.put("routes/r", &case.route(&mock.url(), &json!({})));
        let mut said = Vec::new();
        for stream in [false, true] {
            let name = format!("{} {stream}", case.name);
            mock.clear();
            let answer = case.ask(&gateway, stream, &[("x-api-key", "client"), ("anthropic-beta", "b")]);
            assert_eq!((answer.status, answer.clean_end), (200, true), "{name}: {}", answer.text());
            let exchange = support::ledger(&mock, 1).remove(0);
            let target = if stream && case.target.ends_with("converse") {
                "/model/m/converse-stream"
            } else {
                case.target
            };
            assert_eq!(exchange.target, target, "{name}");
            let sent = exchange.json().unwrap();
            assert!(
                sent.to_string().contains("be brief") && sent.to_string().contains("h\u{e9} there"),
                "{name}: {sent}"
            );
            if stream {
                assert_eq!(answer.header("content-type"), Some("text/event-stream"), "{name}");
                let ends =
                    if case.path == "/v1/messages" { "\"message_stop\"}\n\n" } else { "data: [DONE]\n\n" };
                assert!(answer.text().ends_with(ends), "{name}: {}", answer.text());
                said.push(streamed_text(&answer));
            } else {
                assert_eq!(answer.header("content-type"), Some("application/json"), "{name}");
                said.push(answer.json().pointer(case.said).unwrap().as_str().unwrap().to_string());
            }
            requests += 1;
            let record = gateway.exactly(requests).pop().unwrap();
            assert_eq!(
                (&record["prompt_tokens"], &record["completion_tokens"], &record["outcome"]),
                (&json!(exchange.prompt_tokens), &json!(exchange.completion_tokens), &json!("complete")),
                "{name}: {record}"
            );
            assert_eq!(
                (&record["request_model"], &record["model"]),
                (&json!("m"), &json!("m")),
                "{name}: {record}"
            );
            let dropped = if case.body["top_k"].is_null() { Value::Null } else { json!(["top_k"]) };
            assert_eq!(record["dropped"], dropped, "{name}: {record}");
        }
        assert!(!said[0].is_empty() && said[0] == said[1], "{}: {said:?}", case.name);
    }
}

#[test]
fn keys_of_clients_stay_here_where_the_route_has_one() {
    let mock = mock();
    let gateway = Setup::new().start();
    for case in cases() {
        gateway.put("routes/r", &case.route(&mock.url(), &json!({})));
        mock.clear();
        let headers =
            [("x-api-key", "client-key"), ("authorization", "Bearer client-key"), ("anthropic-beta", "b")];
        let answer = case.ask(&gateway, false, &headers);
        assert_eq!(answer.status, 200, "{}: {}", case.name, answer.text());
        let exchange = support::ledger(&mock, 1).remove(0);
        let sent: Vec<String> =
            exchange.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        match case.name {
            "messages to chat" => {
                assert_eq!(exchange.header("authorization"), Some("Bearer sk"), "{sent:?}");
                assert_eq!(
                    (exchange.header("x-api-key"), exchange.header("anthropic-beta")),
                    (None, None),
                    "{sent:?}"
                );
            }
            "chat to messages" => {
                assert_eq!(exchange.header("x-api-key"), Some("sk"), "{sent:?}");
                assert_eq!(exchange.header("anthropic-version"), Some("2023-06-01"), "{sent:?}");
                assert_eq!(exchange.header("authorization"), None, "{sent:?}");
            }
            _ => {
                assert!(exchange.header("authorization").unwrap().starts_with("AWS4-HMAC-SHA256"), "{sent:?}")
            }
        }
    }
}

#[test]
fn a_strict_route_refuses_what_it_cannot_carry() {
    let mock = mock();
    let gateway = Setup::new().start();
    let case = cases().into_iter().next().unwrap();
    gateway.put("routes/r", &case.route(&mock.url(), &json!({"a6_strict": true})));
    let answer = case.ask(&gateway, false, &[]);
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("a6_strict") && answer.text().contains("top_k"), "{}", answer.text());
    assert!(support::ledger(&mock, 0).is_empty());
}

#[test]
fn errors_come_in_the_clients_protocol() {
    let mock = mock();
    let gateway = Setup::new().start();
    for case in cases() {
        gateway.put("routes/r", &case.route(&mock.url(), &json!({})));
        for stream in [false, true] {
            for status in ["400", "401", "429", "500", "503"] {
                let name = format!("{} {stream} {status}", case.name);
                let answer = case.ask(&gateway, stream, &[("x-mock-status", status)]);
                assert_eq!(answer.status.to_string(), status, "{name}: {}", answer.text());
                let told = answer.json();
                assert!(
                    told["error"]["message"].is_string() && told["error"]["type"].is_string(),
                    "{name}: {told}"
                );
                let is_anthropic = told["type"] == "error";
                assert_eq!(is_anthropic, case.path == "/v1/messages", "{name}: {told}");
            }
        }
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A stream of each protocol that is one of server-sent events, and how its client is told of an error.
fn streams() -> [(&'static str, &'static [&'static str], &'static str); 2] {
    [
        (
            "messages to chat",
            &[
                "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
                "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"caf\u{e9}\"}}]}\n\n",
                "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
                "data: [DONE]\n\n",
            ],
            "event: error\ndata: {\"type\":\"error\",\"error\":{",
        ),
        (
            "chat to messages",
            &[
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"x\",\"usage\":{\"input_tokens\":5,\
                 \"output_tokens\":1}}}\n\n",
                "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":\
                 {\"type\":\"text\",\"text\":\"\"}}\n\n",
                "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":\
                 {\"type\":\"text_delta\",\"text\":\"caf\u{e9}\"}}\n\n",
                "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
                "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\
                 \"usage\":{\"output_tokens\":4}}\n\n",
                "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            ],
            "data: {\"error\":{",
        ),
    ]
}

#[test]
fn a_stream_that_is_cut_at_any_event_is_an_error_and_never_a_clean_end() {
    for (name, events, error) in streams() {
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        let upstream = Scripted::start(Vec::new());
        let gateway = Setup::new().start();
        gateway.put("routes/r", &case.route(&upstream.url(), &json!({})));
        let mut requests = 0;
        for cut in 0..=events.len() {
            for (ending, step) in
                [("a proper end", Step::Send(chunk(""))), ("a close", Step::Fin), ("a reset", Step::Reset)]
            {
                let name = format!("{name}, {cut} events and {ending}");
                let mut steps = vec![Step::Send(HEAD.as_bytes().to_vec())];
                steps.extend(events[..cut].iter().map(|event| Step::Send(chunk(event.as_bytes()))));
                steps.extend([Step::Pause(Duration::from_millis(20)), step]);
                upstream.set(steps);
                let answer = case.ask(&gateway, true, &[]);
                requests += 1;
                let record = gateway.exactly(requests).pop().unwrap();
                let text = answer.text();
                // OpenAI's imitators leave the terminal event out, and the transport has told that nothing is missing.
                let may_end =
                    case.path == "/v1/messages" && cut + 1 == events.len() && ending == "a proper end";
                if cut == events.len() || may_end {
                    assert!(answer.clean_end && !text.contains(error), "{name}: {text}");
                    assert_eq!(record["outcome"], "complete", "{name}: {record}");
                } else {
                    assert!(!answer.clean_end, "{name}: {text}");
                    assert!(text.contains(error) && text.contains("upstream_truncated"), "{name}: {text}");
                    assert_eq!(record["outcome"], "upstream_truncated", "{name}: {record}");
                }
            }
        }
    }
}

#[test]
fn a_reply_that_cannot_be_read_is_told_and_one_that_breaks_off_is_no_reply() {
    let upstream = Scripted::start(Vec::new());
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/*", &upstream.url(), json!({"provider": "openai"})));
    let case = cases().into_iter().next().unwrap();
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let cases = [
        (format!("{json}Content-Length: 2\r\n\r\n{{}}"), 500, "no choices in response"),
        (format!("{json}Content-Length: 4\r\n\r\nnope"), 200, "nope"),
        (format!("{json}Content-Length: 40\r\n\r\n{{\"choices\":[]"), 502, "upstream_truncated"),
        (format!("{json}\r\n{{\"choices\":[{{"), 502, "upstream_truncated"),
        (format!("{json}Content-Encoding: odd\r\nContent-Length: 2\r\n\r\n{{}}"), 502, "content-encoding"),
        (format!("{json}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{{}}"), 502, "content-encoding"),
    ];
    for (reply, status, text) in cases {
        upstream.set(vec![Step::Send(reply.clone().into_bytes()), Step::Fin]);
        let answer = case.ask(&gateway, false, &[]);
        assert_eq!(answer.status, status, "{reply}: {}", answer.text());
        assert!(answer.text().contains(text), "{reply}: {}", answer.text());
    }
}

#[test]
fn tokens_are_counted_beside_the_endpoint_and_never_asked_for_as_a_chat() {
    let mock = mock();
    let gateway = Setup::new().start();
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    for (provider, endpoint, target) in [
        ("anthropic", "/proxy/v1/messages", "/proxy/v1/messages/count_tokens"),
        ("openai", "/v1/chat/completions", "/v1/messages/count_tokens"),
    ] {
        let plugin = json!({"provider": provider, "auth": {"header": {"x-api-key": "sk"}},
            "override": {"endpoint": format!("{}{endpoint}", mock.url())}});
        gateway.put("routes/r", &json!({"uri": "/*", "plugins": {"ai-proxy": plugin}}));
        mock.clear();
        support::post(gateway.data, "/v1/messages/count_tokens", &[], &body);
        assert_eq!(support::ledger(&mock, 1).remove(0).target, target, "{provider}");
    }
}

#[test]
fn what_an_instance_before_could_not_carry_is_not_told_of_the_one_that_answered() {
    let (failing, mock) = (Scripted::start(Vec::new()), mock());
    failing.set(vec![Step::Send(b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\n{}".to_vec()), Step::Fin]);
    let gateway = Setup::new().start();
    let instance = |provider: &str, url: String, priority: u64| {
        json!({"name": provider, "provider": provider, "weight": 1, "priority": priority,
            "auth": {"header": {"x-api-key": "sk"}}, "override": {"endpoint": url}})
    };
    let instances = [instance("openai", failing.url(), 2), instance("anthropic", mock.url(), 1)];
    let plugin = json!({"fallback_strategy": ["http_5xx"], "instances": instances});
    gateway.put("routes/r", &json!({"uri": "/*", "plugins": {"ai-proxy-multi": plugin}}));
    let case = cases().into_iter().next().unwrap();
    let answer = case.ask(&gateway, false, &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let record = gateway.exactly(1).pop().unwrap();
    assert_eq!(
        (&record["dropped"], record["attempts"].as_array().unwrap().len()),
        (&Value::Null, 2),
        "{record}"
    );
}

#[test]
fn arguments_that_are_nested_deeply_are_the_providers_to_judge() {
    let mock = mock();
    let gateway = Setup::new().start();
    let case = cases().into_iter().find(|case| case.name == "chat to messages").unwrap();
    gateway.put("routes/r", &case.route(&mock.url(), &json!({})));
    let arguments = format!("{{\"a\":{}{}}}", "[".repeat(2000), "]".repeat(2000));
    let call = json!({"id": "t", "type": "function", "function": {"name": "f", "arguments": arguments}});
    let body =
        json!({"model": "m", "messages": [{"role": "assistant", "content": null, "tool_calls": [call]}]});
    let answer = support::post(gateway.data, case.path, &[], &body);
    assert_eq!(support::ledger(&mock, 1).len(), 1, "{}", answer.text());
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("recursion limit exceeded"), "{}", answer.text());
}

#[test]
fn what_is_compressed_in_an_unknown_way_reaches_nobody() {
    let upstream = Scripted::start(Vec::new());
    let gateway = Setup::new().start();
    let case = cases().into_iter().next().unwrap();
    gateway.put("routes/r", &case.route(&upstream.url(), &json!({})));
    for (status, kind, told) in [
        ("200 OK", "text/event-stream", 502),
        ("200 OK", "application/json", 502),
        ("429 Too Many Requests", "application/json", 429),
    ] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Encoding: odd\r\n");
        upstream.set(vec![Step::Send(format!("{head}Content-Length: 3\r\n\r\nabc").into_bytes()), Step::Fin]);
        let answer = case.ask(&gateway, true, &[]);
        assert_eq!(answer.status, told, "{head}: {}", answer.text());
        assert_eq!(answer.header("content-encoding"), None, "{head}");
        assert_eq!(answer.json()["type"], "error", "{head}: {}", answer.text());
    }
}

#[test]
fn a_limit_that_the_last_piece_crosses_does_not_spoil_a_whole_stream() {
    let upstream = Scripted::start(Vec::new());
    let gateway = Setup::new().start();
    for (name, events, error) in streams() {
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        gateway.put("routes/r", &case.route(&upstream.url(), &json!({"max_stream_duration_ms": 200})));
        let (first, rest) = events.split_at(1);
        upstream.set(vec![
            Step::Send(HEAD.as_bytes().to_vec()),
            Step::Send(chunk(first.concat().as_bytes())),
            Step::Pause(Duration::from_millis(400)),
            Step::Send(chunk(rest.concat().as_bytes())),
            Step::Send(chunk("")),
        ]);
        let answer = case.ask(&gateway, true, &[]);
        assert!(answer.clean_end && !answer.text().contains(error), "{name}: {}", answer.text());
    }
}

#[test]
fn a_limit_counts_what_the_provider_sent_and_not_what_became_of_it() {
    let reply = r#"{"content":[{"type":"text","text":"Hi"}],"usage":{"input_tokens":2,"output_tokens":3}}"#;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let upstream = Scripted::start(Vec::new());
    let gateway = Setup::new().start();
    let case = cases().into_iter().find(|case| case.name == "chat to messages").unwrap();
    let rewrite = json!({"filters": [{"regex": "Hi", "replace": "Ho"}]});
    for (requests, (limit, rewrites, status)) in
        [(reply.len(), false, 200), (reply.len(), true, 200), (reply.len() - 1, false, 502)]
            .into_iter()
            .enumerate()
    {
        let mut route = case.route(&upstream.url(), &json!({"max_response_bytes": limit}));
        if rewrites {
            route["plugins"]["response-rewrite"] = rewrite.clone();
        }
        gateway.put("routes/r", &route);
        let sent = format!("{head}Content-Length: {}\r\n\r\n{reply}", reply.len());
        upstream.set(vec![Step::Send(sent.into_bytes()), Step::Fin]);
        let answer = case.ask(&gateway, false, &[]);
        assert_eq!((answer.status, answer.clean_end), (status, true), "{limit}: {}", answer.text());
        let record = gateway.exactly(requests + 1).pop().unwrap();
        if status == 200 {
            let said = if rewrites { "Ho" } else { "Hi" };
            assert_eq!(answer.json()["choices"][0]["message"]["content"], said);
            assert_eq!(
                (&record["outcome"], &record["prompt_tokens"], &record["completion_tokens"]),
                (&json!("complete"), &json!(2), &json!(3)),
                "{record}"
            );
        }
    }
}
