use super::reply::texts;
use super::{put_usage, stop_reason, stop_word, tokens, usage};
use crate::convert::errors;
use crate::convert::json::{Members, Object, Text, members, put, put_number, put_string, put_text};
use crate::convert::model::{StopReason, StreamEvent, Tokens, Trouble};
use crate::convert::recall::{Envelope, Recall};
use crate::openai_chat::Template;

/// Reads the chunks of a stream; of several choices the first.
#[derive(Debug, Default)]
pub(in crate::convert) struct Reader {
    started: bool,
    refused: bool,
    /// The indices of the calls of tools seen so far.
    tools: Vec<u64>,
    /// Of the last chunk that brought one piece of text and nothing else.
    template: Template,
}

impl Reader {
    /// The text of a chunk that is like one before it and brings another piece of text: most of a stream.
    pub(in crate::convert) fn next_text<'e>(&self, data: &'e [u8]) -> Option<Text<'e>> {
        let text = self.template.text(data).filter(|text| text.iter().all(|byte| *byte >= b' '))?;
        std::str::from_utf8(text).ok().map(Text)
    }

    /// The next chunk; `None` if it is none of this protocol.
    pub(in crate::convert) fn read<'e>(&mut self, data: &'e str) -> Option<Vec<StreamEvent<'e>>> {
        if data.trim() == "[DONE]" {
            return Some(vec![StreamEvent::End]);
        }
        let chunk = members(data)?;
        if chunk.get("error").is_some() {
            return Some(vec![StreamEvent::Error(errors::of(&chunk))]);
        }
        let mut found = Vec::with_capacity(3);
        let first = |choice: &Members<'_>| choice.number("index").unwrap_or(0) == 0;
        let choices = chunk.items("choices");
        if let Some(choice) = choices.iter().filter_map(|raw| raw.members()).find(first) {
            if !self.started {
                self.started = true;
                found.push(StreamEvent::Start { id: chunk.text("id"), model: chunk.text("model") });
            }
            self.choice(&choice, &mut found);
        }
        found.extend(chunk.object("usage").as_ref().map(usage).map(tokens).map(StreamEvent::Usage));
        if let [StreamEvent::Text(text)] = found.as_slice() {
            // It is borrowed from the data.
            let start = text.0.as_ptr().addr() - data.as_ptr().addr();
            self.template.learn(data.as_bytes(), start..start + text.0.len());
        }
        Some(found)
    }

    fn choice<'e>(&mut self, choice: &Members<'e>, found: &mut Vec<StreamEvent<'e>>) {
        if let Some(delta) = choice.object("delta") {
            let thinking = delta.text("reasoning_content").or_else(|| delta.text("reasoning"));
            found.extend(thinking.filter(|text| !text.is_empty()).map(StreamEvent::Thinking));
            found.extend(delta.get("content").into_iter().flat_map(texts).map(StreamEvent::Text));
            if let Some(refusal) = delta.text("refusal").filter(|text| !text.is_empty()) {
                self.refused = true;
                found.push(StreamEvent::Text(refusal));
            }
            for raw in delta.items("tool_calls") {
                if let Some(call) = raw.members() {
                    self.call(&call, found);
                }
            }
        }
        if let Some(reason) = choice.text("finish_reason").and_then(stop_reason) {
            found.push(StreamEvent::Stop(if self.refused { StopReason::Refusal } else { reason }));
        }
    }

    fn call<'e>(&mut self, call: &Members<'e>, found: &mut Vec<StreamEvent<'e>>) {
        // Some providers leave the index out and send every call whole, with an id.
        let has_id = call.text("id").is_some_and(|id| !id.is_empty());
        let next = || self.tools.iter().max().map_or(0, |last| last.saturating_add(1));
        let Some(key) = call.number("index").or_else(|| has_id.then(next)) else { return };
        let function = call.object("function");
        let word = |name| function.as_ref().and_then(|function| function.text(name));
        if !self.tools.contains(&key) {
            self.tools.push(key);
            let id = call.text("id").unwrap_or(Text(""));
            found.push(StreamEvent::ToolStart { key, id, name: word("name").unwrap_or(Text("")) });
        }
        let fragment = word("arguments").filter(|fragment| !fragment.is_empty());
        found.extend(fragment.map(|fragment| StreamEvent::ToolArguments { key, fragment }));
    }
}

/// Writes the chunks of a stream.
#[derive(Debug)]
pub(in crate::convert) struct Writer {
    id: String,
    model: Option<String>,
    created: u64,
    include_usage: bool,
    /// How every chunk begins, from the start on.
    head: Vec<u8>,
    /// The calls of tools, by their key, and whether they have said with what; their places are their indices.
    tools: Vec<(u64, bool)>,
    stop: Option<StopReason>,
    tokens: Tokens,
}

impl Writer {
    pub(in crate::convert) fn new(recall: &Recall, envelope: &Envelope<'_>) -> Self {
        Self {
            id: envelope.id.to_string(),
            model: envelope.model.map(str::to_string),
            created: envelope.created,
            include_usage: recall.include_usage,
            head: Vec::new(),
            tools: Vec::new(),
            stop: None,
            tokens: Tokens::default(),
        }
    }

