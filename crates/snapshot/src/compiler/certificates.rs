use std::collections::BTreeMap;
use std::sync::Arc;

use a6_resources::{Ssl, SslUsage};

use crate::tls::Workshop;
use crate::{TlsHost, TlsHosts, TlsVersions};

/// The certificates that clients are shown, by the ids of their resources.
#[derive(Default)]
pub(super) struct Certificates {
    workshop: Workshop,
    hosts: BTreeMap<String, Arc<TlsHost>>,
    table: Arc<TlsHosts>,
    is_stale: bool,
}

impl Certificates {
    /// None yet.
    pub(super) fn new(versions: TlsVersions) -> Self {
        Self { workshop: Workshop::new(versions), ..Self::default() }
    }

    /// Takes a resource into force, or out of it. One that cannot be used changes nothing.
    pub(super) fn set(&mut self, id: &str, ssl: Option<&Ssl>) -> Result<(), String> {
        let shown = ssl.filter(|ssl| ssl.usage == SslUsage::Server && ssl.is_enabled);
        let host = shown.map(|ssl| self.workshop.host(ssl)).transpose()?;
        let before = match host {
            Some(host) => self.hosts.insert(id.to_string(), Arc::new(host)),
            None => self.hosts.remove(id),
        };
        self.is_stale |= shown.is_some() || before.is_some();
        Ok(())
    }

    /// Every name and its certificate; where two resources have the same name, that of the lower id counts.
    pub(super) fn table(&mut self) -> Arc<TlsHosts> {
        if std::mem::take(&mut self.is_stale) {
            self.table = Arc::new(TlsHosts::new(self.hosts.values()));
        }
        self.table.clone()
    }
}
