use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use a6_upstream::IdleTimer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::{ClientSocket, Patience, Wire, WriteWatch};

/// A client's socket as hyper sees it: hyper knows no limit for a client that asks for nothing or takes nothing.
pub(super) struct ClientIo {
    socket: ClientSocket,
    patience: Patience,
    waiting: Waiting,
    /// How many requests had entered at the last look.
    seen: u64,
    read: IdleTimer,
    write: WriteWatch,
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
    pub(super) fn new(socket: ClientSocket, patience: Patience) -> Self {
        let mut read = IdleTimer::new();
        read.arm(patience.head);
        Self {
            socket,
            patience,
            // A new connection has to begin its first request as soon as a head has to end.
            waiting: Waiting::RestOfHead,
            seen: 0,
            read,
            write: WriteWatch::new(patience.send),
        }
    }

    fn wire(&self) -> &Wire {
        &self.socket.link().wire
    }

    /// Bytes came, or none did: which clock runs now?
    fn watch_reads(&mut self, cx: &mut Context<'_>, got_bytes: bool) -> Poll<()> {
        let entered = self.wire().entered();
        if self.seen != entered {
            // A request has come and may have gone since the last look.
            self.seen = entered;
            self.waiting = Waiting::Nothing;
        }
        let now = match (self.wire().is_busy(), self.waiting, got_bytes) {
            (true, _, _) => Waiting::Nothing,
            (false, Waiting::Nothing, false) => Waiting::NextRequest,
            (false, Waiting::Nothing | Waiting::NextRequest, true) => Waiting::RestOfHead,
            (false, before, _) => before,
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
        self.write.look(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        self.write.look(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        ready!(self.write.look(cx, flushed))?;
        self.wire().flushed();
        if !self.wire().is_busy() {
            // hyper waits for the next request without asking for it: the clock has to run all the same. Once it has
            // fired, the next read tells.
            let _ = self.watch_reads(cx, false);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.socket).poll_shutdown(cx);
        ready!(self.write.look(cx, shut))?;
        if self.wire().lingers() {
            ready!(self.socket.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
