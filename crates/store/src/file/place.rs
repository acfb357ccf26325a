//! Where in a document a message about an item of it points to.

use a6_codec::yaml::{Node, Origin, Value, join};

/// The deepest place below an item that a message of the checks names, and its path; `path` is the item's. Of what it names
/// and is not there, the place where it is missing.
pub(super) fn deepest(item: &Node, path: String, message: &str) -> (Origin, String) {
    let mut found = Found { node: item, origin: item.origin.clone(), path };
    let mut rest = message;
    while let Some((step, after)) = next(rest) {
        match step {
            Step::Property(name) => found.enter(name),
            Step::Plugin(name) => {
                // In another plugin's configuration there are no plugins.
                found.enter("plugins");
                found.enter(name);
            }
            Step::Reference(kind) => found.enter(&format!("{}_id", kind.replace(' ', "_"))),
            Step::Item(number) => found.item(number),
        }
        rest = after;
    }
    (found.origin, found.path)
}

/// Where a dotted path below an item leads to, as far as it is there.
pub(super) fn below(item: &Node, path: &str) -> Origin {
    let mut found = Found { node: item, origin: item.origin.clone(), path: String::new() };
    for name in path.split('.') {
        found.enter(name);
    }
    found.origin
}

struct Found<'n> {
    node: &'n Node,
    origin: Origin,
    path: String,
}

impl Found<'_> {
    fn enter(&mut self, name: &str) {
        if let Some(entry) = self.node.member(name) {
            self.origin = entry.origin.clone();
            self.path = join(&self.path, name);
            self.node = &entry.node;
        }
    }

    fn item(&mut self, number: usize) {
        let Value::List(items) = &self.node.value else { return };
        if let Some((index, item)) = number.checked_sub(1).and_then(|index| Some((index, items.get(index)?)))
        {
            self.origin = item.origin.clone();
            self.path = format!("{}[{index}]", self.path);
            self.node = item;
        }
    }
}

enum Step<'m> {
    Property(&'m str),
    Plugin(&'m str),
    Reference(&'m str),
    /// From 1.
    Item(usize),
}

/// How the checks name the next thing, what stands before and after its name.
type Form = (&'static str, &'static str, fn(&str) -> Option<Step<'_>>);

const FORMS: [Form; 5] = [
    ("property \"", "\"", |name| Some(Step::Property(name))),
    ("configuration of plugin ", " err:", |name| Some(Step::Plugin(name))),
    ("plugin [", "]", |name| Some(Step::Plugin(name))),
    (" info by ", " id [", |name| Some(Step::Reference(name))),
    ("validate item ", ":", |number| number.parse().ok().map(Step::Item)),
];

/// The first thing that a message names, and what follows it.
fn next(message: &str) -> Option<(Step<'_>, &str)> {
    let found = FORMS.iter().filter_map(|(before, after, read)| {
        let (start, rest) = message.split_once(before)?;
        let (name, rest) = rest.split_once(after)?;
        Some((start.len(), read(name)?, rest))
    });
    found.min_by_key(|(start, ..)| *start).map(|(_, step, rest)| (step, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use a6_codec::yaml::parse;

    const ROUTE: &str = "uri: 1\n\
        upstream_id: u\n\
        plugins:\n  \
          key-auth: {}\n  \
          limit-count:\n    \
            count: x\n\
        hosts:\n  \
          - a\n  \
          - 5\n";

    #[test]
    fn messages_point_to_what_they_name() {
        let item = parse(ROUTE, 1 << 20, |line, column| Origin::File { line, column }).unwrap();
        let cases = [
            ("invalid configuration: property \"uri\" validation failed: wrong type", 1, 1, "routes[0].uri"),
            (
                "failed to fetch upstream info by upstream id [u], response code: 404",
                2,
                1,
                "routes[0].upstream_id",
            ),
            (
                "failed to check the configuration of plugin key-auth err: property \"key\" is required",
                4,
                3,
                "routes[0].plugins.key-auth",
            ),
            (
                "failed to check the configuration of plugin limit-count err: property \"count\" validation failed: x",
                6,
                5,
                "routes[0].plugins.limit-count.count",
            ),
            (
                "invalid configuration: property \"hosts\" validation failed: failed to validate item 2: wrong type",
                9,
                5,
                "routes[0].hosts[1]",
            ),
            ("unknown plugin [key-auth]", 4, 3, "routes[0].plugins.key-auth"),
            ("unknown plugin [other]", 3, 1, "routes[0].plugins"),
            ("only one of host or hosts is allowed", 1, 1, "routes[0]"),
        ];
        for (message, line, column, path) in cases {
            let found = deepest(&item, "routes[0]".to_owned(), message);
            assert_eq!(found, (Origin::File { line, column }, path.to_owned()), "{message}");
        }
    }

    #[test]
    fn paths_lead_as_far_as_they_are_there() {
        let item = parse(ROUTE, 1 << 20, |line, column| Origin::File { line, column }).unwrap();
        let cases = [
            ("plugins.limit-count.count", 6, 5),
            ("plugins.key-auth.key", 4, 3),
            ("none", 1, 1),
            ("hosts.x", 7, 1),
        ];
        for (path, line, column) in cases {
            assert_eq!(below(&item, path), Origin::File { line, column }, "{path}");
        }
    }
}
