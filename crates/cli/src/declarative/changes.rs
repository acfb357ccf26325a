//! What has to be changed for a gateway to have what a file says.

use std::collections::BTreeMap;

use super::document::{Document, Item};
use super::remote::Remote;
use super::same::same;
use super::sections::Section;
use crate::kinds::Object;

/// The changes of every section that the file says something of, in the order of a dump.
pub(super) struct Changes {
    /// One for each section.
    pub(super) sections: Vec<SectionChanges>,
}

/// The changes of one section, each list in the order of the keys.
pub(super) struct SectionChanges {
    /// Which one.
    pub(super) section: &'static Section,
    /// Whether the file has it.
    pub(super) is_given: bool,
    /// What only the file has.
    pub(super) create: Vec<Change>,
    /// What both have, and differently: the file's object, and the gateway's.
    pub(super) update: Vec<(Change, Object)>,
    /// What only the gateway has.
    pub(super) delete: Vec<Change>,
    /// The keys of what is the same.
    pub(super) unchanged: Vec<String>,
}

/// An object and how it is called.
pub(super) struct Change {
    /// How it is called.
    pub(super) key: String,
    /// As the file, or the gateway where only it has it, says.
    pub(super) object: Object,
}

impl Changes {
    /// Compares a file whose objects all have their names.
    pub(super) fn between(document: &Document, remote: Remote) -> Self {
        let compared = |(section, objects): (&'static Section, Vec<(String, Object)>)| {
            let given = document.given.iter().find(|given| given.section.name == section.name);
            let items = given.map(|given| given.items.as_slice()).unwrap_or_default();
            SectionChanges::between(section, given.is_some(), items, objects)
        };
        Self { sections: remote.sections.into_iter().map(compared).collect() }
    }

    /// Whether nothing differs.
    pub(super) fn are_none(&self) -> bool {
        self.sections.iter().all(|changes| changes.count() == 0)
    }

    /// The changes of a section.
    pub(super) fn of(&self, section: &Section) -> Option<&SectionChanges> {
        self.sections.iter().find(|changes| changes.section.name == section.name)
    }
}

impl SectionChanges {
    fn between(
        section: &'static Section,
        is_given: bool,
        items: &[Item],
        objects: Vec<(String, Object)>,
    ) -> Self {
        let ours = items.iter().filter_map(|item| Some((section.key(&item.object).ok()?, item)));
        let ours: BTreeMap<String, &Item> = ours.collect();
        let mut theirs: BTreeMap<String, Object> = objects.into_iter().collect();
        let mut changes = Self {
            section,
            is_given,
            create: Vec::new(),
            update: Vec::new(),
            delete: Vec::new(),
            unchanged: Vec::new(),
        };
        for (key, item) in ours {
            let object = || item.object.clone();
            match theirs.remove(&key) {
                None => changes.create.push(Change { object: object(), key }),
                Some(theirs) if same(section, &item.object, &theirs) => changes.unchanged.push(key),
                Some(theirs) => changes.update.push((Change { object: object(), key }, theirs)),
            }
        }
        changes.delete.extend(theirs.into_iter().map(|(key, object)| Change { key, object }));
        changes
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.create.len() + self.update.len() + self.delete.len()
    }
}
