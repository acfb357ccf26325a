use std::time::Duration;

use crate::Key;
use crate::table::Table;

/// Buckets that leak at a rate: every request pours one in.
#[derive(Debug, Default)]
pub struct Leaky {
    buckets: Table<Bucket>,
}

#[derive(Debug, Default)]
struct Bucket {
    /// Requests above the rate, in thousandths; none before the first request.
    excess: Option<f64>,
    last_ms: u64,
}

impl Leaky {
    /// How long a request has to wait so that the rate is kept, in a bucket that leaks `rate` requests per second. None
    /// where `burst` requests above the rate are waiting already; such a request changes nothing.
    pub fn enter(&self, key: Key, rate: f64, burst: f64, now_ms: u64) -> Option<Duration> {
        self.buckets.update(key, now_ms, |bucket| {
            let since_ms = now_ms.saturating_sub(bucket.last_ms) as f64;
            // Requests per second are thousandths per millisecond.
            let excess = bucket.excess.map_or(0.0, |excess| (excess - rate * since_ms + 1_000.0).max(0.0));
            if excess > burst * 1_000.0 {
                return (None, bucket.empty_at_ms(rate));
            }
            bucket.excess = Some(excess);
            bucket.last_ms = bucket.last_ms.max(now_ms);
            let wait = Duration::try_from_secs_f64(excess / (rate * 1_000.0)).unwrap_or(Duration::MAX);
            (Some(wait), bucket.empty_at_ms(rate))
        })
    }
}

impl Bucket {
    /// From then on a request finds it as if there had been none before.
    fn empty_at_ms(&self, rate: f64) -> u64 {
        let lasts_ms = (self.excess.unwrap_or_default() + 1_000.0) / rate;
        self.last_ms.saturating_add(lasts_ms.ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_wait_for_the_rate_and_those_above_the_burst_are_refused() {
        let wait = |ms: u64| Some(Duration::from_millis(ms));
        // Rate, burst, and requests in order: time and wait.
        let cases: [(f64, f64, &[(u64, Option<Duration>)]); 5] = [
            (1.0, 0.0, &[(5, wait(0)), (6, None), (1_004, None), (1_005, wait(0)), (1_006, None)]),
            (5.0, 2.0, &[(0, wait(0)), (0, wait(200)), (0, wait(400)), (0, None), (200, wait(400))]),
            // A refused request changes nothing.
            (2.0, 1.0, &[(0, wait(0)), (0, wait(500)), (100, None), (500, wait(500))]),
            // Time that runs backwards does not empty a bucket.
            (1.0, 1.0, &[(9_000, wait(0)), (8_000, wait(1_000)), (9_000, None)]),
            (0.1, 2.0, &[(0, wait(0)), (0, wait(10_000)), (0, wait(20_000)), (0, None)]),
        ];
        for (rate, burst, requests) in cases {
            let leaky = Leaky::default();
            for (now_ms, expected) in requests {
                let found = leaky.enter(Key::of(&["k"]), rate, burst, *now_ms);
                assert_eq!(found, *expected, "rate {rate}, burst {burst}, at {now_ms}");
            }
            assert_eq!(leaky.enter(Key::of(&["other"]), rate, burst, 0), wait(0));
        }
    }

    #[test]
    fn a_rate_near_zero_means_forever() {
        let leaky = Leaky::default();
        let key = Key::of(&["k"]);
        assert_eq!(leaky.enter(key, f64::MIN_POSITIVE, 1.0, 0), Some(Duration::ZERO));
        assert_eq!(leaky.enter(key, f64::MIN_POSITIVE, 1.0, 0), Some(Duration::MAX));
        assert_eq!(leaky.enter(key, f64::MIN_POSITIVE, 1.0, u64::MAX - 1), None);
    }
}
