use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use a6_codec::http1::{BodyDecoder, Decoded, ResponseHead};
use a6_core::{Fault, FaultKind};
use a6_snapshot::{Keepalive, RequestBody, Target};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::body::{BodyEnd, broken};
use crate::connection::{Connection, FeedError};
use crate::io::RawStream;
use crate::pool::Pool;

/// An answer's body on a connection of its own.
#[derive(Debug)]
pub(crate) struct Http1Body {
    connection: Option<Box<Connection>>,
    decoder: BodyDecoder,
    /// Both sides have left HTTP.
    is_raw: bool,
    keepalive: Option<Keepalive>,
    target: Arc<Target>,
    pool: Rc<Pool>,
    end: BodyEnd,
}

impl Http1Body {
    /// Without `keepalive` the connection ends with the body.
    pub(crate) fn new(
        connection: Box<Connection>,
        head: &ResponseHead,
        keepalive: Option<Keepalive>,
        target: Arc<Target>,
        pool: Rc<Pool>,
    ) -> Self {
        let mut body = Self {
            connection: Some(connection),
            decoder: BodyDecoder::new(head.framing),
            is_raw: head.status == StatusCode::SWITCHING_PROTOCOLS,
            keepalive,
            target,
            pool,
            end: BodyEnd::Framed,
        };
        if body.decoder.is_done() && !body.is_raw {
            body.release();
        }
        body
    }

    pub(crate) fn is_done(&self) -> bool {
        self.connection.is_none()
    }

    pub(crate) fn end(&self) -> BodyEnd {
        self.end
    }

    pub(crate) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.decoder.take_trailers()
    }

    pub(crate) fn into_raw(self) -> Option<RawStream> {
        if self.is_raw { self.connection.map(|connection| connection.into_raw()) } else { None }
    }

    /// Whether the client's body is still to be passed on.
    pub(crate) fn is_fed(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.is_fed())
    }

    /// Passes on what has come of the client's body; the fault is the client's.
    pub(crate) fn poll_feed(&mut self, cx: &mut Context<'_>, body: &mut RequestBody) -> Result<(), Fault> {
        let Some(connection) = self.connection.as_mut().filter(|connection| connection.is_fed()) else {
            return Ok(());
        };
        match connection.poll_feed(cx, body) {
            Poll::Ready(Err(FeedError::Client(fault))) => {
                self.connection = None;
                return Err(fault);
            }
            // It has answered: it may well not want the rest.
            Poll::Ready(Err(FeedError::Upstream(_))) => self.abandon(),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        Ok(())
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        loop {
            let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
            // An upstream may answer while it still reads the request: it gets the rest as fast as it takes it.
            let is_left = !connection.is_sent() && !connection.is_fed();
            if is_left && matches!(connection.poll_send(cx), Poll::Ready(Err(_))) {
                connection.abandon();
                self.keepalive = None;
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

    /// Gives up the rest of the request; the connection cannot serve another one then.
    fn abandon(&mut self) {
        self.keepalive = None;
        if let Some(connection) = &mut self.connection {
            connection.abandon();
        }
    }

    /// A data piece followed by malformed framing is reported at the next poll, since the decoder stays where it failed.
    fn broken(&mut self, kind: FaultKind, cause: &str) -> Poll<Option<Result<Bytes, Fault>>> {
        self.connection = None;
        Poll::Ready(Some(Err(broken(&self.target, kind, cause))))
    }

    fn release(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // Bytes behind the end belong to no request of ours: such a connection is not used again.
        if let Some(keepalive) =
            self.keepalive.filter(|_| connection.buffer.is_empty() && connection.is_sent())
        {
            self.pool.give(&self.target, keepalive, connection);
        }
    }
}
