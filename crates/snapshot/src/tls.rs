//! What clients are shown over TLS, and what is asked of them.
//!
//! - `tls/workshop.rs`: [`Workshop`], a certificate resource ready for handshakes.
//! - `tls/clients.rs`: [`Clients`], whose certificates are believed.
//! - `tls/sessions.rs`: sessions that clients may take up again.

mod clients;
mod sessions;
#[cfg(test)]
mod tests;
mod workshop;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use self::clients::Clients;
pub(crate) use self::workshop::Workshop;

/// Versions of TLS, for certificates whose resource names none.
#[derive(Clone, Copy, Debug)]
pub struct TlsVersions {
    /// TLS 1.2.
    pub tls12: bool,
    /// TLS 1.3.
    pub tls13: bool,
}

impl Default for TlsVersions {
    /// Both.
    fn default() -> Self {
        Self { tls12: true, tls13: true }
    }
}

/// The certificates, by the name that a client asks for. Immutable.
#[derive(Debug, Default)]
pub struct TlsHosts {
    exact: HashMap<Box<str>, Arc<TlsHost>>,
    /// By what follows the `*`.
    wildcard: HashMap<Box<str>, Arc<TlsHost>>,
    asks_clients: bool,
}

/// No name of a host is longer (RFC 1035 §2.3.4), nor one of its labels: what clients send may be.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A certificate resource, ready for handshakes.
#[derive(Debug)]
pub struct TlsHost {
    names: Vec<Box<str>>,
    /// None while a secret reference in the resource stands for nothing: its names are nobody else's all the same.
    config: Option<Arc<ServerConfig>>,
    clients: Option<Clients>,
    /// It asks clients for certificates, and nobody knows yet whom to believe.
    is_closed: bool,
}

impl TlsHosts {
    /// Where several have the same name, the first counts.
    pub(crate) fn new<'a>(hosts: impl Iterator<Item = &'a Arc<TlsHost>>) -> Self {
        let mut table = Self::default();
        for host in hosts {
            table.asks_clients |= host.clients.is_some() || host.is_closed;
            for name in &host.names {
                let (place, name) = match name.strip_prefix('*') {
                    Some(rest) => (&mut table.wildcard, rest),
                    None => (&mut table.exact, &**name),
                };
                place.entry(name.into()).or_insert_with(|| host.clone());
            }
        }
        table
    }

    /// Whether anybody asks clients for certificates.
    pub fn asks_clients(&self) -> bool {
        self.asks_clients
    }

    /// Who answers to that name: who has the name itself, else who has the longest pattern. The star of a pattern stands for
    /// what a name's first label has before the pattern's rest; alone it stands for any name.
    pub fn find(&self, name: &str) -> Option<&Arc<TlsHost>> {
        if name.len() > LONGEST_NAME + 1 {
            return self.wildcard.get("");
        }
        let name = plain(name);
        let label = name.find('.').unwrap_or(name.len()).min(LONGEST_LABEL);
        let mut rests = (1..=label).filter_map(|at| name.get(at..));
        self.exact
            .get(&*name)
            .or_else(|| rests.find_map(|rest| self.wildcard.get(rest)))
            .or_else(|| self.wildcard.get(""))
    }
}

impl TlsHost {
    /// The server's side of a handshake; none while its certificate is not known.
    pub fn config(&self) -> Option<Arc<ServerConfig>> {
        self.config.clone()
    }

    /// Whether a path is served to whoever asks.
    pub fn is_open(&self, path: &str) -> bool {
        !self.is_closed && self.clients.as_ref().is_none_or(|clients| clients.is_open(path))
    }

    /// Whether a client is believed that has shown these certificates, first its own.
    pub fn believes(&self, shown: &[CertificateDer<'_>]) -> bool {
        self.clients.as_ref().is_some_and(|clients| clients.believes(shown))
    }
}

/// A name as it is compared.
fn plain(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}
