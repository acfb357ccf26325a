//! TLS as a client sees it: authorities and certificates made for the test, and a client that shakes hands.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use super::http::request;

/// The longest silence that a test accepts.
const PATIENCE: Duration = Duration::from_secs(15);

/// Vouches for others.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The authorities between this one and the root, this one first; none for the root.
    links: String,
}

/// A certificate, the chain behind it, and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    pub cert: String,
    pub key: String,
}

impl Authority {
    /// A root of this name.
    pub fn root(name: &str) -> Self {
        let issuer = CertifiedIssuer::self_signed(authority(name), new_key()).expect("it can be signed");
        Self { issuer, links: String::new() }
    }

    /// An authority for which this one vouches.
    pub fn below(&self, name: &str) -> Self {
        let issuer = CertifiedIssuer::signed_by(authority(name), new_key(), &self.issuer);
        let issuer = issuer.expect("it can be signed");
        let links = format!("{}{}", issuer.pem(), self.links);
        Self { issuer, links }
    }

    /// Its own certificate in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server of these names.
    pub fn server(&self, names: &[&str]) -> Identity {
        let names = names.iter().map(|name| (*name).to_string()).collect::<Vec<_>>();
        self.sign(names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client.
    pub fn client(&self) -> Identity {
        self.sign(Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, names: Vec<String>, usage: ExtendedKeyUsagePurpose) -> Identity {
        let mut params = CertificateParams::new(names).expect("DNS names");
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = new_key();
        let cert = params.signed_by(&key, &self.issuer).expect("it can be signed");
        Identity { cert: format!("{}{}", cert.pem(), self.links), key: key.serialize_pem() }
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

impl Identity {
    /// The `ssls` document that shows it to whoever asks for one of these names; members of `more` are added.
    pub fn ssl(&self, names: &[&str], more: Value) -> Value {
        let mut document = json!({"snis": names, "cert": self.cert, "key": self.key});
        let members = more.as_object().expect("an object").clone();
        document.as_object_mut().expect("an object").extend(members);
        document
    }

    /// The first certificate as it is sent.
    pub fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("a certificate").to_vec()
    }
}

/// How a client shakes hands.
#[derive(Clone)]
pub struct TlsClient {
    authority: String,
    shown: Option<Identity>,
    protocols: Vec<Vec<u8>>,
    names_itself: bool,
    versions: Vec<&'static rustls::SupportedProtocolVersion>,
}

impl TlsClient {
    /// One that believes this authority, offers no protocol by ALPN and shows nothing of itself.
    pub fn trusting(authority: &Authority) -> Self {
        Self {
            authority: authority.pem(),
            shown: None,
            protocols: Vec::new(),
            names_itself: true,
            versions: rustls::ALL_VERSIONS.to_vec(),
        }
    }

    pub fn showing(mut self, identity: &Identity) -> Self {
        self.shown = Some(identity.clone());
        self
    }

    pub fn speaking(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Does not say in the handshake whom it wants.
    pub fn nameless(mut self) -> Self {
        self.names_itself = false;
        self
    }

    pub fn only(mut self, version: &'static rustls::SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    /// Shakes hands with whoever has the name; the error is rustls's own text. In TLS 1.3 a server that does not believe the
    /// client says so only afterwards.
    pub fn connect(&self, address: SocketAddr, name: &str) -> Result<TlsConnection, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).expect("PEM")).expect("a root");
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match &self.shown {
            None => builder.with_no_client_auth(),
            Some(Identity { cert, key }) => {
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert.as_bytes()).collect();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain.expect("PEM"), key).expect("a client")
            }
        };
        config.alpn_protocols.clone_from(&self.protocols);
        config.enable_sni = self.names_itself;
        let server = ServerName::try_from(name.to_string()).expect("a DNS name");
        let session = ClientConnection::new(Arc::new(config), server).expect("a session");
        let tcp = TcpStream::connect(address).expect("somebody listens");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        tcp.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let mut stream = StreamOwned::new(session, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|error| error.to_string())?;
        }
        Ok(TlsConnection { stream, buffer: Vec::new() })
    }

    /// Shakes hands, and asks for a path in the name of that host: the status, and the body's text.
    pub fn get(&self, address: SocketAddr, name: &str, path: &str) -> Result<(u16, String), String> {
        self.connect(address, name)?.ask(&request("GET", path, &[("Host", name)], b""))
    }
}

/// A connection in TLS.
pub struct TlsConnection {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

impl TlsConnection {
    /// The protocol that ALPN agreed on.
    pub fn protocol(&self) -> Option<String> {
        self.stream.conn.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned())
    }

    /// The certificate that the server has shown.
    pub fn shown(&self) -> Vec<u8> {
        let chain = self.stream.conn.peer_certificates().expect("the server shows a certificate");
        chain[0].to_vec()
    }

    /// Sends a request and reads its answer, which has a `Content-Length`.
    pub fn ask(&mut self, request: &[u8]) -> Result<(u16, String), String> {
        self.stream.write_all(request).map_err(|error| error.to_string())?;
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                break String::from_utf8_lossy(&head).to_ascii_lowercase();
            }
            self.fill()?;
        };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length = length.and_then(|length| length.parse().ok()).expect("a length");
        while self.buffer.len() < length {
            self.fill()?;
        }
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    fn fill(&mut self) -> Result<(), String> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err("the connection has ended".to_string()),
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nothing came for {PATIENCE:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Reads to the end: what came, and whether the server said that it was the end.
    pub fn read_to_the_end(&mut self) -> (String, bool) {
        let ended = self.stream.read_to_end(&mut self.buffer);
        (String::from_utf8_lossy(&self.buffer).into_owned(), ended.is_ok())
    }
}
