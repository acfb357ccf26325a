//! The beginning of a provider's stream, held until the model has begun to answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use a6_codec::coding::Inflater;
use a6_codec::event_stream::FrameDecoder;
use a6_codec::sse::{Event, SseDecoder, events};
use a6_core::{Fault, FaultKind};
use a6_protocols::{End, Protocol, Start, StartError};
use a6_upstream::Answer;
use bytes::Bytes;

use crate::answer::coding;
use crate::framing;
use crate::headers::{StreamKind, stream_kind};

/// A client waits so long for the opening of its stream, at most, where no word comes.
const LONGEST: Duration = Duration::from_secs(2);
/// An opening of more bytes than this is passed on.
const MOST: usize = 64 << 10;
/// What a piece of a compressed opening may grow to.
const MAX_INFLATED: usize = 1 << 20;
/// Of a provider's word for an error so much is told.
const MAX_MESSAGE: usize = 1024;

/// A hold under way.
pub(crate) type Holding<'a> = Pin<Box<dyn Future<Output = Result<(), Fault>> + 'a>>;

/// Reads the beginning of a good answer ahead, if it is a stream: until its first word, its end, an error, or a short bound
/// of time and bytes. What was read is given out by the body afterwards, byte for byte; so whoever gets an error may still
/// pass the answer on as it is.
///
/// `protocol` is the provider's; `asked` says whether the client wants a stream; `address` is told in errors. Boxed, since
/// it is for requests that another instance could answer, and every connection keeps a request's future.
///
/// # Errors
/// The stream broke, ended or told of an error before its first word. The status is the one that the provider's words
/// stand for, else 502; another target may do better.
pub(crate) fn hold<'a>(
    answer: &'a mut Answer,
    protocol: Protocol,
    asked: bool,
    address: &'a str,
) -> Holding<'a> {
    Box::pin(async move {
        match Watch::of(answer, protocol, asked, address) {
            Some(watch) => until_begun(answer, watch, LONGEST).await,
            None => Ok(()),
        }
    })
}

async fn until_begun(answer: &mut Answer, mut watch: Watch<'_>, longest: Duration) -> Result<(), Fault> {
    let deadline = tokio::time::Instant::now() + longest;
    // A limit of the instance's may have had a piece read before.
    for piece in answer.body.ahead() {
        if watch.see(piece)? {
            return Ok(());
        }
    }
    loop {
        let reading = poll_fn(|cx| answer.body.poll_ahead(cx));
        match tokio::time::timeout_at(deadline, reading).await {
            Ok(Some(piece)) => {
                if watch.see(&piece?)? {
                    return Ok(());
                }
            }
            Ok(None) => return watch.end(),
            // Time is up.
            Err(_) => return Ok(()),
        }
    }
}

/// Looks for the first word.
struct Watch<'a> {
    protocol: Protocol,
    address: &'a str,
    inflater: Option<Box<Inflater>>,
    decoder: Decoder,
    seen: usize,
}

enum Decoder {
    Events(SseDecoder),
    Frames(FrameDecoder),
}

impl<'a> Watch<'a> {
    /// None for an answer that is no stream, and for one that nobody can look into.
    fn of(answer: &Answer, protocol: Protocol, asked: bool, address: &'a str) -> Option<Self> {
        let head = &answer.head;
        if !head.status.is_success() {
            return None;
        }
        let decoder = match stream_kind(&head.headers, head.status, asked)? {
            StreamKind::Events => Decoder::Events(SseDecoder::default()),
            StreamKind::Frames => Decoder::Frames(FrameDecoder::default()),
        };
        let coding = coding(&head.headers).ok()?;
        let inflater = coding.map(|coding| Box::new(Inflater::new(coding, MAX_INFLATED)));
        Some(Self { protocol, address, inflater, decoder, seen: 0 })
    }

    /// Looks at the next piece. True once there is nothing to wait for.
    fn see(&mut self, piece: &Bytes) -> Result<bool, Fault> {
        self.seen += piece.len();
        let data = match &mut self.inflater {
            None => piece.clone(),
            Some(inflater) => match inflater.push(piece) {
                Ok(inside) => inside.into(),
                Err(error) => return Err(self.broken(&error.to_string())),
            },
        };
        let has_begun = match &mut self.decoder {
            Decoder::Events(decoder) => {
                let run = decoder.push(data);
                self.see_events(&run)?
            }
            Decoder::Frames(decoder) => {
                decoder.push(&data);
                self.see_frames()?
            }
        };
        Ok(has_begun || self.seen > MOST)
    }

    fn see_events(&self, run: &[u8]) -> Result<bool, Fault> {
        for event in events(run) {
            if self.is_word(&event)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn see_frames(&mut self) -> Result<bool, Fault> {
        let Decoder::Frames(decoder) = &mut self.decoder else { return Ok(false) };
        loop {
            let frame = match decoder.frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(false),
                Err(error) => return Err(broken(self.address, &error.to_string())),
            };
            let event = framing::event(&frame);
            // Which exception it is tells the status.
            let exception = framing::exception_of(&frame).map(str::as_bytes);
            let event = Event { name: exception.or(event.name), ..event };
            if is_word(self.protocol, &event, self.address)? {
                return Ok(true);
            }
        }
    }

    fn is_word(&self, event: &Event<'_>) -> Result<bool, Fault> {
        is_word(self.protocol, event, self.address)
    }

    /// The body has ended without a word.
    fn end(mut self) -> Result<(), Fault> {
        let tail = match &mut self.decoder {
            Decoder::Events(decoder) => decoder.take_tail(),
            Decoder::Frames(_) => Bytes::new(),
        };
        // Where nobody knows the protocol, nobody can say that anything is missing.
        let is_judged = self.protocol.stream_reader(false).end() != End::Unjudged;
        if self.see_events(&tail)? || !is_judged {
            return Ok(());
        }
        Err(self.broken("it ended before the first word"))
    }

    fn broken(&self, cause: &str) -> Fault {
        broken(self.address, cause)
    }
}

fn is_word(protocol: Protocol, event: &Event<'_>, address: &str) -> Result<bool, Fault> {
    match protocol.start(event) {
        Start::Scaffolding => Ok(false),
        Start::Content => Ok(true),
        Start::Error(error) => Err(told(error, address)),
    }
}

/// The provider's own error, with the status that it stands for.
fn told(error: StartError, address: &str) -> Fault {
    let message = error.message.unwrap_or_default();
    let message = &message[..message.floor_char_boundary(MAX_MESSAGE)];
    let text = match message {
        "" => format!("{address} began a stream and told of an error"),
        message => format!("{address} began a stream and told of an error: {message}"),
    };
    let fault = Fault::upstream(FaultKind::UpstreamError, text);
    Fault { status: error.status.unwrap_or(fault.status), ..fault }
}

fn broken(address: &str, cause: &str) -> Fault {
    Fault::upstream(FaultKind::UpstreamTruncated, format!("the stream of {address} broke off: {cause}"))
}

#[cfg(test)]
mod tests;
