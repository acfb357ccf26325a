use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::StatusCode;

use crate::{Balancer, BalancerState, BreakerLimits, Breakers, Checked, Exchange, Instance, NodeState};

/// Several instances of providers, one of which takes a request, and the others when it fails.
#[derive(Debug)]
pub struct Group {
    /// The resource that it is written on, such as `/routes/1`.
    pub owner: Arc<str>,
    /// Those to choose from, in the order of the configuration.
    pub members: Box<[Member]>,
    /// How one is chosen.
    pub balancer: Balancer,
    /// What balancing remembers.
    pub state: Arc<BalancerState>,
    /// When another is tried.
    pub fallback: Fallback,
    /// When one is passed over for a while; none if that is switched off.
    pub breaker: Option<BreakerLimits>,
}

/// An instance as one of several.
#[derive(Debug)]
pub struct Member {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Its share of the requests among all weights.
    pub weight: u32,
    /// Members of a lower priority are for when none of a higher one is left.
    pub priority: i64,
    /// The model that the configuration asks it for; none where the client says which.
    pub model: Option<Box<str>>,
    /// What health checks and requests have found out about it.
    pub state: Arc<NodeState>,
    /// What requests have found to speak against it.
    pub breakers: Arc<Breakers>,
    /// How it is checked; none if it is not.
    pub checked: Option<Arc<Checked>>,
    /// Stands for its address and its credentials: with another one it is another instance, whatever its name.
    pub identity: u64,
}

impl Member {
    /// The model that a request asks it for, as far as the breaker tells models apart.
    pub fn model_for<'a>(&'a self, asked: Option<&'a str>) -> &'a str {
        self.model.as_deref().or(asked).unwrap_or_default()
    }
}

/// When a request that has failed goes to another instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fallback {
    /// An instance whose quota is used up is not asked at all.
    pub asks_quota: bool,
    /// After status 429.
    pub on_429: bool,
    /// After a status from 500 on, and where no answer came.
    pub on_5xx: bool,
    /// After these statuses.
    pub statuses: Box<[u16]>,
    /// Additional attempts, at most.
    pub max_retries: Option<u32>,
    /// Only if the attempt failed within this time.
    pub within: Option<Duration>,
    /// Where an instance has not answered after so long, another is asked beside it.
    pub hedge_after: Option<Duration>,
}

impl Fallback {
    /// Whether there is anything after which another instance is asked.
    pub fn is_any(&self) -> bool {
        self.on_429 || self.on_5xx || !self.statuses.is_empty()
    }

    /// Whether another instance may do better after this status, or after a fault that stands for it.
    pub fn covers(&self, status: StatusCode) -> bool {
        (self.on_429 && status == StatusCode::TOO_MANY_REQUESTS)
            || (self.on_5xx && status.is_server_error())
            || self.statuses.contains(&status.as_u16())
    }

    /// Whether an attempt that took so long, after so many retries, may be followed by another.
    pub fn allows(&self, took: Duration, retries: usize) -> bool {
        self.within.is_none_or(|within| took <= within)
            && self.max_retries.is_none_or(|most| retries < usize::try_from(most).unwrap_or(usize::MAX))
    }
}

/// Whoever counts what instances may still be asked for, such as `ai-rate-limiting`. It leaves itself in
/// [`crate::Plan::quotas`] in its access phase, which comes after that of the plugin that left the plan.
pub trait Quotas: fmt::Debug + Send + Sync {
    /// Whether an instance must not be asked, since its quota is used up. Asked for each instance whose turn it is; it may
    /// note in the exchange what it has found.
    fn is_exhausted<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        instance: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + 'a>>;
}

/// All groups in force. What is known of an instance goes by it from one configuration to the next. Clones are the same
/// registry.
#[derive(Clone, Debug, Default)]
pub struct GroupRegistry(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    groups: HashMap<Arc<str>, Vec<Weak<Group>>>,
    /// With so many owners, those that are gone are looked for.
    sweep_at: usize,
}

