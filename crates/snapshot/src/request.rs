use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::normalise;

/// A target with one of these in it would be another request line.
const CANNOT_BE_SENT: &AsciiSet = &CONTROLS.add(b' ');

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
    /// A token of [`crate::DebugTokens`] came with it: its answer tells how it was made.
    pub is_debugged: bool,
    /// All headers, those of the connection included.
    pub headers: HeaderMap,
    /// Who is asking, and where.
    pub client: Rc<Client>,
    /// What of it is a credential of this gateway.
    pub credentials: Credentials,
    path: Option<Box<str>>,
    rewritten: Option<Box<Rewritten>>,
}

/// Where a request held a credential of this gateway, by what auth plugins have looked at: it goes to no AI provider and
/// into no log.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// Headers.
    pub headers: Vec<HeaderName>,
    /// Query parameters.
    pub parameters: Vec<Box<str>>,
}

/// What a plugin has made of a request's head. The client's own stays for the log.
#[derive(Clone, Debug, Default)]
struct Rewritten {
    method: Option<Method>,
    target: Option<Target>,
    host: Option<Box<str>>,
}

#[derive(Clone, Debug)]
struct Target {
    /// As it is sent: encoded, with its query.
    raw: Box<str>,
    /// The path in it, decoded.
    path: Box<str>,
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
            is_debugged: false,
            headers: parts.headers,
            client,
            credentials: Credentials::default(),
            path,
            rewritten: None,
        };
        (request, is_sound)
    }

    /// The path as it stands: what a plugin has made of it, else the client's; see [`Request::original_path`].
    pub fn path(&self) -> &str {
        let rewritten = self.rewritten.as_ref().and_then(|rewritten| rewritten.target.as_ref());
        rewritten.map_or_else(|| self.original_path(), |target| &target.path)
    }

    /// The client's path, normalised; see [`normalise`].
    pub fn original_path(&self) -> &str {
        self.path.as_deref().unwrap_or(self.uri.path())
    }

    /// The method as it stands.
    pub fn method(&self) -> &Method {
        let rewritten = self.rewritten.as_ref().and_then(|rewritten| rewritten.method.as_ref());
        rewritten.unwrap_or(&self.method)
    }

    /// What an ordinary upstream is asked for: path and query as they stand.
    pub fn target(&self) -> &str {
        let rewritten = self.rewritten.as_ref().and_then(|rewritten| rewritten.target.as_ref());
        let own = || self.uri.path_and_query().map_or("/", |target| target.as_str());
        rewritten.map_or_else(own, |target| &target.raw)
    }

    /// The query as it stands, without `?`; none if there is none.
    pub fn query(&self) -> Option<&str> {
        match self.rewritten.as_ref().and_then(|rewritten| rewritten.target.as_ref()) {
            Some(target) => target.raw.split_once('?').map(|(_, query)| query),
            None => self.uri.query(),
        }
    }

    /// The host that a plugin wants the upstream to see.
    pub fn rewritten_host(&self) -> Option<&str> {
        self.rewritten.as_ref().and_then(|rewritten| rewritten.host.as_deref())
    }

    /// Changes what the upstream is asked for. `raw` is sent as it stands, `path` is its path, decoded. Bytes that no
    /// request line may hold are percent-encoded.
    pub fn rewrite_target(&mut self, raw: &str, path: &str) {
        let raw = utf8_percent_encode(raw, CANNOT_BE_SENT).to_string();
        self.rewritten.get_or_insert_default().target = Some(Target { raw: raw.into(), path: path.into() });
    }

    /// Changes the method that the upstream sees.
    pub fn rewrite_method(&mut self, method: Method) {
        self.rewritten.get_or_insert_default().method = Some(method);
    }

    /// Changes the host that the upstream sees.
    pub fn rewrite_host(&mut self, host: &str) {
        self.rewritten.get_or_insert_default().host = Some(host.into());
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
