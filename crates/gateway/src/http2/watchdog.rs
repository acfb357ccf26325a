use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use a6_snapshot::Plugin;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::body::{Aborted, AnswerBody};

/// The answers of one connection. hyper asks an answer for more only when the client has room for it, so that a client
/// that gives none would keep its upstream for as long as it likes. Here it loses the answer.
pub(super) struct Watchdog<P: Plugin> {
    /// Half the time that a client has: an answer is taken away at the third look in vain.
    tick: Duration,
    ticks: Cell<u64>,
    answers: RefCell<Vec<Weak<Slot<P>>>>,
    runs: Cell<bool>,
}

/// An answer that hyper may be asking for, or not.
struct Slot<P: Plugin> {
    /// Taken out where the client did not take it.
    body: RefCell<Option<AnswerBody<P>>>,
    /// The tick since which the client has been waited for; none while the upstream is.
    waits_since: Cell<Option<u64>>,
}

/// A body that its watchdog can take away.
pub(super) struct Watched<P: Plugin> {
    slot: Rc<Slot<P>>,
    dog: Rc<Watchdog<P>>,
}

impl<P: Plugin> Watchdog<P> {
    /// For clients that may leave an answer alone for `limit`, or half as long again.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            tick: (limit / 2).max(Duration::from_millis(1)),
            ticks: Cell::new(0),
            answers: RefCell::default(),
            runs: Cell::new(false),
        }
    }

    /// Keeps an eye on an answer from now on.
    pub(super) fn watch(self: &Rc<Self>, body: AnswerBody<P>) -> Watched<P> {
        let waits_since = Cell::new(Some(self.ticks.get()));
        let slot = Rc::new(Slot { body: RefCell::new(Some(body)), waits_since });
        self.answers.borrow_mut().push(Rc::downgrade(&slot));
        if !self.runs.replace(true) {
            tokio::task::spawn_local(self.clone().run());
        }
        Watched { slot, dog: self.clone() }
    }

    /// Ends with the last answer, so that an idle connection has no timer.
    async fn run(self: Rc<Self>) {
        while !self.answers.borrow().is_empty() {
            tokio::time::sleep(self.tick).await;
            self.look();
        }
        self.runs.set(false);
    }

    fn look(&self) {
        let now = self.ticks.get() + 1;
        self.ticks.set(now);
        let mut late = Vec::new();
        self.answers.borrow_mut().retain(|answer| {
            let Some(slot) = answer.upgrade() else { return false };
            let is_late = slot.waits_since.get().is_some_and(|since| now - since > 2);
            if is_late {
                late.push(slot);
            }
            !is_late
        });
        // Dropped where nothing of ours is borrowed: with it goes the request's settlement.
        let taken: Vec<_> = late.iter().map(|slot| slot.body.borrow_mut().take()).collect();
        drop(taken);
    }
}

impl<P: Plugin> Body for Watched<P> {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let mut body = self.slot.body.borrow_mut();
        let Some(body) = body.as_mut() else { return Poll::Ready(Some(Err(Aborted))) };
        let polled = Pin::new(body).poll_frame(cx);
        self.slot.waits_since.set(polled.is_ready().then(|| self.dog.ticks.get()));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.slot.body.borrow().as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.slot.body.borrow().as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
