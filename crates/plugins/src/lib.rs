//! The plugins, one file each, named as APISIX names them.
//!
//! - `ai_proxy.rs`: sends a request to a provider of language models.
//! - `support/`: what several plugins share.
//! - this file: [`Builtins`], the kit that the gateway is built with, and the table of names and priorities.

mod ai_proxy;
mod support;

use a6_resources::{Catalogue, ConfKind, PluginSpec};
use a6_snapshot::{Chain, Exchange, Frame, FrameFlow, Kit, Phases, Stop};
use serde_json::Value;

/// The built-in plugins.
#[derive(Debug)]
pub struct Builtins {
    specs: Vec<PluginSpec>,
}

/// A compiled plugin: a closed set, so that every call is a jump and no allocation.
#[derive(Debug)]
pub enum Plugin {
    /// `ai-proxy`
    AiProxy(ai_proxy::AiProxy),
}

impl Builtins {
    /// Builds the table, highest priority first.
    ///
    /// # Errors
    /// A plugin's schema is malformed: a bug, found by the first test that runs.
    pub fn new() -> Result<Self, String> {
        Ok(Self { specs: vec![ai_proxy::spec(1040)?] })
    }
}

impl Catalogue for Builtins {
    fn specs(&self) -> &[PluginSpec] {
        &self.specs
    }

    fn check(&self, name: &str, conf: &Value, kind: ConfKind) -> Result<(), String> {
        let spec = self.spec(name).ok_or_else(|| format!("unknown plugin [{name}]"))?;
        let schema = match kind {
            ConfKind::Route => Some(&spec.schema),
            ConfKind::Consumer => spec.consumer_schema.as_ref(),
            ConfKind::Metadata => spec.metadata_schema.as_ref(),
        };
        schema.ok_or_else(|| format!("plugin {name} has no configuration here"))?.check(conf)?;
        support::references::refuse("", conf)?;
        match kind {
            ConfKind::Route => self.compile(name, conf, None).map(|_| ()),
            ConfKind::Consumer | ConfKind::Metadata => Ok(()),
        }
    }
}

impl Kit for Builtins {
    type Plugin = Plugin;

    fn compile(&self, name: &str, conf: &Value, _previous: Option<&Plugin>) -> Result<Plugin, String> {
        match name {
            ai_proxy::NAME => ai_proxy::AiProxy::compile(conf).map(Plugin::AiProxy),
            _ => Err(format!("unknown plugin [{name}]")),
        }
    }

    fn link(&self, _chain: &mut Chain<Plugin>) {
        // No two of today's plugins have to know each other.
    }
}

impl a6_snapshot::Plugin for Plugin {
    fn phases(&self) -> Phases {
        match self {
            Self::AiProxy(plugin) => plugin.phases(),
        }
    }

    async fn rewrite(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        match self {
            Self::AiProxy(plugin) => plugin.rewrite(exchange).await,
        }
    }

    async fn access(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        match self {
            Self::AiProxy(plugin) => plugin.access(exchange).await,
        }
    }

    async fn before_proxy(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        match self {
            Self::AiProxy(plugin) => plugin.before_proxy(exchange).await,
        }
    }

    fn header_filter(&self, exchange: &mut Exchange, head: &mut http::response::Parts) {
        match self {
            Self::AiProxy(plugin) => plugin.header_filter(exchange, head),
        }
    }

    fn frame(&self, exchange: &mut Exchange, frame: Frame) -> FrameFlow {
        match self {
            Self::AiProxy(plugin) => plugin.frame(exchange, frame),
        }
    }

    fn log(&self, exchange: &mut Exchange) {
        match self {
            Self::AiProxy(plugin) => plugin.log(exchange),
        }
    }
}
