use std::sync::atomic::{AtomicU64, Ordering};

/// APISIX's defaults.
pub(super) const LATENCY_MS: [f64; 15] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 30_000.0,
    60_000.0,
];
pub(super) const TOKENS: [f64; 16] = [
    1.0,
    10.0,
    50.0,
    100.0,
    200.0,
    500.0,
    1_000.0,
    2_000.0,
    5_000.0,
    10_000.0,
    20_000.0,
    50_000.0,
    100_000.0,
    200_000.0,
    500_000.0,
    1_000_000.0,
];

/// The buckets of a histogram. Values are whole numbers of a thousandth or of one.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Upper bounds, the value included, ascending.
    upper: Box<[u64]>,
    /// The same as they are told.
    told: Box<[String]>,
    /// Parts of one.
    scale: u64,
}

impl Bounds {
    /// Bounds that were configured, or the defaults. Those that are no positive numbers are left out.
    pub(super) fn new(configured: &[f64], defaults: &[f64], scale: u64) -> Self {
        let mut bounds = if configured.is_empty() { defaults.to_vec() } else { configured.to_vec() };
        bounds.retain(|bound| bound.is_finite() && *bound >= 0.0);
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        Self {
            upper: bounds.iter().map(|bound| (bound * scale as f64).round() as u64).collect(),
            told: bounds.iter().map(f64::to_string).collect(),
            scale,
        }
    }

    /// How many cells one histogram takes: a bucket per bound, one for what is beyond, the sum.
    pub(super) fn cells(&self) -> usize {
        self.upper.len() + 2
    }

    /// Adds a value.
    pub(super) fn observe(&self, cells: &[AtomicU64], value: u64) {
        let bucket = self.upper.iter().position(|upper| value <= *upper).unwrap_or(self.upper.len());
        cells[bucket].fetch_add(1, Ordering::Relaxed);
        cells[self.upper.len() + 1].fetch_add(value, Ordering::Relaxed);
    }

    /// What the buckets hold, each with all below it, from the first that is not empty: `(bound, count)`. Empty where
    /// nothing was added.
    pub(super) fn cumulated<'b>(&'b self, cells: &[AtomicU64]) -> Vec<(&'b str, u64)> {
        let bounds = self.told.iter().map(String::as_str).chain(["+Inf"]);
        let mut sum = 0;
        let all = bounds.zip(cells).map(|(bound, cell)| {
            sum += cell.load(Ordering::Relaxed);
            (bound, sum)
        });
        all.filter(|(_, sum)| *sum > 0).collect()
    }

    /// The sum of all values, as it is told.
    pub(super) fn sum(&self, cells: &[AtomicU64]) -> String {
        let sum = cells[self.upper.len() + 1].load(Ordering::Relaxed);
        let (whole, part) = (sum / self.scale, sum % self.scale);
        match part {
            0 => whole.to_string(),
            // The scale is a thousandth where it is not one.
            _ => format!("{whole}.{part:03}").trim_end_matches('0').to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(bounds: &Bounds) -> Vec<AtomicU64> {
        (0..bounds.cells()).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn a_value_is_in_its_bucket_and_in_all_above() {
        let bounds = Bounds::new(&[10.0, 1.0, 2.5, f64::NAN, 2.5], &[], 1_000);
        let cells = cells(&bounds);
        assert!(bounds.cumulated(&cells).is_empty());
        for value in [2_500, 2_501, 99_000_250] {
            bounds.observe(&cells, value);
        }
        assert_eq!(bounds.cumulated(&cells), [("2.5", 1), ("10", 2), ("+Inf", 3)]);
        assert_eq!(bounds.sum(&cells), "99005.251");
    }

    #[test]
    fn nothing_is_in_the_first_bucket() {
        let bounds = Bounds::new(&[], &TOKENS, 1);
        let cells = cells(&bounds);
        bounds.observe(&cells, 0);
        let told = bounds.cumulated(&cells);
        assert_eq!((told.len(), told[0], told[16]), (17, ("1", 1), ("+Inf", 1)));
        assert_eq!((told[15].0, bounds.sum(&cells)), ("1000000", "0".to_string()));
    }
}
