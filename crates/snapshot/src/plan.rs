use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use a6_core::Secret;
use a6_protocols::{Conversion, Pattern, Protocol, Provider, Scheme, Shaping};

use crate::{Account, Group, Meta, Quotas};

/// What the attempt stage is to do. A plugin leaves it in the [`crate::Exchange`]; it sends nothing itself.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who is asked.
    pub choice: Choice,
    /// The place, in the group, of the instance that the plugin has chosen itself, by the prompt or because there is no
    /// other. Such a request goes there whatever its health is, and nowhere else when it fails.
    pub first: Option<usize>,
    /// Who knows which instances' quotas are used up; none where nobody counts.
    pub quotas: Option<Arc<dyn Quotas>>,
    /// The client's protocol.
    pub protocol: Protocol,
    /// The body is no JSON, or there is none: it passes as it is, with the client's own `content-type`.
    pub is_opaque: bool,
    /// What is said of the plugin that left it; the phases note it.
    pub meta: Option<Arc<Meta>>,
}

/// Who may be asked.
#[derive(Clone, Debug)]
pub enum Choice {
    /// One instance, and no other.
    One(Arc<Instance>),
    /// One of several, and others when it fails.
    Group(Arc<Group>),
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
    /// How it is asked for the clients of each protocol that it serves.
    pub ways: Vec<Way>,
    /// `host` and the headers of `auth.header`: what every request begins with behind its first line.
    pub head: Secret<Vec<u8>>,
    /// The query that every request gets.
    pub query: Vec<Argument>,
    /// Lower-case names of headers in the head, which the client's own may not repeat.
    pub head_names: Vec<http::HeaderName>,
    /// Whether the configuration holds a credential, so that the client's `authorization` stays here.
    pub has_credentials: bool,
    /// Who asks, where headers and query do not say it.
    pub account: Option<Account>,
    /// What changes in a body.
    pub shaping: Shaping,
    /// A request is refused where its conversion cannot carry all of it.
    pub is_strict: bool,
    /// To connect, for each write and for each read.
    pub timeout: Duration,
    /// Reuse of connections; none closes each after its request.
    pub keepalive: Option<Keepalive>,
    /// A stream may last this long.
    pub max_stream_duration: Option<Duration>,
    /// An answer's body may have this many bytes.
    pub max_response_bytes: Option<u64>,
    /// A client is sent a comment whenever its stream has been silent for so long.
    pub streaming_keepalive: Option<Duration>,
}

/// How an instance is asked for clients of one protocol.
#[derive(Debug)]
pub struct Way {
    /// The clients' protocol.
    pub client: Protocol,
    /// The provider's.
    pub target: Protocol,
    /// From one to the other; none where both are the same and bytes pass as they are.
    pub conversion: Option<Conversion>,
    /// Where the provider is asked.
    pub lane: Lane,
}

/// Where an instance is asked in one protocol.
#[derive(Debug)]
pub enum Lane {
    /// Always at the same path.
    Fixed {
        /// The path, without query.
        path: Arc<str>,
        /// Request line, `host`, `content-type` and credentials, ready to be sent.
        head: Secret<Vec<u8>>,
    },
    /// At a path that the request completes.
    Open(Pattern),
    /// With the client's own method and query; at this path, or at the client's own.
    Passing(Option<Box<str>>),
    /// The configuration does not tell at which path.
    Unknown,
}

/// A part of an instance's query.
#[derive(Debug)]
pub struct Argument {
    /// The name, decoded.
    pub name: Box<str>,
    /// Name and value as they are sent.
    pub written: Secret<Box<str>>,
    /// The name is one of `auth.query`, so that a client's value never takes its place.
    pub is_auth: bool,
}

impl Instance {
    /// Whether an answer is held against limits.
    pub fn has_limits(&self) -> bool {
        self.max_response_bytes.is_some() || self.max_stream_duration.is_some()
    }

    /// How it is asked for clients of a protocol; none if it cannot serve them.
    pub fn way(&self, client: Protocol) -> Option<&Way> {
        self.ways.iter().find(|way| way.client == client)
    }

    /// The query of a request: the instance's own, and a client's where it passes. A client's argument takes the place of
    /// one of the endpoint's, and never that of a credential; the `hidden` ones are credentials of this gateway.
    pub fn query_with(&self, client: Option<&str>, hidden: &[Box<str>]) -> Secret<String> {
        let pieces = client.unwrap_or_default().split('&').filter(|piece| !piece.is_empty());
        let passing: Vec<(Cow<'_, str>, &str)> = pieces
            .filter_map(|piece| Some((form_urlencoded::parse(piece.as_bytes()).next()?.0, piece)))
            .filter(|(name, _)| !hidden.iter().any(|hidden| **hidden == **name))
            .filter(|(name, _)| !self.query.iter().any(|own| own.is_auth && *own.name == **name))
            .collect();
        let own = self.query.iter().filter(|own| !passing.iter().any(|(name, _)| **name == *own.name));
        let written = own.map(|own| &**own.written.expose()).chain(passing.iter().map(|(_, piece)| *piece));
        Secret::new(written.collect::<Vec<_>>().join("&"))
    }
}
