use a6_snapshot::{Group, Member, NodeState, moment};

use super::{Peer, choose};

impl Peer for Member {
    fn name(&self) -> &str {
        &self.instance.name
    }

    fn weight(&self) -> u32 {
        self.weight
    }

    fn priority(&self) -> i64 {
        self.priority
    }

    fn state(&self) -> &NodeState {
        &self.state
    }
}

/// Chooses a member of a group for a request that names a model; gives its place, as `tried` has places. Those whose
/// breaker is open come last, whatever their priority is: of them the one that opens again first.
pub fn choose_member(
    group: &Group,
    model: Option<&str>,
    hash_key: &mut dyn FnMut() -> Option<String>,
    tried: &[usize],
) -> Option<usize> {
    let mut among = |left_out: &[usize]| {
        choose(&group.balancer, &group.members, &group.state, &mut *hash_key, left_out).ok()
    };
    let barred = barred(group, model, tried);
    if barred.is_empty() {
        return among(tried);
    }
    let left_out: Vec<usize> = tried.iter().copied().chain(barred.iter().map(|(place, _)| *place)).collect();
    among(&left_out).or_else(|| least_bad(group, &barred))
}

/// Whose breakers are open, and until when, of those that were not tried.
fn barred(group: &Group, model: Option<&str>, tried: &[usize]) -> Vec<(usize, u64)> {
    if group.breaker.is_none() || group.members.iter().all(|member| member.breakers.is_clear()) {
        return Vec::new();
    }
    let now = moment();
    let members = group.members.iter().enumerate().filter(|(place, _)| !tried.contains(place));
    members
        .filter_map(|(place, member)| {
            member.breakers.barred(member.model_for(model), now).map(|until| (place, until))
        })
        .collect()
}

fn least_bad(group: &Group, barred: &[(usize, u64)]) -> Option<usize> {
    let badness = |(place, until): &&(usize, u64)| {
        (group.members.get(*place).is_some_and(|member| !member.state.health.is_healthy()), *until)
    };
    barred.iter().min_by_key(badness).map(|(place, _)| *place)
}
