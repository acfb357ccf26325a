use super::{put_usage, stop_reason, stop_word, usage};
use crate::convert::dropped::Dropped;
use crate::convert::errors;
use crate::convert::json::{Members, Object, Text, members, put, put_number, put_string, put_text};
use crate::convert::model::{StopReason, StreamEvent, Tokens, Trouble};
use crate::convert::recall::Recall;

/// Reads the events of a stream.
#[derive(Debug, Default)]
pub(in crate::convert) struct Reader {
    /// The indices of the blocks that call a tool.
    tools: Vec<u64>,
}

impl Reader {
    /// The next event; `None` if it is none of this protocol.
    pub(in crate::convert) fn read<'e>(
        &mut self,
        data: &'e str,
        dropped: &mut Dropped,
    ) -> Option<Vec<StreamEvent<'e>>> {
        let event = members(data)?;
        let mut found = Vec::with_capacity(2);
        match event.text("type")?.0 {
            "message_start" => {
                let message = event.object("message")?;
                found.push(StreamEvent::Start { id: message.text("id"), model: message.text("model") });
                found.extend(
                    message.object("usage").as_ref().map(usage).map(Tokens::of).map(StreamEvent::Usage),
                );
            }
            "content_block_start" => {
                let index = event.number("index")?;
                self.start(index, &event.object("content_block")?, &mut found, dropped);
            }
            "content_block_delta" => {
                let index = event.number("index")?;
                self.delta(index, &event.object("delta")?, &mut found, dropped);
            }
            "content_block_stop" => {
                let index = event.number("index")?;
                if self.tools.contains(&index) {
                    found.push(StreamEvent::ToolStop { key: index });
                }
            }
            "message_delta" => {
                found.extend(
                    event.object("usage").as_ref().map(usage).map(Tokens::of).map(StreamEvent::Usage),
                );
                let reason = event.object("delta").and_then(|delta| delta.text("stop_reason"));
                found.extend(reason.map(|word| StreamEvent::Stop(stop_reason(word))));
            }
            "message_stop" => found.push(StreamEvent::End),
            "error" => found.push(StreamEvent::Error(errors::of(&event))),
            // `ping`, and what may come one day: Anthropic asks its clients to pass over what they do not know.
            _ => {}
        }
        Some(found)
    }

    fn start<'e>(
        &mut self,
        index: u64,
        block: &Members<'e>,
        found: &mut Vec<StreamEvent<'e>>,
        dropped: &mut Dropped,
    ) {
        let kind = block.text("type").map_or("content", |kind| kind.0);
        match kind {
            "text" => found.extend(block.text("text").map(StreamEvent::Text)),
            "thinking" => found.extend(block.text("thinking").map(StreamEvent::Thinking)),
            "tool_use" => {
                self.tools.push(index);
                let word = |name| block.text(name).unwrap_or(Text(""));
                found.push(StreamEvent::ToolStart { key: index, id: word("id"), name: word("name") });
                // Usually `{}`, and the deltas bring it.
                if let Some(input) = block.get("input").filter(|input| input.get() != "{}") {
                    found.push(StreamEvent::ToolInput { key: index, input });
                }
            }
            _ => dropped.inner("content", kind),
        }
    }

    fn delta<'e>(
        &mut self,
        index: u64,
        delta: &Members<'e>,
        found: &mut Vec<StreamEvent<'e>>,
        dropped: &mut Dropped,
    ) {
        match delta.text("type").map_or("", |kind| kind.0) {
            "text_delta" => found.extend(delta.text("text").map(StreamEvent::Text)),
            "thinking_delta" => found.extend(delta.text("thinking").map(StreamEvent::Thinking)),
            // Of a block that was not carried either.
            "input_json_delta" if !self.tools.contains(&index) => {}
            "input_json_delta" => {
                let fragment = delta.text("partial_json");
                found.extend(fragment.map(|fragment| StreamEvent::ToolArguments { key: index, fragment }));
            }
            "signature_delta" => {}
            "citations_delta" => dropped.name("content.citations"),
            _ => dropped.name("content"),
        }
    }
}

/// Writes the events of a stream.
#[derive(Debug)]
pub(in crate::convert) struct Writer {
    recall: Recall,
    model: Option<String>,
    block: Option<Block>,
    /// The index of the next block.
    next: u64,
    /// The calls of tools, by their key, and the index of the block of each.
    tools: Vec<(u64, u64)>,
    stop: Option<StopReason>,
    tokens: Tokens,
}