/// Owners that may be gone without being looked for.
const FEW: usize = 64;

impl GroupRegistry {
    /// Enters a group, as long as somebody else holds it.
    pub fn add(&self, group: &Arc<Group>) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_owner = entries.groups.entry(group.owner.clone()).or_default();
        of_owner.retain(|known| known.strong_count() > 0);
        of_owner.push(Arc::downgrade(group));
        if entries.groups.len() > entries.sweep_at.max(FEW) {
            entries.groups.retain(|_, groups| groups.iter().any(|group| group.strong_count() > 0));
            entries.sweep_at = entries.groups.len() * 2;
        }
    }

    /// The newest group of an owner.
    pub fn of(&self, owner: &str) -> Option<Arc<Group>> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.groups.get(owner)?.iter().rev().find_map(Weak::upgrade)
    }

    /// The newest group of each owner, in the order of their names.
    pub fn all(&self) -> Vec<Arc<Group>> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = |groups: &Vec<Weak<Group>>| groups.iter().rev().find_map(Weak::upgrade);
        let mut all: Vec<_> = entries.groups.values().filter_map(newest).collect();
        drop(entries);
        all.sort_by(|a, b| a.owner.cmp(&b.owner));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(owner: &str) -> Arc<Group> {
        Arc::new(Group {
            owner: owner.into(),
            members: Box::default(),
            balancer: Balancer::RoundRobin,
            state: Arc::default(),
            fallback: Fallback::default(),
            breaker: None,
        })
    }

    #[test]
    fn the_newest_group_of_an_owner_counts_while_somebody_holds_it() {
        let registry = GroupRegistry::default();
        let (first, other) = (group("/routes/1"), group("/routes/2"));
        registry.add(&first);
        registry.add(&other);
        let second = group("/routes/1");
        registry.add(&second);
        assert!(Arc::ptr_eq(&registry.of("/routes/1").unwrap(), &second));
        assert_eq!(registry.all().len(), 2);
        // A configuration that was not taken into force leaves the one before.
        drop(second);
        assert!(Arc::ptr_eq(&registry.of("/routes/1").unwrap(), &first));
        drop((first, other));
        assert!(registry.of("/routes/1").is_none() && registry.all().is_empty());
    }

    #[test]
    fn owners_that_are_gone_leave_nothing_behind() {
        let registry = GroupRegistry::default();
        for number in 0..1_000 {
            registry.add(&group(&format!("/routes/{number}")));
        }
        assert!(registry.0.lock().unwrap().groups.len() <= FEW + 1);
    }

    #[test]
    fn a_failure_goes_elsewhere_where_the_configuration_says_so() {
        let code = |status| StatusCode::from_u16(status).unwrap();
        let of = |on_429, on_5xx, statuses: &[u16]| Fallback {
            on_429,
            on_5xx,
            statuses: statuses.into(),
            ..Fallback::default()
        };
        let cases = [
            (of(false, false, &[]), [false, false, false, false]),
            (of(true, false, &[]), [false, true, false, false]),
            (of(false, true, &[]), [false, false, true, true]),
            (of(false, false, &[401, 503]), [true, false, false, true]),
        ];
        for (fallback, expected) in cases {
            let found = [401, 429, 500, 503].map(|status| fallback.covers(code(status)));
            assert_eq!(found, expected, "{fallback:?}");
        }
        let bounded =
            Fallback { max_retries: Some(1), within: Some(Duration::from_millis(5)), ..Fallback::default() };
        let cases = [(5, 0, true), (6, 0, false), (5, 1, false)];
        for (took, retries, expected) in cases {
            assert_eq!(bounded.allows(Duration::from_millis(took), retries), expected, "{took} {retries}");
        }
        assert!(Fallback::default().allows(Duration::MAX, usize::MAX));
        assert!(!Fallback { max_retries: Some(0), ..Fallback::default() }.allows(Duration::ZERO, 0));
    }
}
