use crate::convert::dropped::Dropped;
use crate::convert::json::{List, Object, Text, put, put_string, put_text};
use crate::convert::model::{Media, Message, Part, Request, Role, Source, Tool, ToolChoice};

/// Writes a request, with `model` and `stream` as a client of this protocol has them: they choose the path, and are
/// taken out before it is sent.
pub(in crate::convert) fn write(request: &Request<'_>, dropped: &mut Dropped) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut documents = 0;
    let mut body = Object::begin(&mut out);
    body.text("model", request.model);
    if request.stream == Some(true) {
        body.json("stream", "true");
    }
    let mut messages = List::begin(body.key("messages"));
    for message in &request.messages {
        let mut object = Object::begin(messages.item());
        let role = if message.role == Role::Assistant { "\"assistant\"" } else { "\"user\"" };
        object.json("role", role);
        put_parts(object.key("content"), &message.parts, &mut documents, dropped);
        object.end();
    }
    messages.end();
    if request.system.iter().any(|text| !text.is_empty()) {
        let mut system = List::begin(body.key("system"));
        for text in request.system.iter().filter(|text| !text.is_empty()) {
            put_text_block(system.item(), Text(text));
        }
        system.end();
    }
    put_inference(&mut body, request);
    put_tools(&mut body, request, dropped);
    if let Some(format) = &request.format {
        let config = body.key("outputConfig");
        put(config, "{\"textFormat\":{\"type\":\"json_schema\",\"structure\":{\"jsonSchema\":");
        let mut definition = Object::begin(config);
        definition.text("name", format.name);
        put_string(definition.key("schema"), format.schema.get());
        definition.end();
        put(config, "}}}");
    }
    match request.service_tier {
        None | Some(Text("auto")) => {}
        Some(tier @ Text("default" | "flex" | "priority")) => {
            let mut object = Object::begin(body.key("serviceTier"));
            object.text("type", Some(tier));
            object.end();
        }
        Some(_) => dropped.name("service_tier"),
    }
    // How a model thinks on demand differs from model to model here.
    if request.effort.is_some_and(|effort| effort.0 != "none") {
        dropped.name("reasoning_effort");
    }
    if request.user.is_some() {
        dropped.name("user");
    }
    body.end();
    out
}

fn put_inference(body: &mut Object<'_>, request: &Request<'_>) {
    let Request { max_tokens, temperature, top_p, stop, .. } = request;
    if max_tokens.is_none() && temperature.is_none() && top_p.is_none() && stop.is_empty() {
        return;
    }
    let mut config = Object::begin(body.key("inferenceConfig"));
    config.raw("maxTokens", *max_tokens);
    config.raw("temperature", *temperature);
    config.raw("topP", *top_p);
    if !stop.is_empty() {
        let mut sequences = List::begin(config.key("stopSequences"));
        stop.iter().for_each(|text| put_text(sequences.item(), *text));
        sequences.end();
    }
    config.end();
}

fn put_text_block(out: &mut Vec<u8>, text: Text<'_>) {
    let mut block = Object::begin(out);
    block.text("text", Some(text));
    block.end();
}

