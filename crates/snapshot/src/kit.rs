use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use a6_core::{Fault, Secret};
use a6_resources::Catalogue;
use bytes::Bytes;

use crate::{Chain, Exchange, GroupRegistry, HealthRegistry, Request, Stop, UpstreamSlots};

/// The plugins that exist, as code. The gateway is generic over it and never names a plugin.
pub trait Kit: Catalogue + 'static {
    /// A compiled plugin configuration.
    type Plugin: Plugin;

    /// Compiles a configuration that [`Catalogue::check`] accepted.
    ///
    /// # Errors
    /// The configuration cannot be used; the text has APISIX's wording.
    fn compile(&self, name: &str, conf: &serde_json::Value, site: &Site<'_>) -> Result<Self::Plugin, String>;

    /// What an auth plugin knows a caller by, from its configuration in a consumer or credential. None if nobody can be
    /// known by it, such as where a secret reference does not resolve.
    fn credential(&self, name: &str, conf: &serde_json::Value) -> Option<KnownBy>;

    /// A plugin's metadata were written, or deleted.
    fn set_metadata(&self, name: &str, metadata: Option<&serde_json::Value>);
}

/// Where a configuration stands, and what it may refer to.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The resource that it is written on, such as `/routes/1`.
    pub owner: &'a str,
    /// The upstreams that have an id.
    pub upstreams: &'a UpstreamSlots,
    /// Where to enter whose health is to be checked.
    pub health: &'a HealthRegistry,
    /// Where what is known of AI instances is found, and kept.
    pub groups: &'a GroupRegistry,
}

/// What an auth plugin knows a caller by.
pub struct KnownBy {
    /// The text that a request names, such as an API key or a user name.
    pub key: Secret<String>,
    /// What the plugin needs to check the rest; see [`crate::Credential::secret`].
    pub secret: Arc<dyn Any + Send + Sync>,
}

/// The phases in which a plugin does something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Before authentication is complete.
    pub rewrite: bool,
    /// After it.
    pub access: bool,
    /// Before each attempt.
    pub before_proxy: bool,
    /// When the answer's head is known.
    pub header_filter: bool,
    /// For each piece of the answer's body.
    pub frame: bool,
    /// When the request is over.
    pub log: bool,
    /// It finds out who is asking, and needs [`Exchange::directory`].
    pub authenticates: bool,
}

/// A piece of an answer's body: whole events of a stream, or any bytes of a plain answer.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The bytes.
    pub data: Bytes,
    /// Whether it is part of an event stream.
    pub is_stream: bool,
    /// Nothing comes after it. Every answer has one such frame, and it may be empty.
    pub is_last: bool,
}

/// The answer of a service that a plugin asks about a [`Frame`].
pub type Asked = Pin<Box<dyn Future<Output = FrameFlow>>>;

/// What becomes of a [`Frame`].
pub enum FrameFlow {
    /// It goes on, changed or not.
    Pass(Frame),
    /// Nothing goes on yet.
    Hold,
    /// A service has to be asked first.
    Ask(Asked),
    /// This goes on, and nothing after it.
    End(Frame),
    /// The answer cannot be made whole: it is cut, so that nobody takes what has left for all of it.
    Abort(Box<Fault>),
}

/// A compiled plugin configuration. Shared by all threads; its futures need not be `Send`.
///
/// A plugin says in [`Plugin::phases`] where it takes part; the other methods are never called.
pub trait Plugin: Send + Sync + Sized + 'static {
    /// Where it takes part.
    fn phases(&self) -> Phases;

    /// Lets the plugins of one chain find each other; called once per chain.
    fn link(_chain: &mut Chain<Self>) {}

    /// Before authentication is complete.
    fn rewrite(&self, _exchange: &mut Exchange) -> impl Future<Output = Result<(), Stop>> {
        std::future::ready(Ok(()))
    }

    /// After authentication. A plugin that stands for the upstream leaves a plan here.
    fn access(&self, _exchange: &mut Exchange) -> impl Future<Output = Result<(), Stop>> {
        std::future::ready(Ok(()))
    }

    /// Before each attempt.
    fn before_proxy(&self, _exchange: &mut Exchange) -> impl Future<Output = Result<(), Stop>> {
        std::future::ready(Ok(()))
    }

    /// The answer's head may be changed.
    fn header_filter(&self, _exchange: &mut Exchange, _head: &mut http::response::Parts) {}

    /// A piece of the answer's body may be changed, held or looked into.
    fn frame(&self, _exchange: &mut Exchange, frame: Frame) -> FrameFlow {
        FrameFlow::Pass(frame)
    }

    /// Notes which parts of a request may hold a credential of this gateway, for a plugin with
    /// [`Phases::authenticates`]. Called before all phases: whatever becomes of the request, no log shows them.
    fn mark_credentials(&self, _request: &mut Request) {}

    /// What an operator is told of where its requests go, such as `{"provider": ..., "address": ...}`. Never a secret.
    fn describe(&self) -> Option<serde_json::Value> {
        None
    }

    /// The request is over.
    fn log(&self, _exchange: &mut Exchange) {}
}
