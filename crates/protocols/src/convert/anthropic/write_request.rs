use crate::convert::dropped::Dropped;
use crate::convert::json::{List, Object, Text, put, put_string, put_text};
use crate::convert::model::{Media, Message, Part, Request, Role, Source, Tool, ToolChoice};

/// What is asked for where the client sets no limit: Anthropic wants one.
const MAX_TOKENS: u64 = 4096;

/// Writes a request.
pub(in crate::convert) fn write(request: &Request<'_>, dropped: &mut Dropped) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    body.text("model", request.model);
    let budget = thinking_budget(request, dropped);
    match request.max_tokens {
        Some(limit) => body.raw("max_tokens", Some(limit)),
        None => body.number("max_tokens", MAX_TOKENS + budget.unwrap_or(0)),
    }
    if let Some(budget) = budget {
        let mut thinking = Object::begin(body.key("thinking"));
        thinking.json("type", "\"enabled\"");
        thinking.number("budget_tokens", budget);
        thinking.end();
    }
    put_system(&mut body, request);
    let mut messages = List::begin(body.key("messages"));
    for message in &request.messages {
        put_message(messages.item(), message, dropped);
    }
    messages.end();
    put_tools(&mut body, request);
    put_sampling(&mut body, request, budget.is_some(), dropped);
    if !request.stop.is_empty() {
        let mut stop = List::begin(body.key("stop_sequences"));
        request.stop.iter().for_each(|text| put_text(stop.item(), *text));
        stop.end();
    }
    if let Some(format) = &request.format {
        let config = body.key("output_config");
        put(config, "{\"format\":{\"type\":\"json_schema\",\"schema\":");
        put(config, format.schema.get());
        put(config, "}}");
    }
    if let Some(stream) = request.stream {
        body.json("stream", if stream { "true" } else { "false" });
    }
    if let Some(user) = request.user {
        let mut metadata = Object::begin(body.key("metadata"));
        metadata.text("user_id", Some(user));
        metadata.end();
    }
    match request.service_tier {
        None => {}
        Some(Text("auto")) => body.json("service_tier", "\"auto\""),
        Some(Text("default")) => body.json("service_tier", "\"standard_only\""),
        Some(_) => dropped.name("service_tier"),
    }
    body.end();
    out
}

/// How many tokens the model may think. Anthropic refuses thinking with a limit that leaves no room for it, with a
/// forced tool, and behind calls of tools whose own thinking is not sent along, which OpenAI's clients cannot do.
fn thinking_budget(request: &Request<'_>, dropped: &mut Dropped) -> Option<u64> {
    let budget = match request.effort?.0 {
        "none" => return None,
        "minimal" | "low" => 1024,
        "medium" => 2048,
        "high" => 4096,
        "xhigh" | "max" => 8192,
        _ => {
            dropped.name("reasoning_effort");
            return None;
        }
    };
    let limit = request.max_tokens.map(|raw| raw.get().parse::<u64>().unwrap_or(0));
    let is_forced = matches!(request.tool_choice, Some(ToolChoice::Any | ToolChoice::Named(_)));
    let calls =
        |message: &Message<'_>| message.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    if limit.is_some_and(|limit| limit <= budget) || is_forced || request.messages.iter().any(calls) {
        dropped.name("reasoning_effort");
        return None;
    }
    Some(budget)
}

fn put_sampling(body: &mut Object<'_>, request: &Request<'_>, thinks: bool, dropped: &mut Dropped) {
    if let Some(temperature) = request.temperature {
        let number = temperature.get().parse::<f64>().unwrap_or(0.0);
        if thinks {
            if number != 1.0 {
                dropped.name("temperature");
            }
        } else if number > 1.0 {
            // OpenAI's go to 2, Anthropic's to 1.
            dropped.name("temperature");
            body.number("temperature", 1);
        } else {
            body.raw("temperature", Some(temperature));
        }
    }
    match request.top_p {
        Some(_) if thinks => dropped.name("top_p"),
        top_p => body.raw("top_p", top_p),
    }
}

