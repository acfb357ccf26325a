//! Where in a document a message about an item of it points to.

use a6_codec::yaml::{Cursor, Node, Origin};
use a6_resources::{Part, parts};

/// The deepest place below an item that a message of the checks names, and its path; `path` is the item's. Of what it names
/// and is not there, the place where it is missing.
pub(super) fn deepest(item: &Node, path: String, message: &str) -> (Origin, String) {
    let mut cursor = Cursor::at(item, path);
    for part in parts(message) {
        match part {
            Part::Member(name) => cursor.member(&name),
            Part::Item(index) => cursor.item(index),
        }
    }
    (cursor.origin, cursor.path)
}

/// Where a dotted path below an item leads to, as far as it is there.
pub(super) fn below(item: &Node, path: &str) -> Origin {
    let mut cursor = Cursor::at(item, String::new());
    for name in path.split('.') {
        cursor.member(name);
    }
    cursor.origin
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
