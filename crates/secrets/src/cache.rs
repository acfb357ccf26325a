use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use a6_core::Secret;
use serde_json::Value;

use crate::manager::Content;
use crate::reference::Managed;

/// A value is asked for again after this time, in milliseconds: APISIX's `lru.secret.ttl`.
const KEEP: u64 = 300_000;
/// After a failure it is after this time: APISIX's `lru.secret.neg_ttl`.
const RETRY: u64 = 60_000;

/// A secret of a manager, whatever of it is needed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SlotId {
    pub(crate) manager: String,
    pub(crate) path: String,
}

impl From<&Managed> for SlotId {
    fn from(managed: &Managed) -> Self {
        Self { manager: managed.manager.clone(), path: managed.path.clone() }
    }
}

/// A secret to be fetched, and how its manager is reached.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: SlotId,
    /// The manager's resource. It holds a token.
    pub(crate) conf: Secret<Arc<Value>>,
    epoch: u64,
}

/// What is known of the secrets that somebody refers to. It asks nobody itself and knows no time but what it is told.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    managers: HashMap<String, Secret<Arc<Value>>>,
    slots: HashMap<SlotId, Slot>,
    wanted: HashMap<String, BTreeSet<SlotId>>,
    /// Counts changes of values.
    generation: u64,
    last_epoch: u64,
}

#[derive(Debug)]
struct Slot {
    /// How many owners need it.
    owners: usize,
    /// The last value; it stays when later attempts fail.
    content: Option<Secret<Content>>,
    /// Why the last attempt failed.
    error: Option<String>,
    /// When it is to be asked for, in Unix milliseconds.
    due: u64,
    is_fetching: bool,
    /// It was asked for, with the manager as it is now.
    is_settled: bool,
    /// An answer to a question of another epoch is of no use.
    epoch: u64,
}

impl Cache {
    /// A manager's resource was written, or deleted. What it holds is asked for anew; until then, and also if that fails,
    /// what is known stays, unless the manager is gone.
    pub(crate) fn set_manager(&mut self, id: &str, conf: Option<Arc<Value>>) {
        let is_gone = conf.is_none();
        match conf {
            Some(conf) => self.managers.insert(id.to_string(), Secret::new(conf)),
            None => self.managers.remove(id),
        };
        for (_, slot) in self.slots.iter_mut().filter(|(slot_id, _)| slot_id.manager == id) {
            self.last_epoch += 1;
            let content = slot.content.take().filter(|_| !is_gone);
            *slot = Slot { content, ..Slot::new(slot.owners, self.last_epoch) };
        }
        if is_gone {
            self.generation += 1;
        }
    }

    /// Notes what an owner needs, instead of what it needed before. What nobody needs is forgotten.
    pub(crate) fn want(&mut self, owner: &str, ids: BTreeSet<SlotId>) {
        for id in &ids {
            if let Some(slot) = self.slots.get_mut(id) {
                slot.owners += 1;
            } else {
                self.last_epoch += 1;
                self.slots.insert(id.clone(), Slot::new(1, self.last_epoch));
            }
        }
        let before = match ids.is_empty() {
            true => self.wanted.remove(owner),
            false => self.wanted.insert(owner.to_string(), ids),
        };
        for id in before.into_iter().flatten() {
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            slot.owners -= 1;
            if slot.owners == 0 {
                self.slots.remove(&id);
            }
        }
    }

    /// Has a value that is not known asked for again: whoever writes its reference may have mended what was wrong.
    pub(crate) fn ask_again(&mut self, managed: &Managed) {
        if self.value(managed).is_ok() {
            return;
        }
        if let Some(slot) = self.slots.get_mut(&SlotId::from(managed)) {
            slot.due = 0;
            slot.is_settled = false;
        }
    }

    /// The secrets of a manager that somebody needs.
    pub(crate) fn of_manager(&self, manager: &str) -> Vec<SlotId> {
        self.slots.keys().filter(|id| id.manager == manager).cloned().collect()
    }

    /// Whether all that can be asked for has been. Without its manager a secret cannot.
    pub(crate) fn are_settled(&self, ids: &[SlotId]) -> bool {
        let is_settled = |id: &SlotId| self.slots.get(id).is_none_or(|slot| slot.is_settled);
        ids.iter().all(|id| !self.managers.contains_key(&id.manager) || is_settled(id))
    }

    /// Hands out at most `room` secrets that are to be fetched now, and when the next one will be, in Unix milliseconds.
    pub(crate) fn take_due(&mut self, room: usize, now: u64) -> (Vec<Job>, Option<u64>) {
        let (mut jobs, mut next) = (Vec::new(), None::<u64>);
        for (id, slot) in &mut self.slots {
            let Some(conf) = self.managers.get(&id.manager).filter(|_| !slot.is_fetching) else { continue };
            // A clock that was set back must not keep an old value for hours.
            slot.due = slot.due.min(now.saturating_add(KEEP));
            if slot.due > now {
                next = Some(next.map_or(slot.due, |next| next.min(slot.due)));
            } else if jobs.len() < room {
                slot.is_fetching = true;
                jobs.push(Job { id: id.clone(), conf: conf.clone(), epoch: slot.epoch });
            } else {
                next = Some(now);
            }
        }
        (jobs, next)
    }

