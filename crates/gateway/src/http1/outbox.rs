use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::spare;

/// Copying so much costs less than another part of a vectored write.
const COPIED: usize = 2 << 10;
/// Parts of one system call.
const MAX_PARTS: usize = 16;

/// Bytes on their way to the client. Heads, framing and small pieces are written one behind the other; large pieces stay
/// where they are and go out in between.
#[derive(Default)]
pub(super) struct Outbox {
    text: Vec<u8>,
    /// So much of `text` has left.
    sent: usize,
    /// Large pieces, each behind so many bytes of `text`.
    pieces: VecDeque<(usize, Bytes)>,
    /// Bytes in `pieces`.
    large: usize,
}

impl Outbox {
    /// Where heads and framing are appended.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        if self.text.capacity() == 0 {
            self.text = spare::text_buffer();
        }
        &mut self.text
    }

    /// Appends a piece of a body.
    pub(super) fn push(&mut self, data: Bytes) {
        if data.len() <= COPIED {
            self.text().extend_from_slice(&data);
        } else {
            self.large += data.len();
            self.pieces.push_back((self.text.len(), data));
        }
    }

    /// Bytes that have not left.
    pub(super) fn len(&self) -> usize {
        self.text.len() - self.sent + self.large
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives memory back while there is nothing to write.
    pub(super) fn rest(&mut self) {
        if self.is_empty() && self.text.capacity() > 0 {
            spare::give_text_buffer(std::mem::take(&mut self.text));
        }
    }

    /// Writes on until nothing is left, all parts in as few system calls as the kernel allows.
    pub(super) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let written = if self.pieces.is_empty() {
                ready!(Pin::new(&mut *writer).poll_write(cx, &self.text[self.sent..]))?
            } else {
                let mut parts = [IoSlice::new(&[]); MAX_PARTS];
                let count = self.parts(&mut parts);
                ready!(Pin::new(&mut *writer).poll_write_vectored(cx, &parts[..count]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.forget(written);
        }
        Poll::Ready(Ok(()))
    }

    fn parts<'a>(&'a self, parts: &mut [IoSlice<'a>; MAX_PARTS]) -> usize {
        let mut count = 0;
        let mut add = |part: &'a [u8]| {
            if !part.is_empty()
                && let Some(slot) = parts.get_mut(count)
            {
                *slot = IoSlice::new(part);
                count += 1;
            }
        };
        let mut at = self.sent;
        for (behind, data) in &self.pieces {
            add(&self.text[at..*behind]);
            add(&data[..]);
            at = *behind;
        }
        add(&self.text[at..]);
        count
    }

    fn forget(&mut self, mut written: usize) {
        while written > 0 {
            let until = self.pieces.front().map_or(self.text.len(), |(behind, _)| *behind);
            let count = written.min(until - self.sent);
            self.sent += count;
            written -= count;
            if written == 0 {
                break;
            }
            let Some((_, data)) = self.pieces.front_mut() else { break };
            let count = written.min(data.len());
            data.advance(count);
            self.large -= count;
            written -= count;
            if data.is_empty() {
                self.pieces.pop_front();
            }
        }
        if self.is_empty() {
            self.text.clear();
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes at a time.
    struct Narrow {
        width: usize,
        taken: Vec<u8>,
        calls: usize,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.width);
            self.taken.extend_from_slice(&bytes[..count]);
            self.calls += 1;
            Poll::Ready(Ok(count))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            parts: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            self.poll_write(cx, &all)
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn everything_leaves_in_its_order_however_little_is_taken() {
        // Text, and a piece of so many bytes behind it.
        let cases: [&[(&str, usize)]; 6] = [
            &[],
            &[("head", 0)],
            &[("head", 100), ("", 1)],
            &[("head", COPIED + 1), ("\r\n", 3), ("tail", 0)],
            &[("", COPIED + 1), ("", COPIED + 2), ("x", 0)],
            &[("a", 2 * COPIED), ("b", 3 * COPIED), ("c", 10)],
        ];
        for (number, steps) in cases.iter().enumerate() {
            for width in [1, 3, 1_000, usize::MAX] {
                let (mut out, mut expected) = (Outbox::default(), Vec::new());
                for (text, length) in *steps {
                    out.text().extend_from_slice(text.as_bytes());
                    let piece = vec![b'p'; *length];
                    expected.extend_from_slice(text.as_bytes());
                    expected.extend_from_slice(&piece);
                    out.push(piece.into());
                }
                assert_eq!(out.len(), expected.len(), "{number}");
                let mut narrow = Narrow { width, taken: Vec::new(), calls: 0 };
                let mut cx = Context::from_waker(std::task::Waker::noop());
                assert!(matches!(out.poll_write(&mut cx, &mut narrow), Poll::Ready(Ok(()))), "{number}");
                assert_eq!(narrow.taken, expected, "{number} {width}");
                assert!(out.is_empty() && out.text().is_empty(), "{number} {width}");
                if width == usize::MAX {
                    assert_eq!(narrow.calls, usize::from(!expected.is_empty()), "{number}");
                }
            }
        }
    }

    #[test]
    fn a_writer_that_takes_nothing_is_an_error() {
        let mut out = Outbox::default();
        out.push(Bytes::from_static(b"x"));
        let mut narrow = Narrow { width: 0, taken: Vec::new(), calls: 0 };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(matches!(out.poll_write(&mut cx, &mut narrow), Poll::Ready(Err(_))));
    }
}
