use std::borrow::Cow;

use a6_codec::event_stream::{Flaw, Frame, FrameDecoder, FrameError, Value, encode};
use a6_codec::sse::{Event, SseDecoder, events};
use a6_core::{Fault, FaultKind};
use a6_protocols::{Protocol, StreamReader, Verdict};
use bytes::{Bytes, BytesMut};

use crate::converted::ConvertedStream;
use crate::headers::StreamKind;

/// Finds the events of a provider's stream.
pub(crate) enum StreamDecoder {
    /// Server-sent events.
    Events(SseDecoder),
    /// An AWS event stream.
    Frames(FrameDecoder),
}

impl StreamDecoder {
    /// For a stream of that kind.
    pub(crate) fn of(kind: StreamKind) -> Self {
        match kind {
            StreamKind::Events => Self::Events(SseDecoder::default()),
            StreamKind::Frames => Self::Frames(FrameDecoder::default()),
        }
    }

    /// Shows what came to the reader, event by event, and gives what of it the client sees: whole events alone, or what a
    /// conversion makes of them.
    ///
    /// # Errors
    /// A frame is broken. The whole ones before it were given out.
    pub(crate) fn push(
        &mut self,
        data: Bytes,
        stream: &mut StreamReader,
        conversion: Option<&mut ConvertedStream>,
    ) -> Result<Bytes, Box<Fault>> {
        match self {
            Self::Events(decoder) => Ok(shown(stream, decoder.push(data), conversion)),
            Self::Frames(decoder) => {
                decoder.push(&data);
                frames(decoder, stream, conversion)
            }
        }
    }

    /// Whether something of our own may be put behind what was given out: a comment, which only events know.
    pub(crate) fn is_between_events(&self) -> bool {
        match self {
            Self::Events(decoder) => decoder.is_between_events(),
            Self::Frames(_) => false,
        }
    }

    /// At the end of the stream: what the client still sees, and what is wrong with the last frame.
    pub(crate) fn finish(
        &mut self,
        stream: &mut StreamReader,
        conversion: Option<&mut ConvertedStream>,
    ) -> (Bytes, Option<Fault>) {
        match self {
            Self::Events(decoder) => (shown(stream, decoder.take_tail(), conversion), None),
            Self::Frames(decoder) => (Bytes::new(), decoder.finish().err().map(broken)),
        }
    }

    /// How a client is told that the stream broke off; none where only a cut can tell.
    pub(crate) fn error_event(&self, stream: &StreamReader, fault: &Fault) -> Option<Bytes> {
        match self {
            Self::Events(_) => stream.error_event(fault),
            // Whatever the frames carry: only a frame can stand behind them.
            Self::Frames(_) => exception(fault),
        }
    }
}

/// The exception that Bedrock tells of itself in the middle of a stream.
fn exception(fault: &Fault) -> Option<Bytes> {
    let headers = [
        (":exception-type", Value::Text("modelStreamErrorException")),
        (":content-type", Value::Text("application/json")),
        (":message-type", Value::Text("exception")),
    ];
    encode(&headers, &Protocol::BedrockConverse.error_body(fault)).ok()
}

fn frames(
    decoder: &mut FrameDecoder,
    stream: &mut StreamReader,
    mut conversion: Option<&mut ConvertedStream>,
) -> Result<Bytes, Box<Fault>> {
    let mut seen = Vec::new();
    loop {
        match decoder.frame() {
            Ok(Some(frame)) => {
                if let Some(kind) = exception_of(&frame) {
                    stream.exception(kind);
                }
                let verdict = stream.event(&event(&frame));
                match &mut conversion {
                    Some(converted) => converted.frame(&frame, &mut seen),
                    None if verdict == Verdict::Pass => seen.extend_from_slice(frame.bytes()),
                    None => {}
                }
            }
            // A broken frame is told again with the next piece, or at the end.
            Err(error) if seen.is_empty() => return Err(Box::new(broken(error))),
            Ok(None) | Err(_) => return Ok(seen.into()),
        }
    }
}

fn broken(error: FrameError) -> Fault {
    let kind = match error.flaw {
        Flaw::Cut => FaultKind::UpstreamTruncated,
        _ => FaultKind::UpstreamProtocol,
    };
    Fault::upstream(kind, format!("the answer broke off: {error}"))
}

/// Which exception, or error, a frame tells of; none where it is an event.
pub(crate) fn exception_of(frame: &Frame) -> Option<&str> {
    let text = |name| frame.header(name).and_then(Value::text);
    match text(":message-type") {
        Some("event") => None,
        _ => Some(text(":exception-type").or_else(|| text(":error-code")).unwrap_or("exception")),
    }
}

/// A frame as the protocols know events.
pub(crate) fn event(frame: &Frame) -> Event<'_> {
    let text = |name| frame.header(name).and_then(Value::text);
    let name = match text(":message-type") {
        Some("event") => text(":event-type"),
        _ => Some("exception"),
    };
    Event { span: 0..0, name: name.map(str::as_bytes), data: Some(Cow::Borrowed(frame.payload())) }
}

/// What the client sees of a run of whole events.
fn shown(stream: &mut StreamReader, run: Bytes, conversion: Option<&mut ConvertedStream>) -> Bytes {
    match conversion {
        None => visible(stream, run),
        Some(converted) => converted.run(stream, &run),
    }
}