    /// Writes what an event becomes.
    pub(in crate::convert) fn write(&mut self, event: &StreamEvent<'_>, out: &mut Vec<u8>) {
        match event {
            StreamEvent::Usage(tokens) => self.tokens.merge(*tokens),
            StreamEvent::End => self.end(out),
            StreamEvent::Error(trouble) => Self::error(trouble, out),
            // Behind the finish reason nothing can come in this protocol.
            _ if self.stop.is_some() => {}
            StreamEvent::Start { id, model } => self.start(*id, *model, out),
            StreamEvent::Text(text) => self.piece("content", *text, out),
            StreamEvent::Thinking(text) => self.piece("reasoning_content", *text, out),
            StreamEvent::ToolStart { key, id, name } => {
                let index = self.tools.len();
                self.tools.push((*key, false));
                self.call(index, out, |call| {
                    call.text("id", Some(*id));
                    call.json("type", "\"function\"");
                    let mut function = Object::begin(call.key("function"));
                    function.text("name", Some(*name));
                    function.json("arguments", "\"\"");
                    function.end();
                });
            }
            StreamEvent::ToolArguments { key, fragment } if !fragment.is_empty() => {
                self.arguments(*key, out, |out| put_text(out, *fragment));
            }
            StreamEvent::ToolArguments { .. } => {}
            StreamEvent::ToolInput { key, input } => {
                self.arguments(*key, out, |out| put_string(out, input.get()));
            }
            StreamEvent::ToolStop { key } => {
                // OpenAI's clients parse the arguments, and an empty text is no JSON.
                if self.tools.iter().any(|(tool, told)| tool == key && !told) {
                    self.arguments(*key, out, |out| put(out, "\"{}\""));
                }
            }
            StreamEvent::Stop(reason) => self.finish(*reason, out),
        }
    }

    /// Writes the event that tells of an error; nothing may come behind it.
    fn error(trouble: &Trouble<'_>, out: &mut Vec<u8>) {
        put(out, "data: ");
        errors::put_openai(out, trouble);
        put(out, "\n\n");
    }

    fn start(&mut self, id: Option<Text<'_>>, model: Option<Text<'_>>, out: &mut Vec<u8>) {
        let mut head = Vec::with_capacity(160);
        put(&mut head, "data: {\"id\":");
        match id {
            Some(id) => put_text(&mut head, id),
            None => put_string(&mut head, &self.id),
        }
        put(&mut head, ",\"object\":\"chat.completion.chunk\",\"created\":");
        put_number(&mut head, self.created);
        put(&mut head, ",\"model\":");
        match &self.model {
            Some(model) => put_string(&mut head, model),
            None => put_text(&mut head, model.unwrap_or(Text(""))),
        }
        put(&mut head, ",\"choices\":[");
        self.head = head;
        self.chunk(out, |out| put(out, "{\"role\":\"assistant\",\"content\":\"\"}"));
    }

    fn chunk(&self, out: &mut Vec<u8>, delta: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(&self.head);
        put(out, "{\"index\":0,\"delta\":");
        delta(out);
        put(out, ",\"finish_reason\":null}]}\n\n");
    }

    fn piece(&self, member: &str, text: Text<'_>, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        self.chunk(out, |out| {
            let mut delta = Object::begin(out);
            delta.text(member, Some(text));
            delta.end();
        });
    }

    fn call(&self, index: usize, out: &mut Vec<u8>, members: impl FnOnce(&mut Object<'_>)) {
        self.chunk(out, |out| {
            put(out, "{\"tool_calls\":[");
            let mut call = Object::begin(out);
            put(call.key("index"), &index.to_string());
            members(&mut call);
            call.end();
            put(out, "]}");
        });
    }

    fn arguments(&mut self, key: u64, out: &mut Vec<u8>, fragment: impl FnOnce(&mut Vec<u8>)) {
        let Some(index) = self.tools.iter().position(|(tool, _)| *tool == key) else { return };
        if let Some((_, told)) = self.tools.get_mut(index) {
            *told = true;
        }
        self.call(index, out, |call| {
            let mut function = Object::begin(call.key("function"));
            fragment(function.key("arguments"));
            function.end();
        });
    }

    fn finish(&mut self, reason: StopReason, out: &mut Vec<u8>) {
        self.stop = Some(reason);
        out.extend_from_slice(&self.head);
        put(out, "{\"index\":0,\"delta\":{},\"finish_reason\":\"");
        put(out, stop_word(reason));
        put(out, "\"}]}\n\n");
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.stop.is_none() {
            self.finish(StopReason::End, out);
        }
        if self.include_usage && self.tokens.are_known() {
            out.extend_from_slice(&self.head);
            put(out, "],\"usage\":");
            put_usage(out, self.tokens);
            put(out, "}\n\n");
        }
        put(out, "data: [DONE]\n\n");
    }
}
