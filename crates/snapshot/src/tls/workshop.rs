use std::sync::Arc;

use a6_core::Secret;
use a6_resources::{Ssl, certificates};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoClientAuth, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SignatureAlgorithm, SupportedProtocolVersion};

use super::clients::Clients;
use super::sessions::{Sessions, memory};
use super::{TlsHost, TlsVersions, plain};

/// What is offered by ALPN, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Makes certificate resources ready for handshakes.
pub(crate) struct Workshop {
    provider: Arc<CryptoProvider>,
    versions: TlsVersions,
    sessions: Arc<ServerSessionMemoryCache>,
    /// How many were made.
    made: u64,
}

impl Default for Workshop {
    fn default() -> Self {
        Self::new(TlsVersions::default())
    }
}

impl Workshop {
    /// With these versions where a resource names none.
    pub(crate) fn new(versions: TlsVersions) -> Self {
        Self { provider: Arc::new(ring::default_provider()), versions, sessions: memory(), made: 0 }
    }

    /// Makes one ready.
    ///
    /// # Errors
    /// A member cannot be used; it is named, without its text.
    pub(crate) fn host(&mut self, ssl: &Ssl) -> Result<TlsHost, String> {
        let names = ssl.names().map(|name| plain(name).into()).collect();
        if ssl.is_unresolved() {
            return Ok(TlsHost { names, config: None, clients: None, is_closed: ssl.client.is_some() });
        }
        let pairs = ssl.pairs().map(|(cert, key)| self.pair(cert, key));
        let mut pairs: Vec<Arc<CertifiedKey>> = pairs.collect::<Result<_, _>>()?;
        // The smaller keys, which most clients know, are the faster ones.
        pairs.sort_by_key(|pair| pair.key.algorithm() == SignatureAlgorithm::RSA);
        let clients = ssl.client.as_ref().map(|conf| Clients::compile(conf, &self.provider)).transpose()?;
        let verifier: Arc<dyn ClientCertVerifier> = match &clients {
            Some(clients) => clients.verifier(),
            None => Arc::new(NoClientAuth),
        };
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&self.versions(&ssl.ssl_protocols))
            .map_err(|error| format!("ssl_protocols: {error}; give TLSv1.2, TLSv1.3 or both"))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(Pairs(pairs)));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        self.made += 1;
        config.session_storage = Arc::new(Sessions { all: self.sessions.clone(), owner: self.made });
        Ok(TlsHost { names, config: Some(Arc::new(config)), clients, is_closed: false })
    }

    /// TLS 1.1 is not spoken, whoever asks for it.
    fn versions(&self, named: &[String]) -> Vec<&'static SupportedProtocolVersion> {
        let has = |name: &str, default: bool| match named {
            [] => default,
            named => named.iter().any(|named| named == name),
        };
        let tls12 = has("TLSv1.2", self.versions.tls12).then_some(&TLS12);
        let tls13 = has("TLSv1.3", self.versions.tls13).then_some(&TLS13);
        tls12.into_iter().chain(tls13).collect()
    }

    fn pair(&self, cert: &str, key: &Secret<String>) -> Result<Arc<CertifiedKey>, String> {
        let chain = chain("cert", cert)?;
        let key = key.expose();
        let key =
            PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "key: it is no PEM private key")?;
        let pair = CertifiedKey::from_der(chain, key, &self.provider);
        pair.map(Arc::new).map_err(|error| format!("key: {error}"))
    }
}

/// The certificates of a member in PEM, at least one.
pub(super) fn chain(member: &str, text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    certificates(text.as_bytes()).map_err(|why| format!("{member}: {why}"))
}

/// Certificates for the same names.
#[derive(Debug)]
struct Pairs(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Pairs {
    /// The first that the client can check. Where it can check none, the handshake tells it so.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let fits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(schemes).is_some();
        self.0.iter().find(fits).or(self.0.first()).cloned()
    }
}
