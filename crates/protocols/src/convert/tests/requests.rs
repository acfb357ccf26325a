use serde_json::{Value, json};

use crate::convert::Conversion;

/// The converted body and what was dropped.
fn converted(conversion: Conversion, body: &Value) -> (Value, Vec<String>) {
    let converted = conversion.request(body.to_string().as_bytes()).unwrap();
    let body: Value = serde_json::from_slice(&converted.body).unwrap();
    (body, converted.dropped)
}

/// Each case: members beside `model`, what they become, and what is dropped.
fn check(conversion: Conversion, common: &Value, sent: &Value, cases: &[(Value, Value, &[&str])]) {
    for (members, expected, dropped) in cases {
        let with = |base: &Value, more: &Value| {
            let mut all = base.as_object().unwrap().clone();
            all.extend(more.as_object().unwrap().clone());
            Value::Object(all)
        };
        let (body, lost) = converted(conversion, &with(common, members));
        assert_eq!(body, with(sent, expected), "{members}");
        assert_eq!(lost, *dropped, "{members}");
    }
}

fn weather() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}})
}

#[test]
fn what_anthropics_clients_ask_for_reaches_openai() {
    let common = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    let sent =
        json!({"model": "m", "max_completion_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    let system = |text: &str| json!({"messages": [{"role": "system", "content": text}, {"role": "user", "content": "hi"}]});
    let cases: &[(Value, Value, &[&str])] = &[
        (json!({}), json!({}), &[]),
        (json!({"system": "be\nkind"}), system("be\nkind"), &[]),
        (json!({"system": ""}), json!({}), &[]),
        (
            json!({"system": [{"type": "text", "text": "a"},
                {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]}),
            system("ab"),
            &["system.cache_control"],
        ),
        (
            json!({"system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=1; cch=abc;"},
                {"type": "text", "text": "real"}]}),
            system("x-anthropic-billing-header:cc_version=1real"),
            &[],
        ),
        (
            json!({"temperature": 0.5, "top_p": 0.9, "top_k": 5, "stop_sequences": ["x", "y"],
                "metadata": {"user_id": "u", "team": "t"}, "service_tier": "auto", "container": "c"}),
            json!({"temperature": 0.5, "top_p": 0.9, "stop": ["x", "y"], "user": "u", "service_tier": "auto"}),
            &["top_k", "metadata.team", "container"],
        ),
        (json!({"service_tier": "standard_only"}), json!({"service_tier": "default"}), &[]),
        (json!({"stream": true}), json!({"stream": true, "stream_options": {"include_usage": true}}), &[]),
        (json!({"stream": false}), json!({"stream": false}), &[]),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 4096}}),
            json!({"reasoning_effort": "high"}),
            &[],
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 2048}}),
            json!({"reasoning_effort": "medium"}),
            &[],
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}),
            json!({"reasoning_effort": "low"}),
            &[],
        ),
        (json!({"thinking": {"type": "enabled"}}), json!({"reasoning_effort": "minimal"}), &[]),
        (json!({"thinking": {"type": "disabled"}}), json!({}), &[]),
        (json!({"thinking": {"type": "adaptive"}}), json!({"reasoning_effort": "medium"}), &[]),
        (
            json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
            json!({"reasoning_effort": "max"}),
            &[],
        ),
        (json!({"output_config": {"effort": "max"}}), json!({}), &["output_config.effort"]),
        (json!({"output_format": {"type": "json_schema", "schema": {}}}), json!({}), &["output_format"]),
        (
            json!({"output_format": {"type": "json_schema", "schema": {"type": "object", "properties": {
                "b": {"type": "string"}, "a": {"type": "array", "items": weather()}}}}}),
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "structured_output",
                "strict": true, "schema": {"type": "object", "additionalProperties": false,
                "required": ["a", "b"], "properties": {"b": {"type": "string"}, "a": {"type": "array",
                "items": {"type": "object", "additionalProperties": false, "required": ["city"],
                "properties": {"city": {"type": "string"}}}}}}}}}),
            &[],
        ),
    ];
    check(Conversion::MessagesToChat, &common, &sent, cases);
}