/// The block that is open.
#[derive(Debug)]
struct Block {
    index: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    ToolUse,
}

impl Writer {
    pub(in crate::convert) fn new(recall: &Recall, model: Option<&str>) -> Self {
        Self {
            recall: recall.clone(),
            model: model.map(str::to_string),
            block: None,
            next: 0,
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
            // Behind the stop nothing can come in this protocol.
            _ if self.stop.is_some() => {}
            StreamEvent::Start { id, model } => self.start(*id, *model, out),
            StreamEvent::Text(text) => self.piece(Kind::Text, *text, out),
            StreamEvent::Thinking(text) => self.piece(Kind::Thinking, *text, out),
            StreamEvent::ToolStart { key, id, name } => {
                let index = self.open(Kind::ToolUse, out, |out, recall| {
                    put(out, "{\"type\":\"tool_use\",\"id\":");
                    put_text(out, *id);
                    put(out, ",\"name\":");
                    put_text(out, recall.tool_name(*name));
                    put(out, ",\"input\":{}}");
                });
                self.tools.push((*key, index));
            }
            StreamEvent::ToolArguments { key, fragment } if !fragment.is_empty() => {
                if let Some((_, index)) = self.tools.iter().find(|(tool, _)| tool == key) {
                    delta(*index, "input_json_delta\",\"partial_json", out, |out| put_text(out, *fragment));
                }
            }
            StreamEvent::ToolInput { key, input } => {
                if let Some((_, index)) = self.tools.iter().find(|(tool, _)| tool == key) {
                    delta(*index, "input_json_delta\",\"partial_json", out, |out| {
                        put_string(out, input.get());
                    });
                }
            }
            StreamEvent::ToolArguments { .. } | StreamEvent::ToolStop { .. } => {}
            StreamEvent::Stop(reason) => {
                self.close(out);
                self.stop = Some(*reason);
            }
        }
    }

    /// Writes the event that tells of an error; nothing may come behind it.
    fn error(trouble: &Trouble<'_>, out: &mut Vec<u8>) {
        put(out, "event: error\ndata: ");
        errors::put_anthropic(out, trouble);
        put(out, "\n\n");
    }

    fn start(&self, id: Option<Text<'_>>, model: Option<Text<'_>>, out: &mut Vec<u8>) {
        put(out, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":");
        let mut message = Object::begin(out);
        message.text("id", Some(id.unwrap_or(Text(""))));
        message.json("type", "\"message\"");
        message.json("role", "\"assistant\"");
        match &self.model {
            Some(model) => put_string(message.key("model"), model),
            None => message.text("model", Some(model.unwrap_or(Text("")))),
        }
        message.json("content", "[]");
        put_usage(message.key("usage"), self.tokens);
        message.end();
        put(out, "}\n\n");
    }

    fn piece(&mut self, kind: Kind, text: Text<'_>, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let index = match &self.block {
            Some(block) if block.kind == kind => block.index,
            _ => self.open(kind, out, |out, _| {
                put(
                    out,
                    match kind {
                        Kind::Thinking => "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}",
                        Kind::Text | Kind::ToolUse => "{\"type\":\"text\",\"text\":\"\"}",
                    },
                );
            }),
        };
        let member = match kind {
            Kind::Thinking => "thinking_delta\",\"thinking",
            Kind::Text | Kind::ToolUse => "text_delta\",\"text",
        };
        delta(index, member, out, |out| put_text(out, text));
    }

    /// Closes the open block and opens one; gives its index.
    fn open(&mut self, kind: Kind, out: &mut Vec<u8>, block: impl FnOnce(&mut Vec<u8>, &Recall)) -> u64 {
        self.close(out);
        let index = self.next;
        self.next += 1;
        put(out, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":");
        put_number(out, index);
        put(out, ",\"content_block\":");
        block(out, &self.recall);
        put(out, "}\n\n");
        self.block = Some(Block { index, kind });
        index
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some(block) = self.block.take() {
            put(out, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":");
            put_number(out, block.index);
            put(out, "}\n\n");
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.close(out);
        put(out, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"");
        put(out, stop_word(self.stop.unwrap_or(StopReason::End)));
        put(out, "\"},\"usage\":");
        put_usage(out, self.tokens);
        put(out, "}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }
}

/// Writes a delta; `member` is the end of its type and the name of what it brings.
fn delta(index: u64, member: &str, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    put(out, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":");
    put_number(out, index);
    put(out, ",\"delta\":{\"type\":\"");
    put(out, member);
    put(out, "\":");
    value(out);
    put(out, "}}\n\n");
}
