use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use a6_codec::http1::server::{CHUNK_END, LAST_CHUNK, write_chunk_head};
use a6_core::{Fault, FaultKind};
use a6_snapshot::RequestBody;
use bytes::{Buf, Bytes, BytesMut};
use http::StatusCode;
use tokio::io::{AsyncWrite, ReadBuf};

use crate::dial::Identity;
use crate::io::{Io, RawStream};
use crate::names::Origin;
use crate::{Feed, IdleTimer};

/// Most answers fit; a read that fills the buffer makes the next one larger.
const FIRST_READ: usize = 4 << 10;
const LARGEST_READ: usize = 64 << 10;
/// So many small reads in a row make a stream of small events.
const MANY: u32 = 4;
/// Enough for any number of events that come one by one.
const LEAST_READ: usize = 2 << 10;
/// Parts of a request that go out in one system call.
const MAX_PARTS: usize = 8;

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
    /// What is still to come of the client's body.
    feed: Feed,
    /// Nothing of what was written waits in the TLS layer.
    is_flushed: bool,
    /// A byte of the request has left.
    has_written: bool,
    /// A piece of the client's body was taken.
    has_fed: bool,
    /// Requests that it has carried.
    pub(crate) requests: u64,
    /// The name that it was reached by; none for an address.
    origin: Option<Origin>,
    /// As whom, and whom, it was dialled for; none where the target says it all.
    pub(crate) identity: Option<Arc<Identity>>,
}

/// Why a client's body does not reach the upstream.
#[derive(Debug)]
pub(crate) enum FeedError {
    /// It does not come.
    Client(Fault),
    /// The upstream does not take it.
    Upstream(io::Error),
}

