//! A whole configuration at once, as a file or the stand-alone Admin API gives it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::{
    Catalogue, Change, Entry, Kind, References, check, credential_id, faults, id_text, split_credential_id,
};

/// Every resource of a configuration, one of each id.
#[derive(Default)]
pub struct Configuration {
    items: BTreeMap<(Kind, String), Item>,
    /// Those that later ones with the same id have replaced: without effect, and checked all the same.
    replaced: Vec<Item>,
}

struct Item {
    entry: Entry,
    /// The `id` that it is checked with.
    named: Option<String>,
    index: usize,
}

/// What is wrong with an item of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFault {
    /// The collection that it stands in, such as `routes`.
    pub collection: &'static str,
    /// Which item of it, from 0.
    pub index: usize,
    /// What it is stored under.
    pub id: String,
    /// Why it cannot be taken, in the words of the Admin API's `error_msg`.
    pub reason: String,
}

/// What is wrong with an item: its kind, the `id` that it is checked with, its document, what else there is.
type Told<'t> = &'t dyn Fn(Kind, Option<&str>, &Value, &Known<'_>) -> Vec<String>;

impl Configuration {
    /// Takes the item of that index, from 0, of a kind's collection; that of consumers has their credentials too. Without
    /// `id` and `username` its id is `arr_«n»`, n from 1. Of two items with one id the later counts: gives the index of the
    /// one that it replaces.
    pub fn add(&mut self, kind: Kind, index: usize, mut value: Value) -> Option<usize> {
        let named = value.get("id").and_then(id_text);
        let username = value.get("username").and_then(id_text);
        let credential = named.as_deref().filter(|_| kind == Kind::Consumer).and_then(split_credential_id);
        let (kind, id, named) = if let Some((owner, own)) = credential {
            let id = credential_id(owner, own);
            value["id"] = Value::from(own);
            (Kind::Credential, id.clone(), Some(id))
        } else if kind == Kind::Consumer {
            let id = username.or_else(|| named.clone());
            (kind, id.unwrap_or_else(|| numbered(index)), named)
        } else {
            let id = named.or(username).unwrap_or_else(|| numbered(index));
            if let Value::Object(members) = &mut value {
                members.entry("id").or_insert_with(|| Value::from(id.as_str()));
            }
            (kind, id.clone(), Some(id))
        };
        let entry = Entry { kind, id: id.clone(), value: Arc::new(value), created: 0, modified: 0 };
        let before = self.items.insert((kind, id), Item { entry, named, index })?;
        let index = before.index;
        self.replaced.push(before);
        Some(index)
    }

    /// Visits every document, before it is checked: what is encrypted in it is opened, say.
    pub fn change_each(&mut self, visit: &mut dyn FnMut(Kind, &str, &mut Value)) {
        for Item { entry, .. } in self.items.values_mut().chain(&mut self.replaced) {
            visit(entry.kind, &entry.id, Arc::make_mut(&mut entry.value));
        }
    }

    /// Checks every item as the Admin API does before it writes; what they refer to is looked for among them. Gives the first
    /// fault of each, by collection and index.
    pub fn check(&self, catalogue: &dyn Catalogue) -> Vec<ItemFault> {
        self.each(&[], catalogue, &|kind, id, value, known| {
            check(kind, id, value, known, catalogue).err().into_iter().collect()
        })
    }

    /// All that is wrong with every item, by collection and index. Of the kinds `elsewhere`, what is not here is taken to be
    /// in the gateway.
    pub fn faults(&self, elsewhere: &[Kind], catalogue: &dyn Catalogue) -> Vec<ItemFault> {
        self.each(elsewhere, catalogue, &|kind, id, value, known| faults(kind, id, value, known, catalogue))
    }

    fn each(&self, elsewhere: &[Kind], catalogue: &dyn Catalogue, told: Told<'_>) -> Vec<ItemFault> {
        let keys = self.keys(catalogue);
        let mut faults: Vec<(Kind, ItemFault)> = Vec::new();
        for item in self.items.values().chain(&self.replaced) {
            let Entry { kind, id, value, .. } = &item.entry;
            let mut alike = Vec::new();
            each_key(&item.entry, catalogue, &mut |plugin, key| {
                alike.extend(keys.get(&(plugin, key)).into_iter().flatten().copied());
            });
            let known = Known { configuration: self, elsewhere, alike };
            let mut reasons = told(*kind, item.named.as_deref(), value, &known);
            if reasons.is_empty() {
                reasons.extend(self.has_owner(*kind, id, elsewhere).err());
            }
            let (collection, index) = (kind.spec().collection, item.index);
            let fault = |reason| (*kind, ItemFault { collection, index, id: id.clone(), reason });
            faults.extend(reasons.into_iter().map(fault));
        }
        faults.sort_by(|(kind, a), (other, b)| {
            (a.collection, a.index, kind).cmp(&(b.collection, b.index, other))
        });
        faults.into_iter().map(|(_, fault)| fault).collect()
    }

    /// What has to be changed for `current` to become this configuration; items that are equal are left alone.
    pub fn changes(&self, current: &mut dyn Iterator<Item = &Entry>) -> Vec<Change> {
        let mut missing: BTreeMap<(Kind, &str), &Item> =
            self.items.values().map(|item| ((item.entry.kind, item.entry.id.as_str()), item)).collect();
        let mut changes = Vec::new();
        for entry in current {
            let wanted = missing.remove(&(entry.kind, entry.id.as_str())).map(|item| &item.entry.value);
            if wanted != Some(&entry.value) {
                changes.push(Change { kind: entry.kind, id: entry.id.clone(), value: wanted.cloned() });
            }
        }
        let new = missing.into_values().map(|item| &item.entry);
        changes.extend(new.map(|entry| Change {
            kind: entry.kind,
            id: entry.id.clone(),
            value: Some(entry.value.clone()),
        }));
        changes
    }

    /// Where an item stands: its collection, and its index there.
    pub fn place(&self, kind: Kind, id: &str) -> Option<(&'static str, usize)> {
        self.items.get(&(kind, id.to_owned())).map(|item| (kind.spec().collection, item.index))
    }

    /// A credential without its consumer would stand for nobody.
    fn has_owner(&self, kind: Kind, id: &str, elsewhere: &[Kind]) -> Result<(), String> {
        match split_credential_id(id) {
            Some((owner, _))
                if kind == Kind::Credential
                    && !elsewhere.contains(&Kind::Consumer)
                    && !self.items.contains_key(&(Kind::Consumer, owner.to_owned())) =>
            {
                Err("consumer not found".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Who is known by which key of which plugin.
    fn keys<'c>(&'c self, catalogue: &dyn Catalogue) -> HashMap<(&'c str, &'c str), Vec<&'c Entry>> {
        let mut keys: HashMap<(&str, &str), Vec<&Entry>> = HashMap::new();
        for item in self.items.values() {
            each_key(&item.entry, catalogue, &mut |plugin, key| {
                keys.entry((plugin, key)).or_default().push(&item.entry);
            });
        }
        keys
    }
}

fn numbered(index: usize) -> String {
    format!("arr_{}", index + 1)
}

/// Visits every key by which a consumer or credential is known, with its plugin.
fn each_key<'e>(entry: &'e Entry, catalogue: &dyn Catalogue, visit: &mut dyn FnMut(&'e str, &'e str)) {
    if !matches!(entry.kind, Kind::Consumer | Kind::Credential) {
        return;
    }
    for (plugin, conf) in entry.value.get("plugins").and_then(Value::as_object).into_iter().flatten() {
        let attribute = catalogue.spec(plugin).and_then(|spec| spec.consumer_key);
        if let Some(key) = attribute.and_then(|attribute| conf.get(attribute)).and_then(Value::as_str) {
            visit(plugin, key);
        }
    }
}

/// The configuration as an item of it is checked against. Of callers only those are shown that have a key of the item's:
/// looking through all of them for each of them would take the square of their number.
struct Known<'c> {
    configuration: &'c Configuration,
    /// Kinds of which there are more elsewhere.
    elsewhere: &'c [Kind],
    alike: Vec<&'c Entry>,
}

impl References for Known<'_> {
    fn exists(&self, kind: Kind, id: &str) -> bool {
        self.elsewhere.contains(&kind) || self.configuration.items.contains_key(&(kind, id.to_owned()))
    }

    fn entries(&self, kind: Kind) -> Box<dyn Iterator<Item = &Entry> + '_> {
        if matches!(kind, Kind::Consumer | Kind::Credential) {
            return Box::new(self.alike.iter().copied().filter(move |entry| entry.kind == kind));
        }
        let of_kind = self.configuration.items.range((kind, String::new())..);
        Box::new(of_kind.take_while(move |((own, _), _)| *own == kind).map(|(_, item)| &item.entry))
    }
}
