use a6_core::{Fault, FaultKind};
use a6_snapshot::{PassHost, Request, Upstream};
use a6_upstream::Feed;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version};

use crate::headers::{
    X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, connection_tokens, is_hop_by_hop, write,
};

const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who is asking, as the gateway found out: a client must not take it out by naming it in `connection`.
const IDENTITY: [&str; 3] = ["x-consumer-username", "x-credential-identifier", "x-consumer-custom-id"];

/// A client's body on its way to an ordinary upstream.
#[derive(Debug)]
pub(crate) struct Payload {
    /// What of it is here. It can be sent again.
    pub(crate) here: Vec<Bytes>,
    /// How the rest follows.
    pub(crate) feed: Feed,
}

impl Payload {
    /// A body that is here.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let here = if bytes.is_empty() { Vec::new() } else { vec![bytes] };
        Self { here, feed: Feed::Nothing }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.here.is_empty() && self.feed == Feed::Nothing
    }

    /// Its length, if the upstream is told one. A client that says it sends nothing says so to the upstream, too.
    fn length(&self, request: &Request) -> Option<u64> {
        let here = self.here.iter().map(|piece| piece.len() as u64).sum::<u64>();
        match self.feed {
            Feed::Nothing if here == 0 && !request.headers.contains_key(CONTENT_LENGTH) => None,
            Feed::Nothing => Some(here),
            Feed::Length(left) => Some(here.saturating_add(left)),
            Feed::Chunked => None,
        }
    }
}

/// The `Host` that a node is sent.
pub(crate) fn host<'a>(upstream: &'a Upstream, request: &'a Request, node: &'a str) -> &'a str {
    match &upstream.pass_host {
        PassHost::Pass => request.rewritten_host().or(request.authority()).unwrap_or(node),
        PassHost::Node => node,
        PassHost::Rewrite(host) => host,
    }
}

/// A `Host` without its port and brackets: what a server is known by in a TLS handshake.
pub(crate) fn server_name(host: &str) -> &str {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.strip_suffix('.').unwrap_or(name)
}

/// The head of a request over HTTP/1.1.
pub(crate) fn http1_head(request: &Request, host: &str, payload: &Payload, upgrades: bool) -> Bytes {
    let target = request.target();
    let mut head = Vec::with_capacity(256 + target.len() + request.headers.len() * 48);
    head.extend_from_slice(request.method().as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(target.as_bytes());
    head.extend_from_slice(b" HTTP/1.1\r\n");
    write(&mut head, &HOST, host.as_bytes());
    each_header(request, &mut |name, value| write(&mut head, name, value));
    if let Some(length) = payload.length(request) {
        write(&mut head, &CONTENT_LENGTH, length.to_string().as_bytes());
    } else if payload.feed == Feed::Chunked {
        write(&mut head, &TRANSFER_ENCODING, b"chunked");
    }
    if upgrades {
        write(&mut head, &CONNECTION, b"upgrade");
        for value in request.headers.get_all(UPGRADE) {
            write(&mut head, &UPGRADE, value.as_bytes());
        }
    }
    head.extend_from_slice(b"\r\n");
    head.into()
}

/// The head of a request over HTTP/2.
///
/// # Errors
/// Host or target cannot be told in HTTP/2 (400).
pub(crate) fn http2_head(
    request: &Request,
    host: &str,
    scheme: Scheme,
    payload: &Payload,
) -> Result<http::request::Parts, Fault> {
    let target = PathAndQuery::try_from(request.target()).map_err(|error| untellable(&error))?;
    let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(target).build();
    let mut headers = HeaderMap::with_capacity(request.headers.len() + 6);
    each_header(request, &mut |name, value| {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    });
    if let Some(length) = payload.length(request) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if takes_trailers(&request.headers) {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = request.method().clone();
    parts.uri = uri.map_err(|error| untellable(&error))?;
    parts.version = Version::HTTP_2;
    parts.headers = headers;
    Ok(parts)
}

fn untellable(error: &dyn std::fmt::Display) -> Fault {
    let text = format!("the request cannot be passed on over HTTP/2: {error}");
    Fault::client(FaultKind::BadRequest, StatusCode::BAD_REQUEST, text)
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TE).iter();
    values.any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|token| token.trim_ascii() == b"trailers")
    })
}

/// Gives the headers that pass: the client's own, and those that tell who is asking, and where. Not those that frame the
/// message.
fn each_header(request: &Request, give: &mut dyn FnMut(&HeaderName, &[u8])) {
    let named = connection_tokens(&request.headers);
    let is_named = |name: &HeaderName| {
        !IDENTITY.contains(&name.as_str()) && named.iter().any(|named| named == name.as_str())
    };
    for (name, value) in &request.headers {
        if !is_written_here(name) && !is_hop_by_hop(name) && !is_named(name) {
            give(name, value.as_bytes());
        }
    }
    let client = &request.client;
    let peer = client.peer.ip().to_canonical().to_string();
    give(&X_REAL_IP, peer.as_bytes());
    let mut passed_by = Vec::new();
    for value in request.headers.get_all(X_FORWARDED_FOR) {
        passed_by.extend_from_slice(value.as_bytes());
        passed_by.extend_from_slice(b", ");
    }
    passed_by.extend_from_slice(peer.as_bytes());
    give(&X_FORWARDED_FOR, &passed_by);
    give(&X_FORWARDED_PROTO, client.scheme.as_bytes());
    let authority = request.authority();
    if let Some(authority) = authority {
        give(&X_FORWARDED_HOST, authority.as_bytes());
    }
    // The port that the client asked for, which need not be the one that we listen on.
    match authority.and_then(port) {
        Some(port) => give(&X_FORWARDED_PORT, port.as_bytes()),
        None => give(&X_FORWARDED_PORT, client.local.port().to_string().as_bytes()),
    }
}

