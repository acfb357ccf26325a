use super::{put_usage, stop_reason, stop_word, tokens, usage};
use crate::convert::errors;
use crate::convert::json::{List, Members, Object, Raw, Text, put_joined, put_string};
use crate::convert::model::{Arguments, Part, Reply, StopReason, Unread};
use crate::convert::recall::Envelope;

/// Reads a reply; of several choices the first.
pub(in crate::convert) fn read<'a>(body: &Members<'a>) -> Result<Reply<'a>, Unread<'a>> {
    if body.get("error").is_some() {
        return Err(Unread::Error(errors::of(body)));
    }
    let choice = body.items("choices").first().and_then(|raw| raw.members());
    let choice = choice.ok_or(Unread::Invalid("no choices in response"))?;
    let message = choice.object("message");
    let mut parts = Vec::new();
    let mut stop = choice.text("finish_reason").and_then(stop_reason);
    if let Some(message) = &message {
        let thinking = message.text("reasoning_content").or_else(|| message.text("reasoning"));
        if let Some(text) = thinking.filter(|text| !text.is_empty()) {
            parts.push(Part::Thinking(text));
        }
        parts.extend(message.get("content").into_iter().flat_map(texts).map(Part::Text));
        if let Some(text) = message.text("refusal").filter(|text| !text.is_empty()) {
            parts.push(Part::Text(text));
            stop = Some(StopReason::Refusal);
        }
        parts.extend(message.items("tool_calls").into_iter().filter_map(call));
    }
    let told = body.object("usage").as_ref().map(usage).unwrap_or_default();
    Ok(Reply {
        id: body.text("id"),
        model: body.text("model"),
        parts,
        stop,
        tokens: tokens(told),
        usage: told,
    })
}

/// The texts of a content: one string, or parts, as some providers have it.
pub(super) fn texts(raw: Raw<'_>) -> Vec<Text<'_>> {
    let found = match Text::of(raw) {
        Some(text) => vec![text],
        None => {
            let parts = raw.items().unwrap_or_default();
            parts.into_iter().filter_map(|part| part.members()?.text("text")).collect()
        }
    };
    found.into_iter().filter(|text| !text.is_empty()).collect()
}

fn call(raw: Raw<'_>) -> Option<Part<'_>> {
    let call = raw.members()?;
    let function = call.object("function")?;
    Some(Part::ToolCall {
        id: call.text("id").unwrap_or(Text("")),
        name: function.text("name").unwrap_or(Text("")),
        arguments: Arguments::Encoded(function.text("arguments").unwrap_or(Text(""))),
    })
}

/// Writes a reply.
pub(in crate::convert) fn write(reply: &Reply<'_>, envelope: &Envelope<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + reply.length());
    let mut body = Object::begin(&mut out);
    match reply.id {
        Some(id) => body.text("id", Some(id)),
        None => put_string(body.key("id"), envelope.id),
    }
    body.json("object", "\"chat.completion\"");
    body.number("created", envelope.created);
    match envelope.model {
        Some(model) => put_string(body.key("model"), model),
        None => body.text("model", Some(reply.model.unwrap_or(Text("")))),
    }
    let mut choices = List::begin(body.key("choices"));
    let mut choice = Object::begin(choices.item());
    choice.number("index", 0);
    put_message(&mut choice, reply);
    put_string(choice.key("finish_reason"), stop_word(reply.stop.unwrap_or(StopReason::End)));
    choice.end();
    choices.end();
    if reply.tokens.are_known() {
        put_usage(body.key("usage"), reply.tokens);
    }
    body.end();
    out
}

fn put_message(choice: &mut Object<'_>, reply: &Reply<'_>) {
    let texts = || {
        reply.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(*text),
            _ => None,
        })
    };
    let thoughts = || {
        reply.parts.iter().filter_map(|part| match part {
            Part::Thinking(text) => Some(*text),
            _ => None,
        })
    };
    let has_calls = reply.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    let mut message = Object::begin(choice.key("message"));
    message.json("role", "\"assistant\"");
    if has_calls && texts().next().is_none() {
        message.json("content", "null");
    } else {
        put_joined(message.key("content"), texts());
    }
    if thoughts().next().is_some() {
        put_joined(message.key("reasoning_content"), thoughts());
    }
    if has_calls {
        let mut calls = List::begin(message.key("tool_calls"));
        for part in &reply.parts {
            let Part::ToolCall { id, name, arguments } = part else { continue };
            let mut call = Object::begin(calls.item());
            call.text("id", Some(*id));
            call.json("type", "\"function\"");
            let mut function = Object::begin(call.key("function"));
            function.text("name", Some(*name));
            arguments.put_encoded(function.key("arguments"));
            function.end();
            call.end();
        }
        calls.end();
    }
    message.end();
}