impl Connection {
    pub(crate) fn new(io: Io, origin: Option<Origin>, identity: Option<Arc<Identity>>) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            read_size: FIRST_READ,
            small_reads: 0,
            is_oversized: false,
            timer: IdleTimer::new(),
            unsent: VecDeque::new(),
            feed: Feed::Nothing,
            is_flushed: true,
            has_written: false,
            has_fed: false,
            requests: 0,
            origin,
            identity,
        }
    }

    /// Whether it may serve another request: the upstream left it alone while it was idle, neither closed it nor sent
    /// anything, and its name still stands for that address.
    pub(crate) fn is_quiet(&self) -> bool {
        let Some(tcp) = self.io.quiet_tcp().filter(|_| self.buffer.is_empty()) else { return false };
        // Costs a system call only if the socket has something to say.
        let mut byte = [0u8; 1];
        let mut cx = Context::from_waker(Waker::noop());
        tcp.poll_peek(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
            && self.origin.as_ref().is_none_or(Origin::is_current)
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

    /// Ready once the limit has passed without progress. While the client is awaited, the upstream is not to blame.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_fed() && self.unsent.is_empty() {
            return Poll::Pending;
        }
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

    /// Takes a request to be written by [`Connection::poll_send`], and by [`Connection::poll_feed`] if it has a feed.
    pub(crate) fn begin(&mut self, head: Bytes, body: &[Bytes], feed: Feed) {
        self.unsent.clear();
        self.unsent.push_back(head);
        self.unsent.extend(body.iter().filter(|part| !part.is_empty()).cloned());
        self.feed = if feed == Feed::Length(0) { Feed::Nothing } else { feed };
        self.is_flushed = false;
        self.has_written = false;
        self.has_fed = false;
        self.requests += 1;
    }

    /// Whether the whole request has left.
    pub(crate) fn is_sent(&self) -> bool {
        self.unsent.is_empty() && self.is_flushed && !self.is_fed()
    }

    /// Whether more of the client's body is to be passed on.
    pub(crate) fn is_fed(&self) -> bool {
        self.feed != Feed::Nothing
    }

    /// Whether a byte of the request has left.
    pub(crate) fn has_written(&self) -> bool {
        self.has_written
    }

    /// Whether a piece of the client's body was taken, which cannot be had again.
    pub(crate) fn has_fed(&self) -> bool {
        self.has_fed
    }

    /// Gives up writing.
    pub(crate) fn abandon(&mut self) {
        self.unsent.clear();
        self.feed = Feed::Nothing;
        self.is_flushed = true;
    }

    /// Writes on until nothing is left, all parts in as few system calls as the kernel allows.
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
            self.has_written = true;
            self.timer.progress();
            self.forget(written);
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.is_flushed = true;
        Poll::Ready(Ok(()))
    }

    /// Passes the client's body on until it is over. The next piece is asked for when the last one has left, so that an
    /// upstream that does not read slows the client.
    pub(crate) fn poll_feed(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut RequestBody,
    ) -> Poll<Result<(), FeedError>> {
        loop {
            // A first piece that is there already leaves together with the head.
            let has_room = self.unsent.is_empty() || (self.unsent.len() == 1 && !self.has_written);
            if self.is_fed() && has_room {
                match body.poll_chunk(cx) {
                    Poll::Ready(Some(Ok(data))) => self.queue(data),
                    Poll::Ready(Some(Err(fault))) => return Poll::Ready(Err(FeedError::Client(fault))),
                    Poll::Ready(None) => self.end_feed()?,
                    Poll::Pending if self.unsent.is_empty() && self.is_flushed => return Poll::Pending,
                    Poll::Pending => {}
                }
            }
            if let Err(error) = ready!(self.poll_send(cx)) {
                return Poll::Ready(Err(FeedError::Upstream(error)));
            }
            if !self.is_fed() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn queue(&mut self, data: Bytes) {
        self.has_fed = true;
        // The client was waited for, not the upstream.
        self.timer.progress();
        self.is_flushed = false;
        match &mut self.feed {
            Feed::Nothing => {}
            Feed::Length(left) => {
                *left = left.saturating_sub(data.len() as u64);
                if *left == 0 {
                    self.feed = Feed::Nothing;
                }
                self.unsent.push_back(data);
            }
            Feed::Chunked => {
                let mut line = Vec::with_capacity(16);
                write_chunk_head(&mut line, data.len());
                self.unsent.extend([line.into(), data, Bytes::from_static(CHUNK_END)]);
            }
        }
    }

    fn end_feed(&mut self) -> Result<(), FeedError> {
        match self.feed {
            Feed::Nothing => {}
            Feed::Chunked => {
                self.is_flushed = false;
                self.unsent.push_back(Bytes::from_static(LAST_CHUNK));
            }
            Feed::Length(left) => {
                let text = format!("the request body ended {left} bytes early");
                let gone = Fault::client(FaultKind::ClientGone, StatusCode::BAD_REQUEST, text);
                return Err(FeedError::Client(gone));
            }
        }
        self.feed = Feed::Nothing;
        Ok(())
    }

    /// The connection itself, when both sides have left HTTP.
    pub(crate) fn into_raw(self) -> RawStream {
        RawStream::new(self.io, self.buffer)
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn pair() -> (Connection, tokio::net::TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        (Connection::new(Io::Plain(near.unwrap()), None, None), far.unwrap().0)
    }

    #[tokio::test]
    async fn a_chunked_feed_is_written_as_chunks_and_ends_once() {
        use tokio::io::AsyncReadExt;
        let (mut connection, mut far) = pair().await;
        connection.begin("HEAD".into(), &[], Feed::Chunked);
        connection.queue("0123456789abcdef".into());
        assert!(connection.is_fed() && !connection.is_sent());
        assert!(connection.end_feed().is_ok());
        std::future::poll_fn(|cx| connection.poll_send(cx)).await.unwrap();
        assert!(connection.is_sent() && connection.has_written());
        let expected = b"HEAD10\r\n0123456789abcdef\r\n0\r\n\r\n";
        let mut read = vec![0; expected.len()];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(read, expected);
    }

    #[tokio::test]
    async fn a_feed_of_known_length_ends_with_its_last_byte() {
        let (mut connection, _far) = pair().await;
        connection.begin("HEAD".into(), &[], Feed::Length(5));
        connection.queue("abc".into());
        assert!(connection.is_fed() && connection.end_feed().is_err(), "2 bytes are missing");
        connection.queue("de".into());
        assert!(!connection.is_fed() && !connection.is_sent(), "the bytes are still here");
        connection.abandon();
        assert!(connection.is_sent());
        connection.begin("HEAD".into(), &[], Feed::Length(0));
        assert!(!connection.is_fed());
        assert_eq!(connection.requests, 2);
    }
}
