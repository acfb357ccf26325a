use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use a6_resources::GlobalRule;
use serde_json::Value;

use super::plugins::Compiled;
use super::{Compiler, read};
use crate::chain::Owner;
use crate::{Chain, Kit};

/// Global rules and the chain that they make.
pub(super) struct Rules<P> {
    rules: BTreeMap<String, Compiled<P>>,
    chain: Option<Arc<Chain<P>>>,
}

impl<P> Default for Rules<P> {
    fn default() -> Self {
        Self { rules: BTreeMap::new(), chain: None }
    }
}

impl<P> Rules<P> {
    pub(super) fn chain(&self) -> Option<Arc<Chain<P>>> {
        self.chain.clone()
    }
}

impl<K: Kit> Compiler<K> {
    pub(super) fn set_rule(&mut self, id: &str, document: Option<&Arc<Value>>) -> Result<(), String> {
        match document {
            Some(document) => {
                let rule: GlobalRule = read(document)?;
                let before = self.rules.rules.get(id);
                let owner = self.compile_owner(&format!("/global_rules/{id}"), &rule.plugins, before)?;
                let compiled = Compiled { document: document.clone(), owner: Arc::new(owner) };
                self.rules.rules.insert(id.to_string(), compiled);
            }
            None => {
                self.rules.rules.remove(id);
            }
        }
        let mut counts: HashMap<&str, u32> = HashMap::new();
        let entries = || self.rules.rules.values().flat_map(|rule| &rule.owner.entries);
        for entry in entries() {
            *counts.entry(entry.name).or_default() += 1;
        }
        // Of a plugin in two rules neither copy can claim to be the one that was meant.
        let once = entries().filter(|entry| counts.get(entry.name) == Some(&1)).cloned().collect();
        let owner = Owner { id: 0, entries: once };
        let chain = Chain::layered(&[&owner]);
        self.rules.chain = (!chain.is_empty()).then(|| Arc::new(chain));
        Ok(())
    }
}
