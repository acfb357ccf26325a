use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use a6_core::{Fault, FaultKind};
use a6_snapshot::{RequestBody, Target};
use bytes::Bytes;
use http::HeaderMap;

use crate::http1::Http1Body;
use crate::http2::Http2Body;
use crate::io::RawStream;

/// How an answer's body ended, short of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// By its own framing: the chunk terminator, the announced length, the stream's end, or no body at all.
    Framed,
    /// With the connection. It may have been cut: only the content can tell.
    Closed,
}

/// An answer's body. Nothing is read before it is polled, and dropping it closes the connection, or its stream: a slow
/// client slows the upstream, a client that is gone cancels it.
#[derive(Debug)]
pub struct UpstreamBody {
    source: Source,
    /// What was read ahead of its time.
    ahead: VecDeque<Bytes>,
    /// What ended the reading ahead, told behind the pieces.
    late: Option<Box<Fault>>,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "the usual one should cost no allocation")]
enum Source {
    Http1(Http1Body),
    Http2(Box<Http2Body>),
}

impl UpstreamBody {
    pub(crate) fn http1(body: Http1Body) -> Self {
        Self { source: Source::Http1(body), ahead: VecDeque::new(), late: None }
    }

    pub(crate) fn http2(body: Http2Body) -> Self {
        Self { source: Source::Http2(Box::new(body)), ahead: VecDeque::new(), late: None }
    }

    /// Whether nothing will come any more.
    pub fn is_done(&self) -> bool {
        let is_done = match &self.source {
            Source::Http1(body) => body.is_done(),
            Source::Http2(body) => body.is_done(),
        };
        is_done && self.ahead.is_empty() && self.late.is_none()
    }

    /// Reads ahead until more than `bytes` bytes are there or the body ends; [`UpstreamBody::poll_data`] gives them out
    /// later. True if there are more than that.
    ///
    /// # Errors
    /// The body broke.
    pub async fn read_ahead(&mut self, bytes: u64) -> Result<bool, Fault> {
        let mut length = 0;
        let mut pieces = VecDeque::new();
        while length <= bytes
            && let Some(piece) = poll_fn(|cx| self.poll_data(cx)).await
        {
            let piece = piece?;
            length += piece.len() as u64;
            pieces.push_back(piece);
        }
        self.ahead = pieces;
        Ok(length > bytes)
    }

    /// Takes what was read ahead, as one piece.
    pub fn take_ahead(&mut self) -> Bytes {
        match self.ahead.len() {
            1 => self.ahead.pop_front().unwrap_or_default(),
            _ => self.ahead.drain(..).collect::<Vec<_>>().concat().into(),
        }
    }

    /// Puts something else in the place of what [`UpstreamBody::take_ahead`] took.
    pub fn put_ahead(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.ahead.push_front(piece);
        }
    }

    /// The pieces that were read ahead and not given out yet.
    pub fn ahead(&self) -> impl Iterator<Item = &Bytes> {
        self.ahead.iter()
    }

    /// Reads one more piece ahead and shows it; [`UpstreamBody::poll_data`] gives it out in its turn, and a fault too. None at the end.
    ///
    /// The faults are those of [`UpstreamBody::poll_data`].
    pub fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        let next = ready!(self.poll_source(cx));
        match &next {
            Some(Ok(piece)) => self.ahead.push_back(piece.clone()),
            Some(Err(fault)) => self.late = Some(Box::new(fault.clone())),
            None => {}
        }
        Poll::Ready(next)
    }

    /// How the body ended; of use after the last piece.
    pub fn end(&self) -> BodyEnd {
        match &self.source {
            Source::Http1(body) => body.end(),
            Source::Http2(_) => BodyEnd::Framed,
        }
    }

    /// The fields behind the body, as the upstream sent them; of use after the last piece.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        match &mut self.source {
            Source::Http1(body) => body.take_trailers(),
            Source::Http2(body) => body.take_trailers(),
        }
    }

    /// The connection itself, behind an answer of status 101.
    pub fn into_raw(self) -> Option<RawStream> {
        match self.source {
            Source::Http1(body) => body.into_raw(),
            Source::Http2(_) => None,
        }
    }

    /// Whether the client's body is still to be passed on: the upstream has answered before it was over.
    pub fn is_fed(&self) -> bool {
        match &self.source {
            Source::Http1(body) => body.is_fed(),
            Source::Http2(body) => body.is_fed(),
        }
    }

    /// Passes on what has come of the client's body, and wakes the task when there is more to do. To be polled together
    /// with [`UpstreamBody::poll_data`] while [`UpstreamBody::is_fed`].
    ///
    /// # Errors
    /// The client's body broke; the upstream's answer is cut with it.
    pub fn poll_feed(&mut self, cx: &mut Context<'_>, body: &mut RequestBody) -> Result<(), Fault> {
        match &mut self.source {
            Source::Http1(source) => source.poll_feed(cx, body),
            Source::Http2(source) => source.poll_feed(cx, body),
        }
    }

    /// The next piece: all that one read brought. None at the end.
    ///
    /// The fault of a broken body is [`FaultKind::UpstreamTruncated`], of a silent upstream
    /// [`FaultKind::UpstreamTimeout`].
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        if let Some(piece) = self.ahead.pop_front() {
            return Poll::Ready(Some(Ok(piece)));
        }
        if let Some(fault) = self.late.take() {
            return Poll::Ready(Some(Err(*fault)));
        }
        self.poll_source(cx)
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        match &mut self.source {
            Source::Http1(body) => body.poll_data(cx),
            Source::Http2(body) => body.poll_data(cx),
        }
    }
}

/// An answer that ended before its end.
pub(crate) fn broken(target: &Target, kind: FaultKind, cause: &str) -> Fault {
    Fault::upstream(kind, format!("the answer of {target} broke off: {cause}"))
}
