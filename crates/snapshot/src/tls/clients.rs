use std::sync::Arc;

use a6_resources::SslClient;
use regex::Regex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::workshop::chain;

/// What is asked of the clients of a certificate.
#[derive(Debug)]
pub(super) struct Clients {
    judge: Arc<Judge>,
    /// Paths that are served without a certificate.
    open: Vec<Regex>,
}

impl Clients {
    /// Reads authorities and paths.
    pub(super) fn compile(conf: &SslClient, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for ca in chain("client.ca", &conf.ca)? {
            roots.add(ca).map_err(|error| format!("client.ca: {error}"))?;
        }
        let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| format!("client.ca: {error}"))?;
        let open = conf.skip_mtls_uri_regex.iter().map(|pattern| Regex::new(pattern));
        let open: Vec<Regex> =
            open.collect::<Result<_, _>>().map_err(|error| format!("client.skip_mtls_uri_regex: {error}"))?;
        let judge = Judge { inner, depth: conf.depth, is_lenient: !open.is_empty() };
        Ok(Self { judge: Arc::new(judge), open })
    }

    /// Who is asked in the handshake.
    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.judge.clone()
    }

    /// Whether a path is served without a certificate.
    pub(super) fn is_open(&self, path: &str) -> bool {
        self.open.iter().any(|pattern| pattern.is_match(path))
    }

    /// Whether a client is believed that has shown these.
    pub(super) fn believes(&self, shown: &[CertificateDer<'_>]) -> bool {
        let Some((own, chain)) = shown.split_first() else { return false };
        self.judge.verdict(own, chain, UnixTime::now()).is_ok()
    }
}

/// Judges clients by their certificates.
#[derive(Debug)]
struct Judge {
    inner: Arc<dyn ClientCertVerifier>,
    /// So many certificates may stand between the client's and an authority's.
    depth: usize,
    /// The handshake succeeds all the same; then each request is judged by its path.
    is_lenient: bool,
}

impl Judge {
    /// A chain comes in its order, so that one which needs more than its first `depth` links is too long.
    fn verdict(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.inner.verify_client_cert(own, &chain[..chain.len().min(self.depth)], now)
    }
}

impl ClientCertVerifier for Judge {
    fn client_auth_mandatory(&self) -> bool {
        !self.is_lenient
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.is_lenient {
            return Ok(ClientCertVerified::assertion());
        }
        self.verdict(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
