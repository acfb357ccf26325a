use std::borrow::Cow;

use crate::convert::Unconvertible;
use crate::convert::dropped::Dropped;
use crate::convert::json::{Members, Raw, Text, asks_nothing};
use crate::convert::model::{
    Arguments, Format, Media, Message, Part, Request, Role, Source, Tool, ToolChoice,
};

/// Tools that Anthropic runs itself or knows the schema of; nobody else does.
const OWN_TOOLS: [&str; 5] = ["computer_", "bash_", "text_editor_", "web_search", "code_execution_"];
/// What Claude's tools put before a system prompt for billing. Its `cch` differs in each request, which would defeat
/// every cache of prompts.
const BILLING: &str = "x-anthropic-billing-header:";

/// Reads a request.
pub(in crate::convert) fn read<'a>(
    body: &Members<'a>,
    dropped: &mut Dropped,
) -> Result<Request<'a>, Unconvertible> {
    let mut request = Request::default();
    let mut format = None;
    for (name, raw) in body.iter() {
        match name {
            "model" => request.model = Text::of(raw),
            "messages" | "output_format" | "thinking" => {}
            "system" => system(raw, &mut request, dropped),
            "stream" => request.stream = flag(raw),
            "max_tokens" => request.max_tokens = Some(raw),
            "temperature" => request.temperature = Some(raw),
            "top_p" => request.top_p = Some(raw),
            "stop_sequences" => match raw.items() {
                Some(sequences) => request.stop = sequences.into_iter().filter_map(Text::of).collect(),
                None => dropped.name(name),
            },
            "tools" => tools(raw, &mut request, dropped),
            "tool_choice" => tool_choice(raw, &mut request, dropped),
            "metadata" => request.user = metadata(raw, dropped),
            "service_tier" => match Text::of(raw) {
                Some(word) => request.service_tier = Some(tier(word)),
                None => dropped.name(name),
            },
            "output_config" => {
                let config = raw.members();
                for (member, value) in config.iter().flat_map(Members::iter) {
                    match member {
                        "effort" => {}
                        "format" => format = Some(value),
                        _ => dropped.inner("output_config", member),
                    }
                }
            }
            _ if asks_nothing(raw) => {}
            _ => dropped.name(name),
        }
    }
    request.include_usage = true;
    request.effort = effort(body, dropped);
    let own = body.get("output_format").filter(|raw| raw.members().is_some_and(|own| !own.is_empty()));
    request.format = own.or(format).and_then(|raw| schema(raw, dropped));
    request.messages = messages(body.get("messages"), dropped)?;
    Ok(request)
}

fn flag(raw: Raw<'_>) -> Option<bool> {
    match raw.get() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn tier(word: Text<'_>) -> Text<'_> {
    if word.0 == "standard_only" { Text("default") } else { word }
}

fn metadata<'a>(raw: Raw<'a>, dropped: &mut Dropped) -> Option<Text<'a>> {
    let Some(metadata) = raw.members() else {
        dropped.name("metadata");
        return None;
    };
    for (name, _) in metadata.iter().filter(|(name, _)| *name != "user_id") {
        dropped.inner("metadata", name);
    }
    metadata.text("user_id")
}

/// `thinking` and `output_config.effort` are one word at OpenAI.
fn effort<'a>(body: &Members<'a>, dropped: &mut Dropped) -> Option<Text<'a>> {
    let told = body.object("output_config").and_then(|config| config.text("effort"));
    let told = told.filter(|effort| !effort.is_empty());
    let thinking = body.object("thinking");
    let kind = thinking.as_ref().and_then(|thinking| thinking.text("type")).map_or("", |kind| kind.0);
    if let Some(thinking) = &thinking {
        unknown(thinking, &["budget_tokens"], "thinking", dropped);
    }
    if kind == "adaptive" {
        return told.or(Some(Text("medium")));
    }
    if told.is_some() {
        dropped.name("output_config.effort");
    }
    if kind != "enabled" {
        return None;
    }
    let budget = thinking.and_then(|thinking| thinking.get("budget_tokens")?.get().parse::<f64>().ok());
    Some(Text(match budget.unwrap_or(0.0) {
        budget if budget >= 4096.0 => "high",
        budget if budget >= 2048.0 => "medium",
        budget if budget >= 1024.0 => "low",
        _ => "minimal",
    }))
}

