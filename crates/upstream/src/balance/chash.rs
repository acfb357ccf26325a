use std::sync::OnceLock;

use super::Peer;

/// Points per unit of weight. With so many, the share of a peer is off by 6 % of itself, give or take.
const POINTS: u64 = 256;
/// A ring has about so many points at most (2 MiB), however many peers there are and however odd their weights.
const MOST_POINTS: u64 = 1 << 18;

/// The contender whose point comes next after the key's, so that nobody's keys move but those of a peer that is left
/// out. The contenders are in ascending order.
pub(super) fn pick<P: Peer>(
    peers: &[P],
    contenders: &[usize],
    ring: &OnceLock<Box<[(u32, u32)]>>,
    key: &str,
) -> Option<usize> {
    let ring = ring.get_or_init(|| build(peers));
    let hash = point(hash(key), 0);
    let (before, after) = ring.split_at(ring.partition_point(|(point, _)| *point < hash));
    let mut places = after.iter().chain(before).map(|(_, place)| *place as usize);
    places.find(|place| contenders.binary_search(place).is_ok())
}

/// All points with the places of their peers, in order.
fn build<P: Peer>(peers: &[P]) -> Box<[(u32, u32)]> {
    let divisor = peers.iter().map(|peer| u64::from(peer.weight())).fold(0, greatest_common_divisor).max(1);
    // Even a peer without weight has points: it may be the only one left.
    let wanted = |peer: &P| (u64::from(peer.weight()) / divisor).max(1) * POINTS;
    let all: u64 = peers.iter().map(wanted).sum();
    let mut ring = Vec::new();
    for (place, peer) in (0..).zip(peers) {
        let seed = hash(peer.name());
        let points = if all > MOST_POINTS { wanted(peer) * MOST_POINTS / all } else { wanted(peer) };
        ring.extend((0..points.max(1)).map(|number| (point(seed, number), place)));
    }
    ring.sort_unstable();
    ring.into_boxed_slice()
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// FNV-1a with 64 bits: the same on every machine and in every version, so that all gateways agree.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The `number`th of a sequence of points that a seed stands for: SplitMix64, its upper half.
fn point(seed: u64, number: u64) -> u32 {
    let mut bits = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 32) as u32
}
