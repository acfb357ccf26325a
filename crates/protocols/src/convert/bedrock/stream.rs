use std::borrow::Cow;

use super::{stop_reason, usage};
use crate::convert::dropped::Dropped;
use crate::convert::errors;
use crate::convert::json::{Members, Text, members};
use crate::convert::model::{StopReason, StreamEvent, Tokens, Trouble};

/// Reads the frames of a stream.
#[derive(Debug, Default)]
pub(in crate::convert) struct Reader {
    /// The blocks that call a tool.
    tools: Vec<u64>,
    stopped: bool,
}

impl Reader {
    /// The next frame: its `:event-type` and its payload; `None` if it is none of this protocol.
    pub(in crate::convert) fn read<'e>(
        &mut self,
        kind: &str,
        payload: &'e str,
        dropped: &mut Dropped,
    ) -> Option<Vec<StreamEvent<'e>>> {
        let event = members(payload)?;
        let mut found = Vec::with_capacity(2);
        match kind {
            "messageStart" => found.push(StreamEvent::Start { id: None, model: None }),
            "contentBlockStart" => {
                let key = event.number("contentBlockIndex")?;
                let start = event.object("start");
                if let Some(call) = start.as_ref().and_then(|start| start.object("toolUse")) {
                    self.tools.push(key);
                    let word = |name| call.text(name).unwrap_or(Text(""));
                    found.push(StreamEvent::ToolStart { key, id: word("toolUseId"), name: word("name") });
                }
            }
            "contentBlockDelta" => {
                let key = event.number("contentBlockIndex")?;
                found.extend(Self::delta(key, &event.object("delta")?, dropped));
            }
            "contentBlockStop" => {
                let key = event.number("contentBlockIndex")?;
                if self.tools.contains(&key) {
                    found.push(StreamEvent::ToolStop { key });
                }
            }
            "messageStop" => {
                self.stopped = true;
                let reason = event.text("stopReason").map_or(StopReason::End, stop_reason);
                found.push(StreamEvent::Stop(reason));
            }
            "metadata" => {
                found.extend(
                    event.object("usage").as_ref().map(usage).map(Tokens::of).map(StreamEvent::Usage),
                );
                found.extend(self.stopped.then_some(StreamEvent::End));
            }
            // What may come one day.
            _ => {}
        }
        Some(found)
    }

    /// A frame whose `:message-type` is not `event`; `kind` is its `:exception-type` or `:error-code`.
    pub(in crate::convert) fn exception<'e>(kind: &'e str, payload: &'e str) -> StreamEvent<'e> {
        let told = members(payload).map(|body| errors::of(&body).message).unwrap_or_default();
        let message = if told.is_empty() { Cow::Borrowed(kind) } else { told };
        StreamEvent::Error(Trouble { kind: Some(Cow::Borrowed(kind)), message })
    }

    fn delta<'e>(key: u64, delta: &Members<'e>, dropped: &mut Dropped) -> Option<StreamEvent<'e>> {
        if let Some(text) = delta.text("text") {
            return Some(StreamEvent::Text(text));
        }
        if let Some(call) = delta.object("toolUse") {
            return call.text("input").map(|fragment| StreamEvent::ToolArguments { key, fragment });
        }
        let reasoning = delta.object("reasoningContent");
        match &reasoning {
            Some(reasoning) if reasoning.get("redactedContent").is_some() => {
                dropped.name("content.redactedContent");
                None
            }
            Some(reasoning) => reasoning.text("text").map(StreamEvent::Thinking),
            None => {
                dropped.name("content");
                None
            }
        }
    }
}
