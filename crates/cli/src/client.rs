//! HTTP to the Admin API: the key in `X-API-KEY`, JSON both ways, statuses of 400 and more as failures for a person.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http::{Method, Request, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::contexts::Target;
use crate::errors::{self, Failure, Result};
use crate::session::Env;

/// Time to find the server and open a connection to it.
const CONNECT: Duration = Duration::from_secs(10);
/// Largest answer taken into memory, in bytes.
const LARGEST_ANSWER: u64 = 256 << 20;

/// A client for one Admin API.
pub(crate) struct Client {
    agent: ureq::Agent,
    target: Target,
    patience: Duration,
    verbose: bool,
}

impl Client {
    /// Checks the address and reads proxies (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`) and, for https, the
    /// system's certificates. Does not connect yet. `patience` is the time to send a document, to wait for the head of
    /// the answer, and again for its body: a server that stalls must not hold a script for ever.
    pub(crate) fn new(target: Target, patience: Duration, verbose: bool, env: Env<'_>) -> Result<Self> {
        let uri = server_uri(&target.server)?;
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A redirect would turn a write into a read, and carry the key to somebody else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("a6/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT.min(patience)))
            .timeout_send_body(Some(patience))
            .timeout_recv_response(Some(patience))
            .timeout_recv_body(Some(patience))
            .proxy(proxy(&uri, env)?);
        if uri.scheme_str() == Some("https") {
            config = config.tls_config(TlsConfig::builder().root_certs(system_roots()).build());
        }
        Ok(Client { agent: config.build().new_agent(), target, patience, verbose })
    }

    /// Sends one request and returns the body of a successful answer. Query values are encoded here, the path is not.
    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<String> {
        let (status, text) = self.ask(method, path, query, body, None)?;
        if status >= 300 { Err(errors::from_status(status, &text)) } else { Ok(text) }
    }

    /// Replaces what is at `path` unless somebody else changed it since it had this `modifiedIndex`: then the answer is
    /// a failure (412). Servers that do not know `If-Match` replace it all the same.
    pub(crate) fn replace_unchanged(&self, path: &str, body: &Value, modified: Option<u64>) -> Result<Value> {
        let (status, text) = self.ask(Method::PUT, path, &[], Some(body), modified)?;
        if status >= 300 { Err(errors::from_status(status, &text)) } else { self.parsed(&text) }
    }

    /// Sends one request and returns status and body of any answer but a redirect.
    pub(crate) fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
        if_match: Option<u64>,
    ) -> Result<(u16, String)> {
        let server = self.shown_server();
        let url = format!("{}{path}{}", self.target.server.trim_end_matches('/'), query_text(query));
        let unsendable = |error: ureq::http::Error| {
            Failure::new(format!("cannot build a request for {server}{path}: {error}"))
                .with_hint("check the server address, and the API key for spaces and line breaks")
        };
        let mut request = Request::builder().method(method.clone()).uri(url.as_str());
        // The Control API asks for no key, and gets none.
        if !self.target.api_key.is_empty() {
            request = request.header("X-API-KEY", self.target.api_key.as_str());
        }
        if let Some(modified) = if_match {
            request = request.header("If-Match", modified);
        }
        let started = Instant::now();
        let answer = match body {
            Some(document) => {
                let request = request.header("Content-Type", "application/json");
                self.agent.run(request.body(document.to_string()).map_err(unsendable)?)
            }
            None => self.agent.run(request.body(()).map_err(unsendable)?),
        };
        let mut answer = answer.map_err(|error| errors::from_transport(server, &error, self.patience))?;
        let status = answer.status().as_u16();
        let location = answer.headers().get("location").filter(|_| (300..400).contains(&status));
        let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        if self.verbose {
            let took = started.elapsed().as_millis();
            // Tracing is a courtesy: a closed stderr must not fail the command.
            let _ = writeln!(
                io::stderr(),
                "{method} {server}{path}{} -> {status} in {took} ms",
                query_text(query)
            );
        }
        let text = answer
            .body_mut()
            .with_config()
            .limit(LARGEST_ANSWER)
            .lossy_utf8(true)
            .read_to_string()
            .map_err(|error| errors::from_cut_answer(server, &error, self.patience))?;
        if let Some(location) = location {
            return Err(Failure::new(format!("{server} answers {status}: it has moved to {location}"))
                .with_hint("give that address by --server, A6_SERVER or `a6 context create`"));
        }
        Ok((status, text))
    }

