use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use a6_resources::{Change, Kind, Plugins, Route, Service};
use arc_swap::ArcSwap;
use serde_json::Value;

use crate::router::Place;
use crate::{Chain, ChainEntry, CompiledRoute, Kit, Publisher, Rejection, Router};

/// The configuration in force, immutable.
#[derive(Debug)]
pub struct Snapshot<P> {
    /// Finds routes.
    pub router: Router<CompiledRoute<P>>,
    /// The store's revision that it was compiled from.
    pub revision: u64,
}

/// Where the data threads find the snapshot in force.
pub type Shared<P> = Arc<ArcSwap<Snapshot<P>>>;

/// Compiles changes into snapshots, each at the cost of what changed.
pub struct Compiler<K: Kit> {
    kit: Arc<K>,
    shared: Shared<K::Plugin>,
    router: Router<CompiledRoute<K::Plugin>>,
    routes: HashMap<String, RouteState<K::Plugin>>,
    services: HashMap<String, Arc<Service>>,
    routes_of_service: HashMap<String, BTreeSet<String>>,
    next_age: u64,
    /// Old snapshots, kept until no data thread holds them, so that none is taken apart there.
    retired: Vec<Arc<Snapshot<K::Plugin>>>,
}

struct RouteState<P> {
    document: Arc<Value>,
    service_id: Option<String>,
    age: u64,
    /// None while the route is out of service.
    compiled: Option<Arc<CompiledRoute<P>>>,
}

impl<K: Kit> Compiler<K> {
    /// An empty configuration.
    pub fn new(kit: Arc<K>) -> Self {
        let empty = Snapshot { router: Router::default(), revision: 0 };
        Self {
            kit,
            shared: Arc::new(ArcSwap::from_pointee(empty)),
            router: Router::default(),
            routes: HashMap::new(),
            services: HashMap::new(),
            routes_of_service: HashMap::new(),
            next_age: 0,
            retired: Vec::new(),
        }
    }

    /// Where the snapshot in force is found.
    pub fn shared(&self) -> Shared<K::Plugin> {
        self.shared.clone()
    }

    fn apply(&mut self, change: &Change) -> Result<(), String> {
        match (change.kind, &change.value) {
            (Kind::Route, Some(document)) => self.put_route(&change.id, document.clone()),
            (Kind::Route, None) => {
                self.remove_route(&change.id);
                Ok(())
            }
            (Kind::Service, Some(document)) => {
                let service: Service = read(document)?;
                self.services.insert(change.id.clone(), Arc::new(service));
                self.recompile_routes_of(&change.id)
            }
            (Kind::Service, None) => {
                self.services.remove(&change.id);
                self.recompile_routes_of(&change.id)
            }
            // Routes do not reach upstreams of their own yet; their documents are kept by the store.
            (Kind::Upstream, _) => Ok(()),
        }
    }

    fn recompile_routes_of(&mut self, service_id: &str) -> Result<(), String> {
        let ids = self.routes_of_service.get(service_id).cloned().unwrap_or_default();
        let mut first_error = Ok(());
        for id in ids {
            let Some(document) = self.routes.get(&id).map(|state| state.document.clone()) else { continue };
            let result = self.put_route(&id, document);
            first_error = first_error.and(result.map_err(|error| format!("route {id}: {error}")));
        }
        first_error
    }

    fn put_route(&mut self, id: &str, document: Arc<Value>) -> Result<(), String> {
        let route: Route = read(&document)?;
        let service_id = route.service_id.clone();
        let previous = self.routes.get(id).and_then(|state| state.compiled.clone());
        let compiled = self.compile_route(route, previous.as_deref())?;
        let age = match self.routes.get(id) {
            Some(state) => state.age,
            None => {
                self.next_age += 1;
                self.next_age
            }
        };
        self.remove_route(id);
        if let Some(compiled) = &compiled {
            each_place(compiled, age, |place| self.router.insert(place, compiled));
        }
        if let Some(service_id) = &service_id {
            self.routes_of_service.entry(service_id.clone()).or_default().insert(id.to_string());
        }
        self.routes.insert(id.to_string(), RouteState { document, service_id, age, compiled });
        Ok(())
    }

    fn compile_route(
        &self,
        route: Route,
        previous: Option<&CompiledRoute<K::Plugin>>,
    ) -> Result<Option<Arc<CompiledRoute<K::Plugin>>>, String> {
        if route.status == 0 {
            return Ok(None);
        }
        let service =
            route.service_id.as_ref().and_then(|id| self.services.get(id)).map(|service| &**service);
        let plugins = service.map(|service| service.plugins.clone()).unwrap_or_default();
        let chain = self.compile_chain(plugins, &route.plugins, previous.map(|route| &*route.chain))?;
        CompiledRoute::compile(route, service, Arc::new(chain)).map(Arc::new).map(Some)
    }

    /// The route's configuration of a plugin replaces the service's whole.
    fn compile_chain(
        &self,
        mut plugins: Plugins,
        overriding: &Plugins,
        previous: Option<&Chain<K::Plugin>>,
    ) -> Result<Chain<K::Plugin>, String> {
        plugins.extend(overriding.clone());
        let mut entries = Vec::with_capacity(plugins.len());
        for (name, conf) in &plugins {
            let spec = self.kit.spec(name).ok_or_else(|| format!("unknown plugin [{name}]"))?;
            let before = previous.and_then(|chain| chain.plugin(name)).map(|plugin| &**plugin);
            let plugin = self.kit.compile(name, conf, before).map_err(|error| {
                format!("failed to check the configuration of plugin {name} err: {error}")
            })?;
            entries.push(ChainEntry { name: spec.name, priority: spec.priority, plugin: Arc::new(plugin) });
        }
        let mut chain = Chain::new(entries);
        self.kit.link(&mut chain);
        Ok(chain)
    }

    fn remove_route(&mut self, id: &str) {
        let Some(state) = self.routes.remove(id) else { return };
        if let Some(compiled) = &state.compiled {
            each_place(compiled, state.age, |place| self.router.remove(place, compiled));
        }
        if let Some(service_id) = &state.service_id
            && let Some(routes) = self.routes_of_service.get_mut(service_id)
        {
            routes.remove(id);
            if routes.is_empty() {
                self.routes_of_service.remove(service_id);
            }
        }
    }
}

impl<K: Kit> Publisher for Compiler<K> {
    fn publish(&mut self, changes: &[Change], revision: u64) -> Vec<Rejection> {
        let mut rejections = Vec::new();
        for change in changes {
            if let Err(reason) = self.apply(change) {
                let key = format!("{}/{}", change.kind.spec().collection, change.id);
                tracing::error!(key, reason, "a stored resource could not be taken into force");
                rejections.push(Rejection { key, reason });
            }
        }
        let snapshot = Snapshot { router: self.router.clone(), revision };
        self.retired.push(self.shared.swap(Arc::new(snapshot)));
        self.retired.retain(|old| Arc::strong_count(old) > 1);
        rejections
    }
}

fn read<T: serde::de::DeserializeOwned>(document: &Value) -> Result<T, String> {
    T::deserialize(document).map_err(|error| error.to_string())
}

fn each_place<P>(route: &CompiledRoute<P>, age: u64, mut each: impl FnMut(Place<'_>)) {
    for pattern in &route.patterns {
        if route.hosts.is_empty() {
            each(Place { host: None, pattern, priority: route.priority, age });
        }
        for host in &route.hosts {
            each(Place { host: Some(host), pattern, priority: route.priority, age });
        }
    }
}
