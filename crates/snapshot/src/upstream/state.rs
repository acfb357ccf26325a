use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::Health;

/// In this time a measured latency loses all but 1/e of its weight.
const DECAY_MS: f32 = 10_000.0;

/// What the balancers of one upstream remember, shared by all threads. Which of it is used depends on the balancer.
#[derive(Debug, Default)]
pub struct BalancerState {
    /// By place of the node: how far it is behind its share, for smooth weighted round robin. It grows as needed.
    pub turns: Mutex<Vec<i64>>,
    /// A consistent hash's points with the place of the node that each belongs to, in order. The first request that
    /// needs it makes it.
    pub ring: OnceLock<Box<[(u32, u32)]>>,
}

/// What requests and health checks have found out about one node, shared by all threads and kept from one
/// configuration to the next.
#[derive(Debug, Default)]
pub struct NodeState {
    /// What health checks have found.
    pub health: Health,
    in_flight: AtomicU32,
    /// Moment of the last observation in ms since the start (upper half) and moving average in seconds as an `f32`
    /// (lower half): one word, so that they always belong together. 0 before the first observation.
    latency: AtomicU64,
}

impl NodeState {
    /// Counts a request until the guard is dropped.
    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// How many requests it has right now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Tells how long a request took.
    pub fn observe(&self, latency: Duration) {
        self.observe_at(latency, now_ms());
    }

    /// The moving average of the latency in seconds, less the longer ago the last request was; 0 before the first.
    pub fn latency(&self) -> f32 {
        self.latency_at(now_ms())
    }

    pub(super) fn observe_at(&self, latency: Duration, now: u32) {
        let change = |word: u64| {
            let (last, average) = unpack(word);
            let kept = if word == 0 { 0.0 } else { decay(last, now) };
            let average = average * kept + latency.as_secs_f32() * (1.0 - kept);
            Some(u64::from(now) << 32 | u64::from(average.to_bits()))
        };
        // It cannot fail, since there is always a change.
        let _ = self.latency.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    pub(super) fn latency_at(&self, now: u32) -> f32 {
        let (last, average) = unpack(self.latency.load(Ordering::Relaxed));
        average * decay(last, now)
    }
}

/// A request that a node has; dropping it says that the request is over.
#[derive(Debug)]
pub struct InFlight(Arc<NodeState>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn unpack(word: u64) -> (u32, f32) {
    ((word >> 32) as u32, f32::from_bits(word as u32))
}

/// What is left of an average between two moments.
fn decay(last: u32, now: u32) -> f32 {
    // Another thread may have read the clock a little later. The clock begins anew after 49 days.
    let passed = now.wrapping_sub(last).cast_signed().max(0);
    (-(passed as f32) / DECAY_MS).exp()
}

fn now_ms() -> u32 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_millis() as u32
}
