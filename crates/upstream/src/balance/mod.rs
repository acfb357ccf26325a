//! Which of several takes a request: the nodes of an upstream, or the instances of an AI service.
//!
//! - `round_robin.rs`: [`next_turn`], smooth weighted round robin, exact across all threads.
//! - `chash.rs`: consistent hashing on a ring.
//! - `least_conn.rs`: the fewest open requests for the weight.
//! - `ewma.rs`: the faster of two.
//! - `member.rs`: [`choose_member`], the same among AI instances, of which some are passed over for a while.

mod chash;
mod ewma;
mod least_conn;
mod member;
mod round_robin;
#[cfg(test)]
mod tests;

use a6_snapshot::{Balancer, BalancerState, Node, NodeState, Upstream};

pub use self::member::choose_member;
pub use self::round_robin::next_turn;

/// One of those to choose from.
pub trait Peer {
    /// What it is known by to a consistent hash: the same name gets the same requests.
    fn name(&self) -> &str;

    /// Its share of the requests among all weights; 0 is for when nobody else is left.
    fn weight(&self) -> u32;

    /// Peers of a lower priority are for when all of a higher one have been tried.
    fn priority(&self) -> i64;

    /// What requests have found out about it.
    fn state(&self) -> &NodeState;
}

impl Peer for Node {
    fn name(&self) -> &str {
        &self.address
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

/// Why none was chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickError {
    /// There are none.
    #[error("the upstream has no nodes")]
    NoNodes,
    /// This request has tried all of them.
    #[error("every usable node of the upstream has been tried")]
    AllTried,
    /// There are several, and nobody knows the way to choose.
    #[error("the upstream's type {0:?} is unknown; use roundrobin, chash, ewma or least_conn")]
    UnknownType(Box<str>),
}

/// Chooses a node of an upstream; see [`choose`].
///
/// # Errors
/// None can be chosen.
pub fn pick(
    upstream: &Upstream,
    hash_key: &mut dyn FnMut() -> Option<String>,
    tried: &[usize],
) -> Result<usize, PickError> {
    choose(&upstream.balancer, &upstream.nodes, &upstream.state, hash_key, tried)
}

/// Chooses one of the peers, whose places in the slice are given back and taken as `tried`. `state` belongs to these
/// peers; `hash_key` is asked only if the balancer hashes something.
///
/// # Errors
/// None can be chosen.
pub fn choose<P: Peer>(
    balancer: &Balancer,
    peers: &[P],
    state: &BalancerState,
    hash_key: &mut dyn FnMut() -> Option<String>,
    tried: &[usize],
) -> Result<usize, PickError> {
    match (peers, tried) {
        ([], _) => return Err(PickError::NoNodes),
        ([_], []) => return Ok(0),
        // The usual case, which needs no list of contenders.
        (_, []) if matches!(balancer, Balancer::RoundRobin) && all_contend(peers) => {
            let turn = next_turn(&state.turns, peers.iter().map(Peer::weight).enumerate());
            return turn.ok_or(PickError::AllTried);
        }
        _ => {}
    }
    let contenders = contenders(peers, tried);
    let picked = match balancer {
        Balancer::Unknown(name) if peers.len() > 1 => return Err(PickError::UnknownType(name.clone())),
        // With one contender every balancer comes to the same result, and none has to remember it.
        _ if contenders.len() < 2 => contenders.first().copied(),
        Balancer::ConsistentHash(_) => {
            chash::pick(peers, &contenders, &state.ring, &hash_key().unwrap_or_default())
        }
        Balancer::LeastConnections => least_conn::pick(peers, &contenders, &state.turns),
        Balancer::Ewma => ewma::pick(peers, &contenders),
        Balancer::RoundRobin | Balancer::Unknown(_) => round_robin::pick(peers, &contenders, &state.turns),
    };
    picked.ok_or(PickError::AllTried)
}

/// Whether everybody may be chosen: healthy, of one priority, and with a weight.
fn all_contend<P: Peer>(peers: &[P]) -> bool {
    let Some(priority) = peers.first().map(Peer::priority) else { return false };
    let contends =
        |peer: &P| peer.weight() > 0 && peer.priority() == priority && peer.state().health.is_healthy();
    peers.iter().all(contends)
}

/// The places, in order, of those that may be chosen: the healthy ones, or all if none is healthy; of them those that
/// were not tried; of them those of the highest priority; of them those with a weight, or all if none has one.
fn contenders<P: Peer>(peers: &[P], tried: &[usize]) -> Vec<usize> {
    let mut found = Vec::with_capacity(peers.len());
    let (mut best, mut any_healthy) = (None, false);
    for (place, peer) in peers.iter().enumerate() {
        let is_healthy = peer.state().health.is_healthy();
        any_healthy |= is_healthy;
        if tried.contains(&place) {
            continue;
        }
        let rank = Some((is_healthy, peer.priority(), peer.weight() > 0));
        if rank > best {
            best = rank;
            found.clear();
        }
        if rank == best {
            found.push(place);
        }
    }
    // Who is unhealthy is for when nobody is healthy, not for when those have been tried.
    if any_healthy && best.is_some_and(|(is_healthy, ..)| !is_healthy) {
        found.clear();
    }
    found
}
