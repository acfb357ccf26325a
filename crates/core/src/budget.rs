use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes that bodies may occupy at one time, shared by all threads of the data plane.
///
/// Past the limit a request is refused with 503 and `Retry-After`: better one refused request than an
/// out-of-memory kill that ends them all.
#[derive(Clone, Debug)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { shared: Arc::new(Shared { limit, used: AtomicU64::new(0) }) }
    }

    /// How many bytes there are in all.
    pub fn limit(&self) -> u64 {
        self.shared.limit
    }

    /// Bytes reserved now.
    pub fn used(&self) -> u64 {
        self.shared.used.load(Ordering::Relaxed)
    }

    /// An empty reservation, to be grown as bytes arrive; it gives everything back when dropped.
    pub fn reservation(&self) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0 }
    }

    fn take(&self, bytes: u64) -> bool {
        self.shared
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.shared.limit)
            })
            .is_ok()
    }
}

/// Bytes held against a [`Budget`].
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    bytes: u64,
}

impl Reservation {
    /// Reserves `more` bytes; false, and nothing reserved, where the budget does not hold them.
    #[must_use]
    pub fn grow(&mut self, more: u64) -> bool {
        let granted = self.budget.take(more);
        if granted {
            self.bytes += more;
        }
        granted
    }

    /// How many bytes are reserved.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back what is reserved beyond so many bytes.
    pub fn shrink_to(&mut self, bytes: u64) {
        let beyond = self.bytes.saturating_sub(bytes);
        self.budget.shared.used.fetch_sub(beyond, Ordering::Relaxed);
        self.bytes -= beyond;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.shared.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_up_to_the_limit_and_takes_back_on_drop() {
        let budget = Budget::new(100);
        let mut first = budget.reservation();
        let mut second = budget.reservation();
        assert!(first.grow(60) && second.grow(40));
        assert!(!second.grow(1), "the budget is full");
        assert!(!second.grow(u64::MAX), "no overflow");
        drop(first);
        assert_eq!(budget.used(), 40);
        assert!(second.grow(60));
        second.shrink_to(100);
        assert_eq!(budget.used(), 100);
        second.shrink_to(30);
        assert_eq!((budget.used(), second.bytes()), (30, 30));
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
