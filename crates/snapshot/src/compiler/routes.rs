use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use a6_resources::{Kind, PluginConfig, Route, Service};
use serde_json::Value;

use super::plugins::Compiled;
use super::{Compiler, read};
use crate::chain::Owner;
use crate::route::{Missing, Parts};
use crate::router::Place;
use crate::{Chain, CompiledRoute, Forward, Kit, Router, Timeouts, UpstreamSlot};

/// Routes and what they are made of.
pub(super) struct Routes<P> {
    router: Router<CompiledRoute<P>>,
    routes: HashMap<String, RouteState<P>>,
    services: HashMap<String, ServiceState<P>>,
    plugin_configs: HashMap<String, Compiled<P>>,
    /// Which routes are made of a service or plugin config.
    users: HashMap<(Kind, String), BTreeSet<String>>,
    next_age: u64,
}

struct RouteState<P> {
    plugins: Compiled<P>,
    made_of: Vec<(Kind, String)>,
    age: u64,
    /// Its own upstream.
    upstream: Option<Arc<UpstreamSlot>>,
    /// None while the route is out of service.
    compiled: Option<Arc<CompiledRoute<P>>>,
}

struct ServiceState<P> {
    service: Service,
    plugins: Compiled<P>,
    upstream: Option<Arc<UpstreamSlot>>,
}

impl<P> Default for Routes<P> {
    fn default() -> Self {
        Self {
            router: Router::default(),
            routes: HashMap::new(),
            services: HashMap::new(),
            plugin_configs: HashMap::new(),
            users: HashMap::new(),
            next_age: 0,
        }
    }
}

impl<P> Routes<P> {
    pub(super) fn router(&self) -> Router<CompiledRoute<P>> {
        self.router.clone()
    }

    fn remove(&mut self, id: &str) {
        let Some(state) = self.routes.remove(id) else { return };
        if let Some(compiled) = &state.compiled {
            each_place(compiled, state.age, |place| self.router.remove(place, compiled));
        }
        for part in state.made_of {
            if let Some(users) = self.users.get_mut(&part) {
                users.remove(id);
                if users.is_empty() {
                    self.users.remove(&part);
                }
            }
        }
    }

    fn insert(&mut self, id: &str, state: RouteState<P>) {
        if let Some(compiled) = &state.compiled {
            each_place(compiled, state.age, |place| self.router.insert(place, compiled));
        }
        for part in &state.made_of {
            self.users.entry(part.clone()).or_default().insert(id.to_string());
        }
        self.routes.insert(id.to_string(), state);
    }
}

impl<K: Kit> Compiler<K> {
    pub(super) fn set_service(&mut self, id: &str, document: Option<&Arc<Value>>) -> Result<(), String> {
        match document {
            Some(document) => {
                let service: Service = read(document)?;
                let key = format!("/services/{id}");
                let before = self.routes.services.get(id);
                let owner =
                    self.compile_owner(&key, &service.plugins, before.map(|before| &before.plugins))?;
                let before = before.and_then(|before| before.upstream.as_ref());
                let upstream = self.target(&key, &service.upstream_id, &service.upstream, before)?;
                let plugins = Compiled { document: document.clone(), owner: Arc::new(owner) };
                self.routes.services.insert(id.to_string(), ServiceState { service, plugins, upstream });
            }
            None => {
                self.routes.services.remove(id);
            }
        }
        self.recompile_users(Kind::Service, id)
    }

    pub(super) fn set_plugin_config(
        &mut self,
        id: &str,
        document: Option<&Arc<Value>>,
    ) -> Result<(), String> {
        match document {
            Some(document) => {
                let config: PluginConfig = read(document)?;
                let before = self.routes.plugin_configs.get(id);
                let owner = self.compile_owner(&format!("/plugin_configs/{id}"), &config.plugins, before)?;
                let compiled = Compiled { document: document.clone(), owner: Arc::new(owner) };
                self.routes.plugin_configs.insert(id.to_string(), compiled);
            }
            None => {
                self.routes.plugin_configs.remove(id);
            }
        }
        self.recompile_users(Kind::PluginConfig, id)
    }

    fn recompile_users(&mut self, kind: Kind, id: &str) -> Result<(), String> {
        let routes = self.routes.users.get(&(kind, id.to_string())).cloned().unwrap_or_default();
        let mut first_error = Ok(());
        for id in routes {
            let Some(state) = self.routes.routes.get(&id) else { continue };
            let document = state.plugins.document.clone();
            let result = self.set_route(&id, Some(&document));
            first_error = first_error.and(result.map_err(|error| format!("route {id}: {error}")));
        }
        first_error
    }

