use std::sync::{Mutex, PoisonError};

use super::Peer;

/// Whose turn it is among contenders with a place and a weight each; none if there are none.
///
/// Smooth weighted round robin, as nginx has it: everybody's credit grows by the weight, the richest wins and pays for
/// all. Over as many calls as the weights add up to, each wins exactly as often as its weight, without bursts, and that
/// holds for all threads together. `turns` remembers the credits by place. A weight of 0 counts as 1: leave out whom
/// you do not want.
pub fn next_turn(
    turns: &Mutex<Vec<i64>>,
    contenders: impl IntoIterator<Item = (usize, u32)>,
) -> Option<usize> {
    let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
    let mut total = 0;
    let mut best: Option<usize> = None;
    for (place, weight) in contenders {
        let weight = i64::from(weight.max(1));
        if turns.len() <= place {
            turns.resize(place + 1, 0);
        }
        turns[place] += weight;
        total += weight;
        if best.is_none_or(|best| turns[place] > turns[best]) {
            best = Some(place);
        }
    }
    let best = best?;
    turns[best] -= total;
    Some(best)
}

/// The next of the contenders.
pub(super) fn pick<P: Peer>(peers: &[P], contenders: &[usize], turns: &Mutex<Vec<i64>>) -> Option<usize> {
    next_turn(turns, contenders.iter().map(|place| (*place, peers[*place].weight())))
}
