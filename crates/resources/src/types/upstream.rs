use std::net::Ipv6Addr;

use a6_core::Secret;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Timeout, optional_id};

/// Where ordinary requests go.
#[derive(Clone, Debug, Deserialize)]
pub struct Upstream {
    /// The name, absent if it has none.
    #[serde(default)]
    pub name: Option<String>,
    /// The nodes, in the order in which they are written; absent where a service registry would know them.
    #[serde(default, deserialize_with = "nodes")]
    pub nodes: Option<Vec<Node>>,
    /// The balancer; `roundrobin` if absent. Any text is accepted, as APISIX does.
    #[serde(default, rename = "type")]
    pub balancer: Option<String>,
    /// What `chash` hashes: `vars`, `header`, `cookie`, `consumer` or `vars_combinations`; `vars` if absent.
    #[serde(default)]
    pub hash_on: Option<String>,
    /// The name of a variable, header or cookie, or a text with variables, as `hash_on` says.
    #[serde(default)]
    pub key: Option<String>,
    /// How often another node is tried; one try for each node if absent.
    #[serde(default)]
    pub retries: Option<u64>,
    /// Seconds after which no further try begins; 0 is no limit.
    #[serde(default)]
    pub retry_timeout: Option<f64>,
    /// Time limits; 60 seconds each if absent.
    #[serde(default)]
    pub timeout: Option<Timeout>,
    /// The scheme; `http` if absent.
    #[serde(default)]
    pub scheme: Option<String>,
    /// Which `Host` is sent: `pass`, `node` or `rewrite`; `pass` if absent.
    #[serde(default)]
    pub pass_host: Option<String>,
    /// The `Host` for `rewrite`.
    #[serde(default)]
    pub upstream_host: Option<String>,
    /// For schemes with TLS.
    #[serde(default)]
    pub tls: Option<UpstreamTls>,
    /// Reuse of connections; the gateway's defaults if absent.
    #[serde(default)]
    pub keepalive_pool: Option<KeepalivePool>,
    /// Health checks as they are written.
    #[serde(default)]
    pub checks: Option<Value>,
}

/// One node of an upstream.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Node {
    /// A name or address; an IPv6 address is in brackets.
    pub host: String,
    /// The port; the scheme's if absent.
    #[serde(default)]
    pub port: Option<u16>,
    /// Its share of the requests among all weights; 0 is for when nobody else is left.
    pub weight: u64,
    /// Nodes of a lower priority are for when all of a higher one have been tried.
    #[serde(default)]
    pub priority: i64,
    /// What a service registry knows of it besides.
    #[serde(default)]
    pub metadata: Option<Value>,
}

/// TLS towards the nodes.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct UpstreamTls {
    /// The id of a stored client certificate.
    #[serde(default, deserialize_with = "optional_id")]
    pub client_cert_id: Option<String>,
    /// A client certificate in PEM.
    #[serde(default)]
    pub client_cert: Option<String>,
    /// Its key in PEM, or a secret reference.
    #[serde(default, deserialize_with = "optional_secret")]
    pub client_key: Option<Secret<String>>,
    /// Whether the nodes' certificates are checked.
    #[serde(default)]
    pub verify: bool,
}

/// How connections wait for their next request.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(default)]
pub struct KeepalivePool {
    /// Idle connections per node.
    pub size: u64,
    /// Seconds that one may be idle.
    pub idle_timeout: f64,
    /// Requests that one may carry.
    pub requests: u64,
}

impl Default for KeepalivePool {
    fn default() -> Self {
        Self { size: 320, idle_timeout: 60.0, requests: 1000 }
    }
}

/// Both ways of writing nodes: weights by `host[:port]`, and a list.
fn nodes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Node>>, D::Error> {
    let nodes: Result<Vec<Node>, String> = match Value::deserialize(deserializer)? {
        Value::Object(weights) => {
            weights.into_iter().map(|(address, weight)| weighted(&address, &weight)).collect()
        }
        Value::Array(nodes) => {
            let listed = nodes.into_iter().enumerate().map(|(place, node)| {
                serde_json::from_value::<Node>(node).map_err(|error| format!("nodes[{place}]: {error}"))
            });
            listed.collect()
        }
        _ => Err("nodes: expected an object of weights by address, or an array of nodes".to_owned()),
    };
    nodes.map(Some).map_err(D::Error::custom)
}

