//! The table of resource kinds. A kind is a row: what it is called, where it lives in the Admin API, what its list shows
//! and in which order its fields print. Nothing outside this file names a kind.

use serde_json::{Map, Value};

/// A resource as the Admin API holds it.
pub(crate) type Object = Map<String, Value>;

/// One kind of resource.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The command word, as in `a6 route`.
    pub(crate) command: &'static str,
    /// `a` or `an`, before the singular.
    pub(crate) article: &'static str,
    /// One of them in a sentence.
    pub(crate) singular: &'static str,
    /// One of them at the start of a sentence.
    pub(crate) title: &'static str,
    /// Several of them in a sentence.
    pub(crate) plural: &'static str,
    /// Path of the collection on the Admin API.
    pub(crate) path: &'static str,
    /// Flags of `list` that become query parameters.
    pub(crate) filters: &'static [&'static str],
    /// Columns of the table that `list` prints.
    pub(crate) columns: &'static [Column],
    /// Order in which the fields print.
    pub(crate) shape: &'static Shape,
}

/// One column of a table.
#[derive(Debug)]
pub(crate) struct Column {
    /// Heading, in upper case.
    pub(crate) title: &'static str,
    /// What the cell says about an object; empty when the object has nothing to say.
    pub(crate) cell: fn(&Object) -> String,
}

/// The order in which an object's fields print; unknown fields follow in alphabetical order.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Names of the known fields.
    pub(crate) fields: &'static [&'static str],
    /// Those fields that are objects with an order of their own.
    pub(crate) nested: &'static [(&'static str, &'static Shape)],
}

/// Every kind, in the order in which the help lists them.
pub(crate) static KINDS: [Kind; 3] = [
    Kind {
        command: "route",
        article: "a",
        singular: "route",
        title: "Route",
        plural: "routes",
        path: "/apisix/admin/routes",
        filters: &["name", "label", "uri"],
        columns: &[
            Column { title: "ID", cell: |route| text(route, "id") },
            Column { title: "NAME", cell: |route| text(route, "name") },
            Column { title: "URI", cell: |route| either(text(route, "uri"), || list(route, "uris")) },
            Column { title: "METHODS", cell: |route| list(route, "methods") },
            Column { title: "STATUS", cell: |route| text(route, "status") },
            Column { title: "UPSTREAM", cell: upstream },
        ],
        shape: &Shape {
            fields: &[
                "id",
                "uri",
                "uris",
                "name",
                "desc",
                "methods",
                "host",
                "hosts",
                "remote_addr",
                "remote_addrs",
                "priority",
                "status",
                "plugins",
                "upstream",
                "upstream_id",
                "service_id",
                "plugin_config_id",
                "labels",
                "timeout",
                "enable_websocket",
                "create_time",
                "update_time",
            ],
            nested: &[("upstream", &INLINE_UPSTREAM), ("timeout", &TIMEOUT)],
        },
    },
    Kind {
        command: "service",
        article: "a",
        singular: "service",
        title: "Service",
        plural: "services",
        path: "/apisix/admin/services",
        filters: &["name", "label"],
        columns: &[
            Column { title: "ID", cell: |service| text(service, "id") },
            Column { title: "NAME", cell: |service| text(service, "name") },
            Column { title: "UPSTREAM", cell: upstream },
            Column { title: "PLUGINS", cell: plugin_count },
            Column { title: "STATUS", cell: |service| text(service, "status") },
        ],
        shape: &Shape {
            fields: &[
                "id",
                "name",
                "desc",
                "plugins",
                "upstream",
                "upstream_id",
                "labels",
                "enable_websocket",
                "hosts",
                "status",
                "create_time",
                "update_time",
            ],
            nested: &[("upstream", &INLINE_UPSTREAM)],
        },
    },
    Kind {
        command: "upstream",
        article: "an",
        singular: "upstream",
        title: "Upstream",
        plural: "upstreams",
        path: "/apisix/admin/upstreams",
        filters: &["name", "label"],
        columns: &[
            Column { title: "ID", cell: |upstream| text(upstream, "id") },
            Column { title: "NAME", cell: |upstream| text(upstream, "name") },
            Column { title: "TYPE", cell: |upstream| text(upstream, "type") },
            Column { title: "NODES", cell: |upstream| nodes(upstream.get("nodes")) },
            Column { title: "SCHEME", cell: |upstream| text(upstream, "scheme") },
            Column { title: "STATUS", cell: |upstream| text(upstream, "status") },
        ],
        shape: &Shape {
            fields: &[
                "id",
                "name",
                "desc",
                "type",
                "nodes",
                "service_name",
                "discovery_type",
                "hash_on",
                "key",
                "checks",
                "retries",
                "retry_timeout",
                "timeout",
                "pass_host",
                "upstream_host",
                "scheme",
                "labels",
                "keepalive_pool",
                "tls",
                "status",
                "create_time",
                "update_time",
            ],
            nested: &[],
        },
    },
];

