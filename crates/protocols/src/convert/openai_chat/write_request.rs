use serde_json::{Map, Value};

use crate::convert::dropped::Dropped;
use crate::convert::json::{List, Object, Text, put, put_joined, put_string, put_text};
use crate::convert::model::{Format, Media, Message, Part, Request, Role, Source, Tool, ToolChoice};
use crate::convert::names::openai_name;

/// Writes a request.
pub(in crate::convert) fn write(request: &Request<'_>, dropped: &mut Dropped) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    body.text("model", request.model);
    let mut messages = List::begin(body.key("messages"));
    if request.system.iter().any(|text| !text.is_empty()) {
        let mut system = Object::begin(messages.item());
        system.json("role", "\"system\"");
        put_joined(system.key("content"), request.system.iter().map(|text| Text(text)));
        system.end();
    }
    for message in &request.messages {
        put_message(&mut messages, message, dropped);
    }
    messages.end();
    if let Some(stream) = request.stream {
        body.json("stream", if stream { "true" } else { "false" });
        if stream {
            body.json("stream_options", "{\"include_usage\":true}");
        }
    }
    body.raw("max_completion_tokens", request.max_tokens);
    body.raw("temperature", request.temperature);
    body.raw("top_p", request.top_p);
    if !request.stop.is_empty() {
        let mut stop = List::begin(body.key("stop"));
        request.stop.iter().for_each(|text| put_text(stop.item(), *text));
        stop.end();
    }
    body.text("reasoning_effort", request.effort);
    if let Some(format) = &request.format {
        put_format(&mut body, format, dropped);
    }
    body.text("user", request.user);
    body.text("service_tier", request.service_tier);
    put_tools(&mut body, request);
    body.end();
    out
}

/// One message of Anthropic's may be several here: each result of a tool is a message of its own, and comes first.
fn put_message(messages: &mut List<'_>, message: &Message<'_>, dropped: &mut Dropped) {
    let mut results = 0;
    for part in &message.parts {
        if let Part::ToolResult { id, content, is_error } = part {
            results += 1;
            put_result(messages.item(), *id, content, dropped);
            if *is_error {
                dropped.name("messages.is_error");
            }
        }
    }
    let is_call = |part: &&Part<'_>| matches!(part, Part::ToolCall { .. });
    let is_content = |part: &Part<'_>| matches!(part, Part::Text(_) | Part::Media(_));
    if message.parts.iter().any(|part| matches!(part, Part::Thinking(_))) {
        dropped.name("messages.thinking");
    }
    let calls = if results == 0 { message.parts.iter().filter(is_call).count() } else { 0 };
    if results > 0 && message.parts.iter().any(|part| is_call(&part)) {
        dropped.name("messages.tool_use");
    }
    let has_content = message.parts.iter().any(is_content);
    if results > 0 && !has_content {
        return;
    }
    let mut object = Object::begin(messages.item());
    object.text("role", Some(role(message.role)));
    put_content(&mut object, message, calls > 0, dropped);
    if calls > 0 {
        let mut list = List::begin(object.key("tool_calls"));
        message.parts.iter().filter(is_call).for_each(|part| put_call(list.item(), part));
        list.end();
    }
    object.end();
}

fn role(role: Role<'_>) -> Text<'_> {
    match role {
        Role::User => Text("user"),
        Role::Assistant => Text("assistant"),
        Role::Other(word) => word,
    }
}

fn texts<'m>(parts: &'m [Part<'m>]) -> impl Iterator<Item = Text<'m>> {
    parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(*text),
        _ => None,
    })
}

fn put_content(object: &mut Object<'_>, message: &Message<'_>, has_calls: bool, dropped: &mut Dropped) {
    let parts = &message.parts;
    let has_media = parts.iter().any(|part| matches!(part, Part::Media(_)));
    let as_list = !has_calls && !message.is_plain && message.role != Role::Assistant;
    if as_list && (has_media || texts(parts).next().is_some()) {
        put_parts(object.key("content"), parts);
        return;
    }
    if has_media {
        dropped.name("messages.image");
    }
    if !has_calls || texts(parts).any(|text| !text.is_empty()) {
        put_joined(object.key("content"), texts(parts));
    }
}

