use std::sync::atomic::{AtomicU64, Ordering};

/// What one data thread has to do with clients. Nobody else writes to it, so that its cache line stays where it is.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Traffic {
    accepted: AtomicU64,
    open: AtomicU64,
    requests: AtomicU64,
    in_flight: AtomicU64,
}

/// The same of all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    /// Connections since the start.
    pub(super) accepted: u64,
    /// Connections now.
    pub(super) open: u64,
    /// Requests since the start.
    pub(super) requests: u64,
    /// Requests between their head and the end of their answer.
    pub(super) in_flight: u64,
}

impl Traffic {
    /// A connection is here.
    pub fn connect(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection is over.
    pub fn disconnect(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// A request's head is here.
    pub fn enter(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// A request is over.
    pub fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Adds what this thread has to that of others.
    pub(super) fn add_to(&self, total: &mut Total) {
        total.accepted += self.accepted.load(Ordering::Relaxed);
        total.open += self.open.load(Ordering::Relaxed);
        total.requests += self.requests.load(Ordering::Relaxed);
        total.in_flight += self.in_flight.load(Ordering::Relaxed);
    }
}
