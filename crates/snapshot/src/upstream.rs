//! Ordinary upstreams, compiled.
//!
//! - `upstream/balancer.rs`: [`Balancer`] and [`HashOn`], how a node is chosen.
//! - `upstream/node.rs`: [`Node`], one of those to choose from.
//! - `upstream/state.rs`: [`NodeState`] and [`BalancerState`], what requests leave behind for the next ones.

mod balancer;
mod node;
mod state;
#[cfg(test)]
mod tests;

use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use a6_core::Secret;
use a6_protocols::Scheme;
use a6_resources::{KeepalivePool, Timeout, UpstreamTls, is_reference};
use serde_json::Value;

pub use self::balancer::{Balancer, HashOn};
pub use self::node::Node;
pub use self::state::{BalancerState, InFlight, NodeState};
use crate::{Checked, CheckedNode, Checks, HealthRegistry, Keepalive, ProbeAuth, Timeouts};

/// Where ordinary requests go, compiled once per change. What changes from request to request is in the states.
#[derive(Debug)]
pub struct Upstream {
    /// Its name; none if it has none.
    pub name: Option<Arc<str>>,
    /// The resource that it is written on, such as `/upstreams/1`.
    pub key: Arc<str>,
    /// Those to choose from.
    pub nodes: Box<[Node]>,
    /// How they are spoken to.
    pub scheme: UpstreamScheme,
    /// How one is chosen.
    pub balancer: Balancer,
    /// How often another node is tried after the first.
    pub retries: u32,
    /// After this time no further try begins; none is no limit.
    pub retry_timeout: Option<Duration>,
    /// Time limits, for routes that have none of their own.
    pub timeouts: Timeouts,
    /// Which `Host` is sent.
    pub pass_host: PassHost,
    /// Reuse of connections; none closes each after its request.
    pub keepalive: Option<Keepalive>,
    /// Requests that one connection may carry.
    pub keepalive_requests: u64,
    /// What the gateway shows to nodes that ask for a certificate.
    pub client_certificate: Option<Arc<ClientCertificate>>,
    /// It names a certificate that does not exist: nothing can be sent to it.
    pub lacks_certificate: bool,
    /// A secret reference in its certificate or key that stands for nothing so far: nothing can be sent to it.
    pub unresolved: Option<Arc<str>>,
    /// What balancing remembers.
    pub state: Arc<BalancerState>,
    /// How its nodes are checked, once [`Self::watch`] was called; none if they are not.
    pub checked: Option<Arc<Checked>>,
}

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamScheme {
    /// HTTP/1.1 in the clear.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 in the clear.
    Grpc,
    /// HTTP/2 over TLS.
    Grpcs,
}

/// Which `Host` an upstream is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassHost {
    /// The client's.
    Pass,
    /// The node's own.
    Node,
    /// This one.
    Rewrite(Arc<str>),
}

/// A certificate for the gateway as a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and its chain in PEM.
    pub chain: Box<str>,
    /// Its key in PEM.
    pub key: Secret<Box<str>>,
}

impl Upstream {
    /// Compiles an upstream that is written on `key`. What requests left with `previous`, the one that it takes the
    /// place of, is kept: a node's state as long as scheme and address stay, the balancer's as long as all of the nodes do.
    ///
    /// # Errors
    /// A member cannot be used; the text names it.
    pub fn compile(
        conf: &a6_resources::Upstream,
        key: &str,
        previous: Option<&Self>,
    ) -> Result<Self, String> {
        let scheme = UpstreamScheme::parse(conf.scheme.as_deref())?;
        let balancer =
            Balancer::parse(conf.balancer.as_deref(), conf.hash_on.as_deref(), conf.key.as_deref())?;
        let pass_host = PassHost::parse(conf.pass_host.as_deref(), conf.upstream_host.as_deref())?;
        let previous = previous.filter(|previous| previous.scheme == scheme);
        let tls = conf.tls.as_ref();
        let verify = tls.is_some_and(|tls| tls.verify);
        let known: &[Node] = previous.map_or(&[], |previous| &previous.nodes[..]);
        let nodes = node::compile(conf.nodes.as_deref().unwrap_or_default(), scheme, verify, known);
        let checked = checked(conf.checks.as_ref(), key, &nodes, &pass_host)?;
        let same = previous.filter(|previous| {
            discriminant(&previous.balancer) == discriminant(&balancer)
                && node::are_same(&previous.nodes, &nodes)
        });
        let others = u64::try_from(nodes.len().saturating_sub(1)).unwrap_or(u64::MAX);
        let pool = conf.keepalive_pool.unwrap_or_default();
        Ok(Self {
            name: conf.name.as_deref().map(Arc::from),
            key: key.into(),
            scheme,
            balancer,
            retries: u32::try_from(conf.retries.unwrap_or(others)).unwrap_or(u32::MAX),
            retry_timeout: conf.retry_timeout.filter(|limit| *limit > 0.0).map(seconds),
            timeouts: conf.timeout.as_ref().map_or(DEFAULT_TIMEOUTS, Timeouts::from),
            pass_host,
            keepalive: keepalive(&pool),
            keepalive_requests: pool.requests,
            client_certificate: tls.and_then(ClientCertificate::of).map(Arc::new),
            lacks_certificate: false,
            checked: checked.map(Arc::new),
            unresolved: None,
            state: same.map(|previous| previous.state.clone()).unwrap_or_default(),
            nodes,
        })
    }
}

