use std::sync::Arc;

use crate::{Chain, ChainEntry, Owner, Phases, Plugin};

#[derive(Debug)]
struct Everywhere(&'static str);

impl Plugin for Everywhere {
    fn phases(&self) -> Phases {
        Phases { rewrite: true, access: true, authenticates: self.0 == "auth", ..Phases::default() }
    }
}

fn owner(key: &str, plugins: &[(&'static str, i32, bool)]) -> Owner<Everywhere> {
    let entries = plugins.iter().map(|(name, priority, enabled)| ChainEntry {
        name,
        priority: *priority,
        plugin: enabled.then(|| Arc::new(Everywhere(name))),
        unresolved: None,
        meta: None,
        owner: key.into(),
        is_late: false,
    });
    Owner { id: super::chain::fresh_id(), entries: entries.collect() }
}

fn names<'a>(entries: impl Iterator<Item = &'a ChainEntry<Everywhere>>) -> Vec<String> {
    entries.map(|entry| format!("{} of {}", entry.name, entry.owner)).collect()
}

#[test]
fn the_last_layer_counts_whole_and_priorities_order() {
    let service = owner("service", &[("a", 1, true), ("b", 2, true), ("c", 3, true)]);
    let route = owner("route", &[("b", 9, true), ("c", 3, false)]);
    let chain = Chain::layered(&[&service, &route]);
    assert_eq!(names(chain.rewrite()), ["b of route", "a of service"]);
    assert_eq!(names(chain.entries().iter()), ["b of route", "c of route", "a of service"]);
    assert!(!chain.authenticates());
}

#[test]
fn what_authentication_brings_replaces_and_only_what_is_new_is_rewritten_late() {
    let route = owner("route", &[("auth", 5, true), ("a", 2, true)]);
    let chain = Chain::layered(&[&route]);
    let group = owner("group", &[("a", 2, true), ("n", 3, true), ("m", 1, true)]);
    let consumer = owner("consumer", &[("n", 3, true)]);
    let merged = chain.with(&[&group, &consumer]);
    assert_eq!(names(merged.late_rewrite()), ["n of consumer", "m of group"]);
    assert_eq!(names(merged.access()), ["auth of route", "n of consumer", "a of group", "m of group"]);
    assert!(merged.authenticates() && merged.id != chain.id);
}

#[test]
fn one_whose_secret_is_not_known_refuses_as_early_as_it_can() {
    let unresolved = |mut owner: Owner<Everywhere>| {
        owner.entries[0].plugin = None;
        owner.entries[0].unresolved = Some("$env://A".into());
        owner
    };
    let route = owner("route", &[("auth", 5, true), ("a", 2, true)]);
    let own = Chain::layered(&[&unresolved(owner("route", &[("a", 2, true)]))]);
    assert_eq!(names(own.rewrite()), ["a of route"]);
    assert_eq!(names(own.access()), [""; 0]);
    // What replaces another one has no rewrite phase otherwise.
    let brought = Chain::layered(&[&route]).with(&[&unresolved(owner("consumer", &[("a", 2, true)]))]);
    assert_eq!(names(brought.late_rewrite()), ["a of consumer"]);
    assert_eq!(names(brought.access()), ["auth of route"]);
}
