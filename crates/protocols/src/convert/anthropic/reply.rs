use super::{put_usage, stop_reason, stop_word, usage};
use crate::convert::dropped::Dropped;
use crate::convert::errors;
use crate::convert::json::{List, Members, Object, Text, put_string};
use crate::convert::model::{Arguments, Part, Reply, StopReason, Tokens, Unread};
use crate::convert::recall::Recall;

/// Reads a reply.
pub(in crate::convert) fn read<'a>(
    body: &Members<'a>,
    dropped: &mut Dropped,
) -> Result<Reply<'a>, Unread<'a>> {
    if body.text("type") == Some(Text("error")) || body.get("error").is_some() {
        return Err(Unread::Error(errors::of(body)));
    }
    if body.get("content").is_none() {
        return Err(Unread::Invalid("no content in response"));
    }
    let mut parts = Vec::new();
    for raw in body.items("content") {
        let block = raw.members();
        let kind = block.as_ref().and_then(|block| block.text("type")).map_or("content", |kind| kind.0);
        match block.as_ref().and_then(|block| part(block, kind, dropped)) {
            Some(part) => parts.push(part),
            None => dropped.inner("content", kind),
        }
    }
    let told = body.object("usage").as_ref().map(usage).unwrap_or_default();
    Ok(Reply {
        id: body.text("id"),
        model: body.text("model"),
        parts,
        stop: body.text("stop_reason").map(stop_reason),
        tokens: Tokens::of(told),
        usage: told,
    })
}

fn part<'a>(block: &Members<'a>, kind: &str, dropped: &mut Dropped) -> Option<Part<'a>> {
    match kind {
        "text" => {
            if block.get("citations").is_some() {
                dropped.name("content.citations");
            }
            block.text("text").map(Part::Text)
        }
        "thinking" => block.text("thinking").map(Part::Thinking),
        "tool_use" => Some(Part::ToolCall {
            id: block.text("id")?,
            name: block.text("name")?,
            arguments: block.get("input").map_or(Arguments::Encoded(Text("{}")), Arguments::Object),
        }),
        _ => None,
    }
}

/// Writes a reply.
pub(in crate::convert) fn write(reply: &Reply<'_>, model: Option<&str>, recall: &Recall) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + reply.length());
    let mut body = Object::begin(&mut out);
    body.text("id", Some(reply.id.unwrap_or(Text(""))));
    body.json("type", "\"message\"");
    body.json("role", "\"assistant\"");
    match model {
        Some(model) => put_string(body.key("model"), model),
        None => body.text("model", Some(reply.model.unwrap_or(Text("")))),
    }
    let mut content = List::begin(body.key("content"));
    let mut is_empty = true;
    for part in &reply.parts {
        is_empty &= !put_part(&mut content, part, recall);
    }
    if is_empty {
        put_text_block(&mut content, Text(""));
    }
    content.end();
    put_string(body.key("stop_reason"), stop_word(reply.stop.unwrap_or(StopReason::End)));
    put_usage(body.key("usage"), reply.tokens);
    body.end();
    out
}

fn put_text_block(content: &mut List<'_>, text: Text<'_>) {
    let mut block = Object::begin(content.item());
    block.json("type", "\"text\"");
    block.text("text", Some(text));
    block.end();
}

/// Whether the part is one that a reply has.
fn put_part(content: &mut List<'_>, part: &Part<'_>, recall: &Recall) -> bool {
    match part {
        Part::Text(text) => put_text_block(content, *text),
        Part::Thinking(text) => {
            let mut block = Object::begin(content.item());
            block.json("type", "\"thinking\"");
            block.text("thinking", Some(*text));
            block.json("signature", "\"\"");
            block.end();
        }
        Part::ToolCall { id, name, arguments } => {
            let mut block = Object::begin(content.item());
            block.json("type", "\"tool_use\"");
            block.text("id", Some(*id));
            block.text("name", Some(recall.tool_name(*name)));
            arguments.put_object(block.key("input"));
            block.end();
        }
        Part::Media(_) | Part::ToolResult { .. } => return false,
    }
    true
}