#[test]
fn tools_of_anthropics_clients_reach_openai() {
    let common = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let tool = json!({"name": "w", "description": "d", "input_schema": weather()});
    let function =
        json!({"type": "function", "function": {"name": "w", "description": "d", "parameters": weather()}});
    let choice = |choice: Value| json!({"tools": [tool], "tool_choice": choice});
    let chosen = |choice: Value| json!({"tools": [function], "tool_choice": choice});
    let named = |name: &str| json!({"type": "function", "function": {"name": name}});
    let cases: &[(Value, Value, &[&str])] = &[
        (choice(json!({"type": "auto"})), chosen(json!("auto")), &[]),
        (choice(json!({"type": "any"})), chosen(json!("required")), &[]),
        (choice(json!({"type": "none"})), chosen(json!("none")), &[]),
        (choice(json!({"type": "tool", "name": "w"})), chosen(named("w")), &[]),
        (choice(json!({"type": "tool", "name": "z.z"})), chosen(named("z.z")), &[]),
        (choice(json!({"type": "new"})), json!({"tools": [function]}), &["tool_choice"]),
        (
            choice(json!({"type": "auto", "disable_parallel_tool_use": true})),
            json!({"tools": [function], "tool_choice": "auto", "parallel_tool_calls": false}),
            &[],
        ),
        (
            json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}, 5, {"description": "d"}],
                "tool_choice": {"type": "auto"}}),
            json!({}),
            &["tools.web_search_20250305", "tools", "tools.name"],
        ),
        (
            json!({"tools": [{"type": "custom", "name": "we.ird/name", "cache_control": {"type": "ephemeral"}}]}),
            json!({"tools": [{"type": "function", "function": {"name": "we_ird_name_e6ca377a"}}]}),
            &["tools.cache_control"],
        ),
    ];
    check(Conversion::MessagesToChat, &common, &common, cases);
}

#[test]
fn messages_of_anthropics_clients_reach_openai() {
    let user = |content: Value| json!([{"role": "user", "content": content}]);
    let image = |data: &str| json!({"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": data}});
    let text = |text: &str| json!({"type": "text", "text": text});
    let url = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let cases: &[(Value, Value, &[&str])] = &[
        (user(json!([text("a"), text("b")])), user(json!([text("a"), text("b")])), &[]),
        (user(json!([])), user(json!("")), &[]),
        (
            user(
                json!([image("QUJD"), {"type": "image", "source": {"type": "url", "url": "http://x/y.png"}}, image("")]),
            ),
            user(json!([url("data:image/jpeg;base64,QUJD"), url("http://x/y.png")])),
            &["messages.image"],
        ),
        (
            user(json!([{"type": "document", "source": {"type": "base64", "data": "QQ=="}, "title": "t"},
                {"type": "document", "source": {"type": "text", "data": "x"}}])),
            user(json!([url("data:application/pdf;base64,QQ==")])),
            &["messages.title", "messages.document"],
        ),
        (
            json!([{"role": "assistant", "content": [text("a"), {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "redacted_thinking", "data": "x"}, text("b"), image("QUJD")]}]),
            json!([{"role": "assistant", "content": "ab"}]),
            &["messages.redacted_thinking", "messages.thinking", "messages.image"],
        ),
        (
            json!([{"role": "assistant", "content": [text("let me"),
                {"type": "tool_use", "id": "t1", "name": "w", "input": {"city": "Oslo"}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [text("a"), text("b")]},
                    text("and?"),
                    {"type": "tool_result", "tool_use_id": "t2", "is_error": true, "content": "bad"},
                    {"type": "tool_result", "tool_use_id": "t3"},
                    {"type": "tool_result", "tool_use_id": "t4", "content": [text("a"), image("QQ==")]}]}]),
            json!([{"role": "assistant", "content": "let me", "tool_calls": [{"id": "t1", "type": "function",
                "function": {"name": "w", "arguments": "{\"city\":\"Oslo\"}"}}]},
                {"role": "tool", "tool_call_id": "t1", "content": "ab"},
                {"role": "tool", "tool_call_id": "t2", "content": "bad"},
                {"role": "tool", "tool_call_id": "t3", "content": ""},
                {"role": "tool", "tool_call_id": "t4", "content": [text("a"), url("data:image/jpeg;base64,QQ==")]},
                {"role": "user", "content": [text("and?")]}]),
            &["messages.is_error"],
        ),
        (
            json!([{"role": "system", "content": "é \"q\""}, {"role": "user", "content": [5]}]),
            json!([{"role": "system", "content": "é \"q\""}, {"role": "user", "content": ""}]),
            &["messages.content"],
        ),
    ];
    let cases: Vec<(Value, Value, &[&str])> = cases
        .iter()
        .map(|(from, to, dropped)| (json!({"messages": from}), json!({"messages": to}), *dropped))
        .collect();
    check(Conversion::MessagesToChat, &json!({}), &json!({}), &cases);
}

