use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use a6_codec::http1::Framing;
use a6_codec::http1::server::{HeadFault, RequestDecoder, RequestHead, may_be_whole, parse_request};
use a6_upstream::IdleTimer;
use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use super::outbox::Outbox;
use super::spare;
use crate::wire::{ClientSocket, Patience, WriteWatch};

/// A read that fills its buffer makes the next one larger.
const FIRST_READ: usize = spare::READ_BUFFER;
const LARGEST_READ: usize = 64 << 10;
/// Less room than this is not worth a system call.
const LEAST_ROOM: usize = 1 << 10;
/// What is read of the requests that a client sends ahead.
const MAX_AHEAD: usize = 128 << 10;

/// What `Expect: 100-continue` waits for.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A client's connection: the loop that serves it and the request's body share it.
pub(super) struct Connection {
    pub(super) core: RefCell<Core>,
}

pub(super) struct Core {
    pub(super) socket: ClientSocket,
    patience: Patience,
    /// What was read and not yet taken.
    pub(super) buffer: BytesMut,
    /// So much of the buffer is known not to end a head.
    looked: usize,
    read_size: usize,
    /// The body of the request that is under way.
    pub(super) decoder: RequestDecoder,
    /// What is left of the word that the client waits for.
    interim: &'static [u8],
    /// The client has ended its side.
    pub(super) is_at_end: bool,
    waiting: Waiting,
    has_served: bool,
    timer: IdleTimer,
    write: WriteWatch,
}

/// What the client is waited for.
#[derive(Clone, Copy, PartialEq)]
enum Waiting {
    /// A request is under way; its own limits apply.
    Nothing,
    NextRequest,
    Head,
}

/// What comes next on a connection.
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(super) enum Next {
    Request(RequestHead),
    Refused(HeadFault),
    End,
}

impl Connection {
    pub(super) fn new(socket: ClientSocket, patience: Patience) -> Self {
        let core = Core {
            socket,
            patience,
            buffer: BytesMut::new(),
            looked: 0,
            read_size: FIRST_READ,
            decoder: RequestDecoder::new(Framing::Empty),
            interim: b"",
            is_at_end: false,
            waiting: Waiting::Nothing,
            has_served: false,
            timer: IdleTimer::new(),
            write: WriteWatch::new(patience.send),
        };
        Self { core: RefCell::new(core) }
    }

    /// The next request's head, as soon as it is whole.
    pub(super) fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Next> {
        let core = &mut *self.core.borrow_mut();
        loop {
            match core.parse() {
                Ok(Some(head)) => return Poll::Ready(Next::Request(head)),
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Next::Refused(fault)),
            }
            if core.is_at_end {
                return Poll::Ready(Next::End);
            }
            match core.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                // Half a head from a client that has gone needs no answer.
                Poll::Ready(_) => return Poll::Ready(Next::End),
                Poll::Pending => return core.poll_patience(cx),
            }
        }
    }

    /// Whether nothing of a next request has come.
    pub(super) fn is_idle(&self) -> bool {
        self.core.borrow().buffer.is_empty()
    }

    /// Ready once the client has gone. What it sends ahead is kept for later, as far as it is little.
    pub(super) fn poll_hang_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        let core = &mut *self.core.borrow_mut();
        // While a body is awaited, whoever reads it hears of the end.
        while core.decoder.is_done() && !core.is_at_end && core.buffer.len() < MAX_AHEAD {
            match ready!(core.poll_fill(cx)) {
                Ok(1..) => {}
                // It has asked for more, and may wait for all its answers with its own side closed.
                Ok(0) if !core.buffer.is_empty() => core.is_at_end = true,
                Ok(_) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Drops what has come of the request's body; whether that is all of it.
    pub(super) fn skip_body(&self) -> bool {
        let core = &mut *self.core.borrow_mut();
        while !core.decoder.is_done() {
            if core.skip_framing().is_err() || core.take_piece().is_none() {
                break;
            }
        }
        core.skip_framing().is_ok() && core.decoder.is_done()
    }

    /// Gives memory back while nothing is read.
    pub(super) fn rest(&self) {
        self.core.borrow_mut().rest();
    }

    /// Writes until `out` is empty. Fails if the client has gone or takes nothing for too long.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, out: &mut Outbox) -> Poll<io::Result<()>> {
        let core = &mut *self.core.borrow_mut();
        if out.is_empty() && !core.socket.has_unsent() {
            return Poll::Ready(Ok(()));
        }
        let before = out.len();
        let result = match out.poll_write(cx, &mut core.socket) {
            Poll::Ready(Ok(())) => Pin::new(&mut core.socket).poll_flush(cx),
            other => other,
        };
        if out.len() < before {
            core.write.progress();
        }
        core.write.look(cx, result)
    }

    /// An answer's head of so many bytes is on its way.
    pub(super) fn head_left(&self, bytes: usize) {
        self.core.borrow().socket.link().wire.head_left(bytes as u64);
    }

    /// Everything that was to be written has left.
    pub(super) fn flushed(&self) {
        self.core.borrow().socket.link().wire.flushed();
    }

    /// The connection ends with a reset.
    pub(super) fn reset(&self) {
        self.core.borrow().socket.link().wire.reset();
    }

    /// The client is no longer told to go on with its body. Gives what is left of that word if it was begun.
    pub(super) fn end_interim(&self) -> &'static [u8] {
        let interim = std::mem::take(&mut self.core.borrow_mut().interim);
        if interim.len() == CONTINUE.len() { b"" } else { interim }
    }

    /// Ends the connection so that the client can read its last answer: closing with bytes unread would reset it.
    pub(super) async fn close(&self) {
        let may_send = {
            let core = self.core.borrow();
            core.socket.link().wire.lingers() || !core.buffer.is_empty() || !core.decoder.is_done()
        };
        if may_send {
            self.linger().await;
        } else {
            self.take_leave().await;
        }
    }

    /// Says that no more will come, where a client would take a close without that for a cut.
    pub(super) async fn take_leave(&self) {
        let tells = self.core.borrow().socket.tells_its_end();
        if tells {
            // Where it takes nothing any more, it is not waited for.
            let _ = self.shut_down().await;
        }
    }

    /// Says that no more will come, and waits for the client to stop sending.
    pub(super) async fn linger(&self) {
        if self.shut_down().await.is_ok() {
            poll_fn(|cx| self.core.borrow_mut().socket.poll_linger(cx)).await;
        }
    }

    async fn shut_down(&self) -> io::Result<()> {
        poll_fn(|cx| {
            let core = &mut *self.core.borrow_mut();
            let shut = Pin::new(&mut core.socket).poll_shutdown(cx);
            core.write.look(cx, shut)
        })
        .await
    }

    /// The parts of a connection that nobody else holds.
    pub(super) fn into_core(self: Rc<Self>) -> Option<Core> {
        Rc::try_unwrap(self).ok().map(|connection| connection.core.into_inner())
    }
}

