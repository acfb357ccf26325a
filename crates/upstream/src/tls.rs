use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use a6_resources::certificates;
use a6_snapshot::ClientCertificate;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Which server certificates are believed. Read when the first TLS upstream is dialled, since it takes milliseconds.
#[derive(Debug, Default)]
pub struct TlsRoots {
    extra: Option<PathBuf>,
    roots: OnceLock<Result<Arc<RootCertStore>, String>>,
    /// By [`Manner::place`].
    anonymous: [OnceLock<Result<Arc<ClientConfig>, String>>; 4],
    certified: Mutex<Vec<Certified>>,
}

/// What a client of one certificate says in a handshake.
#[derive(Debug)]
struct Certified {
    /// It goes when no configuration has it any more.
    certificate: Weak<ClientCertificate>,
    manner: Manner,
    config: Arc<ClientConfig>,
}

/// What handshakes differ in, but for names and certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Whether the server's certificate is checked.
    pub(crate) verify: bool,
    /// HTTP/2 is offered, instead of HTTP/1.1.
    pub(crate) is_http2: bool,
}

impl Manner {
    fn place(self) -> usize {
        usize::from(self.verify) << 1 | usize::from(self.is_http2)
    }
}

impl TlsRoots {
    /// The system's certificates, and those of a PEM file besides (`apisix.ssl.ssl_trusted_certificate`).
    pub fn new(extra: Option<PathBuf>) -> Self {
        Self { extra, ..Self::default() }
    }

    /// The client's side of a handshake.
    ///
    /// # Errors
    /// The certificates cannot be read, or the client's own cannot be used.
    pub(crate) fn config(
        &self,
        manner: Manner,
        certificate: Option<&Arc<ClientCertificate>>,
    ) -> Result<Arc<ClientConfig>, String> {
        match certificate {
            Some(certificate) => self.certified(manner, certificate),
            None => self.anonymous[manner.place()].get_or_init(|| self.build(manner, None)).clone(),
        }
    }

    fn certified(
        &self,
        manner: Manner,
        certificate: &Arc<ClientCertificate>,
    ) -> Result<Arc<ClientConfig>, String> {
        let mut certified = self.certified.lock().unwrap_or_else(PoisonError::into_inner);
        let found = certified.iter().find(|known| {
            known.manner == manner && std::ptr::eq(known.certificate.as_ptr(), Arc::as_ptr(certificate))
        });
        if let Some(found) = found {
            return Ok(found.config.clone());
        }
        certified.retain(|known| known.certificate.strong_count() > 0);
        let config = self.build(manner, Some(certificate))?;
        certified.push(Certified {
            certificate: Arc::downgrade(certificate),
            manner,
            config: config.clone(),
        });
        Ok(config)
    }

    fn build(
        &self,
        manner: Manner,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = if manner.verify {
            let roots = self.roots.get_or_init(|| self.read_roots().map(Arc::new)).clone()?;
            builder.with_root_certificates(roots)
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
        };
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let (chain, key) = parse(certificate)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("tls.client_cert: {error}"))?
            }
        };
        let protocol: &[u8] = if manner.is_http2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Arc::new(config))
    }

    fn read_roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "a system certificate could not be read");
        }
        roots.add_parsable_certificates(system.certs);
        if let Some(path) = &self.extra {
            let failed = |error: &dyn std::fmt::Display| {
                format!("apisix.ssl.ssl_trusted_certificate {}: {error}", path.display())
            };
            let text = fs::read(path).map_err(|error| failed(&error))?;
            for certificate in certificates(&text).map_err(|error| failed(&error))? {
                roots.add(certificate).map_err(|error| failed(&error))?;
            }
        }
        Ok(roots)
    }
}

/// A certificate chain and its key out of PEM. What is wrong is told without the text itself.
fn parse(
    certificate: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain =
        certificates(certificate.chain.as_bytes()).map_err(|why| format!("tls.client_cert: {why}"))?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key.expose().as_bytes());
    Ok((chain, key.map_err(|_| "tls.client_key: it is no PEM private key")?))
}

/// For `ssl_verify: false`: any certificate is believed, signatures are still checked.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