#[test]
fn what_openais_clients_ask_for_reaches_anthropic() {
    let common = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let sent = json!({"model": "m", "max_tokens": 4096, "messages": [{"role": "user", "content": "hi"}]});
    let tool = |more: Value| {
        let mut all = json!({"tools": [{"type": "function", "function": {"name": "w", "description": "d",
            "parameters": weather()}}]});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let used = |choice: Option<Value>| {
        let mut all = json!({"tools": [{"name": "w", "description": "d", "input_schema": weather()}]});
        if let Some(choice) = choice {
            all["tool_choice"] = choice;
        }
        all
    };
    let cases: &[(Value, Value, &[&str])] = &[
        (json!({}), json!({}), &[]),
        (json!({"max_tokens": 7}), json!({"max_tokens": 7}), &[]),
        (json!({"max_tokens": 7, "max_completion_tokens": 8}), json!({"max_tokens": 8}), &[]),
        (
            json!({"temperature": 0.5, "top_p": 0.9, "stop": "x", "user": "u", "service_tier": "default"}),
            json!({"temperature": 0.5, "top_p": 0.9, "stop_sequences": ["x"], "metadata": {"user_id": "u"},
                "service_tier": "standard_only"}),
            &[],
        ),
        (json!({"temperature": 1.5}), json!({"temperature": 1}), &["temperature"]),
        (json!({"stop": ["x", "y"], "n": 1, "logprobs": false}), json!({"stop_sequences": ["x", "y"]}), &[]),
        (
            json!({"n": 2, "seed": 3, "logit_bias": {"1": 2}, "service_tier": "flex"}),
            json!({}),
            &["n", "seed", "logit_bias", "service_tier"],
        ),
        (json!({"stream": true, "stream_options": {"include_usage": true}}), json!({"stream": true}), &[]),
        (
            json!({"reasoning_effort": "high", "temperature": 0.2, "top_p": 0.5}),
            json!({"max_tokens": 8192, "thinking": {"type": "enabled", "budget_tokens": 4096}}),
            &["temperature", "top_p"],
        ),
        (json!({"reasoning_effort": "none"}), json!({}), &[]),
        (
            json!({"reasoning_effort": "low", "max_tokens": 1024}),
            json!({"max_tokens": 1024}),
            &["reasoning_effort"],
        ),
        (tool(json!({})), used(None), &[]),
        (tool(json!({"tool_choice": "auto"})), used(Some(json!({"type": "auto"}))), &[]),
        (tool(json!({"tool_choice": "none"})), used(Some(json!({"type": "none"}))), &[]),
        (tool(json!({"tool_choice": "required"})), used(Some(json!({"type": "any"}))), &[]),
        (
            tool(json!({"tool_choice": {"type": "function", "function": {"name": "w"}}})),
            used(Some(json!({"type": "tool", "name": "w"}))),
            &[],
        ),
        (
            tool(json!({"parallel_tool_calls": false})),
            used(Some(json!({"type": "auto", "disable_parallel_tool_use": true}))),
            &[],
        ),
        (json!({"tools": [{"type": "custom"}]}), json!({}), &["tools.custom"]),
        (json!({"response_format": {"type": "text"}}), json!({}), &[]),
        (json!({"response_format": {"type": "json_object"}}), json!({}), &["response_format"]),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": weather()}}}),
            json!({"output_config": {"format": {"type": "json_schema", "schema": weather()}}}),
            &[],
        ),
    ];
    check(Conversion::ChatToMessages, &common, &sent, cases);
}

