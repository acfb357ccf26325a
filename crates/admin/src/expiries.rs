use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use a6_resources::{Change, Kind};
use a6_store::Expiry;

/// The wall clock may be set, so it is looked at again after this time at the latest.
const LOOK: u64 = 1_000;

/// What is to end, and when, in Unix milliseconds. The store has the same, for the next start.
#[derive(Debug, Default)]
pub(crate) struct Expiries {
    by_place: BTreeMap<(Kind, String), u64>,
    /// The same, what ends first in front: each write looks here, however much is to end some day.
    by_time: BTreeSet<(u64, Kind, String)>,
}

impl Expiries {
    /// What the store has.
    pub(crate) fn of(stored: Vec<Expiry>) -> Self {
        let by_time = stored.iter().map(|expiry| (expiry.at, expiry.kind, expiry.id.clone())).collect();
        let by_place = stored.into_iter().map(|expiry| ((expiry.kind, expiry.id), expiry.at)).collect();
        Self { by_place, by_time }
    }

    /// Notes what was committed: what was written ends at `until` or lasts, what was deleted is gone.
    pub(crate) fn note(&mut self, changes: &[Change], until: Option<u64>) {
        for change in changes {
            let place = (change.kind, change.id.clone());
            if let Some(at) = self.by_place.remove(&place) {
                self.by_time.remove(&(at, change.kind, change.id.clone()));
            }
            if let Some(at) = until.filter(|_| change.value.is_some()) {
                self.by_time.insert((at, change.kind, change.id.clone()));
                self.by_place.insert(place, at);
            }
        }
    }

    /// When the resource ends; none if it lasts.
    pub(crate) fn of_resource(&self, kind: Kind, id: &str) -> Option<u64> {
        self.by_place.get(&(kind, id.to_string())).copied()
    }

    /// What has ended by then.
    pub(crate) fn due(&self, now: u64) -> Vec<(Kind, String)> {
        let due = self.by_time.iter().take_while(|(at, ..)| *at <= now);
        due.map(|(_, kind, id)| (*kind, id.clone())).collect()
    }

    /// How long nothing ends; none if everything lasts. Not less than until `earliest`.
    pub(crate) fn pause(&self, now: u64, earliest: u64) -> Option<Duration> {
        let (next, ..) = self.by_time.first()?;
        Some(Duration::from_millis((*next).max(earliest).saturating_sub(now).min(LOOK)))
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
