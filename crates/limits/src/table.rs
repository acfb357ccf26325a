use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::key::{AsItIs, Key};

const SHARDS: usize = 64;

/// Keys per shard; half a million in all.
const CAPACITY: usize = 8_192;

/// How many keys are looked at for each one that is new: more than one, so that the expired ones go faster than new ones
/// come.
const LOOKS: usize = 2;

/// The same where there is no room: of so many, the one that would expire first makes room.
const LOOKS_WHEN_FULL: usize = 16;

/// State by key, each with a time at which it is worth nothing any more. Keys are forgotten then, or earlier where there
/// are too many of them.
pub(crate) struct Table<V> {
    shards: Box<[Mutex<Shard<V>>]>,
    capacity: usize,
}

struct Shard<V> {
    entries: HashMap<Key, Entry<V>, AsItIs>,
    /// Every key once, in the order in which they are looked at next.
    round: VecDeque<Key>,
}

struct Entry<V> {
    value: V,
    expires_ms: u64,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl<V> fmt::Debug for Table<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

impl<V> Table<V> {
    fn with_capacity(capacity: usize) -> Self {
        let shard = || Shard { entries: HashMap::default(), round: VecDeque::new() };
        Self { shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(), capacity }
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard<V>> {
        let place = key.spread() % SHARDS as u64;
        // No code that holds the lock leaves a shard in between.
        self.shards[place as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Default> Table<V> {
    /// Changes the state of a key, atomically. `change` gets what is known, or the default, and gives its result and the
    /// time from which on the state is as good as the default.
    pub(crate) fn update<R>(&self, key: Key, now_ms: u64, change: impl FnOnce(&mut V) -> (R, u64)) -> R {
        let mut shard = self.shard(key);
        if let Some(entry) = shard.entries.get_mut(&key) {
            if entry.expires_ms <= now_ms {
                entry.value = V::default();
            }
            let (result, expires_ms) = change(&mut entry.value);
            entry.expires_ms = expires_ms;
            return result;
        }
        shard.make_room(now_ms, self.capacity);
        let mut value = V::default();
        let (result, expires_ms) = change(&mut value);
        shard.entries.insert(key, Entry { value, expires_ms });
        shard.round.push_back(key);
        result
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().entries.len()).sum()
    }
}

impl<V> Shard<V> {
    /// Forgets a few expired keys. In a full shard, one more than that if it must be.
    fn make_room(&mut self, now_ms: u64, capacity: usize) {
        let looks = if self.entries.len() >= capacity { LOOKS_WHEN_FULL } else { LOOKS };
        let mut first: Option<(u64, Key)> = None;
        for _ in 0..looks.min(self.round.len()) {
            let Some(key) = self.round.pop_front() else { break };
            let Some(expires_ms) = self.entries.get(&key).map(|entry| entry.expires_ms) else { continue };
            if expires_ms <= now_ms {
                self.entries.remove(&key);
                continue;
            }
            let later = match first {
                Some((soonest, _)) if soonest <= expires_ms => Some(key),
                held => {
                    first = Some((expires_ms, key));
                    held.map(|(_, key)| key)
                }
            };
            self.round.extend(later);
        }
        let Some((_, key)) = first else { return };
        if self.entries.len() >= capacity {
            self.entries.remove(&key);
        } else {
            self.round.push_back(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts up, and remembers it until `expires_ms`.
    fn count(table: &Table<u64>, name: usize, now_ms: u64, expires_ms: u64) -> u64 {
        table.update(Key::of(&[&name.to_string()]), now_ms, |count| {
            *count += 1;
            (*count, expires_ms)
        })
    }

    #[test]
    fn state_lasts_until_it_expires() {
        let table = Table::default();
        let cases = [(0, 10, 1), (9, 10, 2), (10, 20, 1), (15, 30, 2), (29, 30, 3)];
        for (now_ms, expires_ms, expected) in cases {
            assert_eq!(count(&table, 1, now_ms, expires_ms), expected, "at {now_ms}");
        }
    }

    #[test]
    fn expired_keys_go_as_new_ones_come() {
        let table = Table::default();
        for name in 0..5_000 {
            count(&table, name, 0, 10);
        }
        for name in 5_000..25_000 {
            count(&table, name, 10, 1_000);
        }
        assert_eq!(table.len(), 20_000);
    }

    #[test]
    fn a_flood_of_keys_stays_within_bounds_and_what_expires_last_stays_longest() {
        let table = Table::with_capacity(32);
        for name in 0..64 {
            count(&table, name, 0, u64::MAX);
        }
        for name in 64..20_000 {
            count(&table, name, 1, 1_000);
        }
        assert!(table.len() <= 32 * SHARDS, "{}", table.len());
        let mut shards = table.shards.iter().map(|shard| shard.lock().unwrap());
        assert!(shards.all(|shard| shard.round.len() == shard.entries.len()));
        let kept = (0..64).filter(|name| count(&table, *name, 2, u64::MAX) == 2).count();
        assert_eq!(kept, 64);
    }
}