fn schema<'a>(raw: Raw<'a>, dropped: &mut Dropped) -> Option<Format<'a>> {
    let format = raw.members();
    let found = format.as_ref().filter(|format| format.text("type") == Some(Text("json_schema")));
    let schema = found.and_then(|format| format.get("schema"));
    let schema = schema.filter(|schema| schema.members().is_some_and(|members| !members.is_empty()));
    if schema.is_none() {
        dropped.name("output_format");
    }
    schema.map(|schema| Format { name: None, schema })
}

fn tools<'a>(raw: Raw<'a>, request: &mut Request<'a>, dropped: &mut Dropped) {
    let Some(listed) = raw.items() else { return dropped.name("tools") };
    // Of two members of one name the last one counts.
    request.tools.clear();
    for raw in listed {
        let Some(tool) = raw.members() else {
            dropped.name("tools");
            continue;
        };
        let kind = tool.text("type").map_or("", |kind| kind.0);
        let name = tool.text("name").filter(|name| !name.is_empty());
        let Some(name) = name.filter(|_| !OWN_TOOLS.iter().any(|own| kind.starts_with(own))) else {
            dropped.inner("tools", if kind.is_empty() { "name" } else { kind });
            continue;
        };
        for (member, value) in tool.iter() {
            let known = matches!(member, "type" | "name" | "description" | "input_schema" | "strict");
            if !known && !asks_nothing(value) {
                dropped.inner("tools", member);
            }
        }
        request.tools.push(Tool {
            name,
            description: tool.text("description"),
            schema: tool.get("input_schema"),
            strict: tool.get("strict").and_then(flag),
        });
    }
}

fn tool_choice<'a>(raw: Raw<'a>, request: &mut Request<'a>, dropped: &mut Dropped) {
    let Some(choice) = raw.members() else { return dropped.name("tool_choice") };
    let kind = choice.text("type").map_or("", |kind| kind.0);
    request.tool_choice = match (kind, choice.text("name")) {
        ("auto", _) => Some(ToolChoice::Auto),
        ("any", _) => Some(ToolChoice::Any),
        ("none", _) => Some(ToolChoice::None),
        ("tool", Some(name)) => Some(ToolChoice::Named(name)),
        _ => None,
    };
    if request.tool_choice.is_none() {
        dropped.name("tool_choice");
    }
    if choice.get("disable_parallel_tool_use").and_then(flag) == Some(true) {
        request.parallel_tool_calls = Some(false);
    }
}

fn system<'a>(raw: Raw<'a>, request: &mut Request<'a>, dropped: &mut Dropped) {
    if let Some(text) = Text::of(raw) {
        request.system = vec![Cow::Borrowed(text.0)];
        return;
    }
    let Some(blocks) = raw.items() else { return dropped.name("system") };
    request.system.clear();
    for raw in blocks {
        let block = raw.members();
        let text = block.as_ref().filter(|block| block.text("type") == Some(Text("text")));
        let Some((block, text)) = text.and_then(|block| Some((block, block.text("text")?))) else {
            dropped.name("system");
            continue;
        };
        unknown(block, &["text"], "system", dropped);
        request.system.extend(without_billing(text.0));
    }
}

/// The text without what changes from request to request; none if nothing else is in it.
fn without_billing(text: &str) -> Option<Cow<'_, str>> {
    let head = text.get(..BILLING.len()).filter(|head| head.eq_ignore_ascii_case(BILLING));
    let Some(head) = head else { return Some(Cow::Borrowed(text)) };
    let kept: Vec<&str> =
        text[BILLING.len()..].split(';').filter(|entry| !entry.trim_start().starts_with("cch=")).collect();
    let kept = kept.join(";");
    let kept = kept.trim_matches([';', ' ']);
    (!kept.is_empty()).then(|| Cow::Owned(format!("{head}{kept}")))
}

/// Names the members of a block that nobody knows, apart from its `type` and those that are known.
fn unknown(block: &Members<'_>, known: &[&str], outer: &str, dropped: &mut Dropped) {
    for (member, value) in block.iter() {
        if member != "type" && !known.contains(&member) && !asks_nothing(value) {
            dropped.inner(outer, member);
        }
    }
}

