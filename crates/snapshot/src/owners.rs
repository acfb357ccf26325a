use std::sync::Arc;

use crate::chain::Owner;
use crate::radix::{Radix, Reach};
use crate::{Identity, Plugin};

/// What consumers and consumer groups bring into their requests, immutable; versions share what did not change.
#[derive(Debug)]
pub struct Owners<P> {
    consumers: Radix<Arc<Owner<P>>>,
    groups: Radix<Arc<Owner<P>>>,
}

impl<P> Clone for Owners<P> {
    fn clone(&self) -> Self {
        Self { consumers: self.consumers.clone(), groups: self.groups.clone() }
    }
}

impl<P> Default for Owners<P> {
    fn default() -> Self {
        Self { consumers: Radix::default(), groups: Radix::default() }
    }
}

/// What one caller brings.
#[derive(Debug)]
pub struct Brought<P> {
    /// Of the group.
    pub group: Option<Arc<Owner<P>>>,
    /// Of the consumer.
    pub consumer: Option<Arc<Owner<P>>>,
}

impl<P> Brought<P> {
    /// Whether it brings nothing.
    pub fn is_empty(&self) -> bool {
        self.group.is_none() && self.consumer.is_none()
    }
}

/// The caller's group does not exist: nobody can say what holds for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoGroup;

impl<P: Plugin> Owners<P> {
    /// What a caller brings.
    ///
    /// # Errors
    /// It belongs to a group that does not exist.
    pub fn of(&self, identity: &Identity) -> Result<Brought<P>, NoGroup> {
        let group = match &identity.group_id {
            Some(id) => Some(find(&self.groups, id).ok_or(NoGroup)?),
            None => None,
        };
        Ok(Brought { group, consumer: find(&self.consumers, &identity.name) })
    }
}

fn find<P>(owners: &Radix<Arc<Owner<P>>>, id: &str) -> Option<Arc<Owner<P>>> {
    owners.visit(id.as_bytes(), |owner| Some(owner.clone()))
}

impl<P> Owners<P> {
    pub(crate) fn set_consumer(&mut self, name: &str, owner: Option<Arc<Owner<P>>>) {
        let owner = owner.filter(|owner| !owner.entries.is_empty());
        self.consumers.change(name.as_bytes(), Reach::Exact, |slot| *slot = owner);
    }

    pub(crate) fn set_group(&mut self, id: &str, owner: Option<Arc<Owner<P>>>) {
        self.groups.change(id.as_bytes(), Reach::Exact, |slot| *slot = owner);
    }
}
