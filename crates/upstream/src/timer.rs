use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// Fires when nothing has happened for a while.
///
/// Progress only notes the time: the timer itself is moved when it fires, not at every event of a stream.
#[derive(Debug)]
pub struct IdleTimer {
    sleep: Option<Pin<Box<Sleep>>>,
    limit: Duration,
    last: Instant,
}

impl Default for IdleTimer {
    fn default() -> Self {
        Self::new()
    }
}

impl IdleTimer {
    /// A timer that never fires until it is armed.
    pub fn new() -> Self {
        Self { sleep: None, limit: Duration::ZERO, last: Instant::now() }
    }

    /// From now on, `limit` may pass without progress.
    pub fn arm(&mut self, limit: Duration) {
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

    /// Something happened.
    pub fn progress(&mut self) {
        self.last = Instant::now();
    }

    /// Ready once the limit has passed without progress.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
