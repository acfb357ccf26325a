//! One socket, plain or TLS: reads, counted writes, waits that notice a hang-up, closing and resetting.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The least room for one read.
const ROOM: usize = 4096;
/// How much of later requests is read while a reply is on its way.
const READ_AHEAD: usize = 1024 * 1024;
/// How long a closing connection waits for the client to close too.
const LINGER: Duration = Duration::from_secs(2);

/// A connection's socket.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(socket) => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

/// What became of a write.
pub(crate) struct Sent {
    /// Bytes taken by the socket.
    pub(crate) bytes: usize,
    /// Whether that was all of them.
    pub(crate) whole: bool,
}

/// A socket with what was read from it and not used yet.
pub(crate) struct Wire {
    socket: Socket,
    pub(crate) buffer: BytesMut,
}

impl Wire {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, buffer: BytesMut::with_capacity(16 * 1024) }
    }

    /// Reads more into the buffer; false when the client has closed or the connection is broken. A client that
    /// only shuts down its sending half counts as gone, as it does for nginx.
    pub(crate) async fn fill(&mut self) -> bool {
        self.buffer.reserve(ROOM);
        matches!(self.socket.read_buf(&mut self.buffer).await, Ok(read) if read > 0)
    }

    /// Makes room for a request of this many bytes at once, so that it is not copied while it grows.
    pub(crate) fn expect(&mut self, bytes: usize) {
        self.buffer.reserve(bytes.saturating_sub(self.buffer.len()) + ROOM);
    }

    /// Writes all of it, or as much as the client takes before it leaves.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Sent {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.write(&bytes[sent..]).await {
                Ok(0) | Err(_) => return Sent { bytes: sent, whole: false },
                Ok(written) => sent += written,
            }
        }
        Sent { bytes: sent, whole: self.socket.flush().await.is_ok() }
    }

    /// Waits; false when the client left meanwhile.
    pub(crate) async fn pause(&mut self, time: Duration) -> bool {
        if time.is_zero() {
            return true;
        }
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            () = self.left() => false,
        }
    }

    /// Ends when the client leaves. What it sends meanwhile is kept for the next request.
    pub(crate) async fn left(&mut self) {
        loop {
            if self.buffer.len() >= READ_AHEAD {
                std::future::pending::<()>().await;
            }
            if !self.fill().await {
                return;
            }
        }
    }

    /// Ends our side in good order, then waits a little for the client's end; true when it came.
    pub(crate) async fn finish(&mut self) -> bool {
        if self.socket.shutdown().await.is_err() {
            return true;
        }
        let drained = async {
            loop {
                self.buffer.clear();
                if !self.fill().await {
                    return;
                }
            }
        };
        tokio::time::timeout(LINGER, drained).await.is_ok()
    }

    /// Makes the coming drop a reset instead of an orderly end.
    pub(crate) fn reset_on_drop(&self) {
        let tcp = match &self.socket {
            Socket::Plain(socket) => socket,
            Socket::Tls(socket) => socket.get_ref().0,
        };
        // A socket that is already broken needs no reset.
        let _ = tcp.set_zero_linger();
    }
}
