//! Certificates and keys: what TLS could not use is refused where it is written. A secret reference is resolved later.

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;

use crate::is_reference;

/// Checks that a text has certificates in PEM and that the first one can be read.
pub(super) fn certificate(text: &str) -> Result<(), String> {
    let chain: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let first = chain.ok().and_then(|chain| chain.into_iter().next());
    if is_reference(text) || first.is_some_and(|first| ParsedCertificate::try_from(&first).is_ok()) {
        return Ok(());
    }
    Err("failed to parse cert: PEM_read_bio_X509_AUX() failed".to_owned())
}

/// Checks that a text has a private key in PEM with which the gateway can sign.
pub(super) fn private_key(text: &str) -> Result<(), String> {
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes());
    if is_reference(text) || key.is_ok_and(|key| any_supported_type(&key).is_ok()) {
        return Ok(());
    }
    Err("failed to parse key: PEM_read_bio_PrivateKey() failed".to_owned())
}
