use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use a6_snapshot::Client;
use a6_upstream::IdleTimer;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How long a client may keep a connection waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Between two requests.
    pub(crate) keepalive: Duration,
    /// From a head's first byte to its last.
    pub(crate) head: Duration,
    /// Between two writes that the client takes.
    pub(crate) send: Duration,
}

/// How long, and for how many bytes, a connection lingers.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 << 20;

/// What the road and the socket of one connection tell each other. hyper stands between them.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    /// How often everything that was written has left.
    flushes: Cell<u64>,
    waiting: RefCell<Option<Waker>>,
    /// The connection ends with a reset, for a client that would take a plain close for a proper end.
    resets: Cell<bool>,
    /// The client may still be sending when the connection closes.
    lingers: Cell<bool>,
    /// Requests between their head and the end of their answer.
    in_flight: Cell<usize>,
    /// Requests whose head has been here.
    entered: Cell<u64>,
    /// What is still open is being cut.
    cutting: Rc<Cell<bool>>,
}

impl Wire {
    /// For a connection of a worker that says by `cutting` when it gives up waiting for its connections.
    pub(crate) fn new(cutting: Rc<Cell<bool>>) -> Self {
        Self { cutting, ..Self::default() }
    }

    /// A number that grows whenever everything written so far has left.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.get()
    }

    /// Wakes the task once [`Wire::flushes`] grows.
    pub(crate) fn wake_on_flush(&self, cx: &Context<'_>) {
        *self.waiting.borrow_mut() = Some(cx.waker().clone());
    }

    /// Lets the connection end with a reset.
    pub(crate) fn reset(&self) {
        self.resets.set(true);
    }

    /// Lets the connection wait for the client to stop sending before it closes.
    pub(crate) fn linger(&self) {
        self.lingers.set(true);
    }

    /// A request's head is here.
    pub(crate) fn enter(&self) {
        self.entered.set(self.entered.get() + 1);
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// A request is over.
    pub(crate) fn leave(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
    }

    fn flushed(&self) {
        self.flushes.set(self.flushes.get() + 1);
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// One client connection, as its requests know it.
#[derive(Debug)]
pub(crate) struct Link {
    /// The two ends.
    pub(crate) client: Rc<Client>,
    /// Words between road and socket.
    pub(crate) wire: Wire,
}

/// A client's socket, with an eye on the clock: hyper has no limit of its own for a client that does not read.
pub(crate) struct ClientIo {
    socket: TcpStream,
    link: Rc<Link>,
    patience: Patience,
    waiting: Waiting,
    /// How many requests had entered at the last look.
    seen: u64,
    read: IdleTimer,
    write: IdleTimer,
    is_writing: bool,
    /// The lingering close, once it has begun.
    closing: Option<Closing>,
}

/// A close that first lets the client stop sending: closing with bytes unread would reset the connection, and the
/// client might never read its answer.
#[derive(Default)]
struct Closing {
    timer: IdleTimer,
    read: usize,
}

/// What the client is waited for.
#[derive(Clone, Copy, PartialEq)]
enum Waiting {
    /// A request is under way; its own limits apply.
    Nothing,
    NextRequest,
    RestOfHead,
}

impl ClientIo {
    pub(crate) fn new(socket: TcpStream, link: Rc<Link>, patience: Patience) -> Self {
        let mut read = IdleTimer::new();
        read.arm(patience.head);
        Self {
            socket,
            link,
            patience,
            // A new connection has to begin its first request as soon as a head has to end.
            waiting: Waiting::RestOfHead,
            seen: 0,
            read,
            write: IdleTimer::new(),
            is_writing: false,
            closing: None,
        }
    }

    /// Bytes came, or none did: which clock runs now?
    fn watch_reads(&mut self, cx: &mut Context<'_>, got_bytes: bool) -> Poll<()> {
        let entered = self.link.wire.entered.get();
        if self.seen != entered {
            // A request has come and may have gone since the last look.
            self.seen = entered;
            self.waiting = Waiting::Nothing;
        }
        let now = match (self.link.wire.in_flight.get(), self.waiting, got_bytes) {
            (1.., _, _) => Waiting::Nothing,
            (0, Waiting::Nothing, false) => Waiting::NextRequest,
            (0, Waiting::Nothing | Waiting::NextRequest, true) => Waiting::RestOfHead,
            (0, before, _) => before,
        };
        if now != self.waiting {
            self.waiting = now;
            match now {
                Waiting::NextRequest => self.read.arm(self.patience.keepalive),
                Waiting::RestOfHead => self.read.arm(self.patience.head),
                Waiting::Nothing => {}
            }
        }
        if now == Waiting::Nothing || got_bytes { Poll::Pending } else { self.read.poll_expired(cx) }
    }

    fn watch_writes<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.is_writing = false;
            return result;
        }
        if !self.is_writing {
            self.is_writing = true;
            self.write.arm(self.patience.send);
        }
        ready!(self.write.poll_expired(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl ClientIo {
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let closing = self.closing.get_or_insert_with(|| {
            let mut closing = Closing::default();
            closing.timer.arm(LINGER_TIME);
            closing
        });
        let mut scrap = [0u8; 16 << 10];
        while closing.read < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut scrap);
            match Pin::new(&mut self.socket).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => closing.read += buffer.filled().len(),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return closing.timer.poll_expired(cx),
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.socket).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                if buffer.filled().len() > before {
                    let _ = self.watch_reads(cx, true);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // To hyper it looks as if the client had closed.
            Poll::Pending => self.watch_reads(cx, false).map(Ok),
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.watch_writes(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        self.watch_writes(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        self.link.wire.flushed();
        if self.link.wire.in_flight.get() == 0 {
            // hyper waits for the next request without asking for it: the clock has to run all the same. Once it has
            // fired, the next read tells.
            let _ = self.watch_reads(cx, false);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
        if self.link.wire.lingers.get() {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for ClientIo {
    fn drop(&mut self) {
        if self.link.wire.resets.get() || self.link.wire.cutting.get() {
            // Where it cannot be set, the close is a plain one.
            let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
        }
    }
}
