use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// PEM files, as `deployment.admin.admin_api_mtls` names them.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate and the chain behind it (`admin_ssl_cert`).
    pub cert: PathBuf,
    /// Its private key (`admin_ssl_cert_key`).
    pub key: PathBuf,
    /// The authorities of the clients that are let in (`admin_ssl_ca_cert`); none asks no client for a certificate.
    pub client_ca: Option<PathBuf>,
}

/// How a listener of this room speaks TLS.
#[derive(Clone)]
pub struct Tls(pub(crate) TlsAcceptor);

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One of them cannot be read or used; it is named with its key in the settings.
    pub fn read(files: &TlsFiles) -> Result<Self, String> {
        let chain = certificates("admin_ssl_cert", &files.cert)?;
        let wrong = |error: &dyn Display| text("admin_ssl_cert_key", &files.key, error);
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong(&error))?;
        let provider = Arc::new(default_provider());
        let clients: Arc<dyn ClientCertVerifier> = match &files.client_ca {
            None => Arc::new(NoClientAuth),
            Some(path) => {
                let wrong = |error: &dyn Display| text("admin_ssl_ca_cert", path, error);
                let mut roots = RootCertStore::empty();
                for ca in certificates("admin_ssl_ca_cert", path)? {
                    roots.add(ca).map_err(|error| wrong(&error))?;
                }
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                    .build()
                    .map_err(|error| wrong(&error))?
            }
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .map_err(|error| wrong(&error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = fs::read(path).map_err(|error| text(key, path, &error))?;
    a6_resources::certificates(&bytes).map_err(|why| text(key, path, &why))
}

fn text(key: &str, path: &Path, what: &dyn Display) -> String {
    format!("deployment.admin.admin_api_mtls.{key} {}: {what}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let make = || rcgen::generate_simple_self_signed(["a.test".to_string()]).unwrap();
        let (one, two) = (make(), make());
        let cert = file("cert.pem", &one.cert.pem());
        let key = file("key.pem", &one.signing_key.serialize_pem());
        let other = file("other.pem", &two.signing_key.serialize_pem());
        let empty = file("empty.pem", "");
        let missing = dir.path().join("missing.pem");
        let files = |cert: &PathBuf, key: &PathBuf, ca: Option<&PathBuf>| TlsFiles {
            cert: cert.clone(),
            key: key.clone(),
            client_ca: ca.cloned(),
        };
        assert!(Tls::read(&files(&cert, &key, None)).is_ok());
        assert!(Tls::read(&files(&cert, &key, Some(&cert))).is_ok());
        for (files, name, path) in [
            (files(&missing, &key, None), "admin_ssl_cert ", &missing),
            (files(&empty, &key, None), "admin_ssl_cert ", &empty),
            (files(&cert, &missing, None), "admin_ssl_cert_key ", &missing),
            (files(&cert, &empty, None), "admin_ssl_cert_key ", &empty),
            (files(&cert, &other, None), "admin_ssl_cert_key ", &other),
            (files(&cert, &key, Some(&key)), "admin_ssl_ca_cert ", &key),
        ] {
            let error = Tls::read(&files).err().unwrap();
            let begin = format!("deployment.admin.admin_api_mtls.{name}{}: ", path.display());
            assert!(error.starts_with(&begin), "{error} does not begin with {begin}");
        }
    }
}
