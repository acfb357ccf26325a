//! Identifiers that nobody else makes: UUIDs, nanoids, KSUIDs.
//!
//! Their bits come from the system's random source, which each thread asks for a thousand bytes at a time.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, Hasher, RandomState};

const POOL_BYTES: usize = 1024;

/// In the order of their bytes, as KSUIDs sort.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const NANOID: &[u8; 64] = b"-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const NANOID_LENGTH: usize = 21;

/// When KSUIDs begin to count, in Unix seconds.
const KSUID_EPOCH: u64 = 1_400_000_000;

/// UUIDs that a thread makes within one millisecond have as many numbers.
const MAX_SEQUENCE: u32 = (1 << 18) - 1;

/// Random bytes that have not been used.
struct Pool {
    bytes: [u8; POOL_BYTES],
    used: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL_BYTES], used: POOL_BYTES }) };
    /// The millisecond of the last UUID of version 7, and its number within that.
    static LAST: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
}

impl Pool {
    fn draw(&mut self) -> u8 {
        if self.used == POOL_BYTES {
            self.refill();
            self.used = 0;
        }
        let byte = self.bytes[self.used];
        self.used += 1;
        byte
    }

    fn refill(&mut self) {
        if getrandom::fill(&mut self.bytes).is_ok() {
            return;
        }
        // Keys that the process had when it began are still good for identifiers, which are no secrets.
        for eight in self.bytes.chunks_exact_mut(8) {
            eight.copy_from_slice(&RandomState::new().build_hasher().finish().to_ne_bytes());
        }
    }
}

fn random<const N: usize>() -> [u8; N] {
    POOL.with_borrow_mut(|pool| std::array::from_fn(|_| pool.draw()))
}

/// A UUID of version 4: 122 random bits.
pub(crate) fn uuid_v4() -> String {
    uuid(random(), 4)
}

/// A UUID of version 7: the milliseconds since the Unix epoch, a number that grows within a millisecond, and 56 random
/// bits. Those of one thread ascend.
pub(crate) fn uuid_v7(unix_ms: u64) -> String {
    let (last, sequence) = LAST.get();
    let (ms, sequence) = if unix_ms > last {
        (unix_ms, 0)
    } else if sequence < MAX_SEQUENCE {
        (last, sequence + 1)
    } else {
        (last + 1, 0)
    };
    LAST.set((ms, sequence));
    let mut bytes: [u8; 16] = random();
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    // Version and variant stand between: 4 bits, 8 bits, 6 bits.
    bytes[6] = (sequence >> 14) as u8;
    bytes[7] = (sequence >> 6) as u8;
    bytes[8] = (sequence & 0x3f) as u8;
    uuid(bytes, 7)
}

fn uuid(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = (bytes[6] & 0x0f) | (version << 4);
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

/// 21 characters of 64.
pub(crate) fn nanoid() -> String {
    let bytes: [u8; NANOID_LENGTH] = random();
    bytes.iter().map(|byte| char::from(NANOID[usize::from(byte & 0x3f)])).collect()
}

/// 27 characters: the seconds since May 2014 and 128 random bits. They sort by time.
pub(crate) fn ksuid(unix_seconds: u64) -> String {
    let seconds = u32::try_from(unix_seconds.saturating_sub(KSUID_EPOCH)).unwrap_or(u32::MAX);
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&seconds.to_be_bytes());
    bytes[4..].copy_from_slice(&random::<16>());
    base62(bytes)
}

/// A number of 20 bytes in base 62, divided as on paper.
fn base62(mut number: [u8; 20]) -> String {
    let mut digits = [b'0'; 27];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0u32;
        for byte in &mut number {
            let value = (rest << 8) | u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *digit = BASE62[rest as usize];
    }
    digits.iter().copied().map(char::from).collect()
}

/// That many of the characters; nothing if there are none.
pub(crate) fn of_characters(characters: &[char], length: usize) -> String {
    let count = characters.len().max(1) as u64;
    let draw = || characters.get((u64::from_ne_bytes(random()) % count) as usize);
    (0..length).filter_map(|_| draw()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn identifiers_have_their_shapes_and_none_comes_twice() {
        let hex_or_dash = |c: char| matches!(c, '0'..='9' | 'a'..='f' | '-');
        let mut seen = HashSet::new();
        for _ in 0..1000 {
            let ids = [uuid_v4(), uuid_v7(1_700_000_000_000), nanoid(), ksuid(1_700_000_000)];
            assert_eq!(ids.clone().map(|id| id.len()), [36, 36, 21, 27]);
            assert!(ids[..2].iter().all(|id| id.chars().all(hex_or_dash)), "{ids:?}");
            assert_eq!((&ids[0][14..15], &ids[1][14..15]), ("4", "7"));
            assert!("89ab".contains(&ids[0][19..20]) && "89ab".contains(&ids[1][19..20]), "{ids:?}");
            assert!(ids[2].bytes().all(|byte| NANOID.contains(&byte)), "{ids:?}");
            assert!(ids[3].bytes().all(|byte| byte.is_ascii_alphanumeric()), "{ids:?}");
            assert!(ids.into_iter().all(|id| seen.insert(id)));
        }
    }

    #[test]
    fn version_7_ascends_even_where_the_clock_does_not() {
        let times = [5_000, 5_000, 4_000, 5_001, 5_001].map(|ms| 1_700_000_000_000 + ms);
        let ids = times.map(uuid_v7);
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        assert_eq!(ids[0][..13].replace('-', ""), format!("{:012x}", times[0]));
        LAST.set((times[4], MAX_SEQUENCE));
        assert!(uuid_v7(times[0]) > ids[4]);
    }

    #[test]
    fn base_62_counts_from_the_end() {
        let mut number = [0; 20];
        number[19] = 63;
        assert_eq!(base62(number), format!("{}11", "0".repeat(25)));
        assert_eq!(base62([0xff; 20]), "aWgEPTl1tmebfsQzFP4bxwgy80V");
    }

    #[test]
    fn characters_are_drawn_from_those_given() {
        let drawn = of_characters(&['a', 'é'], 200);
        assert_eq!(drawn.chars().count(), 200);
        assert_eq!(drawn.chars().collect::<HashSet<_>>(), HashSet::from(['a', 'é']));
    }
}
