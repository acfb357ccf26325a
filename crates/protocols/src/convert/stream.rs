use std::borrow::Cow;

use a6_codec::sse::Event;

use super::dropped::Dropped;
use super::model::{StreamEvent, Trouble};
use super::recall::{Envelope, Recall};
use super::{anthropic, bedrock, openai_chat};
use crate::protocol::End;

/// One streamed reply on its way from the provider's protocol to the client's.
///
/// It writes the client's terminal event only when the provider's has come, or when [`StreamConversion::finish`] is told
/// that the transport ended properly where that may stand for it. What is no event of the provider's protocol ends it
/// with an error event.
#[derive(Debug)]
pub struct StreamConversion {
    reader: Reader,
    writer: Writer,
    phase: Phase,
    /// Whether the model said why it stopped.
    stopped: bool,
    dropped: Dropped,
}

#[derive(Debug)]
enum Reader {
    OpenaiChat(openai_chat::Reader),
    Anthropic(anthropic::Reader),
    Bedrock(bedrock::Reader),
}

#[derive(Debug)]
enum Writer {
    OpenaiChat(openai_chat::Writer),
    Anthropic(anthropic::Writer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has been written.
    Waiting,
    Started,
    Done,
    Failed,
}

impl StreamConversion {
    /// OpenAI's chunks become Anthropic's events.
    pub(super) fn chat_to_messages(recall: &Recall, envelope: &Envelope<'_>) -> Self {
        Self::new(
            Reader::OpenaiChat(openai_chat::Reader::default()),
            Writer::Anthropic(anthropic::Writer::new(recall, envelope.model)),
        )
    }

    /// Anthropic's events become OpenAI's chunks.
    pub(super) fn messages_to_chat(recall: &Recall, envelope: &Envelope<'_>) -> Self {
        Self::new(
            Reader::Anthropic(anthropic::Reader::default()),
            Writer::OpenaiChat(openai_chat::Writer::new(recall, envelope)),
        )
    }

    /// Bedrock's frames become OpenAI's chunks.
    pub(super) fn converse_to_chat(recall: &Recall, envelope: &Envelope<'_>) -> Self {
        Self::new(
            Reader::Bedrock(bedrock::Reader::default()),
            Writer::OpenaiChat(openai_chat::Writer::new(recall, envelope)),
        )
    }

    fn new(reader: Reader, writer: Writer) -> Self {
        Self { reader, writer, phase: Phase::Waiting, stopped: false, dropped: Dropped::default() }
    }

    /// The next event; what it becomes is appended to `out`. Of an AWS event stream a frame is an event: its
    /// `:event-type` is the name, its payload the data, and the name is `exception` where the `:message-type` is not
    /// `event`.
    pub fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let data = event.data.as_deref().unwrap_or_default();
        let is_frame = matches!(self.reader, Reader::Bedrock(_));
        if self.is_over() || (!is_frame && data.trim_ascii().is_empty()) {
            return;
        }
        let is_chunk = matches!(event.name, None | Some(b"message" | b"error"));
        // Only behind a start is there one like it.
        if let Reader::OpenaiChat(reader) = &self.reader
            && is_chunk
            && let Some(text) = reader.next_text(data)
        {
            return self.write(&StreamEvent::Text(text), out);
        }
        let Ok(data) = std::str::from_utf8(data) else { return self.malformed(out) };
        let read = match &mut self.reader {
            Reader::OpenaiChat(_) if !is_chunk => return,
            Reader::OpenaiChat(reader) => reader.read(data),
            Reader::Anthropic(reader) => reader.read(data, &mut self.dropped),
            Reader::Bedrock(_) if event.name == Some(b"exception".as_slice()) => {
                Some(vec![bedrock::Reader::exception("exception", data)])
            }
            Reader::Bedrock(reader) => {
                let kind = event.name.and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default();
                reader.read(kind, data, &mut self.dropped)
            }
        };
        self.take(read, out);
    }

    /// A frame of an AWS event stream whose `:message-type` is not `event`, with the word for what happened: its
    /// `:exception-type` or `:error-code`, and its payload.
    pub fn exception(&mut self, kind: &str, payload: &[u8], out: &mut Vec<u8>) {
        if !self.is_over() {
            let payload = std::str::from_utf8(payload).unwrap_or_default();
            self.take(Some(vec![bedrock::Reader::exception(kind, payload)]), out);
        }
    }

    /// The provider's stream has ended. `is_proper` says that the transport ended as it should: a last chunk, a length
    /// that was met. Tells how the stream stands; if it is [`End::Truncated`], the client has to be told of it.
    pub fn finish(&mut self, is_proper: bool, out: &mut Vec<u8>) -> End {
        match self.phase {
            Phase::Done => End::Complete,
            Phase::Failed => End::UpstreamError,
            Phase::Started if self.stopped && is_proper && self.may_end_without_terminal() => {
                self.write(&StreamEvent::End, out);
                End::CompleteWithoutTerminal
            }
            Phase::Waiting | Phase::Started => End::Truncated,
        }
    }

    /// What the client's protocol had no place for, such as `content.citations`.
    pub fn dropped(&self) -> &[String] {
        &self.dropped.0
    }

    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::Failed)
    }

    /// Anthropic never leaves its terminal event out; OpenAI's imitators do, and behind Bedrock's stop come only counts.
    fn may_end_without_terminal(&self) -> bool {
        !matches!(self.reader, Reader::Anthropic(_))
    }

    fn take(&mut self, read: Option<Vec<StreamEvent<'_>>>, out: &mut Vec<u8>) {
        let Some(events) = read else { return self.malformed(out) };
        for event in &events {
            let fits = match event {
                StreamEvent::Start { .. } => self.phase == Phase::Waiting,
                StreamEvent::Usage(_) | StreamEvent::Error(_) => true,
                _ => self.phase == Phase::Started,
            };
            if !fits {
                return self.malformed(out);
            }
            self.write(event, out);
        }
    }

    fn write(&mut self, event: &StreamEvent<'_>, out: &mut Vec<u8>) {
        match event {
            StreamEvent::Start { .. } => self.phase = Phase::Started,
            StreamEvent::Stop(_) => self.stopped = true,
            StreamEvent::End => self.phase = Phase::Done,
            StreamEvent::Error(_) => self.phase = Phase::Failed,
            _ => {}
        }
        match &mut self.writer {
            Writer::OpenaiChat(writer) => writer.write(event, out),
            Writer::Anthropic(writer) => writer.write(event, out),
        }
    }

    fn malformed(&mut self, out: &mut Vec<u8>) {
        let trouble = Trouble {
            kind: Some(Cow::Borrowed("upstream_protocol_error")),
            message: Cow::Borrowed("the provider sent an event that is not of its protocol"),
        };
        self.write(&StreamEvent::Error(trouble), out);
    }
}
