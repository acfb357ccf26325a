use std::cmp::Ordering;
use std::sync::Mutex;

use super::{Peer, next_turn};

/// The contender with the fewest requests for its weight, this one counted. Those who are equal take turns.
pub(super) fn pick<P: Peer>(peers: &[P], contenders: &[usize], turns: &Mutex<Vec<i64>>) -> Option<usize> {
    let mut least: Vec<(usize, u32)> = Vec::new();
    let mut lowest = (0, 0);
    for place in contenders {
        let weight = peers[*place].weight();
        let load = (u64::from(peers[*place].state().in_flight()) + 1, u64::from(weight.max(1)));
        let order = if least.is_empty() { Ordering::Less } else { compare(load, lowest) };
        if order.is_lt() {
            lowest = load;
            least.clear();
        }
        if order.is_le() {
            least.push((*place, weight));
        }
    }
    if let [(only, _)] = least[..] {
        return Some(only);
    }
    next_turn(turns, least)
}

/// Compares requests per weight without dividing.
fn compare((requests, weight): (u64, u64), (other_requests, other_weight): (u64, u64)) -> Ordering {
    (requests * other_weight).cmp(&(other_requests * weight))
}
