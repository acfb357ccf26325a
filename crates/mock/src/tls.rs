//! A CA of our own and a certificate for the hosts a test wants to be.

use std::fmt;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A server certificate with its key, and the CA that vouches for it. Made new each time; nothing is kept on disk.
#[derive(Clone)]
pub struct TlsIdentity {
    /// The CA's certificate as PEM: what a client has to trust.
    pub ca_pem: String,
    pub(crate) config: Arc<ServerConfig>,
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
}

impl TlsIdentity {
    /// Makes a CA and, signed by it, a certificate for these DNS names (`*.` allowed) and IP addresses.
    /// ALPN offers `http/1.1` only.
    ///
    /// # Errors
    /// When a host is not a valid name.
    pub fn for_hosts(hosts: &[&str]) -> Result<Self, TlsError> {
        let (ca_pem, leaf, key) =
            sign(hosts).map_err(|cause| TlsError::Certificate { hosts: hosts.join(", "), cause })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { ca_pem, config: Arc::new(config) })
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}

fn sign(hosts: &[&str]) -> Result<(String, rcgen::Certificate, PrivateKeyDer<'static>), rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name = named("a6 mock CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let issuer = Issuer::new(ca, ca_key);

    let key = KeyPair::generate()?;
    let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name = named("a6 mock");
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf = leaf.signed_by(&key, &issuer)?;
    Ok((ca_pem, leaf, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))))
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}
