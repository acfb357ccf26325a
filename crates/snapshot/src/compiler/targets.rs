use std::collections::HashMap;
use std::sync::Arc;

use a6_resources::{Ssl, SslUsage};
use serde_json::Value;

use super::{Compiler, read};
use crate::{ClientCertificate, GroupRegistry, HealthRegistry, Kit, Upstream, UpstreamSlots};

/// Upstreams that have an id, and the certificates that upstreams may name.
#[derive(Default)]
pub(super) struct Targets {
    pub(super) slots: UpstreamSlots,
    pub(super) health: HealthRegistry,
    pub(super) groups: GroupRegistry,
    documents: HashMap<String, Arc<Value>>,
    certificates: HashMap<String, Arc<ClientCertificate>>,
}

impl<K: Kit> Compiler<K> {
    /// Compiles an upstream, wherever it is written, with the certificate that it names.
    pub(super) fn compile_upstream(
        &self,
        conf: &a6_resources::Upstream,
        key: &str,
        previous: Option<&Upstream>,
    ) -> Result<Upstream, String> {
        let mut upstream = Upstream::compile(conf, key, previous)?;
        if let Some(id) = conf.tls.as_ref().and_then(|tls| tls.client_cert_id.as_ref()) {
            upstream.client_certificate = self.targets.certificates.get(id).cloned();
            upstream.lacks_certificate = upstream.client_certificate.is_none();
        }
        let certificate = upstream.client_certificate.as_deref();
        upstream.unresolved = certificate.and_then(ClientCertificate::reference).map(Arc::from);
        upstream.watch(&self.targets.health);
        Ok(upstream)
    }

    pub(super) fn set_upstream(&mut self, id: &str, document: Option<&Arc<Value>>) -> Result<(), String> {
        let slot = self.targets.slots.of(id);
        let Some(document) = document else {
            slot.set(None);
            drop(slot);
            self.targets.documents.remove(id);
            self.targets.slots.forget(id);
            return Ok(());
        };
        let upstream =
            self.compile_upstream(&read(document)?, &format!("/upstreams/{id}"), slot.get().as_deref())?;
        slot.set(Some(upstream));
        self.targets.documents.insert(id.to_string(), document.clone());
        Ok(())
    }

    /// A certificate has changed, and with it every upstream that names it.
    pub(super) fn set_ssl(&mut self, id: &str, document: Option<&Arc<Value>>) -> Result<(), String> {
        let ssl: Option<Ssl> = document.map(|document| read(document)).transpose()?;
        self.certificates.set(id, ssl.as_ref())?;
        match ssl.filter(|ssl| ssl.usage == SslUsage::Client) {
            Some(ssl) => {
                let certificate = ClientCertificate::new(&ssl.cert, ssl.key.expose());
                self.targets.certificates.insert(id.to_string(), Arc::new(certificate));
            }
            None => {
                self.targets.certificates.remove(id);
            }
        }
        let upstreams = self.targets.documents.iter().filter(|(_, document)| names(document, id));
        let upstreams: Vec<_> = upstreams.map(|(own, document)| (own.clone(), document.clone())).collect();
        let mut result = Ok(());
        for (own, document) in upstreams {
            result = result.and(self.set_upstream(&own, Some(&document)));
        }
        result.and(
            self.recompile_where(|document| {
                document.get("upstream").is_some_and(|upstream| names(upstream, id))
            }),
        )
    }
}

/// Whether an upstream names the certificate.
fn names(upstream: &Value, id: &str) -> bool {
    upstream.pointer("/tls/client_cert_id").and_then(a6_resources::id_text).as_deref() == Some(id)
}