/// What of a run of whole events passes.
fn visible(stream: &mut StreamReader, run: Bytes) -> Bytes {
    let mut hidden = Vec::new();
    for event in events(&run) {
        if stream.event(&event) == Verdict::Hide {
            hidden.push(event.span);
        }
    }
    if hidden.is_empty() {
        return run;
    }
    let mut left = BytesMut::with_capacity(run.len());
    let mut at = 0;
    for span in hidden {
        left.extend_from_slice(&run[at..span.start]);
        at = span.end;
    }
    left.extend_from_slice(&run[at..]);
    left.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use a6_protocols::End;

    fn frame(kind: &str, payload: &str) -> Bytes {
        let headers = [(":event-type", Value::Text(kind)), (":message-type", Value::Text("event"))];
        encode(&headers, payload.as_bytes()).unwrap()
    }

    fn stream() -> Bytes {
        let frames = [
            frame("messageStart", r#"{"role":"assistant"}"#),
            frame("messageStop", r#"{"stopReason":"end_turn"}"#),
            frame("metadata", r#"{"usage":{"inputTokens":2,"outputTokens":3,"totalTokens":5}}"#),
        ];
        frames.concat().into()
    }

    #[test]
    fn every_cut_shows_the_same_frames() {
        let whole = stream();
        for cut in 0..=whole.len() {
            let mut decoder = StreamDecoder::of(StreamKind::Frames);
            let mut reader = Protocol::BedrockConverse.stream_reader(false);
            let mut seen = BytesMut::new();
            for piece in [whole.slice(..cut), whole.slice(cut..)] {
                seen.extend_from_slice(&decoder.push(piece, &mut reader, None).unwrap());
            }
            let (tail, fault) = decoder.finish(&mut reader, None);
            assert!(tail.is_empty() && fault.is_none(), "{fault:?}");
            assert_eq!(seen.freeze(), whole);
            assert_eq!((reader.end(), reader.usage().total), (End::Complete, Some(5)), "{cut}");
        }
    }

    #[test]
    fn a_cut_or_broken_stream_gives_its_whole_frames_and_is_no_end() {
        let first = frame("messageStart", "{}");
        let whole = stream();
        let mut decoder = StreamDecoder::of(StreamKind::Frames);
        let mut reader = Protocol::BedrockConverse.stream_reader(false);
        decoder.push(whole.slice(..whole.len() - 1), &mut reader, None).unwrap();
        let kind = |decoder: &mut StreamDecoder, reader: &mut StreamReader| {
            decoder.finish(reader, None).1.map(|fault| fault.kind)
        };
        assert_eq!(kind(&mut decoder, &mut reader), Some(FaultKind::UpstreamTruncated));
        assert_eq!(reader.end(), End::CompleteWithoutTerminal);

        let mut decoder = StreamDecoder::of(StreamKind::Frames);
        let broken = [&first[..], b"{\"message\":\"no frame at all\"}"].concat();
        assert_eq!(decoder.push(broken.into(), &mut reader, None).unwrap(), first);
        assert_eq!(kind(&mut decoder, &mut reader), Some(FaultKind::UpstreamProtocol));
        let fault = decoder.push(first, &mut reader, None).unwrap_err();
        assert!(fault.text.contains("frame 2 of the event stream"), "{}", fault.text);
    }

    #[test]
    fn what_is_no_event_is_an_exception() {
        let fault = Fault::upstream(FaultKind::UpstreamTruncated, "the answer broke off");
        let reader = Protocol::Passthrough.stream_reader(false);
        let exception = StreamDecoder::of(StreamKind::Frames).error_event(&reader, &fault).unwrap();
        let mut reader = Protocol::BedrockConverse.stream_reader(false);
        let mut decoder = StreamDecoder::of(StreamKind::Frames);
        assert_eq!(decoder.push(exception.clone(), &mut reader, None).unwrap(), exception);
        assert_eq!(reader.end(), End::UpstreamError);
        let events = StreamDecoder::of(StreamKind::Events);
        assert_eq!(events.error_event(&reader, &fault), None, "no frame stands among events");
    }

    #[test]
    fn errors_within_a_stream_have_the_status_that_they_stand_for() {
        let told = |protocol: Protocol, kind, data: Bytes| {
            let mut reader = protocol.stream_reader(false);
            StreamDecoder::of(kind).push(data, &mut reader, None).unwrap();
            reader.error_status().map(|status| status.as_u16())
        };
        let delta = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
        for (error, expected) in [
            (r#"{"type":"invalid_request_error","code":400}"#, 400),
            (r#"{"type":"rate_limit_error"}"#, 429),
            (r#"{"message":"boom"}"#, 500),
        ] {
            let stream = format!("{delta}data: {{\"error\":{error}}}\n\ndata: [DONE]\n\n");
            assert_eq!(
                told(Protocol::OpenaiChat, StreamKind::Events, stream.into()),
                Some(expected),
                "{error}"
            );
        }
        assert_eq!(told(Protocol::OpenaiChat, StreamKind::Events, delta.into()), None);
        for (kind, expected) in [("validationException", 400), ("throttlingException", 429), ("other", 500)] {
            let headers =
                [(":exception-type", Value::Text(kind)), (":message-type", Value::Text("exception"))];
            let frame = encode(&headers, b"{}").unwrap();
            assert_eq!(told(Protocol::BedrockConverse, StreamKind::Frames, frame), Some(expected), "{kind}");
        }
    }
}
