//! Certificates and keys: what TLS could not use is refused where it is written. A secret reference is resolved later.

use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use crate::{certificates, is_reference};

const NO_CERTIFICATE: &str = "failed to parse cert: PEM_read_bio_X509_AUX() failed";

/// Checks that a text has certificates in PEM and that the first one can be read.
pub(super) fn certificate(text: &str) -> Result<(), String> {
    let chain = certificates(text.as_bytes()).unwrap_or_default();
    if is_reference(text) || chain.first().is_some_and(|first| ParsedCertificate::try_from(first).is_ok()) {
        return Ok(());
    }
    Err(NO_CERTIFICATE.to_owned())
}

/// Checks that a text has certificates in PEM and that each can vouch for others.
pub(super) fn authorities(text: &str) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    let chain = certificates(text.as_bytes()).unwrap_or_default();
    if is_reference(text) || (!chain.is_empty() && chain.into_iter().all(|ca| roots.add(ca).is_ok())) {
        return Ok(());
    }
    Err(NO_CERTIFICATE.to_owned())
}

/// Checks that a key belongs to the first certificate, where both are here and sound.
pub(super) fn pair(cert: &str, key: &str) -> Result<(), String> {
    let Ok(key) = PrivateKeyDer::from_pem_slice(key.as_bytes()) else { return Ok(()) };
    let chain = certificates(cert.as_bytes()).unwrap_or_default();
    match CertifiedKey::from_der(chain, key, &default_provider()) {
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err("the key does not belong to the certificate; give the one that it was made with".to_owned())
        }
        _ => Ok(()),
    }
}

/// Checks that a text has a private key in PEM with which the gateway can sign.
pub(super) fn private_key(text: &str) -> Result<(), String> {
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes());
    if is_reference(text) || key.is_ok_and(|key| any_supported_type(&key).is_ok()) {
        return Ok(());
    }
    Err("failed to parse key: PEM_read_bio_PrivateKey() failed".to_owned())
}
