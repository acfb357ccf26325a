use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::IdleTimer;

/// Most answers fit; a read that fills the buffer makes the next one larger.
const FIRST_READ: usize = 4 << 10;
const LARGEST_READ: usize = 64 << 10;
/// So many small reads in a row make a stream of small events.
const MANY: u32 = 4;
/// Enough for any number of events that come one by one.
const LEAST_READ: usize = 2 << 10;
/// Parts of a request that go out in one system call.
const MAX_PARTS: usize = 8;

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
    /// Reads in a row that brought little.
    small_reads: u32,
    /// The buffer was made for larger reads than come.
    is_oversized: bool,
    timer: IdleTimer,
    /// What is left of a request that the upstream answers before it has read it.
    unsent: VecDeque<Bytes>,
}

impl Connection {
    pub(crate) fn new(io: Io) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            read_size: FIRST_READ,
            small_reads: 0,
            is_oversized: false,
            timer: IdleTimer::new(),
            unsent: Default::default(),
        }
    }

    /// Whether the upstream left it alone while it was idle: neither closed it nor sent anything.
    pub(crate) fn is_quiet(&self) -> bool {
        let tcp = match &self.io {
            Io::Plain(tcp) => tcp,
            // Plaintext that waits in the TLS layer would be taken for the next answer.
            Io::Tls(stream) if !stream.get_ref().1.wants_read() => return false,
            Io::Tls(stream) => stream.get_ref().0,
        };
        // Costs a system call only if the socket has something to say.
        let mut byte = [0u8; 1];
        let mut cx = Context::from_waker(Waker::noop());
        self.buffer.is_empty() && tcp.poll_peek(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Gives memory back while it is idle, but for a buffer of the usual size.
    pub(crate) fn rest(&mut self) {
        if self.read_size != FIRST_READ {
            self.buffer = BytesMut::new();
            self.read_size = FIRST_READ;
            self.is_oversized = false;
        }
        self.small_reads = 0;
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
        if self.is_oversized && self.buffer.is_empty() {
            self.is_oversized = false;
            self.buffer = BytesMut::with_capacity(self.read_size);
        }
        // A piece of a line may be left over; read beyond it rather than in driblets.
        self.buffer.reserve(self.read_size);
        let count = ready!(tokio_util::io::poll_read_buf(Pin::new(&mut self.io), cx, &mut self.buffer))?;
        if count >= self.read_size {
            self.read_size = (self.read_size * 4).min(LARGEST_READ);
        }
        self.small_reads = if count * 4 < self.read_size { self.small_reads + 1 } else { 0 };
        if self.small_reads >= MANY && self.read_size > LEAST_READ {
            // An open stream of small events should not hold a large buffer.
            self.read_size = LEAST_READ;
            self.is_oversized = true;
        }
        self.timer.progress();
        Poll::Ready(Ok(count))
    }

    /// Takes a request to be written by [`Connection::poll_send`].
    pub(crate) fn begin(&mut self, head: Bytes, body: &[Bytes]) {
        self.unsent.clear();
        self.unsent.push_back(head);
        self.unsent.extend(body.iter().filter(|part| !part.is_empty()).cloned());
    }

    /// Whether the whole request has been written.
    pub(crate) fn is_sent(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Gives up writing.
    pub(crate) fn abandon(&mut self) {
        self.unsent.clear();
    }

    /// Writes on until the request is out, all parts in as few system calls as the kernel allows.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let mut parts = [IoSlice::new(&[]); MAX_PARTS];
            let count = self.unsent.len().min(MAX_PARTS);
            for (slot, part) in parts.iter_mut().zip(&self.unsent) {
                *slot = IoSlice::new(part);
            }
            let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, &parts[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.timer.progress();
            self.forget(written);
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn forget(&mut self, mut written: usize) {
        while let Some(first) = self.unsent.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.unsent.pop_front();
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
