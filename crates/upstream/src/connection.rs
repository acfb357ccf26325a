use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::client::TlsStream;

/// Most answers fit; a read that fills the buffer makes the next one larger.
const FIRST_READ: usize = 4 << 10;
const LARGEST_READ: usize = 64 << 10;

/// A socket, with or without TLS.
#[derive(Debug)]
pub(crate) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection to an upstream, used by one request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    io: Io,
    /// What was read and not yet taken.
    pub(crate) buffer: BytesMut,
    read_size: usize,
    timer: IdleTimer,
}

impl Connection {
    pub(crate) fn new(io: Io) -> Self {
        Self { io, buffer: BytesMut::new(), read_size: FIRST_READ, timer: IdleTimer::new() }
    }

    /// Whether the upstream left it alone while it was idle: neither closed it nor sent anything.
    pub(crate) fn is_quiet(&self) -> bool {
        let tcp = match &self.io {
            Io::Plain(tcp) => tcp,
            Io::Tls(stream) => stream.get_ref().0,
        };
        // Costs a system call only if the socket has something to say.
        let mut byte = [0u8; 1];
        let mut cx = Context::from_waker(Waker::noop());
        self.buffer.is_empty() && tcp.poll_peek(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Gives memory back while it is idle.
    pub(crate) fn rest(&mut self) {
        self.buffer = BytesMut::new();
        self.read_size = FIRST_READ;
    }

    /// From now on, `limit` may pass without progress.
    pub(crate) fn arm(&mut self, limit: Duration) {
        self.timer.arm(limit);
    }

    /// Ready once the limit has passed without progress.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll_expired(cx)
    }

    /// Reads once into the buffer; 0 is the end of the connection.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // A piece of a line may be left over; read beyond it rather than in driblets.
        self.buffer.reserve(self.read_size);
        let count = ready!(tokio_util::io::poll_read_buf(Pin::new(&mut self.io), cx, &mut self.buffer))?;
        if count >= self.read_size {
            self.read_size = (self.read_size * 4).min(LARGEST_READ);
        }
        self.timer.progress();
        Poll::Ready(Ok(count))
    }

    /// Writes on until both are out, head and body in as few system calls as the kernel allows.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut Bytes,
        body: &mut Bytes,
    ) -> Poll<io::Result<()>> {
        while head.has_remaining() || body.has_remaining() {
            let parts = [IoSlice::new(head), IoSlice::new(body)];
            let skip = usize::from(head.is_empty());
            let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, &parts[skip..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.timer.progress();
            let of_head = written.min(head.len());
            head.advance(of_head);
            body.advance(written - of_head);
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }
}

/// Fires when nothing has happened for a while. Progress only notes the time: the timer itself is moved when it fires,
/// not at every event of a stream.
#[derive(Debug)]
struct IdleTimer {
    sleep: Option<Pin<Box<Sleep>>>,
    limit: Duration,
    last: Instant,
}

impl IdleTimer {
    fn new() -> Self {
        Self { sleep: None, limit: Duration::ZERO, last: Instant::now() }
    }

    fn arm(&mut self, limit: Duration) {
        self.limit = limit;
        self.last = Instant::now();
        let deadline = (self.last + limit).into();
        match &mut self.sleep {
            // A timer that fires too early looks at `last` again; only one that would fire too late has to move.
            Some(sleep) if sleep.deadline() <= deadline => {}
            Some(sleep) => sleep.as_mut().reset(deadline),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline))),
        }
    }

    fn progress(&mut self) {
        self.last = Instant::now();
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else { return Poll::Pending };
        loop {
            ready!(sleep.as_mut().poll(cx));
            let deadline = self.last + self.limit;
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline.into());
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