/// Who is to be checked, if anybody is. What earlier checks found counts only as long as there are some.
fn checked(
    checks: Option<&Value>,
    key: &str,
    nodes: &[Node],
    pass_host: &PassHost,
) -> Result<Option<Checked>, String> {
    let Some(checks) = checks else {
        nodes.iter().for_each(|node| node.state.health.reset());
        return Ok(None);
    };
    let host = |node: &Node| match pass_host {
        PassHost::Rewrite(host) => host.clone(),
        PassHost::Pass | PassHost::Node => node.host_header.clone(),
    };
    let each = |node: &Node| CheckedNode {
        target: node.target.clone(),
        host: host(node),
        state: node.state.clone(),
    };
    let nodes = nodes.iter().map(each).collect();
    let checks = Checks::parse(checks)?;
    let auth = Secret::new(ProbeAuth::default());
    Ok(Some(Checked { key: key.into(), checks, certificate: None, auth, nodes }))
}

impl Upstream {
    /// Has the nodes checked, as long as this upstream is in force.
    pub fn watch(&mut self, registry: &HealthRegistry) {
        if let Some(checked) = &mut self.checked {
            if let Some(checked) = Arc::get_mut(checked) {
                checked.certificate = self.client_certificate.clone();
            }
            registry.add(checked);
        }
    }
}

impl UpstreamScheme {
    fn parse(text: Option<&str>) -> Result<Self, String> {
        match text.unwrap_or("http") {
            "http" => Ok(Self::Http),
            "https" => Ok(Self::Https),
            "grpc" => Ok(Self::Grpc),
            "grpcs" => Ok(Self::Grpcs),
            other => Err(format!("scheme: {other:?} is not served; use http, https, grpc or grpcs")),
        }
    }

    /// What it is carried by: in the clear or over TLS.
    pub fn transport(self) -> Scheme {
        match self {
            Self::Http | Self::Grpc => Scheme::Http,
            Self::Https | Self::Grpcs => Scheme::Https,
        }
    }

    /// Whether it needs HTTP/2.
    pub fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::Grpcs)
    }
}

impl PassHost {
    fn parse(text: Option<&str>, host: Option<&str>) -> Result<Self, String> {
        match (text.unwrap_or("pass"), host) {
            ("pass", _) => Ok(Self::Pass),
            ("node", _) => Ok(Self::Node),
            ("rewrite", Some(host)) if !host.is_empty() => Ok(Self::Rewrite(host.into())),
            ("rewrite", _) => {
                Err("upstream_host: it must not be empty where pass_host is rewrite".to_owned())
            }
            (other, _) => Err(format!("pass_host: {other:?} is unknown; use pass, node or rewrite")),
        }
    }
}

impl ClientCertificate {
    fn of(tls: &UpstreamTls) -> Option<Self> {
        Some(Self::new(tls.client_cert.as_deref()?, tls.client_key.as_ref()?.expose()))
    }

    /// A secret reference in place of one of the two.
    pub(crate) fn reference(&self) -> Option<&str> {
        [&*self.chain, &**self.key.expose()].into_iter().find(|text| is_reference(text))
    }

    /// Of two PEM texts.
    pub(crate) fn new(chain: &str, key: &str) -> Self {
        Self { chain: chain.into(), key: Secret::new(key.into()) }
    }
}

const DEFAULT_TIMEOUTS: Timeouts = {
    let limit = Duration::from_secs(60);
    Timeouts { connect: limit, send: limit, read: limit }
};

impl From<&Timeout> for Timeouts {
    fn from(timeout: &Timeout) -> Self {
        Self { connect: seconds(timeout.connect), send: seconds(timeout.send), read: seconds(timeout.read) }
    }
}

/// A number that is too large for a duration is no limit.
fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX)
}

fn keepalive(pool: &KeepalivePool) -> Option<Keepalive> {
    let idle = seconds(pool.idle_timeout);
    let size = usize::try_from(pool.size).unwrap_or(usize::MAX);
    (size > 0 && !idle.is_zero()).then_some(Keepalive { size, idle })
}