fn weighted(address: &str, weight: &Value) -> Result<Node, String> {
    let weight = weight
        .as_u64()
        .ok_or_else(|| format!("nodes[{address:?}]: expected a weight of 0 or more, found {weight}"))?;
    let (host, port) = split(address)?;
    Ok(Node { host: host.to_owned(), port, weight, priority: 0, metadata: None })
}

/// Takes `host[:port]` apart. What is no number is no port, as in APISIX.
fn split(address: &str) -> Result<(&str, Option<u16>), String> {
    let after_bracket = address.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match after_bracket {
        Some((inner, rest)) => (&address[..inner.len() + 2], rest.strip_prefix(':')),
        None if address.parse::<Ipv6Addr>().is_ok() => (address, None),
        None => match address.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let Some(number) = port.and_then(|port| port.parse::<i64>().ok()) else { return Ok((host, None)) };
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok((host, Some(port))),
        _ => Err(format!("nodes[{address:?}]: the port must be from 1 to 65535, found {number}")),
    }
}

fn optional_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret<String>>, D::Error> {
    String::deserialize(deserializer).map(|text| Some(Secret::new(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(document: Value) -> Result<Upstream, String> {
        serde_json::from_value(document).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_taken_apart() {
        let cases = [
            ("a.test:80", Ok(("a.test", Some(80)))),
            ("a.test", Ok(("a.test", None))),
            ("a.test:", Ok(("a.test", None))),
            ("a.test:http", Ok(("a.test", None))),
            ("a b:80", Ok(("a b", Some(80)))),
            ("[::1]:8080", Ok(("[::1]", Some(8080)))),
            ("[::1]", Ok(("[::1]", None))),
            ("::1", Ok(("::1", None))),
            ("a:0", Err(r#"nodes["a:0"]: the port must be from 1 to 65535, found 0"#.to_owned())),
            (
                "[::1]:65536",
                Err(r#"nodes["[::1]:65536"]: the port must be from 1 to 65535, found 65536"#.to_owned()),
            ),
        ];
        for (address, expected) in cases {
            assert_eq!(split(address), expected, "{address}");
        }
    }

    #[test]
    fn both_ways_of_writing_nodes_are_one() {
        let map = read(json!({"nodes": {"b:80": 2, "[::1]:443": 0}})).unwrap();
        let list = read(json!({"nodes": [
            {"host": "b", "port": 80, "weight": 2},
            {"host": "[::1]", "port": 443, "weight": 0, "priority": 0},
        ]}))
        .unwrap();
        assert_eq!(map.nodes, list.nodes);
        let hosts: Vec<_> = map.nodes.iter().flatten().map(|node| node.host.as_str()).collect();
        assert_eq!(hosts, ["b", "[::1]"]);
        assert_eq!(read(json!({"nodes": {}})).unwrap().nodes, Some(Vec::new()));
        assert_eq!(read(json!({"service_name": "s", "discovery_type": "dns"})).unwrap().nodes, None);
    }

    #[test]
    fn errors_name_the_node() {
        let cases = [
            (json!({"a": -1}), r#"nodes["a"]: expected a weight of 0 or more, found -1"#),
            (json!([{"host": "a", "weight": 1}, {"host": "b"}]), "nodes[1]: missing field `weight`"),
            (json!("a:80"), "nodes: expected an object of weights by address, or an array of nodes"),
        ];
        for (nodes, expected) in cases {
            assert_eq!(read(json!({"nodes": nodes})).unwrap_err(), expected, "{nodes}");
        }
    }

    #[test]
    fn a_pool_has_defaults_and_a_key_stays_secret() {
        let upstream = read(json!({
            "nodes": [],
            "keepalive_pool": {"size": 5},
            "tls": {"client_cert": "C", "client_key": "hidden", "client_cert_id": 3},
        }))
        .unwrap();
        let pool = KeepalivePool { size: 5, idle_timeout: 60.0, requests: 1000 };
        assert_eq!(upstream.keepalive_pool, Some(pool));
        assert!(!format!("{upstream:?}").contains("hidden"));
        let tls = upstream.tls.unwrap();
        assert_eq!(tls.client_key, Some(Secret::new("hidden".to_owned())));
        assert_eq!((tls.client_cert_id.as_deref(), tls.verify), (Some("3"), false));
    }
}
