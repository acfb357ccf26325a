use std::borrow::Cow;

use crate::convert::Unconvertible;
use crate::convert::dropped::Dropped;
use crate::convert::json::{Members, Raw, Text, asks_nothing};
use crate::convert::model::{
    Arguments, Format, Media, Message, Part, Request, Role, Source, Tool, ToolChoice,
};

/// Reads a request.
pub(in crate::convert) fn read<'a>(
    body: &Members<'a>,
    dropped: &mut Dropped,
) -> Result<Request<'a>, Unconvertible> {
    let mut request = Request::default();
    for (name, raw) in body.iter() {
        match name {
            "model" => request.model = Text::of(raw),
            "messages" => {}
            "stream" => request.stream = flag(raw),
            "stream_options" => {
                let options = raw.members();
                let include = options.and_then(|options| options.get("include_usage").and_then(flag));
                request.include_usage = include == Some(true);
            }
            // The newer name wins, below.
            "max_tokens" | "max_completion_tokens" => {}
            "temperature" => request.temperature = Some(raw),
            "top_p" => request.top_p = Some(raw),
            "stop" => {
                request.stop = match Text::of(raw) {
                    Some(text) => vec![text],
                    None => raw.items().unwrap_or_default().into_iter().filter_map(Text::of).collect(),
                };
                if request.stop.is_empty() && !asks_nothing(raw) {
                    dropped.name(name);
                }
            }
            "tools" => tools(raw, &mut request, dropped),
            "tool_choice" => tool_choice(raw, &mut request, dropped),
            "parallel_tool_calls" => request.parallel_tool_calls = flag(raw),
            "reasoning_effort" => request.effort = Text::of(raw),
            "response_format" => request.format = format(raw, dropped),
            "safety_identifier" | "user" => {}
            "service_tier" => request.service_tier = Text::of(raw),
            "n" if raw.get() == "1" => {}
            // Here 0 and an empty object ask for something, too.
            "seed" | "web_search_options" => dropped.name(name),
            _ if asks_nothing(raw) => {}
            _ => dropped.name(name),
        }
    }
    request.max_tokens = body.get("max_completion_tokens").or_else(|| body.get("max_tokens"));
    request.user = body.text("safety_identifier").or_else(|| body.text("user"));
    messages(body.get("messages"), &mut request, dropped)?;
    Ok(request)
}

fn flag(raw: Raw<'_>) -> Option<bool> {
    match raw.get() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn format<'a>(raw: Raw<'a>, dropped: &mut Dropped) -> Option<Format<'a>> {
    let format = raw.members();
    let kind = format.as_ref().and_then(|format| format.text("type"));
    if kind == Some(Text("text")) {
        return None;
    }
    let definition = format.and_then(|format| format.object("json_schema"));
    let found = definition.and_then(|definition| {
        Some(Format { name: definition.text("name"), schema: definition.get("schema")? })
    });
    if found.is_none() {
        dropped.name("response_format");
    }
    found
}

fn tools<'a>(raw: Raw<'a>, request: &mut Request<'a>, dropped: &mut Dropped) {
    let Some(listed) = raw.items() else { return dropped.name("tools") };
    // Of two members of one name the last one counts.
    request.tools.clear();
    for raw in listed {
        let tool = raw.members();
        let function = tool.as_ref().and_then(|tool| tool.object("function"));
        let named = function.as_ref().and_then(|function| Some((function, function.text("name")?)));
        let Some((function, name)) = named else {
            let kind = tool.and_then(|tool| tool.text("type"));
            dropped.inner("tools", kind.map_or("function", |kind| kind.0));
            continue;
        };
        for (member, value) in tool.iter().flat_map(Members::iter).chain(function.iter()) {
            let known =
                matches!(member, "type" | "function" | "name" | "description" | "parameters" | "strict");
            if !known && !asks_nothing(value) {
                dropped.inner("tools", member);
            }
        }
        request.tools.push(Tool {
            name,
            description: function.text("description"),
            schema: function.get("parameters"),
            strict: function.get("strict").and_then(flag),
        });
    }
}

fn tool_choice<'a>(raw: Raw<'a>, request: &mut Request<'a>, dropped: &mut Dropped) {
    let named = || raw.members()?.object("function")?.text("name");
    request.tool_choice = match Text::of(raw) {
        Some(Text("auto")) => Some(ToolChoice::Auto),
        Some(Text("none")) => Some(ToolChoice::None),
        Some(Text("required")) => Some(ToolChoice::Any),
        _ => named().map(ToolChoice::Named),
    };
    if request.tool_choice.is_none() {
        dropped.name("tool_choice");
    }
}

