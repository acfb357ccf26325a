use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use a6_core::{Fault, Secret};
use a6_snapshot::{AwsAccount, Target, UpstreamScheme};
use a6_upstream::{Call, Upstream, sigv4};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::uri::{Authority, Uri};
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// For each step of one request; the [`crate::Keeper`] limits them all together.
const STEP_LIMIT: Duration = Duration::from_secs(5);
/// Managers keep secrets of at most 64 KiB; Vault 1 MiB.
const MAX_ANSWER: usize = 2 << 20;

/// What may stand in a part of a path as it is (RFC 3986, section 3.3).
pub(crate) const PART: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'@');

/// Sends small requests, each over a connection of its own: there is one per secret and five minutes.
pub(crate) struct Client {
    upstream: Upstream,
}

/// Where a URL leads.
#[derive(Debug)]
pub(crate) struct Place {
    target: Arc<Target>,
    /// The `Host` header: without the port if that is the scheme's own.
    pub(crate) host: String,
    /// The path, and the query if there is one.
    pub(crate) path: String,
}

/// A request.
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) place: Place,
    /// Besides those that every request has. Each may hold a token.
    pub(crate) headers: Vec<(&'static str, Secret<String>)>,
    pub(crate) body: Secret<String>,
    /// Who signs it for AWS, and when, in Unix seconds.
    pub(crate) signer: Option<(AwsAccount, u64)>,
}

/// The whole answer.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// It holds a secret or a token.
    pub(crate) body: Secret<Vec<u8>>,
}

impl Place {
    /// Reads `http(s)://host[:port][/path]`; `name` says whose it is in errors.
    ///
    /// # Errors
    /// It is no such URL. A URL with credentials is none, since URLs are logged.
    pub(crate) fn parse(name: &str, url: &str, verify: bool) -> Result<Self, String> {
        let wrong = |what: &str| format!("{name}: {what}; write it as http(s)://host[:port][/path]");
        let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
        let scheme = match uri.scheme_str() {
            Some("http") => UpstreamScheme::Http,
            Some("https") => UpstreamScheme::Https,
            _ => return Err(wrong("the scheme is neither http nor https")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it has credentials"));
        }
        let transport = scheme.transport();
        let port =
            port_of(authority, transport.default_port()).ok_or_else(|| wrong("the port is no port"))?;
        let written = authority.host().to_ascii_lowercase();
        let host = written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&written);
        if host.is_empty() {
            return Err(wrong("the host is missing"));
        }
        let target = Target { scheme: transport, host: host.into(), port, verify };
        let host = if port == transport.default_port() { written } else { format!("{written}:{port}") };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
        Ok(Self { target: Arc::new(target), host, path })
    }
}

/// The port; none if what is written is none.
fn port_of(authority: &Authority, otherwise: u16) -> Option<u16> {
    if authority.as_str().len() == authority.host().len() {
        return Some(otherwise);
    }
    authority.port_u16().filter(|port| *port != 0)
}

impl Client {
    pub(crate) fn new(upstream: Upstream) -> Self {
        Self { upstream }
    }

    /// Sends a request and reads its whole answer, whatever its status.
    ///
    /// # Errors
    /// There is none; the text names the host and the cause.
    pub(crate) async fn send(&self, ask: Ask) -> Result<Reply, String> {
        let body: Vec<Bytes> = match ask.body.expose().as_str() {
            "" => Vec::new(),
            body => vec![Bytes::copy_from_slice(body.as_bytes())],
        };
        let mut head = head(&ask)?;
        if let Some((account, now)) = &ask.signer {
            sigv4::sign(account, &mut head, &sigv4::hash(&body).await, *now);
        }
        head.extend_from_slice(b"\r\n");
        let call = Call {
            head: Secret::new(head.into()),
            target: ask.place.target,
            keepalive: None,
            timeout: STEP_LIMIT,
            method: ask.method,
            keep_header: |_| false,
            body,
        };
        let text = |fault: Fault| fault.text.into_owned();
        let target = call.target.clone();
        let mut answer = self.upstream.send(call).await.map_err(text)?;
        let mut body = Vec::new();
        while let Some(piece) = poll_fn(|cx| answer.body.poll_data(cx)).await {
            body.extend_from_slice(&piece.map_err(text)?);
            if body.len() > MAX_ANSWER {
                return Err(format!("the answer of {target} has more than {MAX_ANSWER} bytes"));
            }
        }
        Ok(Reply { status: answer.head.status, body: Secret::new(body) })
    }
}

/// A request's head, without the empty line at its end.
fn head(ask: &Ask) -> Result<Vec<u8>, String> {
    let mut headers = HeaderMap::new();
    let mut add = |name: HeaderName, value: &str| {
        // The value is not shown: it may be a token with a line end behind it.
        let value = HeaderValue::from_str(value).map_err(|_| {
            format!("the header {name} would have a control character; is there a line end in it?")
        })?;
        headers.insert(name, value);
        Ok::<_, String>(())
    };
    add(HOST, &ask.place.host)?;
    add(USER_AGENT, "a6")?;
    add(CONNECTION, "close")?;
    if !ask.body.expose().is_empty() {
        add(CONTENT_LENGTH, &ask.body.expose().len().to_string())?;
    }
    for (name, value) in &ask.headers {
        add(HeaderName::from_static(name), value.expose())?;
    }
    let mut head = format!("{} {} HTTP/1.1\r\n", ask.method, ask.place.path).into_bytes();
    for (name, value) in &headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_somewhere_or_say_why_not() {
        let good = [
            ("http://127.0.0.1:8200", "127.0.0.1:8200", "127.0.0.1:8200", "/"),
            ("https://Vault.Test/v1/a%20b?x=1", "vault.test:443", "vault.test", "/v1/a%20b?x=1"),
            ("http://[::1]:8200/a", "[::1]:8200", "[::1]:8200", "/a"),
            ("https://[::1]/a", "[::1]:443", "[::1]", "/a"),
            ("http://v.test:80/a#part", "v.test:80", "v.test", "/a"),
        ];
        for (url, target, host, path) in good {
            let place = Place::parse("uri", url, true).unwrap();
            assert_eq!(
                (place.target.to_string().as_str(), &*place.host, &*place.path),
                (target, host, path),
                "{url}"
            );
        }
        let bad = [
            ("ftp://a.test/", "neither http nor https"),
            ("v.test", "neither http nor https"),
            ("http://u:p@v.test/", "it has credentials"),
            ("http://v.test:0/", "the port is no port"),
            ("http://v.test:99999/", "the port is no port"),
            ("http://v test/", "it is no URL"),
        ];
        for (url, expected) in bad {
            let error = Place::parse("uri", url, true).unwrap_err();
            assert!(error.starts_with("uri: ") && error.contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn a_line_end_in_a_token_is_told_without_the_token() {
        let place = Place::parse("uri", "http://v.test/a", true).unwrap();
        let headers = vec![("x-vault-token", Secret::new("hvs.secret\n".to_string()))];
        let ask = Ask { method: Method::GET, place, headers, body: Secret::new(String::new()), signer: None };
        let error = head(&ask).unwrap_err();
        assert!(error.contains("x-vault-token") && !error.contains("hvs"), "{error}");
    }
}
