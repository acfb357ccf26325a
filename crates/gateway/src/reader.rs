use a6_codec::coding::Inflater;
use a6_codec::sse::SseDecoder;
use a6_core::{Fault, FaultKind};
use a6_protocols::{End, PlainReader, Protocol, StreamReader};
use a6_snapshot::{Frame, Outcome, Record};
use bytes::Bytes;
use http::StatusCode;

use crate::converted::ConvertedStream;
use crate::framing::StreamDecoder;

const ENDS: &str = "the stream ended before its end";
const CODING_ENDS: &str = "the stream's content-encoding breaks off";
const NO_DONE: &str = "the stream was whole, but its terminal event did not come";

/// What looks on while an answer passes.
pub(crate) enum Reader {
    /// A provider's stream of events.
    Events {
        /// Undoes the compression, which no event could be found in.
        inflater: Option<Box<Inflater>>,
        decoder: StreamDecoder,
        stream: StreamReader,
        /// What the client sees in their place, where it speaks another protocol.
        conversion: Option<Box<ConvertedStream>>,
    },
    /// A provider's plain answer.
    Plain(PlainReader),
    /// An ordinary upstream's answer, whose content is nobody's business. Plugins get whole events where it is a stream of
    /// them; then it has a decoder.
    Opaque(Option<SseDecoder>),
}

impl Reader {
    /// Whether the answer is a provider's stream, which only its protocol can end.
    pub(crate) fn is_judged_stream(&self) -> bool {
        matches!(self, Self::Events { .. })
    }

    /// Looks at what came, and leaves out what the client did not ask for.
    ///
    /// # Errors
    /// It is broken: its compression, or its frames.
    pub(crate) fn see(&mut self, data: Bytes) -> Result<Frame, Box<Fault>> {
        let (data, is_stream) = match self {
            Self::Events { inflater, decoder, stream, conversion } => {
                let data = match inflater {
                    None => data,
                    Some(inflater) => inflated(inflater, &data)?,
                };
                (decoder.push(data, stream, conversion.as_deref_mut())?, true)
            }
            Self::Plain(reader) => {
                reader.push(&data);
                (data, false)
            }
            Self::Opaque(Some(decoder)) => (decoder.push(data), true),
            Self::Opaque(None) => (data, false),
        };
        Ok(Frame { data, is_stream, is_last: false })
    }

    /// Whether what is passed on are frames of an AWS event stream.
    pub(crate) fn is_framed(&self) -> bool {
        matches!(self, Self::Events { decoder: StreamDecoder::Frames(_), conversion: None, .. })
    }

    /// Whether what was passed on ends where an event ends.
    pub(crate) fn is_between_events(&self) -> bool {
        match self {
            Self::Events { conversion: Some(_), .. } => true,
            Self::Events { decoder, .. } => decoder.is_between_events(),
            Self::Plain(_) | Self::Opaque(_) => false,
        }
    }

    /// The upstream's body has ended, properly framed or not: how did it go, or what is missing, and what is still to be
    /// sent?
    pub(crate) fn judge(&mut self, record: &mut Record, framed: bool) -> (Result<Outcome, Fault>, Frame) {
        let is_error = record.status.is_some_and(|status| !status.is_success());
        let (outcome, tail, is_stream) = match self {
            Self::Events { inflater, decoder, stream, conversion } => {
                let (mut tail, fault) = decoder.finish(stream, conversion.as_deref_mut());
                // The client sees what is inside the coding, so that it cannot find out by itself.
                let is_at_end = inflater.as_mut().is_none_or(|inflater| inflater.is_at_end());
                let fault = fault.or_else(|| (!is_at_end).then(|| truncated(CODING_ENDS)));
                let is_whole = fault.is_none();
                // Where only the transport can tell, it can: but a connection that closes within an event was cut.
                let ends_well = is_whole && (framed || tail.is_empty());
                let framed = framed && is_whole;
                let end = match conversion {
                    Some(converted) => converted.finish(framed, &mut tail),
                    None => stream.end(),
                };
                let outcome = match end {
                    End::Complete => Some(Outcome::Complete),
                    End::Unjudged if ends_well => Some(Outcome::Complete),
                    End::UpstreamError => Some(Outcome::UpstreamError),
                    End::CompleteWithoutTerminal if framed => {
                        record.fail(&Fault::upstream(FaultKind::UpstreamNoDone, NO_DONE));
                        Some(Outcome::Complete)
                    }
                    // A provider's error told as a stream has no protocol to complete.
                    _ if framed && is_error => Some(Outcome::Complete),
                    End::CompleteWithoutTerminal | End::Unjudged | End::Truncated => None,
                };
                (outcome.ok_or_else(|| fault.unwrap_or_else(|| truncated(ENDS))), tail, true)
            }
            Self::Plain(reader) => {
                let told = reader.finish(!framed);
                // Of an answer of no known protocol that is too long to be read the connection alone can tell.
                let is_unknown = told.is_none() && record.protocol == Some(Protocol::Passthrough);
                let told = told.unwrap_or_default();
                record.usage = told.usage;
                record.has_tool_calls = told.has_tool_calls;
                // An end by connection close may be a cut. Only a text that ends by itself is whole then; a provider's
                // error page is passed as it comes.
                let is_whole = framed || told.is_whole || is_unknown || is_error;
                (is_whole.then_some(Outcome::Complete).ok_or_else(|| truncated(ENDS)), Bytes::new(), false)
            }
            // Where the connection ends the body, its end is all that can be known (RFC 9112 §6.3).
            Self::Opaque(decoder) => {
                let tail = decoder.as_mut().map(SseDecoder::take_tail).unwrap_or_default();
                (Ok(Outcome::Complete), tail, decoder.is_some())
            }
        };
        (outcome, Frame { data: tail, is_stream, is_last: true })
    }

    /// Whether everything is there, although the connection has not ended as it should.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self, Self::Events { stream, .. } if stream.end() == End::Complete)
    }

    /// The status that stands for the error that a provider has told of within its stream.
    pub(crate) fn error_status(&self) -> Option<StatusCode> {
        match self {
            Self::Events { stream, .. } => stream.error_status(),
            Self::Plain(_) | Self::Opaque(_) => None,
        }
    }

    /// How a client of this answer is told that it broke off; none where only a cut can tell.
    pub(crate) fn error_event(&self, fault: &Fault) -> Option<Bytes> {
        match self {
            Self::Events { conversion: Some(converted), .. } => converted.client.error_event(fault),
            Self::Events { decoder, stream, .. } => decoder.error_event(stream, fault),
            Self::Plain(_) | Self::Opaque(_) => None,
        }
    }

    /// Notes what is known so far of a stream.
    pub(crate) fn note(&self, record: &mut Record) {
        if let Self::Events { stream, .. } = self {
            record.usage = stream.usage();
            record.has_tool_calls = stream.has_tool_calls();
        }
    }
}

fn truncated(text: &'static str) -> Fault {
    Fault::upstream(FaultKind::UpstreamTruncated, text)
}

fn inflated(inflater: &mut Inflater, data: &[u8]) -> Result<Bytes, Box<Fault>> {
    let inside = inflater.push(data).map_err(|error| {
        Fault::upstream(FaultKind::UpstreamTruncated, format!("the answer broke off: {error}"))
    })?;
    Ok(inside.into())
}
