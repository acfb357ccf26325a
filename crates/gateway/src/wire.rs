use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use a6_snapshot::Client;
use a6_telemetry::Traffic;
use a6_upstream::IdleTimer;
use socket2::SockRef;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::secured::Secured;

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

/// What the road and the socket of one connection tell each other. For HTTP/2 hyper stands between them.
#[derive(Debug)]
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
    /// Over HTTP/1.1, the bytes of the last request's head and of the last answer's.
    heads: Cell<(u64, u64)>,
    /// What is still open is being cut.
    cutting: Rc<Cell<bool>>,
    /// Where connections and requests are counted.
    traffic: Arc<Traffic>,
}

impl Wire {
    /// For a connection of a worker that says by `cutting` when it gives up waiting for its connections.
    pub(crate) fn new(cutting: Rc<Cell<bool>>, traffic: Arc<Traffic>) -> Self {
        traffic.connect();
        Self {
            flushes: Cell::default(),
            waiting: RefCell::default(),
            resets: Cell::default(),
            lingers: Cell::default(),
            in_flight: Cell::default(),
            entered: Cell::default(),
            heads: Cell::default(),
            cutting,
            traffic,
        }
    }

    /// A request's head of so many bytes is here; its answer has none yet.
    pub(crate) fn head_came(&self, bytes: u64) {
        self.heads.set((bytes, 0));
    }

    /// An answer's head of so many bytes is on its way.
    pub(crate) fn head_left(&self, bytes: u64) {
        self.heads.set((self.heads.get().0, bytes));
    }

    /// Bytes of the heads of the request and the answer that are under way; 0 over HTTP/2, whose heads are hyper's.
    pub(crate) fn heads(&self) -> (u64, u64) {
        self.heads.get()
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

    /// Whether a request has asked for [`Wire::linger`].
    pub(crate) fn lingers(&self) -> bool {
        self.lingers.get()
    }

    /// A request's head is here.
    pub(crate) fn enter(&self) {
        self.entered.set(self.entered.get() + 1);
        self.in_flight.set(self.in_flight.get() + 1);
        self.traffic.enter();
    }

    /// How many requests have entered.
    pub(crate) fn entered(&self) -> u64 {
        self.entered.get()
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.get() > 0
    }

    /// A request is over.
    pub(crate) fn leave(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        self.traffic.leave();
    }

    /// Everything that was written so far has left.
    pub(crate) fn flushed(&self) {
        self.flushes.set(self.flushes.get() + 1);
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.traffic.disconnect();
    }
}

/// One client connection, as its requests know it.
#[derive(Debug)]
pub(crate) struct Link {
    /// The two ends.
    pub(crate) client: Rc<Client>,
    /// Words between road and socket.
    pub(crate) wire: Wire,
    /// What the handshake has found out; none without TLS.
    pub(crate) tls: Option<Secured>,
}

/// A connection's bytes, as they are or in TLS: one branch per read, nothing more, where they are as they are.
pub(crate) enum ClientStream {
    Plain(TcpStream),
    /// Boxed, since its state is large and most gateways stand behind somebody who speaks TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl From<TcpStream> for ClientStream {
    fn from(tcp: TcpStream) -> Self {
        Self::Plain(tcp)
    }
}

/// A client's socket. It knows how a connection has to end.
pub(crate) struct ClientSocket {
    stream: ClientStream,
    link: Rc<Link>,
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

impl ClientSocket {
    pub(crate) fn new(stream: ClientStream, link: Rc<Link>) -> Self {
        Self { stream, link, closing: None }
    }

    /// Whether a close must be told to the client, which would take a silent one for a cut.
    pub(crate) fn tells_its_end(&self) -> bool {
        matches!(self.stream, ClientStream::Tls(_))
    }

    /// Whether bytes that were written are still here and want a flush.
    pub(crate) fn has_unsent(&self) -> bool {
        match &self.stream {
            ClientStream::Plain(_) => false,
            ClientStream::Tls(tls) => tls.get_ref().1.wants_write(),
        }
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            ClientStream::Plain(tcp) => tcp,
            ClientStream::Tls(tls) => tls.get_ref().0,
        }
    }

    /// The connection that it belongs to.
    pub(crate) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// Ready once a read would bring something, or the end; so that no buffer is held before.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            ClientStream::Plain(tcp) => tcp.poll_read_ready(cx),
            // A record may be half here, or here and not yet read to its end.
            ClientStream::Tls(tls) => Pin::new(&mut **tls).poll_fill_buf(cx).map_ok(|_| ()),
        }
    }

    /// Reads and forgets what the client still sends, until it stops or has had its time. Nobody cares what it says.
    pub(crate) fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let closing = self.closing.get_or_insert_with(|| {
            let mut closing = Closing::default();
            closing.timer.arm(LINGER_TIME);
            closing
        });
        let tcp = match &mut self.stream {
            ClientStream::Plain(tcp) => tcp,
            ClientStream::Tls(tls) => tls.get_mut().0,
        };
        let mut scrap = [0u8; 16 << 10];
        while closing.read < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut scrap);
            match Pin::new(&mut *tcp).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => closing.read += buffer.filled().len(),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return closing.timer.poll_expired(cx),
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            ClientStream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            ClientStream::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            ClientStream::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            ClientStream::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            ClientStream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, parts),
            ClientStream::Tls(tls) => Pin::new(&mut **tls).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            ClientStream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            ClientStream::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            ClientStream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            ClientStream::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
        }
    }
}

impl Drop for ClientSocket {
    fn drop(&mut self) {
        if self.link.wire.resets.get() || self.link.wire.cutting.get() {
            // Where it cannot be set, the close is a plain one.
            let _ = SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Limits the time that a client may take nothing of what is written.
pub(crate) struct WriteWatch {
    timer: IdleTimer,
    limit: Duration,
    is_waiting: bool,
}

impl WriteWatch {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { timer: IdleTimer::new(), limit, is_waiting: false }
    }

    /// The client has taken something.
    pub(crate) fn progress(&mut self) {
        self.is_waiting = false;
    }

    /// What became of a write, or the error that the client has had its time.
    pub(crate) fn look<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.is_waiting = false;
            return result;
        }
        if !self.is_waiting {
            self.is_waiting = true;
            self.timer.arm(self.limit);
        }
        ready!(self.timer.poll_expired(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}