fn messages<'a>(raw: Option<Raw<'a>>, dropped: &mut Dropped) -> Result<Vec<Message<'a>>, Unconvertible> {
    let listed = raw.and_then(|raw| raw.items()).filter(|listed| !listed.is_empty());
    let listed = listed.ok_or_else(|| Unconvertible::new("missing messages"))?;
    let mut messages = Vec::with_capacity(listed.len());
    for (at, raw) in listed.into_iter().enumerate() {
        let index = at + 1;
        let malformed = || Unconvertible::new(format!("invalid message at index {index}"));
        let message = raw.members().ok_or_else(malformed)?;
        let role = match message.text("role").ok_or_else(malformed)? {
            Text("user") => Role::User,
            Text("assistant") => Role::Assistant,
            other => Role::Other(other),
        };
        unknown(&message, &["role", "content"], "messages", dropped);
        let no_content = || Unconvertible::new(format!("invalid message content at index {index}"));
        let content = message.get("content").ok_or_else(no_content)?;
        messages.push(match Text::of(content) {
            Some(text) => Message { role, parts: vec![Part::Text(text)], is_plain: true },
            None => {
                let blocks = content.items().ok_or_else(no_content)?;
                let parts = blocks.into_iter().filter_map(|block| part(block, false, dropped)).collect();
                Message { role, parts, is_plain: false }
            }
        });
    }
    Ok(messages)
}

/// A block of a message, or of a tool's result, which holds neither calls nor results.
fn part<'a>(raw: Raw<'a>, is_in_result: bool, dropped: &mut Dropped) -> Option<Part<'a>> {
    let block = raw.members();
    let kind = block.as_ref().and_then(|block| block.text("type")).map_or("content", |kind| kind.0);
    let is_misplaced = is_in_result && kind.starts_with("tool_");
    let block = block.as_ref().filter(|_| !is_misplaced);
    let part = block.and_then(|block| known_part(block, kind, dropped));
    if part.is_none() {
        dropped.inner("messages", kind);
    }
    part
}

fn known_part<'a>(block: &Members<'a>, kind: &str, dropped: &mut Dropped) -> Option<Part<'a>> {
    let mut rest = |known: &[&str]| unknown(block, known, "messages", dropped);
    match kind {
        "text" => {
            rest(&["text"]);
            block.text("text").map(Part::Text)
        }
        "thinking" => block.text("thinking").map(Part::Thinking),
        "image" | "document" => {
            rest(&["source"]);
            media(block, kind == "document").map(Part::Media)
        }
        "tool_use" => {
            rest(&["id", "name", "input"]);
            let input = block.get("input").filter(|input| input.members().is_some());
            Some(Part::ToolCall {
                id: block.text("id")?,
                name: block.text("name")?,
                arguments: input.map_or(Arguments::Encoded(Text("{}")), Arguments::Object),
            })
        }
        "tool_result" => {
            rest(&["tool_use_id", "content", "is_error"]);
            let content = match block.get("content") {
                None => Vec::new(),
                Some(raw) => match Text::of(raw) {
                    Some(text) => vec![Part::Text(text)],
                    None => {
                        let blocks = raw.items();
                        if blocks.is_none() {
                            dropped.inner("messages", "tool_result.content");
                        }
                        blocks.into_iter().flatten().filter_map(|block| part(block, true, dropped)).collect()
                    }
                },
            };
            let is_error = block.get("is_error").and_then(flag) == Some(true);
            Some(Part::ToolResult { id: block.text("tool_use_id")?, content, is_error })
        }
        _ => None,
    }
}

fn media<'a>(block: &Members<'a>, is_document: bool) -> Option<Media<'a>> {
    let source = block.object("source")?;
    let source = match source.text("type")?.0 {
        "base64" => {
            let usual = if is_document { "application/pdf" } else { "image/png" };
            let data = source.text("data").filter(|data| !data.is_empty())?;
            Source::Base64 { media_type: source.text("media_type").unwrap_or(Text(usual)), data }
        }
        "url" if !is_document => Source::Url(source.text("url")?),
        _ => return None,
    };
    Some(Media { is_document, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_in_a_billing_header_goes() {
        let cases = [
            ("hello", Some("hello")),
            (
                "x-anthropic-billing-header: cc_version=1; cch=abc;",
                Some("x-anthropic-billing-header:cc_version=1"),
            ),
            ("X-Anthropic-Billing-Header: cch=abc;", None),
            ("x-anthropic-billing-header: cch=a; b=2", Some("x-anthropic-billing-header:b=2")),
            ("é", Some("é")),
        ];
        for (text, expected) in cases {
            assert_eq!(without_billing(text).as_deref(), expected, "{text}");
        }
    }
}