    /// Like [`Client::send`], for answers that must be JSON.
    pub(crate) fn json(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value> {
        self.parsed(&self.send(method, path, query, body)?)
    }

    fn parsed(&self, text: &str) -> Result<Value> {
        serde_json::from_str(text).map_err(|error| {
            Failure::new(format!("failed to parse response: {error}"))
                .with_hint(format!("{} does not answer like an Admin API", self.shown_server()))
        })
    }

    /// Where the commands go.
    pub(crate) fn server(&self) -> &str {
        &self.target.server
    }

    /// The server's address without user name and password.
    fn shown_server(&self) -> &str {
        let server = self.target.server.trim_end_matches('/');
        if server.contains('@') { "the server (address with credentials)" } else { server }
    }
}

/// Percent-encodes everything but unreserved characters, for one segment of a path or one value of a query.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// `?a=1&b=2` with the keys sorted; empty without parameters.
fn query_text(query: &[(&str, String)]) -> String {
    let mut pairs: Vec<String> =
        query.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.sort();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

fn server_uri(server: &str) -> Result<Uri> {
    let uri: Option<Uri> = server.parse().ok();
    match uri {
        Some(uri)
            if matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some()
                && has_usable_port(&uri) =>
        {
            Ok(uri)
        }
        _ => {
            // What stands before an @ may be a password.
            let shown = server.rsplit('@').next().unwrap_or(server);
            Err(Failure::new(format!(
                "{shown:?} is not the address of a server: http:// or https:// and a host"
            ))
            .with_hint(
                "write it like http://127.0.0.1:9180; it comes from --server, A6_SERVER or the context",
            ))
        }
    }
}

/// Whether the port, if there is one, is a port. Of one above 65535 the HTTP library knows nothing, and would take 80 or 443:
/// a key and a write would go to another server.
pub(crate) fn has_usable_port(uri: &Uri) -> bool {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let place = authority.rsplit('@').next().unwrap_or(authority);
    let port = place.strip_prefix(uri.host().unwrap_or_default()).unwrap_or_default();
    port.len() <= 1 || uri.port_u16().is_some()
}

/// The proxy for this server: the variable of its scheme unless the server is on this machine or in `NO_PROXY`.
pub(crate) fn proxy(server: &Uri, env: Env<'_>) -> Result<Option<ureq::Proxy>> {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let local = host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if local || ureq::Proxy::try_from_env().is_some_and(|proxy| proxy.is_no_proxy(server)) {
        return Ok(None);
    }
    let names = if server.scheme_str() == Some("https") {
        ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    } else {
        ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
    };
    for name in names {
        if let Some(value) = env(name).filter(|value| !value.is_empty()) {
            let bad = |_| {
                Failure::new(format!("{name} is not the URL of a proxy")).with_hint("unset or correct it")
            };
            return ureq::Proxy::new(&value).map(Some).map_err(bad);
        }
    }
    Ok(None)
}

/// The certificates this system trusts; Mozilla's list where the system has none.
pub(crate) fn system_roots() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return RootCerts::WebPki;
    }
    let roots = found.iter().map(|certificate| Certificate::from_der(certificate.as_ref()).to_owned());
    RootCerts::Specific(Arc::new(roots.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_sorted_and_escaped() {
        let query =
            [("page", "1".to_owned()), ("label", "a b&c".to_owned()), ("name", "größe/~x".to_owned())];
        assert_eq!(query_text(&query), "?label=a%20b%26c&name=gr%C3%B6%C3%9Fe%2F~x&page=1");
        assert_eq!(query_text(&[]), "");
    }

    #[test]
    fn addresses_need_a_scheme_and_a_host() {
        for (server, good) in [
            ("http://127.0.0.1:9180", true),
            ("https://gw.example.com/admin/", true),
            ("http://[::1]:9180", true),
            ("http://me:pw@gw:9180", true),
            ("http://gw:65536", false),
            ("http://[::1]:99999", false),
            ("http://me:pw@gw:99999", false),
            ("127.0.0.1:9180", false),
            ("gw.example.com", false),
            ("ftp://gw", false),
            ("http://", false),
            ("", false),
        ] {
            assert_eq!(server_uri(server).is_ok(), good, "{server}");
        }
    }

    #[test]
    fn proxies_follow_the_scheme_and_spare_this_machine() {
        let env = |name: &str| match name {
            "HTTP_PROXY" => Some("http://plain.example:3128".to_owned()),
            "HTTPS_PROXY" => Some("http://secure.example:3128".to_owned()),
            _ => None,
        };
        for (server, expected) in [
            ("http://gw.example", Some("plain.example")),
            ("https://gw.example", Some("secure.example")),
            ("http://127.0.0.1:9180", None),
            ("http://localhost:9180", None),
            ("http://[::1]:9180", None),
        ] {
            let found = proxy(&server_uri(server).unwrap(), &env).unwrap();
            assert_eq!(found.as_ref().map(ureq::Proxy::host), expected, "{server}");
        }
    }
}
