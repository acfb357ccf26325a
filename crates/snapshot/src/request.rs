use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use crate::normalise;

/// A connection's two ends.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client's address.
    pub peer: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
}

/// A client's request, without its body.
pub struct Request {
    /// The method.
    pub method: Method,
    /// The target as the client wrote it.
    pub uri: Uri,
    /// The version the client spoke.
    pub version: Version,
    /// All headers, those of the connection included.
    pub headers: HeaderMap,
    /// Who is asking, and where.
    pub client: Rc<Client>,
    path: Option<Box<str>>,
}

impl fmt::Debug for Request {
    /// Headers and query may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path())
    }
}

impl Request {
    /// Takes a request's head. False where its path cannot be normalised; then the path stands as the client wrote it.
    pub fn new(parts: http::request::Parts, client: Rc<Client>) -> (Self, bool) {
        let (path, is_sound) = match normalise(parts.uri.path()) {
            Some(Cow::Borrowed(_)) => (None, true),
            Some(Cow::Owned(path)) => (Some(path.into_boxed_str()), true),
            None => (None, false),
        };
        let request = Self {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: parts.headers,
            client,
            path,
        };
        (request, is_sound)
    }

    /// The normalised path; see [`normalise`].
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or(self.uri.path())
    }

    /// Host and port as the client wrote them: the target's, which wins, or the `Host` header's.
    pub fn authority(&self) -> Option<&str> {
        match self.uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => self.header(HOST.as_str()),
        }
    }

    /// The host that is asked for, without port and trailing dot; empty if there is none.
    pub fn host(&self) -> &str {
        let authority = self.authority().unwrap_or_default();
        let host = match authority.rfind(':') {
            Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
            _ => authority,
        };
        host.strip_suffix('.').unwrap_or(host)
    }

    /// Copies what is kept, so that it no longer holds the connection's read buffer: for an answer that may take long.
    pub fn detach(&mut self) {
        for value in self.headers.values_mut() {
            if let Ok(mut copy) = HeaderValue::from_bytes(value.as_bytes()) {
                copy.set_sensitive(value.is_sensitive());
                *value = copy;
            }
        }
        if let Ok(copy) = Uri::try_from(self.uri.to_string()) {
            self.uri = copy;
        }
    }

    /// The first value of a header, if it is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
