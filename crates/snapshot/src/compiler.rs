//! Changes in, snapshots out.
//!
//! - `compiler/plugins.rs`: the plugins of a resource, compiled once for all that use it.
//! - `compiler/routes.rs`: routes, services and plugin configs.
//! - `compiler/people.rs`: consumers, credentials and consumer groups.
//! - `compiler/rules.rs`: global rules.
//! - `compiler/targets.rs`: upstreams, and the certificates that they name.
//! - `compiler/certificates.rs`: the certificates that clients are shown.

mod certificates;
mod people;
mod plugins;
mod routes;
mod rules;
mod targets;

use std::cmp::Reverse;
use std::sync::Arc;

use a6_resources::{Change, Kind};
use arc_swap::ArcSwap;
use serde_json::Value;

use self::certificates::Certificates;
use self::people::People;
use self::routes::Routes;
use self::rules::Rules;
use self::targets::Targets;
use crate::{
    Chain, CompiledRoute, Directory, GroupRegistry, HealthRegistry, Kit, Owners, Publisher, Rejection,
    Router, TlsHosts, TlsVersions,
};

/// The configuration in force, immutable.
#[derive(Debug)]
pub struct Snapshot<P> {
    /// Finds routes.
    pub router: Router<CompiledRoute<P>>,
    /// The plugins of all requests; none if there are no global rules.
    pub global: Option<Arc<Chain<P>>>,
    /// Who may ask.
    pub directory: Arc<Directory>,
    /// What consumers and their groups bring.
    pub owners: Arc<Owners<P>>,
    /// What clients are shown over TLS, by the name that they ask for.
    pub tls: Arc<TlsHosts>,
    /// The store's revision that it was compiled from.
    pub revision: u64,
}

/// Where the data threads find the snapshot in force.
pub type Shared<P> = Arc<ArcSwap<Snapshot<P>>>;

/// Compiles changes into snapshots, each at the cost of what changed.
pub struct Compiler<K: Kit> {
    kit: Arc<K>,
    shared: Shared<K::Plugin>,
    routes: Routes<K::Plugin>,
    people: People<K::Plugin>,
    rules: Rules<K::Plugin>,
    targets: Targets,
    certificates: Certificates,
    /// Old snapshots, kept until no data thread holds them, so that none is taken apart there.
    retired: Vec<Arc<Snapshot<K::Plugin>>>,
}

impl<K: Kit> Compiler<K> {
    /// An empty configuration.
    pub fn new(kit: Arc<K>) -> Self {
        let empty = Snapshot {
            router: Router::default(),
            global: None,
            directory: Arc::default(),
            owners: Arc::default(),
            tls: Arc::default(),
            revision: 0,
        };
        Self {
            kit,
            shared: Arc::new(ArcSwap::from_pointee(empty)),
            routes: Routes::default(),
            people: People::default(),
            rules: Rules::default(),
            targets: Targets::default(),
            certificates: Certificates::default(),
            retired: Vec::new(),
        }
    }

    /// With these versions of TLS for certificates that name none. To be set before the first change.
    #[must_use]
    pub fn speaking(mut self, versions: TlsVersions) -> Self {
        self.certificates = Certificates::new(versions);
        self
    }

    /// Where the snapshot in force is found.
    pub fn shared(&self) -> Shared<K::Plugin> {
        self.shared.clone()
    }

    /// Who is to be checked for health.
    pub fn health(&self) -> HealthRegistry {
        self.targets.health.clone()
    }

    /// The groups of AI instances in force.
    pub fn groups(&self) -> GroupRegistry {
        self.targets.groups.clone()
    }

    fn apply_all<'c>(
        &mut self,
        changes: impl IntoIterator<Item = &'c Change>,
        rejections: &mut Vec<Rejection>,
    ) {
        for change in changes {
            if let Err(reason) = self.apply(change) {
                let key = format!("{}/{}", change.kind.spec().collection, change.id);
                rejections.push(Rejection { key, reason });
            }
        }
    }

    fn apply(&mut self, change: &Change) -> Result<(), String> {
        let (id, document) = (change.id.as_str(), change.value.as_ref());
        match change.kind {
            Kind::Route => self.set_route(id, document),
            Kind::Service => self.set_service(id, document),
            Kind::PluginConfig => self.set_plugin_config(id, document),
            Kind::Upstream => self.set_upstream(id, document),
            Kind::Consumer => self.set_consumer(id, document),
            Kind::Credential => self.set_credential(id, document),
            Kind::ConsumerGroup => self.set_group(id, document),
            Kind::GlobalRule => self.set_rule(id, document),
            Kind::Ssl => self.set_ssl(id, document),
            // Nothing on the road of a request asks for them yet; the store keeps them.
            Kind::Proto | Kind::Secret => Ok(()),
            Kind::PluginMetadata => {
                self.kit.set_metadata(id, document.map(|document| &**document));
                Ok(())
            }
        }
    }
}

impl<K: Kit> Publisher for Compiler<K> {
    fn publish(&mut self, changes: &[Change], revision: u64) -> Vec<Rejection> {
        let mut rejections = Vec::new();
        let (mut gone, mut written): (Vec<&Change>, Vec<&Change>) =
            changes.iter().partition(|change| change.value.is_none());
        // What others refer to comes first and goes last, so that nothing is compiled twice.
        written.sort_by_key(|change| Reverse(change.kind));
        gone.sort_by_key(|change| change.kind);
        // An upstream is in force without the swap. One that goes serves until no new request can come by it.
        let (targets, gone): (Vec<&Change>, Vec<&Change>) =
            gone.into_iter().partition(|change| change.kind == Kind::Upstream);
        self.apply_all(written.into_iter().chain(gone), &mut rejections);
        let snapshot = Snapshot {
            router: self.routes.router(),
            global: self.rules.chain(),
            directory: self.people.directory(),
            owners: self.people.owners(),
            tls: self.certificates.table(),
            revision,
        };
        self.retired.push(self.shared.swap(Arc::new(snapshot)));
        self.apply_all(targets, &mut rejections);
        self.retired.retain(|old| Arc::strong_count(old) > 1);
        rejections
    }
}

fn read<T: serde::de::DeserializeOwned>(document: &Value) -> Result<T, String> {
    T::deserialize(document).map_err(|error| error.to_string())
}
