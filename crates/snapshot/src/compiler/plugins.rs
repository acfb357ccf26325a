use std::sync::Arc;

use a6_resources::{Plugins, find_reference};
use serde_json::Value;

use super::Compiler;
use crate::chain::fresh_id;
use crate::{ChainEntry, Kit, Meta, Owner, Site};

/// A resource's plugins as they were compiled last, with the document they came from.
#[derive(Debug)]
pub(super) struct Compiled<P> {
    pub(super) document: Arc<Value>,
    pub(super) owner: Arc<Owner<P>>,
}

impl<K: Kit> Compiler<K> {
    /// Compiles the plugins of a resource. What did not change since `previous` is taken over as it is, with all that it
    /// remembers.
    ///
    /// # Errors
    /// A configuration cannot be used, in APISIX's words.
    pub(super) fn compile_owner(
        &self,
        key: &str,
        plugins: &Plugins,
        previous: Option<&Compiled<K::Plugin>>,
    ) -> Result<Owner<K::Plugin>, String> {
        let mut entries = Vec::with_capacity(plugins.len());
        let owner: Arc<str> = key.into();
        for (name, conf) in plugins {
            match previous.and_then(|previous| unchanged(previous, name, conf)) {
                Some(entry) => entries.push(entry),
                None => entries.push(self.compile_entry(&owner, name, conf)?),
            }
        }
        Ok(Owner { id: fresh_id(), entries })
    }

    fn compile_entry(
        &self,
        owner: &Arc<str>,
        name: &str,
        conf: &Value,
    ) -> Result<ChainEntry<K::Plugin>, String> {
        let failed =
            |error: String| format!("failed to check the configuration of plugin {name} err: {error}");
        let spec = self.kit.spec(name).ok_or_else(|| format!("unknown plugin [{name}]"))?;
        let meta = Meta::of(conf)?;
        let is_disabled = meta.as_ref().is_some_and(|meta| meta.is_disabled);
        let site = Site {
            owner,
            upstreams: &self.targets.slots,
            health: &self.targets.health,
            groups: &self.targets.groups,
        };
        // What is still a reference here was not resolved; its text is no secret.
        let unresolved = find_reference(conf).filter(|_| !is_disabled).map(Arc::from);
        let plugin = match is_disabled || unresolved.is_some() {
            true => None,
            false => Some(Arc::new(self.kit.compile(name, conf, &site).map_err(failed)?)),
        };
        Ok(ChainEntry {
            name: spec.name,
            priority: meta.as_ref().and_then(|meta| meta.priority).unwrap_or(spec.priority),
            plugin,
            unresolved,
            meta: meta.map(Arc::new),
            owner: owner.clone(),
            is_late: false,
        })
    }
}

fn unchanged<P>(previous: &Compiled<P>, name: &str, conf: &Value) -> Option<ChainEntry<P>> {
    let before = previous.document.get("plugins")?.get(name)?;
    let entry = previous.owner.entries.iter().find(|entry| entry.name == name)?;
    (before == conf).then(|| entry.clone())
}
