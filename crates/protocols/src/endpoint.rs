use http::uri::Authority;

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port where none is written.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Where a provider is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The scheme.
    pub scheme: Scheme,
    /// A name or address; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, if the URL has one; `/` counts.
    pub path: Option<String>,
    /// The query, without `?`.
    pub query: Option<String>,
}

/// A URL that cannot be used. It is for whoever reads one to say where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write it as http(s)://host[:port][/path][?query]")]
pub struct EndpointError(String);

impl Endpoint {
    /// Reads a URL. A fragment is dropped. Credentials in a URL are refused, since URLs are logged.
    ///
    /// # Errors
    /// The text is not such a URL.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let error = |what: &str| EndpointError(what.to_string());
        let (scheme, rest) = url.split_once("://").ok_or_else(|| error("the scheme is missing"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(error("the scheme is neither http nor https")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(error("it has a space or a character that must be percent-encoded"));
        }
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(split);
        if authority.contains('@') {
            return Err(error("it has credentials; put them into auth.header or auth.query"));
        }
        let authority: Authority = authority.parse().map_err(|_| error("the host is malformed"))?;
        if authority.host().is_empty() {
            return Err(error("the host is missing"));
        }
        let has_port = authority.as_str().len() > authority.host().len();
        if has_port && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(error("the port is not between 1 and 65535"));
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Ok(Self {
            scheme,
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(scheme.default_port()),
            path: (!path.is_empty()).then(|| path.to_string()),
            query: query.filter(|query| !query.is_empty()).map(str::to_string),
        })
    }

    /// `host` or `host:port`, the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let cases = [
            ("https://api.test", "api.test", 443, None, None),
            ("https://api.test/", "api.test", 443, Some("/"), None),
            ("HTTP://API.test:8080/v1/x?a=b&c#f", "api.test:8080", 8080, Some("/v1/x"), Some("a=b&c")),
            ("http://[::1]:80/x", "[::1]", 80, Some("/x"), None),
            ("http://h?k=v", "h", 80, None, Some("k=v")),
        ];
        for (url, authority, port, path, query) in cases {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(endpoint.authority(), authority);
            assert_eq!(
                (endpoint.port, endpoint.path.as_deref(), endpoint.query.as_deref()),
                (port, path, query),
                "{url}"
            );
        }
    }

    #[test]
    fn unusable_urls_are_refused_with_the_form_to_use() {
        for url in [
            "h:1/x",
            "ftp://h",
            "http://",
            "http://u:p@h/",
            "http://h:99999",
            "http://h:0",
            "http://h:x/",
            "http://h/a b",
            "http:///x",
        ] {
            let message = Endpoint::parse(url).unwrap_err().to_string();
            assert!(message.contains("write it as http(s)://host"), "{url}: {message}");
            assert!(!message.contains("u:p"), "{message}");
        }
    }
}
