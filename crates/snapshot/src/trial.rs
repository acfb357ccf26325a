use std::sync::Arc;
use std::time::Duration;

use crate::{Evidence, Group, InFlight, Member, moment};

/// A request that a member of a group has. It counts as under way until this is dropped; then the breaker is told how it
/// went, and if nobody has said it, that nobody knows.
#[derive(Debug)]
pub struct Trial {
    group: Arc<Group>,
    place: usize,
    /// None where the configuration says which.
    model: Option<Box<str>>,
    is_probe: bool,
    evidence: Evidence,
    _in_flight: InFlight,
}

impl Trial {
    /// A request for a model goes to the member at a place; none if there is no such member.
    pub fn begin(group: &Arc<Group>, place: usize, asked: Option<&str>) -> Option<Self> {
        let member = group.members.get(place)?;
        let has_breaker = group.breaker.is_some();
        let is_probe = has_breaker && member.breakers.enter(member.model_for(asked), moment());
        Some(Self {
            group: group.clone(),
            place,
            model: asked.filter(|_| has_breaker && member.model.is_none()).map(Box::from),
            is_probe,
            evidence: Evidence::Unknown,
            _in_flight: member.state.enter(),
        })
    }

    fn member(&self) -> Option<&Member> {
        self.group.members.get(self.place)
    }

    /// Whether the configuration holds a credential for the member: else the caller's own is the one that may be refused.
    pub fn has_credentials(&self) -> bool {
        self.member().is_none_or(|member| member.instance.has_credentials)
    }

    /// Says how it went, as far as it is known now. The last word counts.
    pub fn judge(&mut self, evidence: Evidence) {
        self.evidence = evidence;
    }

    /// It is being answered well so far. If it is the one that finds out whether the instance works again, the next may
    /// come: the answer may be a long one, or its client slow.
    pub fn begun(&self) {
        if let Some(member) = self.member().filter(|_| self.is_probe) {
            member.breakers.begun(member.model_for(self.model.as_deref()));
        }
    }

    /// Tells how long the first token took, or how long nobody sent one.
    pub fn observe(&self, latency: Duration) {
        if let Some(member) = self.member() {
            member.state.observe(latency);
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let (Some(limits), Some(member)) = (&self.group.breaker, self.member()) {
            let model = member.model_for(self.model.as_deref());
            member.breakers.settle(model, self.evidence, self.is_probe, moment(), limits);
        }
    }
}
