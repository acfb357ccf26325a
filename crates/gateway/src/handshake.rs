use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use a6_snapshot::Plugin;
use http::HeaderValue;
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::secured::Secured;
use crate::worker::Worker;

/// The first byte of every handshake.
const HANDSHAKE: u8 = 22;
/// The alert "unrecognized_name" (RFC 8446 §6), as it stands in a record before anything is encrypted.
const UNKNOWN_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// Whoever is told that this is no plain HTTP may send so much more, for so long.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 << 10;

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsFault {
    /// The client speaks HTTP without TLS.
    PlainText,
    /// It names nobody, and the settings say nobody for it.
    NoName,
    /// No certificate has the name.
    UnknownName,
    /// The name's certificate or key is a secret reference that stands for nothing so far.
    NoCertificate,
    /// It has to show a certificate, and does not.
    NoClientCertificate,
    /// Its certificate is not believed.
    BadClientCertificate,
    /// There is no version, cipher suite or protocol that both speak.
    Incompatible,
    /// It ends the handshake, as one does that does not believe our certificate.
    RefusedByClient,
    /// What it sends is no handshake.
    Malformed,
    /// It takes too long.
    Late,
    /// It has gone.
    Gone,
}

const REASONS: usize = TlsFault::ALL.len();

impl TlsFault {
    /// Every one there is, in the order of their declaration.
    const ALL: [Self; 11] = [
        Self::PlainText,
        Self::NoName,
        Self::UnknownName,
        Self::NoCertificate,
        Self::NoClientCertificate,
        Self::BadClientCertificate,
        Self::Incompatible,
        Self::RefusedByClient,
        Self::Malformed,
        Self::Late,
        Self::Gone,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::PlainText => "plain_text",
            Self::NoName => "no_name",
            Self::UnknownName => "unknown_name",
            Self::NoCertificate => "no_certificate",
            Self::NoClientCertificate => "no_client_certificate",
            Self::BadClientCertificate => "bad_client_certificate",
            Self::Incompatible => "incompatible",
            Self::RefusedByClient => "refused_by_client",
            Self::Malformed => "malformed",
            Self::Late => "late",
            Self::Gone => "gone",
        }
    }

    fn of(error: &io::Error) -> Self {
        let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return Self::Gone;
        };
        match error {
            rustls::Error::NoCertificatesPresented => Self::NoClientCertificate,
            rustls::Error::InvalidCertificate(_) => Self::BadClientCertificate,
            rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => Self::Incompatible,
            rustls::Error::AlertReceived(_) => Self::RefusedByClient,
            _ => Self::Malformed,
        }
    }
}

/// How often a TLS handshake with a client failed, by reason. It leaves no record.
#[derive(Debug, Default)]
pub struct TlsFaults([AtomicU64; REASONS]);

impl TlsFaults {
    /// Every reason, as a stable word, and how often it was met since the start.
    pub fn snapshot(&self) -> [(&'static str, u64); REASONS] {
        TlsFault::ALL.map(|fault| (fault.as_str(), self.of(fault).load(Ordering::Relaxed)))
    }

    pub(crate) fn count(&self, fault: TlsFault) {
        self.of(fault).fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, fault: TlsFault) -> &AtomicU64 {
        &self.0[fault as usize]
    }
}

/// A client that has shaken hands.
pub(crate) struct Shaken {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) secured: Secured,
    pub(crate) speaks_http2: bool,
}

/// Shakes hands with a client; a failure is counted.
pub(crate) async fn accept<P: Plugin>(worker: &Worker<P>, socket: TcpStream) -> Option<Shaken> {
    let shaking = tokio::time::timeout(worker.config.header_timeout, shake(worker, socket));
    let fault = match shaking.await {
        Ok(Ok(shaken)) => return Some(shaken),
        Ok(Err(fault)) => fault,
        Err(_) => TlsFault::Late,
    };
    worker.config.tls_faults.count(fault);
    None
}

