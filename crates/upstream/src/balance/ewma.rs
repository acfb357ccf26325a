use super::Peer;

/// The faster of two contenders taken at random. Whoever has not been measured yet, or not for long, counts as fast.
pub(super) fn pick<P: Peer>(peers: &[P], contenders: &[usize]) -> Option<usize> {
    let [_, others @ ..] = contenders else { return None };
    if others.is_empty() {
        return contenders.first().copied();
    }
    let first = fastrand::usize(..contenders.len());
    // One of the others: those behind the first move up by one.
    let second = fastrand::usize(..others.len());
    let second = if second < first { second } else { second + 1 };
    let (first, second) = (contenders[first], contenders[second]);
    Some(if peers[second].state().latency() < peers[first].state().latency() { second } else { first })
}