fn is_written_here(name: &HeaderName) -> bool {
    static NAMES: [HeaderName; 8] = [
        HOST,
        CONTENT_LENGTH,
        X_REAL_IP,
        X_FORWARDED_FOR,
        X_FORWARDED_PROTO,
        X_FORWARDED_HOST,
        X_FORWARDED_PORT,
        FORWARDED,
    ];
    NAMES.contains(name) || name == "http2-settings"
}

fn port(authority: &str) -> Option<&str> {
    let (_, port) = authority.rsplit_once(':')?;
    (!port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(port)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use a6_snapshot::Client;

    use super::*;

    fn request(lines: &[(&'static str, &'static str)]) -> Request {
        let mut builder = http::Request::builder().method("PUT").uri("/a?x=1&y=a%20b");
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        let (peer, local) = ("[::ffff:10.0.0.9]:5".parse().unwrap(), "127.0.0.1:9080".parse().unwrap());
        Request::new(parts, Rc::new(Client { peer, local, scheme: "http" })).0
    }

    fn lines(request: &Request, payload: &Payload, upgrades: bool) -> Vec<String> {
        let head = http1_head(request, "up.test", payload, upgrades);
        let text = std::str::from_utf8(&head).unwrap();
        text.strip_suffix("\r\n\r\n").unwrap().split("\r\n").map(str::to_string).collect()
    }

    #[test]
    fn the_clients_headers_pass_but_for_those_of_the_connection() {
        let request = request(&[
            ("host", "client.test:99"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil"),
            ("forwarded", "for=1"),
            ("connection", "close, X-Hop, X-Consumer-Username"),
            ("x-hop", "1"),
            ("x-consumer-username", "jack"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("cookie", "a=b"),
            ("content-length", "7"),
            ("upgrade", "websocket"),
            ("user-agent", "golden/1"),
        ]);
        let mut found = lines(&request, &Payload::whole("{\"k\":1}".into()), false);
        assert_eq!(found.remove(0), "PUT /a?x=1&y=a%20b HTTP/1.1");
        found.sort();
        let expected = [
            "content-length: 7",
            "cookie: a=b",
            "host: up.test",
            "user-agent: golden/1",
            "x-consumer-username: jack",
            "x-forwarded-for: 1.2.3.4, 10.0.0.9",
            "x-forwarded-host: client.test:99",
            "x-forwarded-port: 99",
            "x-forwarded-proto: http",
            "x-real-ip: 10.0.0.9",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_body_is_framed_as_it_comes() {
        let none = || Payload::whole(Bytes::new());
        let follows = |feed| Payload { here: Vec::new(), feed };
        let half = Payload { here: vec!["ab".into(), "c".into()], feed: Feed::Length(4) };
        let cases: &[(&[(&str, &str)], Payload, Option<&str>)] = &[
            (&[], none(), None),
            (&[("content-length", "0")], none(), Some("content-length: 0")),
            (&[("transfer-encoding", "chunked")], Payload::whole("ab".into()), Some("content-length: 2")),
            (&[], half, Some("content-length: 7")),
            (&[], follows(Feed::Length(9)), Some("content-length: 9")),
            (&[], follows(Feed::Chunked), Some("transfer-encoding: chunked")),
        ];
        for (headers, payload, expected) in cases {
            let headers: Vec<_> = headers.to_vec();
            let found = lines(&request(&headers), payload, false);
            let framing: Vec<_> = found
                .iter()
                .filter(|line| line.starts_with("content-length") || line.starts_with("transfer-encoding"))
                .map(String::as_str)
                .collect();
            assert_eq!(framing, expected.iter().copied().collect::<Vec<_>>(), "{headers:?} {payload:?}");
        }
    }

    #[test]
    fn a_change_of_protocol_is_asked_for_where_it_is_allowed() {
        let request = request(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        let asks = |upgrades| {
            let found = lines(&request, &Payload::whole(Bytes::new()), upgrades);
            ["connection: upgrade", "upgrade: websocket"].map(|line| found.iter().any(|found| found == line))
        };
        assert_eq!((asks(true), asks(false)), ([true, true], [false, false]));
    }

    #[test]
    fn http2_gets_the_same_and_trailers() {
        let request = request(&[("te", "trailers"), ("content-type", "application/grpc"), ("x-a", "1")]);
        let payload = Payload { here: Vec::new(), feed: Feed::Chunked };
        let parts = http2_head(&request, "up.test:50051", Scheme::HTTP, &payload).unwrap();
        assert_eq!(parts.uri, "http://up.test:50051/a?x=1&y=a%20b");
        for (name, value) in [("te", "trailers"), ("content-type", "application/grpc"), ("x-a", "1")] {
            assert_eq!(parts.headers[name], value);
        }
        assert!(!parts.headers.contains_key("host") && !parts.headers.contains_key("transfer-encoding"));
        assert!(http2_head(&request, "not a host", Scheme::HTTP, &payload).is_err());
    }

    #[test]
    fn a_server_is_known_by_the_bare_host() {
        let cases =
            [("a.test", "a.test"), ("a.test.:443", "a.test"), ("10.0.0.1:8", "10.0.0.1"), ("[::1]:8", "::1")];
        for (host, expected) in cases {
            assert_eq!(server_name(host), expected);
        }
    }
}
