//! A walk down a tree by names, as far as they are there.

use super::{Node, Origin, Value, join};

/// The deepest place that was reached.
pub struct Cursor<'n> {
    node: &'n Node,
    /// Where it stands: the key of a member, an item itself.
    pub origin: Origin,
    /// Its path.
    pub path: String,
}

impl<'n> Cursor<'n> {
    /// Starts at a node, which has that path.
    pub fn at(node: &'n Node, path: String) -> Self {
        Self { node, origin: node.origin.clone(), path }
    }

    /// Goes to a member; stays where there is none of that name.
    pub fn member(&mut self, name: &str) {
        if let Some(entry) = self.node.member(name) {
            self.origin = entry.origin.clone();
            self.path = join(&self.path, name);
            self.node = &entry.node;
        }
    }

    /// Goes to the item of that index, from 0; stays where there is none.
    pub fn item(&mut self, index: usize) {
        let Value::List(items) = &self.node.value else { return };
        if let Some(item) = items.get(index) {
            self.origin = item.origin.clone();
            self.path = format!("{}[{index}]", self.path);
            self.node = item;
        }
    }
}