fn messages<'a>(
    raw: Option<Raw<'a>>,
    request: &mut Request<'a>,
    dropped: &mut Dropped,
) -> Result<(), Unconvertible> {
    let listed = raw.and_then(|raw| raw.items()).filter(|listed| !listed.is_empty());
    for (at, raw) in listed.ok_or_else(|| Unconvertible::new("missing messages"))?.into_iter().enumerate() {
        let index = at + 1;
        let malformed = || Unconvertible::new(format!("invalid message at index {index}"));
        let message = raw.members().ok_or_else(malformed)?;
        let (role, parts) = match message.text("role").ok_or_else(malformed)?.0 {
            "system" | "developer" => {
                let texts = content(&message, dropped).ok_or_else(malformed)?;
                request.system.extend(texts.into_iter().filter_map(|part| match part {
                    Part::Text(text) => Some(Cow::Borrowed(text.0)),
                    _ => None,
                }));
                unknown(&message, &["content"], dropped);
                continue;
            }
            "user" => {
                unknown(&message, &["content"], dropped);
                (Role::User, content(&message, dropped).ok_or_else(malformed)?)
            }
            "assistant" => (Role::Assistant, assistant(&message, dropped).ok_or_else(malformed)?),
            "tool" => {
                unknown(&message, &["content", "tool_call_id"], dropped);
                let id = message.text("tool_call_id").ok_or_else(malformed)?;
                let content = content(&message, dropped).ok_or_else(malformed)?;
                (Role::User, vec![Part::ToolResult { id, content, is_error: false }])
            }
            other => {
                let text =
                    format!("the role `{other}` of message {index} has no equivalent at this provider");
                return Err(Unconvertible::new(text));
            }
        };
        if parts.is_empty() {
            continue;
        }
        append(&mut request.messages, role, parts, message.text("content").is_some());
    }
    Ok(())
}

/// Neighbours of one role become one message: Bedrock wants the roles in turn, and all results of tools together.
fn append<'a>(messages: &mut Vec<Message<'a>>, role: Role<'a>, parts: Vec<Part<'a>>, has_text: bool) {
    match messages.last_mut().filter(|last| last.role == role) {
        Some(last) => {
            last.parts.extend(parts);
            last.is_plain = false;
        }
        None => messages.push(Message { role, is_plain: has_text && parts.len() == 1, parts }),
    }
}

fn unknown(message: &Members<'_>, known: &[&str], dropped: &mut Dropped) {
    for (member, value) in message.iter() {
        if member != "role" && !known.contains(&member) && !asks_nothing(value) {
            dropped.inner("messages", member);
        }
    }
}

fn assistant<'a>(message: &Members<'a>, dropped: &mut Dropped) -> Option<Vec<Part<'a>>> {
    unknown(message, &["content", "tool_calls", "refusal"], dropped);
    let mut parts = match message.get("content") {
        Some(_) => content(message, dropped)?,
        None => Vec::new(),
    };
    parts.extend(message.text("refusal").map(Part::Text));
    for raw in message.items("tool_calls") {
        let call = raw.members();
        let part = call.and_then(|call| {
            let function = call.object("function")?;
            let arguments = Arguments::Encoded(function.text("arguments").unwrap_or(Text("{}")));
            Some(Part::ToolCall { id: call.text("id")?, name: function.text("name")?, arguments })
        });
        match part {
            Some(part) => parts.push(part),
            None => dropped.name("messages.tool_calls"),
        }
    }
    Some(parts)
}

/// The parts of a message's content; none if it is neither text nor a list.
fn content<'a>(message: &Members<'a>, dropped: &mut Dropped) -> Option<Vec<Part<'a>>> {
    let raw = message.get("content")?;
    if let Some(text) = Text::of(raw) {
        return Some(vec![Part::Text(text)]);
    }
    let mut parts = Vec::new();
    for raw in raw.items()? {
        let part = raw.members();
        let kind = part.as_ref().and_then(|part| part.text("type")).map_or("content", |kind| kind.0);
        if let Some(part) = &part {
            unknown(part, &["type", kind], dropped);
        }
        match part.and_then(|part| known_part(&part, kind, dropped)) {
            Some(part) => parts.push(part),
            None => dropped.inner("messages", kind),
        }
    }
    Some(parts)
}

fn known_part<'a>(part: &Members<'a>, kind: &str, dropped: &mut Dropped) -> Option<Part<'a>> {
    match kind {
        "text" => part.text("text").map(Part::Text),
        "refusal" => part.text("refusal").map(Part::Text),
        "image_url" => {
            let image = part.object("image_url")?;
            if image.text("detail").is_some_and(|detail| detail.0 != "auto") {
                dropped.name("messages.image_url.detail");
            }
            media(image.text("url")?).map(Part::Media)
        }
        "file" => {
            let file = part.object("file")?;
            media(file.text("file_data")?).map(Part::Media)
        }
        _ => None,
    }
}

/// A URL of an image or a document, or its bytes in a `data:` URL.
fn media(url: Text<'_>) -> Option<Media<'_>> {
    let Some(inline) = url.0.strip_prefix("data:") else {
        return Some(Media { is_document: false, source: Source::Url(url) });
    };
    let (media_type, data) = inline.split_once(";base64,")?;
    // Parameters, such as a name, are nothing that the others have.
    let media_type = media_type.split_once(';').map_or(media_type, |(kind, _)| kind);
    let source = Source::Base64 { media_type: Text(media_type), data: Text(data) };
    Some(Media { is_document: !media_type.starts_with("image"), source })
}