async fn shake<P: Plugin>(worker: &Worker<P>, socket: TcpStream) -> Result<Shaken, TlsFault> {
    let mut first = [0];
    match socket.peek(&mut first).await {
        Ok(1..) if first[0].is_ascii_uppercase() => {
            explain(socket, &worker.config.server).await;
            return Err(TlsFault::PlainText);
        }
        Ok(1..) if first[0] == HANDSHAKE => {}
        Ok(1..) => return Err(TlsFault::Malformed),
        Ok(0) | Err(_) => return Err(TlsFault::Gone),
    }
    let gone = |error: io::Error| TlsFault::of(&error);
    let begun = LazyConfigAcceptor::new(Acceptor::default(), socket).await.map_err(gone)?;
    let asked = begun.client_hello().server_name().map(Box::<str>::from);
    let Some(name) = asked.or_else(|| worker.config.fallback_sni.clone()) else {
        refuse(begun.io).await;
        return Err(TlsFault::NoName);
    };
    let found = worker.config.snapshot.load().tls.find(&name).cloned();
    let Some(host) = found else {
        refuse(begun.io).await;
        return Err(TlsFault::UnknownName);
    };
    let Some(config) = host.config() else {
        refuse(begun.io).await;
        return Err(TlsFault::NoCertificate);
    };
    let stream = begun.into_stream(config).await.map_err(gone)?;
    let (_, session) = stream.get_ref();
    let speaks_http2 = session.alpn_protocol() == Some(b"h2");
    let shown: Box<[_]> = session.peer_certificates().unwrap_or_default().into();
    let is_verified = host.believes(&shown);
    Ok(Shaken { secured: Secured { name, host, shown, is_verified }, speaks_http2, stream })
}

/// Tells a client that nobody here has the name. It may have gone.
async fn refuse(mut socket: TcpStream) {
    if socket.write_all(&UNKNOWN_NAME).await.is_ok() {
        let _ = socket.shutdown().await;
    }
}

/// Tells a client in its own tongue why it is not understood, as nginx does. It may have gone.
async fn explain(mut socket: TcpStream, server: &HeaderValue) {
    let body = "{\"error_msg\":\"this port speaks TLS; write https://\"}\n";
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\nServer: {}\r\n\
         Connection: close\r\n\r\n",
        body.len(),
        server.to_str().unwrap_or_default(),
    );
    if socket.write_all(format!("{head}{body}").as_bytes()).await.is_err() || socket.shutdown().await.is_err()
    {
        return;
    }
    // To close with bytes unread would take the answer away from it.
    let rest = async {
        let (mut scrap, mut read) = ([0; 4096], 0);
        while let Ok(count @ 1..) = socket.read(&mut scrap).await
            && read < LINGER_BYTES
        {
            read += count;
        }
    };
    let _ = tokio::time::timeout(LINGER_TIME, rest).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_by_its_own_name() {
        let faults = TlsFaults::default();
        for (times, fault) in TlsFault::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| faults.count(fault));
        }
        let found = faults.snapshot();
        for (times, (name, count)) in found.into_iter().enumerate() {
            assert_eq!((name, count), (TlsFault::ALL[times].as_str(), times as u64));
            assert_eq!(found.iter().filter(|(other, _)| *other == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn an_error_tells_its_reason() {
        let of = |error| TlsFault::of(&io::Error::new(io::ErrorKind::InvalidData, error));
        assert_eq!(of(rustls::Error::NoCertificatesPresented), TlsFault::NoClientCertificate);
        let unknown = rustls::CertificateError::UnknownIssuer;
        assert_eq!(of(rustls::Error::InvalidCertificate(unknown)), TlsFault::BadClientCertificate);
        assert_eq!(of(rustls::Error::DecryptError), TlsFault::Malformed);
        assert_eq!(TlsFault::of(&io::ErrorKind::UnexpectedEof.into()), TlsFault::Gone);
    }
}
