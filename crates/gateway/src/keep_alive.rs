use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

/// A comment, which no client takes for an event.
const COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// A sign of life for the client of a stream whose upstream is silent.
pub(crate) struct KeepAlive {
    every: Duration,
    timer: Pin<Box<Sleep>>,
}

impl KeepAlive {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, timer: Box::pin(tokio::time::sleep(every)) }
    }

    /// The upstream has sent something.
    pub(crate) fn heard(&mut self) {
        let next = Instant::now() + self.every;
        self.timer.as_mut().reset(next);
    }

    /// The next sign, once the upstream has been silent for long enough.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        ready!(self.timer.as_mut().poll(cx));
        self.heard();
        Poll::Ready(COMMENT)
    }
}
