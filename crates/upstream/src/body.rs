use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use a6_codec::http1::{BodyDecoder, Decoded, Framing};
use a6_core::{Fault, FaultKind};
use a6_snapshot::{Keepalive, Target};
use bytes::Bytes;

use crate::connection::Connection;
use crate::pool::Pool;

/// How an answer's body ended, short of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// By its own framing: the chunk terminator, the announced length, or no body at all.
    Framed,
    /// With the connection. It may have been cut: only the content can tell.
    Closed,
}

/// An answer's body. Nothing is read before it is polled, and dropping it closes the connection: a slow client slows
/// the upstream, a client that is gone cancels it.
#[derive(Debug)]
pub struct UpstreamBody {
    connection: Option<Connection>,
    decoder: BodyDecoder,
    reusable: bool,
    keepalive: Option<Keepalive>,
    target: Arc<Target>,
    pool: Rc<Pool>,
    end: BodyEnd,
    /// What was read ahead of its time.
    ahead: VecDeque<Bytes>,
}

impl UpstreamBody {
    pub(crate) fn new(
        connection: Connection,
        framing: Framing,
        reusable: bool,
        keepalive: Option<Keepalive>,
        target: Arc<Target>,
        pool: Rc<Pool>,
    ) -> Self {
        let mut body = Self {
            connection: Some(connection),
            decoder: BodyDecoder::new(framing),
            reusable,
            keepalive,
            target,
            pool,
            end: BodyEnd::Framed,
            ahead: VecDeque::new(),
        };
        if body.decoder.is_done() {
            body.release();
        }
        body
    }

    /// Whether nothing will come any more.
    pub fn is_done(&self) -> bool {
        self.connection.is_none() && self.ahead.is_empty()
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

    /// How the body ended; of use after the last piece.
    pub fn end(&self) -> BodyEnd {
        self.end
    }

    /// The next piece: all that one read brought. None at the end.
    ///
    /// The fault of a broken body is [`FaultKind::UpstreamTruncated`], of a silent upstream
    /// [`FaultKind::UpstreamTimeout`].
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        if let Some(piece) = self.ahead.pop_front() {
            return Poll::Ready(Some(Ok(piece)));
        }
        loop {
            let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
            // An upstream may answer while it still reads the request: it gets the rest as fast as it takes it.
            if !connection.is_sent() && matches!(connection.poll_send(cx), Poll::Ready(Err(_))) {
                connection.abandon();
            }
            match self.decoder.decode(&mut connection.buffer) {
                Ok(Decoded::Data(data)) => {
                    // The end may be in the buffer already; then the connection is free at once.
                    if matches!(self.decoder.decode(&mut connection.buffer), Ok(Decoded::End)) {
                        self.release();
                    }
                    return Poll::Ready(Some(Ok(data)));
                }
                Ok(Decoded::End) => {
                    self.release();
                    return Poll::Ready(None);
                }
                Ok(Decoded::More) => {}
                Err(error) => return self.broken(FaultKind::UpstreamTruncated, &error.to_string()),
            }
            match connection.poll_read(cx) {
                Poll::Ready(Ok(0)) if self.decoder.ends_with_connection() => {
                    self.end = BodyEnd::Closed;
                    self.connection = None;
                    return Poll::Ready(None);
                }
                Poll::Ready(Ok(0)) => {
                    return self
                        .broken(FaultKind::UpstreamTruncated, "the connection was closed before the end");
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    return self.broken(FaultKind::UpstreamTruncated, &error.to_string());
                }
                Poll::Pending => {
                    ready!(connection.poll_expired(cx));
                    return self.broken(FaultKind::UpstreamTimeout, "no byte came within the timeout");
                }
            }
        }
    }

    /// A data piece followed by malformed framing is reported at the next poll, since the decoder stays where it failed.
    fn broken(&mut self, kind: FaultKind, cause: &str) -> Poll<Option<Result<Bytes, Fault>>> {
        self.connection = None;
        let text = format!("the answer of {} broke off: {cause}", self.target);
        Poll::Ready(Some(Err(Fault::upstream(kind, text))))
    }

    fn release(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // Bytes behind the end belong to no request of ours: such a connection is not used again.
        if let Some(keepalive) =
            self.keepalive.filter(|_| self.reusable && connection.buffer.is_empty() && connection.is_sent())
        {
            self.pool.give(&self.target, keepalive, connection);
        }
    }
}
