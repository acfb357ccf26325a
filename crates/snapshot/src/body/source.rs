use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use hyper::body::Incoming;

/// A request's body on its connection. Nothing is read before it is asked for.
pub trait BodySource {
    /// The next piece. What is there already is given away; what has to be read is appended to `into`, which gets the
    /// room that the announced length asks for if it has none.
    fn poll_data(&self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<Result<BodyPiece, BodyError>>;

    /// Bytes that are still to come, if the client has announced them.
    fn remaining(&self) -> Option<u64>;

    /// Whether the body is over.
    fn is_end(&self) -> bool;
}

/// A piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyPiece {
    /// These bytes, at least one.
    Taken(Bytes),
    /// So many bytes, at least one, which were appended to the caller's buffer.
    Appended(usize),
    /// The body is over.
    End,
}

/// Why a body cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// What came is not framed as a body.
    Malformed,
    /// The client went away.
    Gone,
}

/// A client's body, whatever the client speaks.
pub enum ClientBody {
    /// There is none.
    Empty,
    /// On a connection of HTTP/1.1.
    Http1(Rc<dyn BodySource>),
    /// Of a stream of HTTP/2.
    Http2(Incoming),
}

impl fmt::Debug for ClientBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Http1(_) => "Http1",
            Self::Http2(_) => "Http2",
        })
    }
}

impl ClientBody {
    /// See [`BodySource::poll_data`].
    pub(super) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut BytesMut,
    ) -> Poll<Result<BodyPiece, BodyError>> {
        match self {
            Self::Empty => Poll::Ready(Ok(BodyPiece::End)),
            Self::Http1(source) => source.poll_data(cx, into),
            Self::Http2(incoming) => loop {
                let frame = match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
                    None => return Poll::Ready(Ok(BodyPiece::End)),
                    Some(Err(_)) => return Poll::Ready(Err(BodyError::Gone)),
                    Some(Ok(frame)) => frame,
                };
                // Trailers of a request are not passed on.
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    return Poll::Ready(Ok(BodyPiece::Taken(data)));
                }
            },
        }
    }

    /// Bytes that are still to come, if that is known.
    pub(super) fn remaining(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Http1(source) => source.remaining(),
            Self::Http2(incoming) => incoming.size_hint().exact(),
        }
    }

    /// Whether the body is known to be over.
    pub(super) fn is_end(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(source) => source.is_end(),
            Self::Http2(incoming) => incoming.is_end_stream(),
        }
    }
}
