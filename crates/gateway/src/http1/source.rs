use std::pin::Pin;
use std::task::{Context, Poll, ready};

use a6_snapshot::{BodyError, BodyPiece, BodySource};
use bytes::{BufMut, BytesMut};
use tokio_util::io::poll_read_buf;

use super::connection::{Connection, Core};

/// What is reserved for a body at once: what is announced may never come.
const MAX_RESERVE: usize = 4 << 20;

impl BodySource for Connection {
    fn poll_data(&self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<Result<BodyPiece, BodyError>> {
        let core = &mut *self.core.borrow_mut();
        loop {
            core.skip_framing().map_err(|_| BodyError::Malformed)?;
            if core.decoder.is_done() {
                return Poll::Ready(Ok(BodyPiece::End));
            }
            if let Some(piece) = core.take_piece() {
                // The end may be here as well. What is malformed is told when more is asked for.
                let _ = core.skip_framing();
                return Poll::Ready(Ok(BodyPiece::Taken(piece.freeze())));
            }
            if core.is_at_end || ready!(core.poll_interim(cx)).is_err() {
                return Poll::Ready(Err(BodyError::Gone));
            }
            if core.decoder.has_length() {
                return core.poll_straight(cx, into);
            }
            if !matches!(ready!(core.poll_fill(cx)), Ok(1..)) {
                core.is_at_end = true;
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        let decoder = &self.core.borrow().decoder;
        decoder.has_length().then(|| decoder.data())
    }

    fn is_end(&self) -> bool {
        self.core.borrow().decoder.is_done()
    }
}

impl Core {
    /// Reads of a body with a length what the kernel has, straight to where it stays.
    fn poll_straight(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut BytesMut,
    ) -> Poll<Result<BodyPiece, BodyError>> {
        let left = usize::try_from(self.decoder.data()).unwrap_or(usize::MAX);
        if into.capacity() == into.len() {
            into.reserve(left.min(MAX_RESERVE) + 1);
        }
        let before = into.len();
        // One byte more than is left: a read that does not fill its buffer shows that the kernel has no more, which
        // saves the read that would ask.
        let mut room = BufMut::limit(&mut *into, left.saturating_add(1));
        let Ok(count @ 1..) = ready!(poll_read_buf(Pin::new(&mut self.socket), cx, &mut room)) else {
            self.is_at_end = true;
            return Poll::Ready(Err(BodyError::Gone));
        };
        if count > left {
            // The first byte of the next request.
            self.buffer.extend_from_slice(&into[before + left..]);
            into.truncate(before + left);
        }
        let count = count.min(left);
        self.decoder.passed(count as u64);
        Poll::Ready(Ok(BodyPiece::Appended(count)))
    }
}
