use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use a6_core::Fault;
use a6_snapshot::RequestBody;
use bytes::Bytes;
use http_body::{Body, Frame};

use crate::Feed;

/// A request's body as hyper asks for it, in a task of its own. It holds one piece at a time, so that an upstream that
/// does not read slows the client.
#[derive(Debug)]
pub(crate) struct Pipe(Rc<RefCell<Shared>>);

/// The other end of a [`Pipe`], in the task of the request. Dropping it early resets the upstream's stream.
#[derive(Debug)]
pub(crate) struct Feeder(Rc<RefCell<Shared>>);

#[derive(Debug)]
struct Shared {
    piece: Option<Bytes>,
    flow: Flow,
    /// hyper has let go of its end.
    is_closed: bool,
    /// A piece of the client's body was taken.
    has_fed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Open,
    /// Nothing comes behind the piece.
    Ended,
    /// What went out must not be taken for whole.
    Aborted,
}

/// A pipe for a body that begins with what is there and follows as `feed` says.
pub(crate) fn pipe(begin: Bytes, feed: Feed) -> (Feeder, Pipe) {
    let flow = if matches!(feed, Feed::Nothing | Feed::Length(0)) { Flow::Ended } else { Flow::Open };
    let piece = (!begin.is_empty()).then_some(begin);
    let shared = Shared { piece, flow, is_closed: false, has_fed: false, reader: None, writer: None };
    let shared = Rc::new(RefCell::new(shared));
    (Feeder(shared.clone()), Pipe(shared))
}

impl Shared {
    fn is_open(&self) -> bool {
        self.flow == Flow::Open && !self.is_closed
    }
}

impl Feeder {
    /// Passes on what has come of the client's body, as far as it is taken; whether anything moved. The fault is the
    /// client's.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, body: &mut RequestBody) -> Result<bool, Fault> {
        let mut has_moved = false;
        while self.has_room(cx) {
            match body.poll_chunk(cx) {
                Poll::Ready(Some(Ok(data))) => self.change(|shared| {
                    shared.has_fed = true;
                    shared.piece = Some(data);
                }),
                Poll::Ready(None) => self.change(|shared| shared.flow = Flow::Ended),
                Poll::Ready(Some(Err(fault))) => {
                    self.change(|shared| shared.flow = Flow::Aborted);
                    return Err(fault);
                }
                Poll::Pending => break,
            }
            has_moved = true;
        }
        Ok(has_moved)
    }

    /// Whether the next piece may come; else the task is woken when it may.
    fn has_room(&self, cx: &Context<'_>) -> bool {
        let mut shared = self.0.borrow_mut();
        let is_full = shared.piece.is_some();
        if shared.is_open() && is_full {
            shared.writer = Some(cx.waker().clone());
        }
        shared.is_open() && !is_full
    }

    fn change(&self, change: impl FnOnce(&mut Shared)) {
        let mut shared = self.0.borrow_mut();
        change(&mut shared);
        if let Some(waker) = shared.reader.take() {
            waker.wake();
        }
    }

    /// Whether a piece of the client's body was taken, which cannot be had again.
    pub(crate) fn has_fed(&self) -> bool {
        self.0.borrow().has_fed
    }

    /// Whether more of the client's body is to be passed on.
    pub(crate) fn is_fed(&self) -> bool {
        self.0.borrow().is_open()
    }

    /// Whether the upstream has taken all that the client has sent.
    pub(crate) fn waits_for_client(&self) -> bool {
        let shared = self.0.borrow();
        shared.is_open() && shared.piece.is_none()
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.change(|shared| {
            if shared.flow == Flow::Open {
                shared.flow = Flow::Aborted;
            }
        });
    }
}

impl Body for Pipe {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut shared = self.0.borrow_mut();
        if let Some(piece) = shared.piece.take() {
            if let Some(waker) = shared.writer.take() {
                waker.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match shared.flow {
            Flow::Ended => Poll::Ready(None),
            Flow::Aborted => Poll::Ready(Some(Err(io::Error::other("the client's body broke off")))),
            Flow::Open => {
                shared.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.0.borrow();
        shared.piece.is_none() && shared.flow == Flow::Ended
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.is_closed = true;
        if let Some(waker) = shared.writer.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use a6_core::Budget;
    use a6_snapshot::{BodyLimits, ClientBody};

    use super::*;

    fn empty_body() -> RequestBody {
        let limits =
            BodyLimits { budget: Budget::new(1 << 20), timeout: Duration::from_secs(1), max: u64::MAX };
        RequestBody::new(ClientBody::Empty, limits)
    }

    fn take(pipe: &mut Pipe) -> Poll<Option<Result<Bytes, String>>> {
        let mut cx = Context::from_waker(Waker::noop());
        let frame = Pin::new(pipe).poll_frame(&mut cx);
        frame.map(|frame| {
            frame
                .map(|frame| frame.map(|frame| frame.into_data().unwrap()).map_err(|error| error.to_string()))
        })
    }

    #[test]
    fn a_whole_body_is_one_piece() {
        let (feeder, mut pipe) = pipe("abc".into(), Feed::Nothing);
        assert!(!feeder.is_fed() && !pipe.is_end_stream());
        assert_eq!(take(&mut pipe), Poll::Ready(Some(Ok("abc".into()))));
        assert!(pipe.is_end_stream());
        assert_eq!(take(&mut pipe), Poll::Ready(None));
    }

    #[test]
    fn a_body_that_follows_ends_when_the_clients_does() {
        let (mut feeder, mut pipe) = pipe(Bytes::new(), Feed::Chunked);
        assert!(feeder.is_fed() && feeder.waits_for_client());
        assert_eq!(take(&mut pipe), Poll::Pending);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(feeder.poll(&mut cx, &mut empty_body()).unwrap());
        assert!(!feeder.is_fed());
        assert_eq!(take(&mut pipe), Poll::Ready(None));
    }

    #[test]
    fn a_body_that_nobody_finishes_is_an_error() {
        let (feeder, mut pipe) = pipe(Bytes::new(), Feed::Length(3));
        drop(feeder);
        assert!(matches!(take(&mut pipe), Poll::Ready(Some(Err(_)))));
    }

    #[test]
    fn the_client_is_left_alone_once_the_upstream_has_let_go() {
        let (mut feeder, pipe) = pipe(Bytes::new(), Feed::Chunked);
        drop(pipe);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(!feeder.poll(&mut cx, &mut empty_body()).unwrap());
        assert!(!feeder.is_fed() && !feeder.waits_for_client());
    }
}