    /// Compiles anew the services and routes whose documents are meant.
    pub(super) fn recompile_where(&mut self, is_meant: impl Fn(&Value) -> bool) -> Result<(), String> {
        let services = self.routes.services.iter().map(|(id, state)| (id, &state.plugins.document));
        let services: Vec<_> = meant(services, &is_meant);
        let routes = self.routes.routes.iter().map(|(id, state)| (id, &state.plugins.document));
        let routes: Vec<_> = meant(routes, &is_meant);
        let mut result = Ok(());
        for (id, document) in services {
            result = result.and(self.set_service(&id, Some(&document)));
        }
        for (id, document) in routes {
            result = result.and(self.set_route(&id, Some(&document)));
        }
        result
    }

    pub(super) fn set_route(&mut self, id: &str, document: Option<&Arc<Value>>) -> Result<(), String> {
        let Some(document) = document else {
            self.routes.remove(id);
            return Ok(());
        };
        let route: Route = read(document)?;
        let key = format!("/routes/{id}");
        let before = self.routes.routes.get(id);
        let owner =
            Arc::new(self.compile_owner(&key, &route.plugins, before.map(|before| &before.plugins))?);
        let before_upstream = before.and_then(|before| before.upstream.as_ref());
        let upstream = self.target(&key, &route.upstream_id, &route.upstream, before_upstream)?;
        let age = before.map(|before| before.age);
        let made_of = parts_of(&route);
        let compiled = match route.status {
            0 => None,
            _ => Some(Arc::new(self.compile_route(route, &owner, upstream.clone())?)),
        };
        let age = age.unwrap_or_else(|| {
            self.routes.next_age += 1;
            self.routes.next_age
        });
        self.routes.remove(id);
        let plugins = Compiled { document: document.clone(), owner };
        self.routes.insert(id, RouteState { plugins, made_of, age, upstream, compiled });
        Ok(())
    }

    fn compile_route(
        &self,
        route: Route,
        own: &Owner<K::Plugin>,
        upstream: Option<Arc<UpstreamSlot>>,
    ) -> Result<CompiledRoute<K::Plugin>, String> {
        let service = route.service_id.as_ref().and_then(|id| self.routes.services.get(id));
        let config = route.plugin_config_id.as_ref().and_then(|id| self.routes.plugin_configs.get(id));
        let layers = [service.map(|service| &*service.plugins.owner), config.map(|config| &*config.owner)];
        let layers: Vec<_> = layers.into_iter().flatten().chain([own]).collect();
        let missing = if route.service_id.is_some() && service.is_none() {
            Some(Missing::Service)
        } else if route.plugin_config_id.is_some() && config.is_none() {
            Some(Missing::PluginConfig)
        } else {
            None
        };
        let allows_upgrade =
            route.enable_websocket.or_else(|| service.and_then(|service| service.service.enable_websocket));
        let forward = Forward {
            upstream: upstream.or_else(|| service.and_then(|service| service.upstream.clone())),
            timeouts: route.timeout.as_ref().map(Timeouts::from),
            allows_upgrade: allows_upgrade.unwrap_or_default(),
        };
        let parts = Parts {
            service: service.map(|service| &service.service),
            chain: Arc::new(Chain::layered(&layers)),
            forward,
            missing,
        };
        CompiledRoute::compile(route, parts)
    }

    /// Where a resource sends requests: to the upstream of an id, which wins, or to one of its own.
    fn target(
        &self,
        key: &str,
        id: &Option<String>,
        own: &Option<a6_resources::Upstream>,
        before: Option<&Arc<UpstreamSlot>>,
    ) -> Result<Option<Arc<UpstreamSlot>>, String> {
        if let Some(id) = id {
            return Ok(Some(self.targets.slots.of(id)));
        }
        let Some(conf) = own else { return Ok(None) };
        let before = before.map(|slot| slot.get());
        let before = before.as_ref().and_then(|before| before.as_deref());
        let compiled = self.compile_upstream(conf, key, before)?;
        Ok(Some(Arc::new(UpstreamSlot::holding(compiled))))
    }
}

fn meant<'d>(
    documents: impl Iterator<Item = (&'d String, &'d Arc<Value>)>,
    is_meant: impl Fn(&Value) -> bool,
) -> Vec<(String, Arc<Value>)> {
    let meant = documents.filter(|(_, document)| is_meant(document));
    meant.map(|(id, document)| (id.clone(), document.clone())).collect()
}

fn parts_of(route: &Route) -> Vec<(Kind, String)> {
    let service = route.service_id.iter().map(|id| (Kind::Service, id.clone()));
    service.chain(route.plugin_config_id.iter().map(|id| (Kind::PluginConfig, id.clone()))).collect()
}

fn each_place<P>(route: &CompiledRoute<P>, age: u64, mut each: impl FnMut(Place<'_>)) {
    for pattern in &route.facts.patterns {
        if route.facts.hosts.is_empty() {
            each(Place { host: None, pattern, priority: route.priority, age });
        }
        for host in &route.facts.hosts {
            each(Place { host: Some(host), pattern, priority: route.priority, age });
        }
    }
}
