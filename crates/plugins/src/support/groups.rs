use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::Value;

/// Which configurations in force share counters under one name. They must be the same everywhere.
#[derive(Debug, Default)]
pub(crate) struct Groups(Mutex<Vec<Member>>);

/// A configuration that is in force as long as somebody has its terms.
#[derive(Debug)]
struct Member {
    group: Box<str>,
    owner: Box<str>,
    terms: Weak<Value>,
}

impl Groups {
    /// Joins a group. The configuration is a member until what this gives is dropped; `owner` is what it is written on.
    ///
    /// # Errors
    /// What is written elsewhere has other terms. What is written on the same owner is about to be replaced, and does not
    /// count.
    pub(crate) fn join(&self, group: &str, owner: &str, terms: Value) -> Result<Arc<Value>, String> {
        let mut members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| member.terms.strong_count() > 0);
        if !agree(&members, group, owner, &terms) {
            return Err("group conf mismatched".to_string());
        }
        let terms = Arc::new(terms);
        members.push(Member { group: group.into(), owner: owner.into(), terms: Arc::downgrade(&terms) });
        Ok(terms)
    }
}

/// Whether the terms are those of every other owner in the group.
fn agree(members: &[Member], group: &str, owner: &str, terms: &Value) -> bool {
    let mut seen = HashSet::new();
    let others = members.iter().rev().filter(|member| *member.group == *group && *member.owner != *owner);
    let in_force = others.filter_map(|member| Some((&*member.owner, member.terms.upgrade()?)));
    // Of one owner only the last counts: requests that began earlier may hold an older one.
    in_force.filter(|(owner, _)| seen.insert(*owner)).all(|(_, theirs)| *theirs == *terms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_of_a_group_must_agree_as_long_as_they_are_in_force() {
        let groups = Groups::default();
        let join = |group: &str, owner: &str, count: u64| groups.join(group, owner, json!({"count": count}));
        let first = join("g", "/routes/1", 1).unwrap();
        assert_eq!(join("g", "/routes/2", 2).unwrap_err(), "group conf mismatched");
        assert!(join("other", "/routes/2", 2).is_ok());
        let second = join("g", "/routes/2", 1).unwrap();
        assert_eq!(
            join("g", "/routes/1", 2).unwrap_err(),
            "group conf mismatched",
            "the second stays as it is"
        );
        drop(second);
        let changed = join("g", "/routes/1", 2).unwrap();
        assert!(join("g", "/routes/2", 2).is_ok(), "the first is still held, but replaced");
        drop(changed);
        assert!(join("g", "/routes/2", 1).is_ok(), "the change was taken back");
        drop(first);
        assert!(join("g", "/routes/2", 3).is_ok(), "nobody is left");
    }
}
