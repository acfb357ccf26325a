use std::collections::BTreeMap;
use std::time::Duration;

use a6_resources::{Change, Kind};
use a6_store::Expiry;

/// The wall clock may be set, so it is looked at again after this time at the latest.
const LOOK: u64 = 1_000;

/// What is to end, and when, in Unix milliseconds. The store has the same, for the next start.
#[derive(Debug, Default)]
pub(crate) struct Expiries(BTreeMap<(Kind, String), u64>);

impl Expiries {
    /// What the store has.
    pub(crate) fn of(stored: Vec<Expiry>) -> Self {
        Self(stored.into_iter().map(|expiry| ((expiry.kind, expiry.id), expiry.at)).collect())
    }

    /// Notes what was committed: what was written ends at `until` or lasts, what was deleted is gone.
    pub(crate) fn note(&mut self, changes: &[Change], until: Option<u64>) {
        for change in changes {
            let place = (change.kind, change.id.clone());
            match until.filter(|_| change.value.is_some()) {
                Some(at) => self.0.insert(place, at),
                None => self.0.remove(&place),
            };
        }
    }

    /// When the resource ends; none if it lasts.
    pub(crate) fn of_resource(&self, kind: Kind, id: &str) -> Option<u64> {
        self.0.get(&(kind, id.to_string())).copied()
    }

    /// What has ended by then.
    pub(crate) fn due(&self, now: u64) -> Vec<(Kind, String)> {
        self.0.iter().filter(|(_, at)| **at <= now).map(|(place, _)| place.clone()).collect()
    }

    /// How long nothing ends; none if everything lasts. Not less than until `earliest`.
    pub(crate) fn pause(&self, now: u64, earliest: u64) -> Option<Duration> {
        let next = *self.0.values().min()?;
        Some(Duration::from_millis(next.max(earliest).saturating_sub(now).min(LOOK)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn later_writes_count() {
        let put =
            |id: &str| Change { kind: Kind::Route, id: id.to_string(), value: Some(Arc::new(json!({}))) };
        let mut expiries = Expiries::of(vec![Expiry { kind: Kind::Route, id: "a".to_string(), at: 5_000 }]);
        assert_eq!(expiries.due(4_999), []);
        assert_eq!(expiries.pause(4_990, 0), Some(Duration::from_millis(10)));
        assert_eq!(expiries.pause(0, 0), Some(Duration::from_secs(1)), "the clock is looked at again");
        assert_eq!(expiries.pause(6_000, 6_300), Some(Duration::from_millis(300)));
        expiries.note(&[put("b")], Some(7_000));
        assert_eq!(expiries.due(5_000), [(Kind::Route, "a".to_string())]);
        assert_eq!(expiries.of_resource(Kind::Route, "b"), Some(7_000));
        expiries.note(&[put("a"), Change { value: None, ..put("b") }], None);
        assert_eq!((expiries.due(u64::MAX), expiries.pause(0, 0)), (vec![], None));
    }
}
