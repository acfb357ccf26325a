use std::sync::Arc;

use a6_resources::expr::{Expr, parse_network};
use a6_resources::{Route, Service};
use http::Method;
use ipnet::IpNet;

use crate::chain::fresh_id;
use crate::{Chain, Exchange, Forward, RouteFacts};

/// A route ready to be matched and run.
#[derive(Debug)]
pub struct CompiledRoute<P> {
    /// What is told of it.
    pub facts: Arc<RouteFacts>,
    /// Something that it is made of was deleted by force: it still answers its requests, with an error.
    pub missing: Option<Missing>,
    /// Its plugins, its plugin config's and its service's.
    pub chain: Arc<Chain<P>>,
    /// Its upstream.
    pub forward: Forward,
    pub(crate) priority: i64,
    methods: Vec<Method>,
    networks: Vec<IpNet>,
    vars: Option<Expr>,
}

/// What a route is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Its service.
    Service,
    /// Its plugin config.
    PluginConfig,
}

/// What a route is compiled with besides its own document.
pub(crate) struct Parts<'a, P> {
    pub(crate) service: Option<&'a Service>,
    pub(crate) chain: Arc<Chain<P>>,
    pub(crate) forward: Forward,
    pub(crate) missing: Option<Missing>,
}

/// Whether a route is for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// Its conditions ask for the body, which has to be read first.
    NeedsBody,
}

impl<P> CompiledRoute<P> {
    pub(crate) fn compile(route: Route, parts: Parts<'_, P>) -> Result<Self, String> {
        let Parts { service, chain, forward, missing } = parts;
        let mut hosts: Vec<String> =
            route.host.into_iter().chain(route.hosts.into_iter().flatten()).collect();
        if hosts.is_empty() {
            hosts = service.and_then(|service| service.hosts.clone()).unwrap_or_default();
        }
        let methods = route
            .methods
            .iter()
            .map(|name| name.parse().map_err(|_| format!("methods: {name} is not a method")))
            .collect::<Result<_, _>>()?;
        let networks = route
            .remote_addr
            .iter()
            .chain(route.remote_addrs.iter().flatten())
            .map(|text| parse_network(text).ok_or_else(|| format!("remote_addr: {text} is not an address")))
            .collect::<Result<_, _>>()?;
        let vars = route.vars.as_ref().map(Expr::parse).transpose();
        Ok(Self {
            missing,
            forward,
            chain,
            facts: Arc::new(RouteFacts {
                number: fresh_id(),
                id: route.id.into(),
                name: route.name.map(Box::from),
                service_id: route.service_id.map(Box::from),
                service_name: service.and_then(|service| service.name.as_deref()).map(Box::from),
                hosts,
                patterns: route.uri.into_iter().chain(route.uris.into_iter().flatten()).collect(),
            }),
            priority: route.priority,
            methods,
            networks,
            vars: vars.map_err(|error| format!("failed to validate the 'vars' expression: {error}"))?,
        })
    }

    /// Holds the conditions that are not in the router's tree against a request. `has_body` says that the body was read
    /// as far as it can be.
    pub fn fits(&self, exchange: &Exchange, has_body: bool) -> Match {
        match self.holds_against(exchange, has_body) {
            Ok(fits) => fits,
            Err(_) => Match::No,
        }
    }

    /// The same; the error names the first condition that does not hold.
    pub fn holds_against(&self, exchange: &Exchange, has_body: bool) -> Result<Match, &'static str> {
        let method_fits = self.methods.is_empty() || self.methods.contains(&exchange.request.method);
        if !method_fits {
            return Err("methods");
        }
        if !self.networks.is_empty() {
            let peer = exchange.request.client.peer.ip().to_canonical();
            if !self.networks.iter().any(|network| network.contains(&peer)) {
                return Err("remote_addrs");
            }
        }
        match &self.vars {
            None => Ok(Match::Yes),
            Some(vars) if !has_body && vars.needs_body() => Ok(Match::NeedsBody),
            Some(vars) if vars.holds(exchange) => Ok(Match::Yes),
            Some(_) => Err("vars"),
        }
    }
}
