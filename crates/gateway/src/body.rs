use std::pin::Pin;
use std::task::{Context, Poll};

use a6_snapshot::{Outcome, Plugin};
use bytes::Bytes;
use http::Method;
use http_body::{Body, Frame, SizeHint};

use crate::http1::Upgrade;
use crate::settle::Settlement;
use crate::stream::AnswerStream;

/// An answer's body as the client's connection polls it. The request's settlement lives in it, and ends with it.
pub(crate) enum AnswerBody<P: Plugin> {
    /// The gateway's own words.
    Whole(Whole<P>),
    /// An upstream's answer, as it comes.
    Stream(Box<AnswerStream<P>>),
    /// Of status 101 over HTTP/1.1: what takes the connection over.
    Upgrade(Upgrade),
}

/// The body is cut here, so that the client cannot take it for whole.
#[derive(Debug)]
pub(crate) struct Aborted;

impl std::fmt::Display for Aborted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer was aborted")
    }
}

impl std::error::Error for Aborted {}

/// A body that is there at once.
pub(crate) struct Whole<P: Plugin> {
    data: Option<Bytes>,
    outcome: Outcome,
    settlement: Box<Settlement<P>>,
}

impl<P: Plugin> Whole<P> {
    /// `outcome` is noted once the data is on its way.
    pub(crate) fn new(data: Bytes, outcome: Outcome, mut settlement: Box<Settlement<P>>) -> Self {
        let data = (!data.is_empty()).then_some(data);
        if data.is_none() || settlement.request.method == Method::HEAD {
            // Nobody will ask for it.
            settlement.record.end(outcome);
        }
        Self { data, outcome, settlement }
    }

    fn take(&mut self) -> Option<Bytes> {
        let data = self.data.take()?;
        self.settlement.record.response_bytes = data.len() as u64;
        self.settlement.record.end(self.outcome);
        Some(data)
    }
}

impl<P: Plugin> Body for AnswerBody<P> {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        match self.get_mut() {
            Self::Whole(whole) => Poll::Ready(whole.take().map(|data| Ok(Frame::data(data)))),
            Self::Stream(stream) => stream.poll_frame(cx),
            Self::Upgrade(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.data.is_none(),
            Self::Stream(stream) => stream.is_over(),
            Self::Upgrade(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => {
                SizeHint::with_exact(whole.data.as_ref().map_or(0, |data| data.len() as u64))
            }
            Self::Stream(_) => SizeHint::default(),
            Self::Upgrade(_) => SizeHint::with_exact(0),
        }
    }
}