/// A conversation with everything in it that OpenAI's clients send.
fn conversation() -> Value {
    json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "system", "content": "be kind"},
        {"role": "developer", "content": [{"type": "text", "text": "be brief"}]},
        {"role": "user", "name": "ann", "content": [{"type": "text", "text": "what"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "http://x/y.png"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ==", "filename": "f"}},
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}]},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{\"city\":\"Oslo\"}"}},
            {"id": "c2", "type": "function", "function": {"name": "w", "arguments": "not json"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "rain"}]},
        {"role": "user", "content": "and?"}]})
}

#[test]
fn a_conversation_of_openais_clients_reaches_anthropic() {
    let (body, dropped) = converted(Conversion::ChatToMessages, &conversation());
    assert_eq!(
        body,
        json!({"model": "m", "max_tokens": 9, "system": [{"type": "text", "text": "be kind"},
            {"type": "text", "text": "be brief"}], "messages": [
            {"role": "user", "content": [{"type": "text", "text": "what"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
                {"type": "image", "source": {"type": "url", "url": "http://x/y.png"}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="}}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c1", "name": "w", "input": {"city": "Oslo"}},
                {"type": "tool_use", "id": "c2", "name": "w", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "sunny"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "rain"},
                {"type": "text", "text": "and?"}]}]})
    );
    assert_eq!(
        dropped,
        [
            "messages.name",
            "messages.image_url.detail",
            "messages.input_audio",
            "messages.tool_calls.arguments"
        ]
    );
}

#[test]
fn a_conversation_of_openais_clients_reaches_bedrock() {
    let (body, dropped) = converted(Conversion::ChatToConverse, &conversation());
    assert_eq!(
        body,
        json!({"model": "m", "inferenceConfig": {"maxTokens": 9},
            "system": [{"text": "be kind"}, {"text": "be brief"}], "messages": [
            {"role": "user", "content": [{"text": "what"},
                {"image": {"format": "png", "source": {"bytes": "QUJD"}}},
                {"document": {"format": "pdf", "name": "document-1", "source": {"bytes": "QQ=="}}}]},
            {"role": "assistant", "content": [
                {"toolUse": {"toolUseId": "c1", "name": "w", "input": {"city": "Oslo"}}},
                {"toolUse": {"toolUseId": "c2", "name": "w", "input": {}}}]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "c1", "content": [{"text": "sunny"}]}},
                {"toolResult": {"toolUseId": "c2", "content": [{"text": "rain"}]}},
                {"text": "and?"}]}]})
    );
    assert_eq!(
        dropped,
        [
            "messages.name",
            "messages.image_url.detail",
            "messages.input_audio",
            "messages.image_url.url",
            "messages.tool_calls.arguments"
        ]
    );
}

#[test]
fn what_openais_clients_ask_for_reaches_bedrock() {
    let common = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let sent = json!({"model": "m", "messages": [{"role": "user", "content": [{"text": "hi"}]}]});
    let tools = json!([{"type": "function", "function": {"name": "w", "parameters": weather()}}]);
    let specs = json!([{"toolSpec": {"name": "w", "inputSchema": {"json": weather()}}}]);
    let cases: &[(Value, Value, &[&str])] = &[
        (json!({"stream": true}), json!({"stream": true}), &[]),
        (
            json!({"max_completion_tokens": 5, "temperature": 0.5, "top_p": 1, "stop": ["x"]}),
            json!({"inferenceConfig": {"maxTokens": 5, "temperature": 0.5, "topP": 1, "stopSequences": ["x"]}}),
            &[],
        ),
        (json!({"tools": tools}), json!({"toolConfig": {"tools": specs}}), &[]),
        (
            json!({"tools": tools, "tool_choice": "required", "parallel_tool_calls": false}),
            json!({"toolConfig": {"tools": specs, "toolChoice": {"any": {}}}}),
            &["parallel_tool_calls"],
        ),
        (
            json!({"tools": tools, "tool_choice": {"type": "function", "function": {"name": "w"}}}),
            json!({"toolConfig": {"tools": specs, "toolChoice": {"tool": {"name": "w"}}}}),
            &[],
        ),
        (json!({"tools": tools, "tool_choice": "none"}), json!({}), &[]),
        (
            json!({"reasoning_effort": "low", "user": "u", "service_tier": "flex"}),
            json!({"serviceTier": {"type": "flex"}}),
            &["reasoning_effort", "user"],
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": "é\""}}}}),
            json!({"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema":
                {"name": "n", "schema": "{\"a\":\"é\\\"\"}"}}}}}),
            &[],
        ),
    ];
    check(Conversion::ChatToConverse, &common, &sent, cases);
}

