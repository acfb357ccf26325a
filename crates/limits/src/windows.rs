use crate::Key;
use crate::table::Table;

/// Counts in windows of time.
#[derive(Debug, Default)]
pub struct Windows {
    fixed: Table<Fixed>,
    sliding: Table<Sliding>,
}

/// What a limit says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// It may pass.
    pub allowed: bool,
    /// What is left after it. Less than zero where the limit is exceeded, and in a sliding window, where what is left is
    /// rounded down, also for a request that just passes.
    pub remaining: i64,
    /// Milliseconds until the window ends, or until the next request may pass where that is sooner.
    pub reset_ms: u64,
}

/// A window that its first request has opened.
#[derive(Debug, Default)]
struct Fixed {
    used: u64,
    /// Zero: not open.
    ends_ms: u64,
}

/// The running window of a row that is aligned to time zero, and the one before.
#[derive(Debug, Default)]
struct Sliding {
    number: u64,
    used: u64,
    used_before: u64,
}

impl Windows {
    /// Counts `cost` in a window of `window_ms` that begins with its first request; all of it counts, whether it is
    /// allowed or not. A cost of 0 only looks, and opens the window.
    pub fn fixed(&self, key: Key, limit: u64, window_ms: u64, cost: u64, now_ms: u64) -> Decision {
        self.fixed.update(key, now_ms, |window| {
            if window.ends_ms == 0 {
                window.ends_ms = now_ms.saturating_add(window_ms.max(1));
            }
            window.used = window.used.saturating_add(cost);
            let decision = Decision {
                allowed: window.used <= limit,
                remaining: difference(limit, window.used),
                reset_ms: window.ends_ms.saturating_sub(now_ms),
            };
            (decision, window.ends_ms)
        })
    }

    /// Counts `cost` in windows of `window_ms` that follow each other from time zero on. Of the window before, as much
    /// counts as still lies within `window_ms`, as if its requests had come evenly. A request that is not allowed does not
    /// count.
    pub fn sliding(&self, key: Key, limit: u64, window_ms: u64, cost: u64, now_ms: u64) -> Decision {
        let window_ms = window_ms.max(1);
        // Windows of another length are another row.
        self.sliding.update(key.numbered(window_ms), now_ms, |window| {
            window.advance(now_ms / window_ms);
            let decision = window.decide(limit, window_ms, cost, now_ms);
            (decision, window.number.saturating_add(2).saturating_mul(window_ms))
        })
    }
}

impl Sliding {
    fn advance(&mut self, number: u64) {
        match number.checked_sub(self.number) {
            // The same window, or a late request of one before.
            None | Some(0) => return,
            Some(1) => self.used_before = self.used,
            Some(_) => self.used_before = 0,
        }
        self.used = 0;
        self.number = number;
    }

    fn decide(&mut self, limit: u64, window_ms: u64, cost: u64, now_ms: u64) -> Decision {
        let begins_ms = self.number.saturating_mul(window_ms);
        let left_ms = window_ms - now_ms.saturating_sub(begins_ms).min(window_ms);
        let before = self.used_before.min(limit);
        let weight = u128::from(before) * u128::from(left_ms);
        let width = u128::from(window_ms);
        if self.used >= limit {
            return Decision { allowed: false, remaining: 0, reset_ms: left_ms };
        }
        if weight + u128::from(self.used) * width >= u128::from(limit) * width {
            // `before` is not zero here: alone, what is used now is below the limit.
            let free_after = u128::from(limit - self.used) * width / u128::from(before.max(1));
            let free_after = u64::try_from(free_after).unwrap_or(u64::MAX);
            return Decision { allowed: false, remaining: 0, reset_ms: left_ms.saturating_sub(free_after) };
        }
        self.used = self.used.saturating_add(cost);
        let weight = u64::try_from(weight.div_ceil(width)).unwrap_or(u64::MAX);
        let remaining = difference(limit, self.used.saturating_add(weight));
        Decision { allowed: true, remaining, reset_ms: left_ms }
    }
}

fn difference(limit: u64, used: u64) -> i64 {
    let bound = if limit > used { i64::MAX } else { i64::MIN };
    i64::try_from(i128::from(limit) - i128::from(used)).unwrap_or(bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::thread;

    /// Requests in order: time, cost, and the decision expected.
    type Case = (u64, u64, (bool, i64, u64));

    fn decision((allowed, remaining, reset_ms): (bool, i64, u64)) -> Decision {
        Decision { allowed, remaining, reset_ms }
    }

    #[test]
    fn a_fixed_window_begins_with_its_first_request() {
        let windows = Windows::default();
        let key = Key::of(&["k"]);
        let cases: [Case; 9] = [
            (500, 1, (true, 1, 1_000)),
            (700, 1, (true, 0, 800)),
            // What is refused counts too.
            (701, 1, (false, -1, 799)),
            (600, 1, (false, -2, 900)),
            (1_499, 0, (false, -2, 1)),
            (1_500, 0, (true, 2, 1_000)),
            (1_600, 5, (false, -3, 900)),
            (9_000, 2, (true, 0, 1_000)),
            (9_000, u64::MAX, (false, i64::MIN, 1_000)),
        ];
        for (now_ms, cost, expected) in cases {
            assert_eq!(windows.fixed(key, 2, 1_000, cost, now_ms), decision(expected), "at {now_ms}");
        }
        assert!(windows.fixed(Key::of(&["other"]), 2, 1_000, 1, 9_000).allowed);
    }

    #[test]
    fn a_sliding_window_weighs_the_one_before() {
        let windows = Windows::default();
        let key = Key::of(&["k"]);
        let cases: [Case; 12] = [
            (10_000, 1, (true, 3, 1_000)),
            (10_100, 1, (true, 2, 900)),
            (10_900, 1, (true, 1, 100)),
            (10_900, 1, (true, 0, 100)),
            (10_950, 1, (false, 0, 50)),
            // Of the 4 before, all count, then 3, then 1.96.
            (11_000, 1, (false, 0, 0)),
            (11_250, 1, (true, 0, 750)),
            (11_250, 1, (false, 0, 0)),
            (11_510, 1, (true, 0, 490)),
            (11_510, 1, (true, -1, 490)),
            // A late request counts in the window that is open.
            (10_000, 1, (false, 0, 750)),
            (13_000, 1, (true, 3, 1_000)),
        ];
        for (now_ms, cost, expected) in cases {
            assert_eq!(windows.sliding(key, 4, 1_000, cost, now_ms), decision(expected), "at {now_ms}");
        }
        assert_eq!(windows.sliding(key, 4, 2_000, 1, 13_000), decision((true, 3, 1_000)), "another length");
    }

    #[test]
    fn of_many_threads_not_one_request_too_many_passes() {
        const THREADS: usize = 8;
        const EACH: usize = 5_000;
        type Ask = fn(&Windows, Key) -> bool;
        let kinds: [Ask; 2] = [
            |windows, key| windows.fixed(key, 1_000, 60_000, 1, 1).allowed,
            |windows, key| windows.sliding(key, 1_000, 60_000, 1, 1).allowed,
        ];
        for ask in kinds {
            let windows = Windows::default();
            let start = Barrier::new(THREADS);
            let passed = thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            (0..EACH).filter(|_| ask(&windows, Key::of(&["k"]))).count()
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
            });
            assert_eq!(passed, 1_000);
        }
    }
}
