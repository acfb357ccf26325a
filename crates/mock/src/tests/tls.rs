//! The mock behind TLS.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::server::{Mock, Options};
use crate::tls::TlsIdentity;

/// One request over TLS that trusts this CA; the whole reply, or the error.
fn ask(mock: &Mock, ca_pem: &str, host: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(connection, TcpStream::connect(mock.addr)?));
    stream.get_mut().write_all(b"GET /v1/models HTTP/1.1\r\nconnection: close\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}

#[test]
fn the_host_names_are_vouched_for_by_the_ca_alone() {
    let identity = TlsIdentity::for_hosts(&["api.openai.com", "*.example.com", "127.0.0.1"]).unwrap();
    let ca_pem = identity.ca_pem.clone();
    let mock = Mock::start(Options { tls: Some(identity), ..Options::default() }).unwrap();
    assert!(mock.url().starts_with("https://127.0.0.1:"));

    for (host, sni) in [
        ("api.openai.com", Some("api.openai.com")),
        ("a.example.com", Some("a.example.com")),
        ("127.0.0.1", None),
    ] {
        let reply = ask(&mock, &ca_pem, host).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n") && reply.ends_with("]}"), "{reply}");
        let seen = mock.settled(1).pop().unwrap();
        assert_eq!((seen.sni.as_deref(), seen.response_bytes), (sni, reply.len() as u64), "{host}");
    }
    assert!(ask(&mock, &ca_pem, "api.anthropic.com").is_err(), "a name that is not in the certificate");
    let other = TlsIdentity::for_hosts(&["api.openai.com"]).unwrap();
    assert!(ask(&mock, &other.ca_pem, "api.openai.com").is_err(), "a CA that did not sign it");
}

#[test]
fn a_host_that_cannot_be_in_a_certificate_is_named() {
    let error = TlsIdentity::for_hosts(&["fine.com", "n\u{e4}h"]).unwrap_err().to_string();
    assert!(error.starts_with("cannot make a certificate for fine.com, näh: "), "{error}");
}

#[test]
fn a_client_that_shows_no_certificate_is_not_spoken_to() {
    let identity = TlsIdentity::for_known_clients(&["api.openai.com"]).unwrap();
    let ca_pem = identity.ca_pem.clone();
    let mock = Mock::start(Options { tls: Some(identity), ..Options::default() }).unwrap();
    assert!(ask(&mock, &ca_pem, "api.openai.com").is_err());
}
