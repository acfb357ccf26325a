use std::future::Future;
use std::pin::Pin;

use a6_resources::Catalogue;
use bytes::Bytes;

use crate::{Chain, Exchange, Stop};

/// The plugins that exist, as code. The gateway is generic over it and never names a plugin.
pub trait Kit: Catalogue + 'static {
    /// A compiled plugin configuration.
    type Plugin: Plugin;

    /// Compiles a configuration that [`Catalogue::check`] accepted. `previous` is what the same plugin of the same owner
    /// was compiled to before, so that counters and health can be carried over.
    ///
    /// # Errors
    /// The configuration cannot be used; the text has APISIX's wording.
    fn compile(
        &self,
        name: &str,
        conf: &serde_json::Value,
        previous: Option<&Self::Plugin>,
    ) -> Result<Self::Plugin, String>;

    /// Lets the plugins of one chain find each other; called once per chain.
    fn link(&self, chain: &mut Chain<Self::Plugin>);
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
}

/// A piece of an answer's body: whole events of a stream, or any bytes of a plain answer.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The bytes.
    pub data: Bytes,
    /// Whether it is part of an event stream.
    pub is_stream: bool,
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
}

/// A compiled plugin configuration. Shared by all threads; its futures need not be `Send`.
///
/// A plugin says in [`Plugin::phases`] where it takes part; the other methods are never called.
pub trait Plugin: Send + Sync + 'static {
    /// Where it takes part.
    fn phases(&self) -> Phases;

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

    /// The request is over.
    fn log(&self, _exchange: &mut Exchange) {}
}
