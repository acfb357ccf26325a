use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Finding, Limits};

/// What health checks have found out about one node. Healthy until found otherwise.
#[derive(Debug, Default)]
pub struct Health {
    /// For the road of a request, which must not wait for the lock.
    is_unhealthy: AtomicBool,
    tally: Mutex<Tally>,
}

/// Results of the same kind, counted since the last of the opposite kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    is_unhealthy: bool,
    /// Successes of an unhealthy node.
    pub successes: u32,
    /// Answers of a healthy node that had a bad status.
    pub http_failures: u32,
    /// Connections to a healthy node that failed.
    pub tcp_failures: u32,
    /// Timeouts of a healthy node.
    pub timeouts: u32,
}

/// How a node stands, in APISIX's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It gets requests.
    Healthy,
    /// It gets requests, and something has failed lately.
    MostlyHealthy,
    /// It gets none unless all are like that, and something has succeeded lately.
    MostlyUnhealthy,
    /// It gets none unless all are like that.
    Unhealthy,
}

impl Health {
    /// False once checks have given it up.
    pub fn is_healthy(&self) -> bool {
        !self.is_unhealthy.load(Ordering::Relaxed)
    }

    /// Counts a result. Gives the new state if the node has just become healthy (true) or unhealthy (false).
    pub fn report(&self, finding: Finding, limits: &Limits) -> Option<bool> {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = tally.count(finding, limits);
        if let Some(is_healthy) = changed {
            self.is_unhealthy.store(!is_healthy, Ordering::Relaxed);
        }
        changed
    }

    /// Forgets all results: nobody checks it any more.
    pub fn reset(&self) {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner) = Tally::default();
        self.is_unhealthy.store(false, Ordering::Relaxed);
    }

    /// What has been counted.
    pub fn tally(&self) -> Tally {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    /// How the node stands.
    pub fn verdict(&self) -> Verdict {
        let failures = self.http_failures + self.tcp_failures + self.timeouts;
        match (self.is_unhealthy, failures, self.successes) {
            (false, 0, _) => Verdict::Healthy,
            (false, ..) => Verdict::MostlyHealthy,
            (true, _, 0) => Verdict::Unhealthy,
            (true, ..) => Verdict::MostlyUnhealthy,
        }
    }

    fn count(&mut self, finding: Finding, limits: &Limits) -> Option<bool> {
        let (count, limit) = match (finding, self.is_unhealthy) {
            (Finding::Success, true) => (&mut self.successes, limits.successes),
            (Finding::HttpFailure, false) => (&mut self.http_failures, limits.http_failures),
            (Finding::TcpFailure, false) => (&mut self.tcp_failures, limits.tcp_failures),
            (Finding::Timeout, false) => (&mut self.timeouts, limits.timeouts),
            // It agrees with the verdict: what spoke against it is over.
            (Finding::Success, false) | (_, true) => {
                *self = Self { is_unhealthy: self.is_unhealthy, ..Self::default() };
                return None;
            }
        };
        if limit == 0 {
            return None;
        }
        *count += 1;
        if *count < limit {
            return None;
        }
        *self = Self { is_unhealthy: !self.is_unhealthy, ..Self::default() };
        Some(!self.is_unhealthy)
    }
}

impl Verdict {
    /// The word in the Control API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::MostlyHealthy => "mostly_healthy",
            Self::MostlyUnhealthy => "mostly_unhealthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}
