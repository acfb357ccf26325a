//! A CA of our own and a certificate for the hosts a test wants to be.

use std::fmt;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

/// A server certificate with its key, and the CA that vouches for it. Made new each time; nothing is kept on disk.
#[derive(Clone)]
pub struct TlsIdentity {
    /// The CA's certificate as PEM: what a client has to trust.
    pub ca_pem: String,
    /// A client that the CA vouches for too.
    pub client: ClientIdentity,
    pub(crate) config: Arc<ServerConfig>,
}

/// What a client shows of itself.
#[derive(Clone)]
pub struct ClientIdentity {
    /// Its certificate as PEM.
    pub cert_pem: String,
    /// The certificate's private key as PEM.
    pub key_pem: String,
}

/// Why an identity could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A host name is no DNS name or address, or signing failed.
    #[error("cannot make a certificate for {hosts}: {cause}")]
    Certificate {
        /// The hosts asked for, joined by commas.
        hosts: String,
        /// What the certificate library said.
        cause: rcgen::Error,
    },
    /// The TLS library did not accept the certificate.
    #[error("cannot serve the certificate: {0}")]
    Config(#[from] rustls::Error),
    /// It did not accept the CA as a judge of clients.
    #[error("cannot ask clients for a certificate: {0}")]
    Clients(#[from] VerifierBuilderError),
}

impl TlsIdentity {
    /// Makes a CA and, signed by it, a certificate for these DNS names (`*.` allowed) and IP addresses.
    /// ALPN offers `http/1.1` only.
    ///
    /// # Errors
    /// When a host is not a valid name.
    pub fn for_hosts(hosts: &[&str]) -> Result<Self, TlsError> {
        Self::make(hosts, false)
    }

    /// The same, and only who shows a certificate of the CA's, such as [`TlsIdentity::client`], is spoken to.
    ///
    /// # Errors
    /// When a host is not a valid name.
    pub fn for_known_clients(hosts: &[&str]) -> Result<Self, TlsError> {
        Self::make(hosts, true)
    }

    fn make(hosts: &[&str], only_known_clients: bool) -> Result<Self, TlsError> {
        let signed = sign(hosts).map_err(|cause| TlsError::Certificate { hosts: hosts.join(", "), cause })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients: Arc<dyn ClientCertVerifier> = if only_known_clients {
            let mut roots = RootCertStore::empty();
            roots.add(signed.ca.der().clone())?;
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?
        } else {
            Arc::new(NoClientAuth)
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![signed.leaf.der().clone()], signed.key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { ca_pem: signed.ca.pem(), client: signed.client, config: Arc::new(config) })
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}

/// A CA and what it vouches for.
struct Signed {
    ca: Certificate,
    leaf: Certificate,
    key: PrivateKeyDer<'static>,
    client: ClientIdentity,
}

fn sign(hosts: &[&str]) -> Result<Signed, rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = named("a6 mock CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = params.self_signed(&ca_key)?;
    let issuer = Issuer::new(params, ca_key);

    let (leaf, key) = leaf(hosts, "a6 mock", ExtendedKeyUsagePurpose::ServerAuth, &issuer)?;
    let (client, client_key) = self::leaf(&[], "a client", ExtendedKeyUsagePurpose::ClientAuth, &issuer)?;
    Ok(Signed {
        ca,
        leaf,
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        client: ClientIdentity { cert_pem: client.pem(), key_pem: client_key.serialize_pem() },
    })
}

/// A certificate for those hosts and that use, and its key.
fn leaf(
    hosts: &[&str],
    name: &str,
    usage: ExtendedKeyUsagePurpose,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(Certificate, KeyPair), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(hosts.iter().copied().map(str::to_owned).collect::<Vec<_>>())?;
    params.distinguished_name = named(name);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    Ok((params.signed_by(&key, issuer)?, key))
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}