#[test]
fn what_is_no_request_is_refused_with_its_reason() {
    let cases = [
        (r#"{"messages":[]}"#, "missing messages"),
        (r#"{"messages":null}"#, "missing messages"),
        (r#"{"messages":"x"}"#, "missing messages"),
        ("{}", "missing messages"),
        ("[]", "the body is not a JSON object"),
        ("{", "the body is not a JSON object"),
        (r#"{"messages":["x"]}"#, "invalid message at index 1"),
        (r#"{"messages":[{"content":"x"}]}"#, "invalid message at index 1"),
    ];
    for (body, expected) in cases {
        for conversion in [Conversion::MessagesToChat, Conversion::ChatToMessages, Conversion::ChatToConverse]
        {
            let refused = conversion.request(body.as_bytes()).unwrap_err();
            assert_eq!(refused.to_string(), expected, "{body}");
            assert_eq!(refused.fault().status.as_u16(), 400);
        }
    }
    let anthropic = [
        r#"{"messages":[{"role":"user","content":"x"},{"role":"user","content":5}]}"#,
        r#"{"messages":[{"role":"user","content":"x"},{"role":"user"}]}"#,
    ];
    for body in anthropic {
        let refused = Conversion::MessagesToChat.request(body.as_bytes()).unwrap_err();
        assert_eq!(refused.to_string(), "invalid message content at index 2");
    }
    let refused = Conversion::ChatToMessages.request(br#"{"messages":[{"role":"function","content":"x"}]}"#);
    assert!(refused.unwrap_err().to_string().contains("role `function` of message 1"));
    assert!(Conversion::MessagesToChat.request(b"\xff").unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn members_that_are_lost_within_others_are_named() {
    let cached = json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}});
    let function = json!({"name": "f", "x-odd": 1});
    let body = json!({"model": "m", "seed": 0, "web_search_options": {},
        "tools": [{"type": "function", "function": function}],
        "messages": [{"role": "user", "content": [cached]}]});
    for conversion in [Conversion::ChatToMessages, Conversion::ChatToConverse] {
        let lost = converted(conversion, &body).1;
        assert_eq!(lost, ["seed", "web_search_options", "tools.x-odd", "messages.cache_control"]);
    }
    let result = json!({"type": "tool_result", "tool_use_id": "t", "content": {"type": "text", "text": "x"}});
    let body = json!({"model": "m", "max_tokens": 9, "metadata": "x", "service_tier": 5,
        "messages": [{"role": "user", "content": [result]}]});
    let lost = converted(Conversion::MessagesToChat, &body).1;
    assert_eq!(lost, ["metadata", "service_tier", "messages.tool_result.content"]);
}

#[test]
fn strict_names_what_would_be_lost() {
    let lossy = br#"{"messages":[{"role":"user","content":"x"}],"top_k":5,"container":"c"}"#;
    let refused = Conversion::MessagesToChat.request(lossy).unwrap().strict().unwrap_err();
    assert!(refused.to_string().contains("top_k, container"), "{refused}");
    let whole = br#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    let kept = Conversion::MessagesToChat.request(whole).unwrap().strict().unwrap();
    assert_eq!(kept.model.as_deref(), Some("m"));
}

#[test]
fn an_endless_nesting_is_no_stack_overflow() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = r#"{"type":"tool_result","tool_use_id":"t","content":["#.repeat(20_000);
    let closed = "]}".repeat(20_000);
    for content in [deep.clone(), format!("[{nested}{closed}]")] {
        let body = format!(r#"{{"messages":[{{"role":"user","content":{content}}}],"x":{deep}}}"#);
        for conversion in [Conversion::MessagesToChat, Conversion::ChatToMessages, Conversion::ChatToConverse]
        {
            let converted = conversion.request(body.as_bytes()).unwrap();
            assert!(converted.dropped.contains(&"x".to_string()));
        }
    }
}
