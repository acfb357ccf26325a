use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Class, Evidence};

/// Of one instance so many models are told apart; what fails beyond counts against the instance as a whole.
const MAX_MODELS: usize = 128;

/// What stands for an instance as a whole, whatever model it is asked for.
const WHOLE: &str = "";

/// When an instance is passed over for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerLimits {
    /// After so many failures in a row.
    pub failures: u32,
    /// The first of which is no older than this.
    pub within: Duration,
    /// For so long; then one request at a time finds out whether it works again.
    pub open: Duration,
    /// The longest pause that an instance can ask for (`Retry-After`).
    pub longest: Duration,
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self {
            failures: 5,
            within: Duration::from_secs(30),
            open: Duration::from_secs(10),
            longest: Duration::from_secs(300),
        }
    }
}

/// What speaks against an instance, or against one of its models. A moment is in milliseconds; see [`moment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Of the last failure.
    pub class: Class,
    /// In a row.
    pub failures: u32,
    /// The moment of the first of them.
    pub since: u64,
    /// It is open until then; none while it is closed.
    pub until: Option<u64>,
    /// A request is finding out whether it works again.
    pub is_probed: bool,
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// Requests go elsewhere, as long as there is an elsewhere.
    Open,
    /// One request at a time passes.
    HalfOpen,
}

impl BreakerState {
    /// The word in the Control API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl Breaker {
    fn new(class: Class, now: u64) -> Self {
        Self { class, failures: 0, since: now, until: None, is_probed: false }
    }

    /// How it stands at a moment.
    pub fn state(&self, now: u64) -> BreakerState {
        match self.until {
            None => BreakerState::Closed,
            Some(until) if until > now => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }

    /// Until when requests should go elsewhere; none where they may come.
    fn barred(&self, now: u64) -> Option<u64> {
        match self.state(now) {
            BreakerState::Closed => None,
            BreakerState::HalfOpen if !self.is_probed => None,
            BreakerState::Open | BreakerState::HalfOpen => self.until,
        }
    }

    fn fail(&mut self, failure: Failure, is_probe: bool, now: u64, limits: &BreakerLimits) {
        let was_open = self.state(now) == BreakerState::Open;
        if !was_open && now.saturating_sub(self.since) > millis(limits.within) && self.until.is_none() {
            (self.failures, self.since) = (0, now);
        }
        self.failures = self.failures.saturating_add(1);
        self.class = failure.class;
        if is_probe {
            self.is_probed = false;
        }
        let pause = match failure.pause {
            Some(pause) => pause.min(limits.longest),
            // What was under way when it opened tells nothing new.
            None if was_open && !is_probe => return,
            None if is_probe || self.until.is_some() || self.failures >= limits.failures => limits.open,
            None => return,
        };
        let until = now.saturating_add(millis(pause));
        self.until = Some(self.until.map_or(until, |known| known.max(until)));
    }
}

/// A failure that counts.
#[derive(Clone, Copy)]
struct Failure {
    class: Class,
    pause: Option<Duration>,
}

/// What speaks against one instance: against it as a whole, or against single models. Shared by all threads and kept from
/// one configuration to the next.
#[derive(Debug, Default)]
pub struct Breakers {
    /// How many entries there are. Almost always none, and then nobody takes the lock.
    count: AtomicUsize,
    entries: Mutex<HashMap<Box<str>, Breaker>>,
}

impl Breakers {
    /// Whether nothing speaks against the instance.
    pub fn is_clear(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Until when requests for a model should go elsewhere; none where they may come.
    pub fn barred(&self, model: &str, now: u64) -> Option<u64> {
        if self.is_clear() {
            return None;
        }
        let entries = self.lock();
        let of = |scope: &str| entries.get(scope).and_then(|breaker| breaker.barred(now));
        of(WHOLE).max(of(model))
    }

    /// A request for a model goes there. True if it finds out whether the instance works again: for the time being it is
    /// the only one, and [`Breakers::settle`] must be told.
    pub fn enter(&self, model: &str, now: u64) -> bool {
        if self.is_clear() {
            return false;
        }
        let mut entries = self.lock();
        let mut is_probe = false;
        for scope in scopes(model) {
            if let Some(breaker) =
                entries.get_mut(scope).filter(|known| known.state(now) != BreakerState::Closed)
            {
                breaker.is_probed = true;
                is_probe = true;
            }
        }
        is_probe
    }

    /// A request that finds out whether the instance works again is being answered well so far: another may follow, however
    /// long this answer takes. [`Breakers::settle`] must be told all the same.
    pub fn begun(&self, model: &str) {
        let mut entries = self.lock();
        for scope in scopes(model) {
            if let Some(breaker) = entries.get_mut(scope) {
                breaker.is_probed = false;
            }
        }
    }

    /// How a request for a model went; `is_probe` is what [`Breakers::enter`] has said.
    pub fn settle(&self, model: &str, evidence: Evidence, is_probe: bool, now: u64, limits: &BreakerLimits) {
        if self.is_clear() && !matches!(evidence, Evidence::Bad(..)) {
            return;
        }
        let mut entries = self.lock();
        if is_probe {
            for scope in scopes(model) {
                if let Some(breaker) = entries.get_mut(scope) {
                    breaker.is_probed = false;
                }
            }
        }
        match evidence {
            Evidence::Unknown => {}
            Evidence::Good => {
                // What opened in the meantime is told nothing by a request that began before.
                let stays = |breaker: &Breaker| !is_probe && breaker.state(now) != BreakerState::Closed;
                for scope in scopes(model) {
                    if entries.get(scope).is_some_and(|breaker| !stays(breaker)) {
                        entries.remove(scope);
                    }
                }
            }
            Evidence::Bad(class, pause) => {
                let scope = scope(&mut entries, class, model, now, limits);
                let breaker = entries.entry(scope.into()).or_insert_with(|| Breaker::new(class, now));
                breaker.fail(Failure { class, pause }, is_probe, now, limits);
            }
        }
        self.count.store(entries.len(), Ordering::Relaxed);
    }

    /// All that speaks against the instance, by model; the empty name stands for it as a whole.
    pub fn all(&self) -> Vec<(Box<str>, Breaker)> {
        let mut all: Vec<_> = self.lock().iter().map(|(model, breaker)| (model.clone(), *breaker)).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Breaker>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a failure speaks against. The way is the same for all models; a credential may be good for some of them, and it may
/// be the client who has named another.
fn scope<'m>(
    entries: &mut HashMap<Box<str>, Breaker>,
    class: Class,
    model: &'m str,
    now: u64,
    limits: &BreakerLimits,
) -> &'m str {
    if class == Class::Network {
        return WHOLE;
    }
    if entries.len() >= MAX_MODELS && !entries.contains_key(model) {
        // One that has long been half-open is about a model that nobody asks for any more.
        let is_of_use = |breaker: &Breaker| {
            now.saturating_sub(breaker.until.unwrap_or(breaker.since)) <= millis(limits.within)
        };
        entries.retain(|_, breaker| is_of_use(breaker));
    }
    if entries.len() >= MAX_MODELS && !entries.contains_key(model) { WHOLE } else { model }
}

/// What a request for a model depends on.
fn scopes(model: &str) -> impl Iterator<Item = &str> {
    [WHOLE, model].into_iter().take(if model == WHOLE { 1 } else { 2 })
}

/// Milliseconds since the first call.
pub fn moment() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    millis(START.elapsed())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