static INLINE_UPSTREAM: Shape =
    Shape { fields: &["type", "nodes", "scheme", "retries", "timeout"], nested: &[("timeout", &TIMEOUT)] };

static TIMEOUT: Shape = Shape { fields: &["connect", "send", "read"], nested: &[] };

/// The kind behind a command word.
pub(crate) fn by_command(word: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.command == word)
}

/// A scalar as a cell: strings bare, numbers and booleans as they are, anything else empty.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn text(object: &Object, field: &str) -> String {
    object.get(field).and_then(scalar).unwrap_or_default()
}

fn list(object: &Object, field: &str) -> String {
    let items = object.get(field).and_then(Value::as_array);
    items.map(|items| items.iter().filter_map(scalar).collect::<Vec<_>>().join(", ")).unwrap_or_default()
}

fn either(first: String, second: impl FnOnce() -> String) -> String {
    if first.is_empty() { second() } else { first }
}

fn upstream(object: &Object) -> String {
    either(text(object, "upstream_id"), || {
        nodes(object.get("upstream").and_then(|upstream| upstream.get("nodes")))
    })
}

/// Nodes as `host:port`, sorted, whether written as an object or as an array of nodes.
fn nodes(nodes: Option<&Value>) -> String {
    let mut names: Vec<String> = match nodes {
        Some(Value::Object(nodes)) => nodes.keys().cloned().collect(),
        Some(Value::Array(nodes)) => nodes.iter().filter_map(Value::as_object).map(node_name).collect(),
        _ => Vec::new(),
    };
    names.sort();
    names.join(", ")
}

fn node_name(node: &Object) -> String {
    let (host, port) = (text(node, "host"), text(node, "port"));
    if port.is_empty() { host } else { format!("{host}:{port}") }
}

fn plugin_count(object: &Object) -> String {
    match object.get("plugins").and_then(Value::as_object).map_or(0, Map::len) {
        0 => String::new(),
        count => format!("{count} plugins"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(command: &str, object: &Value) -> Vec<String> {
        let kind = by_command(command).unwrap();
        kind.columns.iter().map(|column| (column.cell)(object.as_object().unwrap())).collect()
    }

    #[test]
    fn cells_follow_the_rules_of_their_column() {
        let cases = [
            (
                "route",
                json!({"id": "1", "name": "a", "uri": "/x", "methods": ["GET", "POST"], "status": 1, "upstream_id": 7}),
                vec!["1", "a", "/x", "GET, POST", "1", "7"],
            ),
            (
                "route",
                json!({"id": 2, "uris": ["/a", "/b"], "upstream": {"nodes": {"b:1": 1, "a:1": 1}}}),
                vec!["2", "", "/a, /b", "", "", "a:1, b:1"],
            ),
            ("service", json!({"id": "s", "plugins": {"key-auth": {}}}), vec!["s", "", "", "1 plugins", ""]),
            ("service", json!({"id": "s", "plugins": {}}), vec!["s", "", "", "", ""]),
            (
                "upstream",
                json!({"id": "u", "type": "chash", "scheme": "https",
                    "nodes": [{"host": "b", "port": 80}, {"host": "a"}]}),
                vec!["u", "", "chash", "a, b:80", "https", ""],
            ),
        ];
        for (command, object, expected) in cases {
            assert_eq!(row(command, &object), expected, "{command} {object}");
        }
    }
}
