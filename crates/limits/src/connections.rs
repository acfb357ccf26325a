use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::key::{AsItIs, Key};

const SHARDS: usize = 64;

type Shard = HashMap<Key, u64, AsItIs>;

/// How many are open at a time, by key. Needs no bound of its own: a key is known only while something is open.
#[derive(Clone)]
pub struct Connections(Arc<[Mutex<Shard>]>);

/// Something open; it is closed when this is dropped, whoever drops it.
pub struct Open {
    connections: Connections,
    key: Key,
    count: u64,
}

impl Default for Connections {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Connections {
    /// Opens one more; none where `limit` are open already.
    pub fn open(&self, key: Key, limit: u64) -> Option<Open> {
        let mut shard = self.shard(key);
        let before = shard.get(&key).copied().unwrap_or_default();
        if before >= limit {
            return None;
        }
        let count = before + 1;
        shard.insert(key, count);
        Some(Open { connections: self.clone(), key, count })
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        let place = key.spread() % SHARDS as u64;
        // No code that holds the lock leaves a shard in between.
        self.0[place as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// How many were open when this one was, itself included.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut shard = self.connections.shard(self.key);
        match shard.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                shard.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    #[test]
    fn as_many_as_the_limit_are_open_at_a_time() {
        let connections = Connections::default();
        let (key, other) = (Key::of(&["k"]), Key::of(&["other"]));
        let first = connections.open(key, 2).unwrap();
        let second = connections.open(key, 2).unwrap();
        assert_eq!((first.count(), second.count()), (1, 2));
        assert!(connections.open(key, 2).is_none());
        assert_eq!(connections.open(other, 1).unwrap().count(), 1);
        drop(first);
        let third = connections.open(key, 2).unwrap();
        assert_eq!(third.count(), 2);
        drop((second, third));
        assert!(connections.0.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }

    #[test]
    fn of_many_threads_never_one_too_many_is_in() {
        const LIMIT: u64 = 3;
        let connections = Connections::default();
        let start = Barrier::new(8);
        let (inside, most, entered) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..5_000 {
                        let Some(_open) = connections.open(Key::of(&["k"]), LIMIT) else { continue };
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        entered.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= LIMIT);
        assert!(entered.into_inner() > 0);
        assert!(connections.0.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
}