    /// Notes what came of a job. True if that changes a value.
    pub(crate) fn finish(&mut self, job: &Job, result: Result<Content, String>, now: u64) -> bool {
        // Somebody may have stopped needing it, or its manager may be another one now.
        let Some(slot) = self.slots.get_mut(&job.id).filter(|slot| slot.epoch == job.epoch) else {
            return false;
        };
        slot.is_fetching = false;
        slot.is_settled = true;
        let content = match result {
            Ok(content) => content,
            Err(error) => {
                slot.due = now.saturating_add(RETRY);
                slot.error = Some(error);
                return false;
            }
        };
        slot.due = now.saturating_add(KEEP);
        slot.error = None;
        let is_new = slot.content.as_ref().is_none_or(|before| *before.expose() != content);
        if is_new {
            slot.content = Some(Secret::new(content));
            self.generation += 1;
        }
        is_new
    }

    /// The value that is meant.
    ///
    /// # Errors
    /// It is not known, or there is no such value in the secret; the text says why.
    pub(crate) fn value(&self, managed: &Managed) -> Result<String, String> {
        let id = SlotId::from(managed);
        let slot = self.slots.get(&id);
        if let Some(content) = slot.and_then(|slot| slot.content.as_ref()) {
            let value = content.expose().pick(managed.key.as_deref());
            return value.map_err(|why| format!("secrets/{}: {}: {why}", id.manager, id.path));
        }
        if !self.managers.contains_key(&id.manager) {
            let key = &id.manager;
            return Err(format!(
                "secrets/{key} does not exist; PUT /apisix/admin/secrets/{key} says how it is reached"
            ));
        }
        let error = slot.and_then(|slot| slot.error.clone());
        Err(error.unwrap_or_else(|| format!("secrets/{} has not answered yet", id.manager)))
    }

    /// Why secrets could not be asked for again that somebody has an older value of.
    pub(crate) fn stale(&self) -> Vec<String> {
        let stale = self.slots.values().filter(|slot| slot.content.is_some());
        let mut errors: Vec<String> = stale.filter_map(|slot| slot.error.clone()).collect();
        errors.sort();
        errors
    }

