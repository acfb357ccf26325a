//! Numbers that look random and can be had again.

use std::time::SystemTime;

pub struct Random(u64);

impl Random {
    /// From `TEST_SEED`, else from the clock; printed, so that a failure can be had again.
    pub fn seeded() -> Self {
        let given = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is set");
            u64::from(now.subsec_nanos())
        });
        eprintln!("TEST_SEED={seed}");
        Self(seed)
    }

    /// A generator of its own for one client.
    pub fn fork(&mut self) -> Self {
        Self(self.below(u64::MAX))
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        // Splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// One of several.
    pub fn of<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        let last = u64::try_from(all.len()).expect("it fits");
        &all[usize::try_from(self.below(last)).expect("it fits")]
    }
}
