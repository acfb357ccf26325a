use std::sync::{Arc, Mutex, PoisonError, Weak};

use a6_core::Secret;
use http::{HeaderName, HeaderValue};
use tokio::sync::Notify;

use super::Checks;
use crate::{ClientCertificate, NodeState, Target};

/// Something whose nodes are to be checked.
#[derive(Debug)]
pub struct Checked {
    /// Where the checks are written, such as `/upstreams/1`.
    pub key: Arc<str>,
    /// What is asked for.
    pub checks: Checks,
    /// What a probe shows to a server that asks for a certificate.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// What every probe shows besides, so that a provider answers it.
    pub auth: Secret<ProbeAuth>,
    /// Who is checked.
    pub nodes: Box<[CheckedNode]>,
}

/// Credentials for probes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProbeAuth {
    /// Headers, where the checks have none of that name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Behind the path's own query, encoded.
    pub query: String,
}

/// One that is checked.
#[derive(Debug)]
pub struct CheckedNode {
    /// Where its requests go.
    pub target: Arc<Target>,
    /// The `Host` of a probe, unless the checks name another.
    pub host: Arc<str>,
    /// Where the findings go.
    pub state: Arc<NodeState>,
}

/// All that is to be checked, as long as its owner is in force. Clones are the same registry.
#[derive(Clone, Debug, Default)]
pub struct HealthRegistry(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    entries: Mutex<Vec<Weak<Checked>>>,
    added: Notify,
}

impl HealthRegistry {
    /// Has something checked until the last other holder of it is gone.
    pub fn add(&self, checked: &Arc<Checked>) {
        let mut entries = self.0.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| entry.strong_count() > 0);
        entries.push(Arc::downgrade(checked));
        self.0.added.notify_one();
    }

    /// All that is to be checked now.
    pub fn all(&self) -> Vec<Arc<Checked>> {
        let entries = self.0.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().filter_map(Weak::upgrade).collect()
    }

    /// Waits until something has been added since the last call. For one waiter.
    pub async fn added(&self) {
        self.0.added.notified().await;
    }
}