fn put_system(body: &mut Object<'_>, request: &Request<'_>) {
    let texts: Vec<Text<'_>> =
        request.system.iter().map(|text| Text(text)).filter(|text| !text.is_empty()).collect();
    match texts.as_slice() {
        [] => {}
        [text] => body.text("system", Some(*text)),
        texts => {
            let mut blocks = List::begin(body.key("system"));
            texts.iter().for_each(|text| put_text_block(blocks.item(), *text));
            blocks.end();
        }
    }
}

fn put_text_block(out: &mut Vec<u8>, text: Text<'_>) {
    let mut block = Object::begin(out);
    block.json("type", "\"text\"");
    block.text("text", Some(text));
    block.end();
}

fn put_message(out: &mut Vec<u8>, message: &Message<'_>, dropped: &mut Dropped) {
    let mut object = Object::begin(out);
    let role = if message.role == Role::Assistant { Text("assistant") } else { Text("user") };
    object.text("role", Some(role));
    match message.parts.as_slice() {
        [Part::Text(text)] if message.is_plain => object.text("content", Some(*text)),
        parts => put_parts(object.key("content"), parts, dropped),
    }
    object.end();
}

fn put_parts(out: &mut Vec<u8>, parts: &[Part<'_>], dropped: &mut Dropped) {
    let mut blocks = List::begin(out);
    for part in parts {
        match part {
            // Anthropic refuses an empty text.
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => put_text_block(blocks.item(), *text),
            Part::Thinking(_) => dropped.name("messages.reasoning_content"),
            Part::Media(media) => put_media(blocks.item(), media),
            Part::ToolCall { id, name, arguments } => {
                let mut block = Object::begin(blocks.item());
                block.json("type", "\"tool_use\"");
                block.text("id", Some(*id));
                block.text("name", Some(*name));
                if !arguments.put_object(block.key("input")) {
                    dropped.name("messages.tool_calls.arguments");
                }
                block.end();
            }
            Part::ToolResult { id, content, is_error } => {
                let mut block = Object::begin(blocks.item());
                block.json("type", "\"tool_result\"");
                block.text("tool_use_id", Some(*id));
                match content.as_slice() {
                    [] => {}
                    [Part::Text(text)] => block.text("content", Some(*text)),
                    content => put_parts(block.key("content"), content, dropped),
                }
                if *is_error {
                    block.json("is_error", "true");
                }
                block.end();
            }
        }
    }
    blocks.end();
}

fn put_media(out: &mut Vec<u8>, media: &Media<'_>) {
    let mut block = Object::begin(out);
    block.json("type", if media.is_document { "\"document\"" } else { "\"image\"" });
    let mut source = Object::begin(block.key("source"));
    match media.source {
        Source::Base64 { media_type, data } => {
            source.json("type", "\"base64\"");
            source.text("media_type", Some(media_type));
            source.text("data", Some(data));
        }
        Source::Url(url) => {
            source.json("type", "\"url\"");
            source.text("url", Some(url));
        }
    }
    source.end();
    block.end();
}

fn put_tools(body: &mut Object<'_>, request: &Request<'_>) {
    if request.tools.is_empty() {
        return;
    }
    let mut tools = List::begin(body.key("tools"));
    request.tools.iter().for_each(|tool| put_tool(tools.item(), tool));
    tools.end();
    let is_serial = request.parallel_tool_calls == Some(false);
    let (kind, name) = match request.tool_choice {
        None if !is_serial => return,
        None | Some(ToolChoice::Auto) => ("auto", None),
        Some(ToolChoice::Any) => ("any", None),
        Some(ToolChoice::None) => ("none", None),
        Some(ToolChoice::Named(name)) => ("tool", Some(name)),
    };
    let mut choice = Object::begin(body.key("tool_choice"));
    put_string(choice.key("type"), kind);
    choice.text("name", name);
    if is_serial && kind != "none" {
        choice.json("disable_parallel_tool_use", "true");
    }
    choice.end();
}

fn put_tool(out: &mut Vec<u8>, tool: &Tool<'_>) {
    let mut object = Object::begin(out);
    object.text("name", Some(tool.name));
    object.text("description", tool.description);
    match tool.schema {
        Some(schema) => object.raw("input_schema", Some(schema)),
        None => object.json("input_schema", "{\"type\":\"object\",\"properties\":{}}"),
    }
    if tool.strict == Some(true) {
        object.json("strict", "true");
    }
    object.end();
}
