use std::collections::HashMap;
use std::sync::Arc;

use super::{NodeState, UpstreamScheme};
use crate::Target;

/// One of those that an upstream can send a request to.
#[derive(Debug)]
pub struct Node {
    /// Where to connect.
    pub target: Arc<Target>,
    /// [`Target`] in words: host and port, by which it is known in logs and to a consistent hash.
    pub address: Arc<str>,
    /// The `Host` that stands for it: with the port, unless that is the scheme's own.
    pub host_header: Arc<str>,
    /// Its share of the requests among all weights.
    pub weight: u32,
    /// Nodes of a lower priority are for when all of a higher one have been tried.
    pub priority: i64,
    /// What requests have found out about it.
    pub state: Arc<NodeState>,
}

/// Compiles nodes; one that is known at the same address keeps its state.
pub(super) fn compile(
    nodes: &[a6_resources::Node],
    scheme: UpstreamScheme,
    verify: bool,
    known: &[Node],
) -> Box<[Node]> {
    let mut states: HashMap<Arc<str>, Arc<NodeState>> =
        known.iter().map(|node| (node.address.clone(), node.state.clone())).collect();
    let compiled = nodes.iter().map(|node| {
        let (target, host_header) = locate(node, scheme, verify);
        let address: Arc<str> = target.to_string().into();
        let state = states.entry(address.clone()).or_default().clone();
        Node {
            target: Arc::new(target),
            address,
            host_header: host_header.into(),
            weight: u32::try_from(node.weight).unwrap_or(u32::MAX),
            priority: node.priority,
            state,
        }
    });
    compiled.collect()
}

/// Where a node is, and its `Host`.
fn locate(node: &a6_resources::Node, scheme: UpstreamScheme, verify: bool) -> (Target, String) {
    let transport = scheme.transport();
    let host = node.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&node.host);
    let port = node.port.unwrap_or(transport.default_port());
    let mut host_header = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port != transport.default_port() {
        host_header.push_str(&format!(":{port}"));
    }
    // Names are looked up, and pooled connections found, by the lower-case form.
    let host = host.to_ascii_lowercase().into();
    (Target { scheme: transport, host, port, verify }, host_header)
}

/// Whether a balancer would see no difference between them.
pub(super) fn are_same(before: &[Node], now: &[Node]) -> bool {
    let seen = |node: &Node| (node.address.clone(), node.weight, node.priority);
    before.iter().map(seen).eq(now.iter().map(seen))
}