    /// Moves on with every change of a value.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}

impl Slot {
    /// One that is to be asked for at once.
    fn new(owners: usize, epoch: u64) -> Self {
        Self { owners, content: None, error: None, due: 0, is_fetching: false, is_settled: false, epoch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Reference;
    use a6_core::Clock;
    use serde_json::json;
    use std::time::Duration;

    const REFERENCE: &str = "$secret://vault/1/main/key";

    fn managed(text: &str) -> Managed {
        match Reference::parse(text).unwrap().unwrap() {
            Reference::Managed(managed) => managed,
            environment => panic!("{environment:?}"),
        }
    }

    fn content(value: &str) -> Content {
        Content::members(json!({ "key": value })).unwrap()
    }

    /// A cache in which `/routes/1` needs one secret of one manager.
    fn cache() -> (Cache, SlotId) {
        let id = SlotId::from(&managed(REFERENCE));
        let mut cache = Cache::default();
        cache.set_manager("vault/1", Some(Arc::new(json!({"token": "t"}))));
        cache.want("/routes/1", BTreeSet::from([id.clone()]));
        (cache, id)
    }

    fn value(cache: &Cache) -> Result<String, String> {
        cache.value(&managed(REFERENCE))
    }

    fn one(cache: &mut Cache, now: u64) -> Job {
        let (mut jobs, _) = cache.take_due(9, now);
        assert_eq!(jobs.len(), 1);
        jobs.remove(0)
    }

    #[test]
    fn a_value_is_kept_and_outlives_failures() {
        let (mut cache, id) = cache();
        let clock = Clock::manual(1_000_000);
        let ids = [id];
        assert!(value(&cache).unwrap_err().contains("secrets/vault/1 has not answered yet"));
        assert!(!cache.are_settled(&ids));
        let job = one(&mut cache, clock.unix_ms());
        assert!(cache.take_due(9, clock.unix_ms()).0.is_empty(), "it is asked for once at a time");
        assert!(cache.finish(&job, Ok(content("a")), clock.unix_ms()));
        assert_eq!((value(&cache).as_deref(), cache.are_settled(&ids)), (Ok("a"), true));
        let (jobs, next) = cache.take_due(9, clock.unix_ms());
        assert_eq!((jobs.len(), next), (0, Some(1_300_000)));
        clock.advance(Duration::from_secs(300));
        let job = one(&mut cache, clock.unix_ms());
        assert!(!cache.finish(&job, Err("it is down".into()), clock.unix_ms()));
        assert_eq!(value(&cache).as_deref(), Ok("a"), "the last good value stays");
        assert_eq!(cache.stale(), ["it is down"]);
        assert_eq!(cache.take_due(9, clock.unix_ms()).1, Some(1_360_000));
        clock.advance(Duration::from_secs(60));
        let generation = cache.generation();
        let job = one(&mut cache, clock.unix_ms());
        assert!(!cache.finish(&job, Ok(content("a")), clock.unix_ms()), "the same value is no change");
        assert_eq!((cache.generation(), cache.stale().len()), (generation, 0));
        clock.advance(Duration::from_secs(300));
        let job = one(&mut cache, clock.unix_ms());
        assert!(cache.finish(&job, Ok(content("b")), clock.unix_ms()));
        assert_eq!((value(&cache).as_deref(), cache.generation()), (Ok("b"), generation + 1));
    }

    #[test]
    fn a_first_failure_is_told_and_tried_again() {
        let (mut cache, id) = cache();
        let job = one(&mut cache, 5);
        cache.finish(&job, Err("secrets/vault/1: it is down".into()), 5);
        assert_eq!(value(&cache), Err("secrets/vault/1: it is down".to_string()));
        assert!(cache.are_settled(std::slice::from_ref(&id)), "nobody waits for it any more");
        assert_eq!((cache.take_due(9, 5).1, cache.stale().len()), (Some(60_005), 0));
        cache.ask_again(&managed(REFERENCE));
        assert!(!cache.are_settled(std::slice::from_ref(&id)));
        let job = one(&mut cache, 6);
        cache.finish(&job, Ok(content("a")), 6);
        cache.ask_again(&managed(REFERENCE));
        assert!(cache.are_settled(&[id]) && cache.take_due(9, 7).0.is_empty(), "what is known is kept");
        cache.ask_again(&managed("$secret://vault/1/main/other"));
        assert_eq!(cache.take_due(9, 7).0.len(), 1, "a member that was not there may be there now");
    }

    #[test]
    fn another_manager_is_asked_and_none_is_none() {
        let (mut cache, id) = cache();
        let job = one(&mut cache, 5);
        cache.finish(&job, Ok(content("a")), 5);
        let late = {
            cache.set_manager("vault/1", Some(Arc::new(json!({"token": "other"}))));
            assert!(!cache.are_settled(std::slice::from_ref(&id)));
            assert_eq!(value(&cache).as_deref(), Ok("a"), "until the new one has answered");
            one(&mut cache, 6)
        };
        cache.set_manager("vault/1", Some(Arc::new(json!({"token": "third"}))));
        assert!(!cache.finish(&late, Ok(content("b")), 7), "it was asked with another token");
        let job = one(&mut cache, 8);
        assert_eq!(job.conf.expose()["token"], "third");
        cache.set_manager("vault/1", None);
        assert!(!cache.finish(&job, Ok(content("c")), 9));
        assert!(
            value(&cache)
                .unwrap_err()
                .contains("secrets/vault/1 does not exist; PUT /apisix/admin/secrets/vault/1")
        );
        assert!(cache.are_settled(&[id]), "there is nothing to wait for");
        assert_eq!(cache.take_due(9, u64::MAX).0.len(), 0);
    }

    #[test]
    fn what_nobody_needs_is_forgotten() {
        let (mut cache, id) = cache();
        cache.want("/routes/2", BTreeSet::from([id.clone()]));
        let job = one(&mut cache, 5);
        cache.finish(&job, Ok(content("a")), 5);
        cache.want("/routes/1", BTreeSet::from([id.clone()]));
        cache.want("/routes/1", BTreeSet::new());
        assert_eq!(value(&cache).as_deref(), Ok("a"), "another route needs it");
        cache.want("/routes/2", BTreeSet::new());
        assert!(value(&cache).is_err());
        assert!(cache.of_manager("vault/1").is_empty() && cache.wanted.is_empty());
        cache.want("/routes/1", BTreeSet::from([id]));
        assert!(!cache.finish(&job, Ok(content("old")), 6), "an answer from before");
        assert_eq!(cache.of_manager("vault/1").len(), 1);
    }

    #[test]
    fn there_is_room_for_some_and_clocks_may_be_set_back() {
        let (mut cache, id) = cache();
        let more = SlotId { path: "more".into(), ..id.clone() };
        cache.want("/routes/1", BTreeSet::from([id, more]));
        let (jobs, next) = cache.take_due(1, 900_000);
        assert_eq!((jobs.len(), next), (1, Some(900_000)));
        cache.finish(&jobs[0], Ok(content("a")), 900_000);
        let (other, _) = cache.take_due(9, 900_000);
        cache.finish(&other[0], Ok(content("a")), 900_000);
        assert_eq!(cache.take_due(9, 1_000).1, Some(301_000));
    }
}
