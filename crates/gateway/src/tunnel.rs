use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use a6_core::{Fault, FaultKind};
use a6_snapshot::{InFlight, Outcome, Plugin};
use a6_upstream::{IdleTimer, RawStream, UpstreamBody};
use bytes::{Buf, Bytes, BytesMut};
use http::header::CONNECTION;
use http::response::Parts;
use http::{HeaderValue, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::answer::finish_head;
use crate::body::AnswerBody;
use crate::http1::Upgrade;
use crate::settle::Settlement;

/// What one read brings at most. Nothing is held while nothing moves.
const PIECE: usize = 16 << 10;

/// A client and an upstream that have left HTTP, such as for WebSocket: bytes go both ways until the upstream has ended, the
/// client has gone, or nothing moves for too long.
pub(crate) struct Tunnel<P: Plugin> {
    settlement: Box<Settlement<P>>,
    upstream: RawStream,
    limit: Duration,
    _in_flight: InFlight,
}

impl<P: Plugin> Tunnel<P> {
    /// The response to a client whose upstream has agreed to change the protocol. Once its head has left, the client's
    /// connection becomes the other end of the tunnel. The request is over with the tunnel.
    pub(crate) fn open(
        mut settlement: Box<Settlement<P>>,
        mut parts: Parts,
        upstream: UpstreamBody,
        in_flight: InFlight,
        limit: Duration,
    ) -> Response<AnswerBody<P>> {
        finish_head(&mut settlement, &mut parts, true);
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        settlement.request.detach();
        let upgrade = Upgrade::new(move |upgraded| {
            Box::pin(async move {
                // There is none only where the answer was not of HTTP/1.1, and then it had another status.
                let Some(upstream) = upstream.into_raw() else { return };
                let tunnel = Self { settlement, upstream, limit, _in_flight: in_flight };
                tunnel.run(upgraded.socket, upgraded.unread).await;
            })
        });
        Response::from_parts(parts, AnswerBody::Upgrade(upgrade))
    }

    async fn run(mut self, mut client: impl AsyncRead + AsyncWrite + Unpin, unread: Bytes) {
        let mut out = Pump::new(unread);
        let mut back = Pump::new(Bytes::new());
        let mut timer = IdleTimer::new();
        timer.arm(self.limit);
        let end = poll_fn(|cx| {
            let before = out.moved + back.moved;
            let there = out.poll(cx, &mut client, &mut self.upstream);
            let here = back.poll(cx, &mut self.upstream, &mut client);
            if out.moved + back.moved != before {
                timer.progress();
            }
            match (there, here) {
                (Poll::Ready(Err(Side::From)), _) | (_, Poll::Ready(Err(Side::To))) => {
                    Poll::Ready(End::ClientGone)
                }
                (Poll::Ready(Err(Side::To)), _) | (_, Poll::Ready(Err(Side::From))) => {
                    Poll::Ready(End::UpstreamGone)
                }
                // Nobody would read what the client still sends. A client that has ended may wait for more.
                (_, Poll::Ready(Ok(()))) => Poll::Ready(End::Upstream),
                _ => timer.poll_expired(cx).map(|()| End::Idle),
            }
        })
        .await;
        self.settle(end, back.moved);
    }

    fn settle(&mut self, end: End, to_client: u64) {
        let record = &mut self.settlement.record;
        record.response_bytes = to_client;
        if let Some(attempt) = record.attempts.last_mut() {
            attempt.response_bytes = to_client;
        }
        match end {
            End::Upstream => record.end(Outcome::Complete),
            // The settlement finds that out.
            End::ClientGone => {}
            End::UpstreamGone => {
                let text = "the upstream broke off the connection that had left HTTP";
                let fault = Fault::upstream(FaultKind::UpstreamTruncated, text);
                self.settlement.fail(Outcome::UpstreamTruncated, &fault);
            }
            End::Idle => {
                let text = format!("nothing moved either way for {} ms", self.limit.as_millis());
                let fault = Fault::upstream(FaultKind::UpstreamTimeout, text);
                self.settlement.fail(Outcome::Aborted, &fault);
            }
        }
    }
}

/// How a tunnel ended.
enum End {
    /// The upstream has said that no more will come, and the client has it all.
    Upstream,
    ClientGone,
    UpstreamGone,
    Idle,
}

/// Where bytes could not be moved.
#[derive(Debug, PartialEq, Eq)]
enum Side {
    From,
    To,
}

/// Moves bytes one way. The end of what is read is passed on, so that one side may end before the other.
struct Pump {
    /// What was read and not yet written.
    pending: BytesMut,
    is_at_end: bool,
    is_over: bool,
    /// Bytes written.
    moved: u64,
}

impl Pump {
    fn new(unread: Bytes) -> Self {
        Self { pending: BytesMut::from(unread), is_at_end: false, is_over: false, moved: 0 }
    }

    /// Ready when the end has been passed on.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<(), Side>> {
        while !self.is_over {
            ready!(self.write(cx, to)).map_err(|_| Side::To)?;
            if self.is_at_end {
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(|_| Side::To)?;
                self.is_over = true;
                break;
            }
            let mut scrap = [0u8; PIECE];
            let mut buffer = ReadBuf::new(&mut scrap);
            match Pin::new(&mut *from).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => self.is_at_end = true,
                Poll::Ready(Ok(())) => self.pending.extend_from_slice(buffer.filled()),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Side::From)),
                Poll::Pending => {
                    ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(|_| Side::To)?;
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, cx: &mut Context<'_>, to: &mut (impl AsyncWrite + Unpin)) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.advance(written);
            self.moved += written as u64;
        }
        self.pending = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn bytes_and_the_end_are_passed_on_and_what_was_unread_comes_first() {
        let (mut writer, mut from) = duplex(8);
        let (mut to, mut reader) = duplex(8);
        let mut pump = Pump::new("unread ".into());
        let moving = poll_fn(|cx| pump.poll(cx, &mut from, &mut to));
        let writing = async {
            writer.write_all(b"and much more than fits at a time").await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let mut found = String::new();
        let (moved, (), read) = tokio::join!(moving, writing, reader.read_to_string(&mut found));
        assert_eq!(moved, Ok(()));
        read.unwrap();
        assert_eq!(found, "unread and much more than fits at a time");
        assert_eq!(pump.moved, found.len() as u64);
        assert!(pump.pending.capacity() == 0, "nothing is held while nothing moves");
    }

    #[tokio::test]
    async fn it_is_known_which_side_has_gone() {
        let (_writer, mut from) = duplex(8);
        let (mut to, reader) = duplex(8);
        drop(reader);
        let mut pump = Pump::new("x".into());
        assert_eq!(poll_fn(|cx| pump.poll(cx, &mut from, &mut to)).await, Err(Side::To));
    }
}