impl Core {
    fn parse(&mut self) -> Result<Option<RequestHead>, HeadFault> {
        let is_new = self.looked < self.buffer.len();
        // A head that comes in pieces is parsed again only where it may have ended.
        if !is_new || (self.looked > 0 && !may_be_whole(&self.buffer, self.looked)) {
            self.looked = self.buffer.len();
            return Ok(None);
        }
        let mut headers = spare::headers();
        let before = self.buffer.len();
        let Some(head) = parse_request(&mut self.buffer, &mut headers)? else {
            self.looked = self.buffer.len();
            spare::give_headers(headers);
            return Ok(None);
        };
        self.socket.link().wire.head_came((before - self.buffer.len()) as u64);
        self.looked = 0;
        self.waiting = Waiting::Nothing;
        self.has_served = true;
        self.decoder = RequestDecoder::new(head.framing);
        self.interim = if head.expects_continue && !self.decoder.is_done() { CONTINUE } else { b"" };
        Ok(Some(head))
    }

    /// Reads once into the buffer; 0 is the end of what the client sends.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // No buffer is held while nothing comes.
        ready!(self.socket.poll_readable(cx))?;
        if self.buffer.capacity() == 0 {
            self.buffer = spare::read_buffer();
        }
        if self.buffer.capacity() - self.buffer.len() < LEAST_ROOM {
            self.buffer.reserve(self.read_size);
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let count = ready!(poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.buffer))?;
        if count == room {
            self.read_size = (self.read_size * 4).min(LARGEST_READ);
        }
        Poll::Ready(Ok(count))
    }

    /// Nothing came: is that still in order?
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        // A new connection has to begin its first request as soon as a head has to end.
        let is_between = self.buffer.is_empty() && self.has_served;
        let now = if is_between { Waiting::NextRequest } else { Waiting::Head };
        if self.waiting != now {
            self.waiting = now;
            self.timer.arm(if is_between { self.patience.keepalive } else { self.patience.head });
        }
        self.rest();
        ready!(self.timer.poll_expired(cx));
        let has_begun = self.buffer.iter().any(|byte| !b"\r\n".contains(byte));
        Poll::Ready(if has_begun { Next::Refused(HeadFault::Late) } else { Next::End })
    }

    fn rest(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > 0 {
            spare::give_read_buffer(std::mem::take(&mut self.buffer));
            self.read_size = FIRST_READ;
        }
    }

    /// Drops what of the buffer only frames the body.
    pub(super) fn skip_framing(&mut self) -> Result<(), a6_codec::http1::Http1Error> {
        let length = self.decoder.framing(&self.buffer)?;
        self.buffer.advance(length);
        Ok(())
    }

    /// The body's bytes at the front of the buffer.
    pub(super) fn take_piece(&mut self) -> Option<BytesMut> {
        let length = usize::try_from(self.decoder.data()).unwrap_or(usize::MAX).min(self.buffer.len());
        if length == 0 {
            return None;
        }
        if self.interim.len() == CONTINUE.len() {
            // It does not wait to be told.
            self.interim = b"";
        }
        self.decoder.passed(length as u64);
        Some(self.buffer.split_to(length))
    }

    /// Tells the client to go on, if it waits for that.
    pub(super) fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.interim.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, self.interim))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.interim = self.interim.get(written..).unwrap_or_default();
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }
}
