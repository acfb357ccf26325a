use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use a6_core::{Fault, FaultKind};
use a6_protocols::Scheme;
use a6_snapshot::Target;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::TlsRoots;
use crate::connection::Io;

/// Names to addresses: an override table first (`a6.resolve`), then the system's resolver.
#[derive(Debug, Default)]
pub struct Resolver {
    overrides: HashMap<String, (IpAddr, Option<u16>)>,
}

impl Resolver {
    /// With overrides: lower-case host, address, and a port if that changes too.
    pub fn new(overrides: impl IntoIterator<Item = (String, IpAddr, Option<u16>)>) -> Self {
        let table = overrides.into_iter().map(|(host, ip, port)| (host.to_ascii_lowercase(), (ip, port)));
        Self { overrides: table.collect() }
    }

    async fn addresses(&self, target: &Target) -> io::Result<Vec<SocketAddr>> {
        if let Some((ip, port)) = self.overrides.get(&*target.host) {
            return Ok(vec![SocketAddr::new(*ip, port.unwrap_or(target.port))]);
        }
        if let Ok(ip) = target.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, target.port)]);
        }
        Ok(tokio::net::lookup_host((&*target.host, target.port)).await?.collect())
    }
}

/// Opens a connection, TLS included. The caller bounds the time.
pub(crate) async fn dial(
    target: &Target,
    limit: Duration,
    resolver: &Resolver,
    roots: &Arc<TlsRoots>,
) -> Result<Io, Fault> {
    let addresses =
        resolver.addresses(target).await.map_err(|error| dns_fault(target, &error.to_string()))?;
    let tcp = connect(target, &addresses, limit).await?;
    match target.scheme {
        Scheme::Http => Ok(Io::Plain(tcp)),
        Scheme::Https => handshake(target, tcp, roots).await,
    }
}

/// Tries the addresses in order. One that does not answer must leave time for the others.
async fn connect(target: &Target, addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, Fault> {
    let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = None;
    for address in addresses {
        let connecting = tokio::time::timeout(share, TcpStream::connect(address));
        match connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(tcp) => {
                // A small request must not wait for more to come; where it cannot be set, it only costs time.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Err(error) => last = Some((address, error)),
        }
    }
    Err(match last {
        None => dns_fault(target, "the name has no address"),
        Some((address, error)) if error.kind() == io::ErrorKind::TimedOut => {
            let text =
                format!("connecting to {target} ({address}) took longer than {} ms", share.as_millis());
            Fault::upstream(FaultKind::UpstreamTimeout, text)
        }
        Some((address, error)) => {
            let text = format!("could not connect to {target} ({address}): {error}");
            Fault::upstream(FaultKind::UpstreamConnect, text)
        }
    })
}

async fn handshake(target: &Target, tcp: TcpStream, roots: &Arc<TlsRoots>) -> Result<Io, Fault> {
    let failed = |cause: &dyn std::fmt::Display| {
        let text = format!("the TLS handshake with {target} failed: {cause}");
        Fault::upstream(FaultKind::UpstreamTls, text)
    };
    let name = ServerName::try_from(target.host.to_string()).map_err(|error| failed(&error))?;
    let config = roots.config(target.verify).map_err(|error| failed(&error))?;
    let stream = TlsConnector::from(config).connect(name, tcp).await.map_err(|error| failed(&error))?;
    Ok(Io::Tls(Box::new(stream)))
}

fn dns_fault(target: &Target, cause: &str) -> Fault {
    Fault::upstream(FaultKind::UpstreamDns, format!("could not resolve {}: {cause}", target.host))
}