fn put_parts(out: &mut Vec<u8>, parts: &[Part<'_>]) {
    let mut list = List::begin(out);
    for part in parts {
        match part {
            Part::Text(text) => {
                let mut object = Object::begin(list.item());
                object.json("type", "\"text\"");
                object.text("text", Some(*text));
                object.end();
            }
            Part::Media(media) => put_media(list.item(), media),
            Part::Thinking(_) | Part::ToolCall { .. } | Part::ToolResult { .. } => {}
        }
    }
    list.end();
}

/// A document goes the way of an image, as it does at APISIX: some of the providers that speak this protocol take it.
fn put_media(out: &mut Vec<u8>, media: &Media<'_>) {
    put(out, "{\"type\":\"image_url\",\"image_url\":{\"url\":");
    match media.source {
        Source::Url(url) => put_text(out, url),
        Source::Base64 { media_type, data } => {
            put_joined(out, [Text("data:"), media_type, Text(";base64,"), data]);
        }
    }
    put(out, "}}");
}

fn put_result(out: &mut Vec<u8>, id: Text<'_>, content: &[Part<'_>], dropped: &mut Dropped) {
    let mut object = Object::begin(out);
    object.json("role", "\"tool\"");
    object.text("tool_call_id", Some(id));
    if content.iter().any(|part| matches!(part, Part::Media(_))) {
        put_parts(object.key("content"), content);
    } else {
        put_joined(object.key("content"), texts(content));
    }
    if content.iter().any(|part| matches!(part, Part::Thinking(_))) {
        dropped.name("messages.thinking");
    }
    object.end();
}

fn put_call(out: &mut Vec<u8>, part: &Part<'_>) {
    let Part::ToolCall { id, name, arguments } = part else { return };
    let mut call = Object::begin(out);
    call.text("id", Some(*id));
    call.json("type", "\"function\"");
    let mut function = Object::begin(call.key("function"));
    put_string(function.key("name"), &openai_name(*name));
    arguments.put_encoded(function.key("arguments"));
    function.end();
    call.end();
}

fn put_tools(body: &mut Object<'_>, request: &Request<'_>) {
    if request.tools.is_empty() {
        return;
    }
    let mut tools = List::begin(body.key("tools"));
    request.tools.iter().for_each(|tool| put_tool(tools.item(), tool));
    tools.end();
    match request.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => body.json("tool_choice", "\"auto\""),
        Some(ToolChoice::Any) => body.json("tool_choice", "\"required\""),
        Some(ToolChoice::None) => body.json("tool_choice", "\"none\""),
        Some(ToolChoice::Named(name)) => {
            let out = body.key("tool_choice");
            put(out, "{\"type\":\"function\",\"function\":{\"name\":");
            if request.tools.iter().any(|tool| tool.name == name) {
                put_string(out, &openai_name(name));
            } else {
                put_text(out, name);
            }
            put(out, "}}");
        }
    }
    if request.parallel_tool_calls == Some(false) {
        body.json("parallel_tool_calls", "false");
    }
}

fn put_tool(out: &mut Vec<u8>, tool: &Tool<'_>) {
    let mut object = Object::begin(out);
    object.json("type", "\"function\"");
    let mut function = Object::begin(object.key("function"));
    put_string(function.key("name"), &openai_name(tool.name));
    function.text("description", tool.description);
    function.raw("parameters", tool.schema);
    if tool.strict == Some(true) {
        function.json("strict", "true");
    }
    function.end();
    object.end();
}

fn put_format(body: &mut Object<'_>, format: &Format<'_>, dropped: &mut Dropped) {
    // A schema nested deeper than the parser goes is none that OpenAI takes.
    let Ok(mut schema) = serde_json::from_str::<Value>(format.schema.get()) else {
        return dropped.name("output_format");
    };
    make_strict(&mut schema);
    let out = body.key("response_format");
    put(out, "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"structured_output\",\"schema\":");
    put(out, &schema.to_string());
    put(out, ",\"strict\":true}}");
}

/// OpenAI's strict schemas want every object closed and all of its properties required.
fn make_strict(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    let names = members.get("properties").and_then(Value::as_object).map(|properties| {
        let mut names: Vec<String> = properties.keys().cloned().collect();
        names.sort_unstable();
        names
    });
    if let Some(names) = names.filter(|_| members.get("type").and_then(Value::as_str) == Some("object")) {
        members.insert("additionalProperties".to_string(), Value::Bool(false));
        members.insert("required".to_string(), Value::from(names));
    }
    for name in ["properties", "$defs", "definitions"] {
        let inner = members.get_mut(name).and_then(Value::as_object_mut);
        inner.into_iter().flat_map(Map::values_mut).for_each(make_strict);
    }
    if let Some(items) = members.get_mut("items") {
        make_strict(items);
    }
    for name in ["anyOf", "oneOf", "allOf"] {
        let inner = members.get_mut(name).and_then(Value::as_array_mut);
        inner.into_iter().flatten().for_each(make_strict);
    }
}
