use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use a6_core::{Fault, FaultKind};
use a6_protocols::Scheme;
use a6_snapshot::{ClientCertificate, Target};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::io::Io;
use crate::names::{Origin, Resolver};
use crate::tls::{Manner, TlsRoots};

/// What a TLS connection is for besides its target: only requests that agree share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The server name that is asked for and checked, instead of the target's host.
    pub server_name: Box<str>,
    /// What the gateway shows to a server that asks for a certificate.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// How a connection is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dial<'a> {
    pub(crate) target: &'a Target,
    pub(crate) identity: Option<&'a Identity>,
    /// What TLS is to agree on.
    pub(crate) is_http2: bool,
    /// For everything together.
    pub(crate) limit: Duration,
}

impl Dial<'_> {
    /// Opens a connection, TLS included, within the limit.
    pub(crate) async fn open(
        self,
        resolver: &Resolver,
        roots: &Arc<TlsRoots>,
    ) -> Result<(Io, Option<Origin>), Fault> {
        let opening = tokio::time::timeout(self.limit, self.try_all(resolver, roots));
        opening.await.unwrap_or_else(|_| Err(self.too_slow()))
    }

    async fn try_all(
        self,
        resolver: &Resolver,
        roots: &Arc<TlsRoots>,
    ) -> Result<(Io, Option<Origin>), Fault> {
        let places = resolver.places(self.target).await.map_err(|cause| dns_fault(self.target, &cause))?;
        let (tcp, address) = self.connect(&places.addresses).await?;
        let origin = places.origin(address.ip());
        let io = match self.target.scheme {
            Scheme::Http => Io::Plain(tcp),
            Scheme::Https => self.handshake(tcp, roots).await?,
        };
        Ok((io, origin))
    }

    /// Tries the addresses in order. One that does not answer must leave time for the others.
    async fn connect(self, addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Fault> {
        let target = self.target;
        let share = self.limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut last = None;
        for address in addresses {
            let connecting = tokio::time::timeout(share, TcpStream::connect(address));
            match connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(tcp) => {
                    // A small request must not wait for more to come; where it cannot be set, it only costs time.
                    let _ = tcp.set_nodelay(true);
                    return Ok((tcp, *address));
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

    async fn handshake(self, tcp: TcpStream, roots: &Arc<TlsRoots>) -> Result<Io, Fault> {
        let target = self.target;
        let failed = |cause: &dyn std::fmt::Display| {
            let text = format!("the TLS handshake with {target} failed: {cause}");
            Fault::upstream(FaultKind::UpstreamTls, text)
        };
        let certificate = self.identity.and_then(|identity| identity.certificate.as_ref());
        let manner = Manner { verify: target.verify, is_http2: self.is_http2 };
        let config = roots.config(manner, certificate).map_err(|error| failed(&error))?;
        let name = self.server_name().map_err(|error| failed(&error))?;
        let stream = TlsConnector::from(config).connect(name, tcp).await.map_err(|error| failed(&error))?;
        let io = Io::Tls(Box::new(stream));
        if self.is_http2 && io.refuses_http2() {
            return Err(failed(&"it does not speak HTTP/2"));
        }
        Ok(io)
    }

    /// A `Host` that is no name of a server, such as one with odd letters, cannot be asked for: then the target's can.
    fn server_name(self) -> Result<ServerName<'static>, rustls::pki_types::InvalidDnsNameError> {
        let wanted = self.identity.map(|identity| identity.server_name.to_string());
        match wanted.map(ServerName::try_from) {
            Some(Ok(name)) => Ok(name),
            _ => ServerName::try_from(self.target.host.to_string()),
        }
    }

    fn too_slow(self) -> Fault {
        let text = format!("connecting to {} took longer than {} ms", self.target, self.limit.as_millis());
        Fault::upstream(FaultKind::UpstreamTimeout, text)
    }
}

fn dns_fault(target: &Target, cause: &str) -> Fault {
    Fault::upstream(FaultKind::UpstreamDns, format!("could not resolve {}: {cause}", target.host))
}
