//! A whole configuration at once, as a file or the stand-alone Admin API gives it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::{Catalogue, Change, Entry, Kind, References, check, credential_id, id_text, split_credential_id};

/// Every resource of a configuration, one of each id.
#[derive(Default)]
pub struct Configuration {
    items: BTreeMap<(Kind, String), Item>,
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
        let before = self.items.insert((kind, id), Item { entry, named, index });
        before.map(|before| before.index)
    }

    /// Checks every item as the Admin API does before it writes; what they refer to is looked for among them. Gives all that
    /// is wrong, by collection and index.
    pub fn check(&self, catalogue: &dyn Catalogue) -> Vec<ItemFault> {
        let keys = self.keys(catalogue);
        let faults = self.items.values().filter_map(|item| {
            let Entry { kind, id, value, .. } = &item.entry;
            let mut alike = Vec::new();
            each_key(&item.entry, catalogue, &mut |plugin, key| {
                alike.extend(keys.get(&(plugin, key)).into_iter().flatten().copied());
            });
            let known = Known { configuration: self, alike };
            let outcome = check(*kind, item.named.as_deref(), value, &known, catalogue);
            let reason = outcome.and_then(|()| self.has_owner(*kind, id)).err()?;
            Some((
                *kind,
                ItemFault { collection: kind.spec().collection, index: item.index, id: id.clone(), reason },
            ))
        });
        let mut faults: Vec<(Kind, ItemFault)> = faults.collect();
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
    fn has_owner(&self, kind: Kind, id: &str) -> Result<(), String> {
        match split_credential_id(id) {
            Some((owner, _))
                if kind == Kind::Credential
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
    alike: Vec<&'c Entry>,
}

impl References for Known<'_> {
    fn exists(&self, kind: Kind, id: &str) -> bool {
        self.configuration.items.contains_key(&(kind, id.to_owned()))
    }

    fn entries(&self, kind: Kind) -> Box<dyn Iterator<Item = &Entry> + '_> {
        if matches!(kind, Kind::Consumer | Kind::Credential) {
            return Box::new(self.alike.iter().copied().filter(move |entry| entry.kind == kind));
        }
        let of_kind = self.configuration.items.range((kind, String::new())..);
        Box::new(of_kind.take_while(move |((own, _), _)| *own == kind).map(|(_, item)| &item.entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::Plugins;
    use serde_json::json;

    fn configuration(items: &[(Kind, Value)]) -> Configuration {
        let mut configuration = Configuration::default();
        for (index, (kind, value)) in items.iter().enumerate() {
            configuration.add(*kind, index, value.clone());
        }
        configuration
    }

    fn faults(items: &[(Kind, Value)]) -> Vec<(usize, String)> {
        let faults = configuration(items).check(&Plugins::new());
        faults.into_iter().map(|fault| (fault.index, fault.reason)).collect()
    }

    fn upstream() -> Value {
        json!({"type": "roundrobin", "nodes": {"127.0.0.1:80": 1}})
    }

    #[test]
    fn ids_come_from_the_item_or_from_its_place() {
        let mut all = configuration(&[
            (Kind::Route, json!({"id": 7, "uri": "/a"})),
            (Kind::Route, json!({"uri": "/b"})),
            (Kind::Consumer, json!({"username": "jack"})),
            (Kind::Consumer, json!({"id": "jack/credentials/c", "plugins": {}})),
        ]);
        let changes = all.changes(&mut std::iter::empty());
        let ids: Vec<(Kind, &str)> = changes.iter().map(|change| (change.kind, change.id.as_str())).collect();
        let expected = [
            (Kind::Route, "7"),
            (Kind::Route, "arr_2"),
            (Kind::Credential, "jack/credentials/c"),
            (Kind::Consumer, "jack"),
        ];
        assert_eq!(ids, expected);
        let documents: Vec<Value> =
            changes.iter().filter_map(|change| change.value.as_deref().cloned()).collect();
        assert_eq!(documents[0]["id"], json!(7), "a number stays one");
        assert_eq!((&documents[1]["id"], &documents[2]["id"]), (&json!("arr_2"), &json!("c")));
        assert_eq!(documents[3], json!({"username": "jack"}));
        assert_eq!(all.add(Kind::Route, 9, json!({"id": "7", "uri": "/c"})), Some(0), "the later one counts");
        assert_eq!(all.place(Kind::Route, "7"), Some(("routes", 9)));
        assert_eq!(all.changes(&mut std::iter::empty()).len(), 4);
    }

    #[test]
    fn references_are_looked_for_in_the_configuration() {
        let route = json!({"id": "r", "uri": "/a", "upstream_id": "u"});
        let with_id = |mut value: Value| {
            value["id"] = json!("u");
            value
        };
        assert_eq!(faults(&[(Kind::Route, route.clone()), (Kind::Upstream, with_id(upstream()))]), []);
        let text = "failed to fetch upstream info by upstream id [u], response code: 404";
        assert_eq!(faults(&[(Kind::Route, route)]), [(0, text.to_owned())]);
        let credential = json!({"id": "jack/credentials/c", "plugins": {"door": {"key": "k"}}});
        assert_eq!(faults(&[(Kind::Consumer, credential)]), [(0, "consumer not found".to_owned())]);
    }

    #[test]
    fn all_that_is_wrong_is_told_and_keys_that_two_have_are_found() {
        let consumer = |name: &str, key: &str| json!({"username": name, "plugins": {"door": {"key": key}}});
        let rule = |id: &str| json!({"id": id, "plugins": {"guard": {"token": "tok-1"}}});
        let told = faults(&[
            (Kind::Consumer, consumer("a", "same")),
            (Kind::Consumer, consumer("b", "own")),
            (Kind::Consumer, consumer("c", "same")),
            (Kind::Consumer, json!({"id": "x", "username": "d"})),
            (Kind::GlobalRule, rule("1")),
            (Kind::GlobalRule, rule("2")),
            (Kind::Route, json!({"uri": 1})),
        ]);
        let expected = [
            (0, "duplicate key of plugin door found with consumer: c"),
            (2, "duplicate key of plugin door found with consumer: a"),
            (3, "wrong username"),
            (4, "plugin 'guard' already exists in global rule with id '2'"),
            (5, "plugin 'guard' already exists in global rule with id '1'"),
            (
                6,
                "invalid configuration: property \"uri\" validation failed: \
                 wrong type: expected string, got number",
            ),
        ];
        assert_eq!(told, expected.map(|(index, reason)| (index, reason.to_owned())));
    }

    #[test]
    fn only_what_differs_is_changed() {
        let first =
            configuration(&[(Kind::Route, json!({"id": "a", "uri": "/a"})), (Kind::Upstream, upstream())]);
        let stored: Vec<Entry> = first.items.values().map(|item| item.entry.clone()).collect();
        assert_eq!(first.changes(&mut stored.iter()), []);
        let second = configuration(&[
            (Kind::Route, json!({"id": "b", "uri": "/b"})),
            (Kind::Upstream, json!({"id": "arr_2", "type": "chash"})),
        ]);
        let changes = second.changes(&mut stored.iter());
        let told: Vec<(&str, bool)> =
            changes.iter().map(|change| (change.id.as_str(), change.value.is_some())).collect();
        assert_eq!(told, [("a", false), ("arr_2", true), ("b", true)]);
    }
}
