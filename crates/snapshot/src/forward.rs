use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};

use crate::Upstream;

/// Where an ordinary request goes.
#[derive(Clone, Debug, Default)]
pub struct Forward {
    /// The route's upstream; none if it has none.
    pub upstream: Option<Arc<UpstreamSlot>>,
    /// The route's own limits, instead of the upstream's.
    pub timeouts: Option<Timeouts>,
    /// Whether a client may change to another protocol, such as WebSocket.
    pub allows_upgrade: bool,
}

/// Three time limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// Between two writes.
    pub send: Duration,
    /// Between two reads.
    pub read: Duration,
}

/// An upstream as routes refer to it: a change of the upstream reaches all its routes at once, and costs nothing for
/// each of them.
#[derive(Debug, Default)]
pub struct UpstreamSlot(ArcSwapOption<Upstream>);

impl UpstreamSlot {
    /// The upstream; none if it does not exist.
    pub fn get(&self) -> Guard<Option<Arc<Upstream>>> {
        self.0.load()
    }

    /// A slot that holds this one.
    pub fn holding(upstream: Upstream) -> Self {
        let slot = Self::default();
        slot.set(Some(upstream));
        slot
    }

    pub(crate) fn set(&self, upstream: Option<Upstream>) {
        self.0.store(upstream.map(Arc::new));
    }
}

/// The slots of all upstreams that have an id, those included that are only referred to.
#[derive(Debug, Default)]
pub struct UpstreamSlots(Mutex<HashMap<String, Arc<UpstreamSlot>>>);

impl UpstreamSlots {
    /// The slot of an id. It is empty until an upstream of that id exists.
    pub fn of(&self, id: &str) -> Arc<UpstreamSlot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(id.to_string()).or_default().clone()
    }

    /// Forgets an id that nobody refers to.
    pub(crate) fn forget(&self, id: &str) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.get(id).is_some_and(|slot| Arc::strong_count(slot) == 1) {
            slots.remove(id);
        }
    }
}
