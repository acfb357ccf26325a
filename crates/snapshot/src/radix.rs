use std::sync::Arc;

/// A byte radix tree whose nodes are shared between versions: a change copies the nodes on its path, nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Radix<T> {
    root: Arc<Node<T>>,
}

#[derive(Clone, Debug)]
struct Node<T> {
    label: Box<[u8]>,
    /// For a key that ends here.
    exact: Option<T>,
    /// For a key that begins like this.
    prefix: Option<T>,
    /// Ordered by the first byte of their labels, which differ.
    children: Vec<Arc<Node<T>>>,
}

/// How a literal matches keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The whole key.
    Exact,
    /// Its beginning.
    Prefix,
}

impl<T> Default for Radix<T> {
    fn default() -> Self {
        Self { root: Arc::new(Node::new(&[])) }
    }
}

impl<T> Node<T> {
    fn new(label: &[u8]) -> Self {
        Self { label: label.into(), exact: None, prefix: None, children: Vec::new() }
    }

    fn child(&self, first: u8) -> Result<usize, usize> {
        self.children.binary_search_by_key(&first, |child| child.label[0])
    }

    fn is_empty(&self) -> bool {
        self.exact.is_none() && self.prefix.is_none() && self.children.is_empty()
    }

    fn slot(&mut self, reach: Reach) -> &mut Option<T> {
        match reach {
            Reach::Exact => &mut self.exact,
            Reach::Prefix => &mut self.prefix,
        }
    }

    fn visit<'t, R>(&'t self, rest: &[u8], found: &mut impl FnMut(&'t T) -> Option<R>) -> Option<R> {
        let deeper = match rest.first() {
            None => self.exact.as_ref().and_then(&mut *found),
            Some(first) => self.child(*first).ok().and_then(|index| {
                let child = &self.children[index];
                rest.strip_prefix(&*child.label).and_then(|rest| child.visit(rest, found))
            }),
        };
        deeper.or_else(|| self.prefix.as_ref().and_then(found))
    }
}

impl<T: Clone> Radix<T> {
    /// Whether it holds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// Offers every value that matches the key until one is taken: the exact one first, then prefixes, longest first.
    pub(crate) fn visit<'t, R>(&'t self, key: &[u8], mut found: impl FnMut(&'t T) -> Option<R>) -> Option<R> {
        self.root.visit(key, &mut found)
    }

    /// Changes the value of a literal; a value changed to `None` is removed.
    pub(crate) fn change(&mut self, literal: &[u8], reach: Reach, change: impl FnOnce(&mut Option<T>)) {
        change_node(Arc::make_mut(&mut self.root), literal, reach, change);
    }
}

fn change_node<T: Clone>(node: &mut Node<T>, rest: &[u8], reach: Reach, change: impl FnOnce(&mut Option<T>)) {
    let Some(first) = rest.first() else {
        change(node.slot(reach));
        return;
    };
    match node.child(*first) {
        Err(place) => {
            let mut leaf = Node::new(rest);
            change(leaf.slot(reach));
            if !leaf.is_empty() {
                node.children.insert(place, Arc::new(leaf));
            }
        }
        Ok(place) => {
            let child = Arc::make_mut(&mut node.children[place]);
            let shared = child.label.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if shared < child.label.len() {
                split(child, shared);
            }
            change_node(child, &rest[shared..], reach, change);
            tidy(node, place);
        }
    }
}

/// Puts a node of the label's first bytes above the rest of it.
fn split<T: Clone>(node: &mut Node<T>, at: usize) {
    let mut lower = std::mem::replace(node, Node::new(&node.label[..at]));
    lower.label = lower.label[at..].into();
    node.children.push(Arc::new(lower));
}

/// Removes an empty child, and joins a child that only leads to another.
fn tidy<T: Clone>(node: &mut Node<T>, place: usize) {
    let child = &node.children[place];
    if child.is_empty() {
        node.children.remove(place);
    } else if child.exact.is_none() && child.prefix.is_none() && child.children.len() == 1 {
        let mut only = (*child.children[0]).clone();
        only.label = [&*child.label, &*only.label].concat().into();
        node.children[place] = Arc::new(only);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(tree: &Radix<&'static str>, key: &str) -> Vec<&'static str> {
        let mut seen = Vec::new();
        let none: Option<()> = tree.visit(key.as_bytes(), |value| {
            seen.push(*value);
            None
        });
        assert_eq!(none, None);
        seen
    }

    #[test]
    fn exact_first_then_prefixes_from_the_longest() {
        let mut tree = Radix::default();
        for (literal, reach, value) in [
            ("", Reach::Prefix, "*"),
            ("/api", Reach::Exact, "/api"),
            ("/api", Reach::Prefix, "/api*"),
            ("/api/", Reach::Prefix, "/api/*"),
            ("/api/v1", Reach::Exact, "/api/v1"),
            ("/b", Reach::Exact, "/b"),
        ] {
            tree.change(literal.as_bytes(), reach, |slot| *slot = Some(value));
        }
        assert_eq!(all(&tree, "/api/v1"), ["/api/v1", "/api/*", "/api*", "*"]);
        assert_eq!(all(&tree, "/api"), ["/api", "/api*", "*"]);
        assert_eq!(all(&tree, "/apix"), ["/api*", "*"]);
        assert_eq!(all(&tree, "/b"), ["/b", "*"]);
        assert_eq!(all(&tree, ""), ["*"]);
    }

    #[test]
    fn removal_leaves_nothing_behind_and_old_versions_stand() {
        let literals = ["/a", "/ab", "/abc", "/b", "/abd"];
        let mut tree = Radix::default();
        for literal in literals {
            tree.change(literal.as_bytes(), Reach::Exact, |slot| *slot = Some(literal));
        }
        let before = tree.clone();
        for literal in literals {
            tree.change(literal.as_bytes(), Reach::Exact, |slot| *slot = None);
            assert_eq!(all(&tree, literal), Vec::<&str>::new());
        }
        tree.change(b"/never", Reach::Prefix, |slot| *slot = None);
        assert!(tree.is_empty());
        for literal in literals {
            assert_eq!(all(&before, literal), [literal]);
        }
    }
}
