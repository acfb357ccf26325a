//! What the access log tells, against what came to the instances.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use a6_mock::Exchange;

use crate::instances::Instance;
use crate::support::Gateway;

/// Which request it was, and its attempts.
pub(crate) const FORMAT: &str = "nginx_config:\n  http:\n    access_log: access.log\n    access_log_format: '$arg_n $status $a6_attempts'\n";

/// Instance and status, if one came.
type Attempts = Vec<(String, Option<u16>)>;

/// The log of a gateway that has ended has a line for each request, and each attempt in it is one that the instance knows;
/// the instances know of no other.
pub(crate) fn check(gateway: &Gateway, instances: &mut [Instance], requests: usize) {
    instances.iter_mut().for_each(Instance::kill);
    let mut came: BTreeMap<usize, BTreeMap<&str, Vec<u16>>> = BTreeMap::new();
    for instance in instances.iter() {
        for exchange in instance.exchanges() {
            if let Some(number) = number(&exchange) {
                came.entry(number).or_default().entry(instance.name).or_default().push(exchange.status);
            }
        }
    }
    let text = fs::read_to_string(gateway.home.path().join("access.log")).unwrap();
    let mut told: BTreeMap<usize, Attempts> = BTreeMap::new();
    for line in text.lines() {
        let (number, attempts) = read(line);
        assert!(told.insert(number, attempts).is_none(), "{number} stands twice");
    }
    assert_eq!(told.len(), requests, "a line for each request");
    for (number, attempts) in &told {
        let came = came.get(number).cloned().unwrap_or_default();
        let mut left = came.clone();
        for (name, status) in attempts {
            // One that got no answer may have found nobody there.
            let Some(status) = status else { continue };
            // Each one stands for one exchange. One that was cut before its head has left knows of no status.
            let all = left.entry(name.as_str()).or_default();
            let place = [*status, 0].iter().find_map(|known| all.iter().position(|at| at == known));
            let known = place.map(|place| all.swap_remove(place)).is_some();
            assert!(known, "{number}: {name} is told to have answered {status}; it knows {came:?}");
        }
        let named: BTreeSet<&str> = attempts.iter().map(|(name, _)| name.as_str()).collect();
        let untold: Vec<_> = came.keys().filter(|name| !named.contains(*name)).collect();
        assert!(untold.is_empty(), "{number}: {untold:?} got it, and {attempts:?} is told");
    }
}

/// Which request came. One that was cut on its way may have none.
fn number(exchange: &Exchange) -> Option<usize> {
    let (_, rest) = exchange.body.split_once("question ")?;
    rest.split(' ').next()?.parse().ok()
}

/// A line such as `7 200 a=429/quota/0.012, b=200/ok/1.204`.
fn read(line: &str) -> (usize, Attempts) {
    let mut parts = line.splitn(3, ' ');
    let mut part = || parts.next().unwrap_or_else(|| panic!("{line:?}"));
    let (number, _, attempts) = (part(), part(), part());
    let attempt = |told: &str| {
        let (name, rest) = told.split_once('=').unwrap_or_else(|| panic!("{line:?}"));
        (name.to_string(), rest.split('/').next().and_then(|status| status.parse().ok()))
    };
    (number.parse().expect("a number"), attempts.split(", ").map(attempt).collect())
}
