use std::sync::Arc;

use a6_snapshot::{TlsHost, TlsHosts};
use rustls::pki_types::CertificateDer;

const NO_CERTIFICATE: &str = "this host needs a client certificate that it believes";
const OTHER_NAME: &str = "the Host is not the name of the TLS handshake, and it needs a client certificate: connect to it by its name";

/// What a TLS handshake has found out.
#[derive(Debug)]
pub(crate) struct Secured {
    /// The name that the client has asked for, or that it is taken to mean.
    pub(crate) name: Box<str>,
    /// Who has answered to it.
    pub(crate) host: Arc<TlsHost>,
    /// What the client has shown, first its own.
    pub(crate) shown: Box<[CertificateDer<'static>]>,
    /// Whether that host believes it.
    pub(crate) is_verified: bool,
}

impl Secured {
    /// Why a request is not let in; none where it is. Both count: who has answered to the client's handshake, and who has the
    /// name that the request is for, by the configuration in force.
    pub(crate) fn objection(&self, hosts: &TlsHosts, host: &str, path: &str) -> Option<&'static str> {
        if !self.is_verified && !self.host.is_open(path) {
            return Some(NO_CERTIFICATE);
        }
        if !hosts.asks_clients() {
            return None;
        }
        let asked = hosts.find(host)?;
        if asked.is_open(path) {
            return None;
        }
        // Since the handshake the authorities may have been replaced, because one is trusted no longer.
        let is_verified =
            if Arc::ptr_eq(asked, &self.host) { self.is_verified } else { asked.believes(&self.shown) };
        if !is_verified {
            return Some(NO_CERTIFICATE);
        }
        let name = self.name.strip_suffix('.').unwrap_or(&self.name);
        (!name.eq_ignore_ascii_case(host)).then_some(OTHER_NAME)
    }
}
