use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use a6_core::Secret;
use a6_protocols::{Protocol, Provider, Scheme, Shaping};

use crate::Meta;

/// What the attempt stage is to do. A plugin leaves it in the [`crate::Exchange`]; it sends nothing itself.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The instances to try, in order.
    pub candidates: Vec<Arc<Instance>>,
    /// The client's protocol.
    pub protocol: Protocol,
    /// What is said of the plugin that left it; the phases note it.
    pub meta: Option<Arc<Meta>>,
}

/// An address to connect to and how: what connections can be shared by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The scheme.
    pub scheme: Scheme,
    /// A name or address; also the TLS server name.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// Whether the server's certificate is checked.
    pub verify: bool,
}

impl Hash for Target {
    /// Cheap, since it is done for every request: the whole is compared anyway.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.port) << 32 | self.host.len() as u64);
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How long, and how many, connections wait for their next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Idle connections per target and thread.
    pub size: usize,
    /// How long one may be idle.
    pub idle: Duration,
}

/// One configured instance of a provider, compiled.
#[derive(Debug)]
pub struct Instance {
    /// Its name in logs and metrics, such as `ai-proxy-openai`.
    pub name: Arc<str>,
    /// The provider.
    pub provider: &'static Provider,
    /// Where to connect.
    pub target: Arc<Target>,
    /// [`Target`] in words.
    pub address: Arc<str>,
    /// Per protocol: request line, `host`, `content-type` and credentials, ready to be sent.
    pub heads: Vec<(Protocol, Secret<Vec<u8>>)>,
    /// Per protocol: the path that is asked for, without query.
    pub paths: Vec<(Protocol, Arc<str>)>,
    /// Lower-case names of headers in the head, which the client's own may not repeat.
    pub head_names: Vec<http::HeaderName>,
    /// Whether the configuration holds a credential, so that the client's `authorization` stays here.
    pub has_credentials: bool,
    /// What changes in a body.
    pub shaping: Shaping,
    /// To connect, for each write and for each read.
    pub timeout: Duration,
    /// Reuse of connections; none closes each after its request.
    pub keepalive: Option<Keepalive>,
    /// A stream may last this long.
    pub max_stream_duration: Option<Duration>,
    /// An answer's body may have this many bytes.
    pub max_response_bytes: Option<u64>,
}

impl Instance {
    /// Whether an answer is held against limits.
    pub fn has_limits(&self) -> bool {
        self.max_response_bytes.is_some() || self.max_stream_duration.is_some()
    }

    /// The path for a protocol; empty if the provider does not speak it.
    pub fn path(&self, protocol: Protocol) -> Arc<str> {
        let spoken = self.paths.iter().find(|(spoken, _)| *spoken == protocol);
        spoken.map(|(_, path)| path.clone()).unwrap_or_default()
    }

    /// The prepared head for a protocol; none if the provider does not speak it.
    pub fn head(&self, protocol: Protocol) -> Option<&Secret<Vec<u8>>> {
        self.heads.iter().find(|(spoken, _)| *spoken == protocol).map(|(_, head)| head)
    }
}