fn put_parts(out: &mut Vec<u8>, parts: &[Part<'_>], documents: &mut u64, dropped: &mut Dropped) {
    let mut blocks = List::begin(out);
    for part in parts {
        match part {
            // Bedrock refuses an empty text.
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => put_text_block(blocks.item(), *text),
            Part::Thinking(_) => dropped.name("messages.reasoning_content"),
            Part::Media(media) => put_media(&mut blocks, media, documents, dropped),
            Part::ToolCall { id, name, arguments } => {
                let mut block = Object::begin(blocks.item());
                let mut call = Object::begin(block.key("toolUse"));
                call.text("toolUseId", Some(*id));
                call.text("name", Some(*name));
                if !arguments.put_object(call.key("input")) {
                    dropped.name("messages.tool_calls.arguments");
                }
                call.end();
                block.end();
            }
            Part::ToolResult { id, content, is_error } => {
                let mut block = Object::begin(blocks.item());
                let mut result = Object::begin(block.key("toolResult"));
                result.text("toolUseId", Some(*id));
                put_parts(result.key("content"), content, documents, dropped);
                if *is_error {
                    result.json("status", "\"error\"");
                }
                result.end();
                block.end();
            }
        }
    }
    blocks.end();
}

/// Only bytes: Bedrock fetches nothing but from S3.
fn put_media(blocks: &mut List<'_>, media: &Media<'_>, documents: &mut u64, dropped: &mut Dropped) {
    let Source::Base64 { media_type, data } = media.source else {
        return dropped.name("messages.image_url.url");
    };
    let media_type = media_type.decoded();
    let Some(format) = media_type.as_deref().and_then(|kind| format(kind, media.is_document)) else {
        return dropped.name(if media.is_document { "messages.file" } else { "messages.image_url" });
    };
    let mut block = Object::begin(blocks.item());
    let mut object = Object::begin(block.key(if media.is_document { "document" } else { "image" }));
    put_string(object.key("format"), format);
    if media.is_document {
        // A name is demanded. The client's own could steer the model, as Bedrock's documentation warns.
        *documents += 1;
        put_string(object.key("name"), &format!("document-{documents}"));
    }
    let mut source = Object::begin(object.key("source"));
    source.text("bytes", Some(data));
    source.end();
    object.end();
    block.end();
}

fn format(media_type: &str, is_document: bool) -> Option<&str> {
    let (_, format) = media_type.split_once('/')?;
    match (is_document, format) {
        (false, "jpg") => Some("jpeg"),
        (false, "png" | "jpeg" | "gif" | "webp") => Some(format),
        (true, "pdf" | "csv" | "html") => Some(format),
        (true, "plain") => Some("txt"),
        (true, "markdown") => Some("md"),
        (true, "msword") => Some("doc"),
        (true, "vnd.openxmlformats-officedocument.wordprocessingml.document") => Some("docx"),
        (true, "vnd.ms-excel") => Some("xls"),
        (true, "vnd.openxmlformats-officedocument.spreadsheetml.sheet") => Some("xlsx"),
        _ => None,
    }
}

/// Bedrock has no word for "no tool", and wants the tools wherever the messages speak of calls.
fn put_tools(body: &mut Object<'_>, request: &Request<'_>, dropped: &mut Dropped) {
    if request.tools.is_empty() {
        return;
    }
    let speaks_of_tools = |message: &Message<'_>| {
        message.parts.iter().any(|part| matches!(part, Part::ToolCall { .. } | Part::ToolResult { .. }))
    };
    let choice = match request.tool_choice {
        None | Some(ToolChoice::Auto) => None,
        Some(ToolChoice::None) if !request.messages.iter().any(speaks_of_tools) => return,
        Some(ToolChoice::None) => {
            dropped.name("tool_choice");
            None
        }
        choice => choice,
    };
    if request.parallel_tool_calls == Some(false) {
        dropped.name("parallel_tool_calls");
    }
    let mut config = Object::begin(body.key("toolConfig"));
    let mut tools = List::begin(config.key("tools"));
    request.tools.iter().for_each(|tool| put_tool(tools.item(), tool));
    tools.end();
    match choice {
        Some(ToolChoice::Any) => config.json("toolChoice", "{\"any\":{}}"),
        Some(ToolChoice::Named(name)) => {
            let out = config.key("toolChoice");
            put(out, "{\"tool\":{\"name\":");
            put_text(out, name);
            put(out, "}}");
        }
        _ => {}
    }
    config.end();
}

fn put_tool(out: &mut Vec<u8>, tool: &Tool<'_>) {
    let mut object = Object::begin(out);
    let mut spec = Object::begin(object.key("toolSpec"));
    spec.text("name", Some(tool.name));
    spec.text("description", tool.description.filter(|text| !text.is_empty()));
    let mut schema = Object::begin(spec.key("inputSchema"));
    match tool.schema {
        Some(json) => schema.raw("json", Some(json)),
        None => schema.json("json", "{\"type\":\"object\",\"properties\":{}}"),
    }
    schema.end();
    if tool.strict == Some(true) {
        spec.json("strict", "true");
    }
    spec.end();
    object.end();
}
