use std::net::{IpAddr, SocketAddr};

use a6_core::Secret;
use axum::extract::ConnectInfo;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, StatusCode, header};
use ipnet::IpNet;
use serde_json::json;
use subtle::ConstantTimeEq;

use crate::answer::Answer;
use crate::query::Query;

/// Who may use the Admin API, and how it presents itself.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The keys that are accepted. Without any, and with `key_required`, nobody is let in.
    pub keys: Vec<Key>,
    /// False lets everyone in who passes `allow`.
    pub key_required: bool,
    /// Client networks; empty means all.
    pub allow: Vec<IpNet>,
    /// Whether pages of other origins may call; they never do so with the browser's credentials.
    pub cors: bool,
    /// Whether the `Server` header has a version.
    pub server_tokens: bool,
    /// Host names by which the API is reached, besides `localhost` and addresses.
    pub names: Vec<String>,
}

/// An Admin API key.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key's text; an empty one fits nobody.
    pub key: Secret<String>,
    /// What its holder may do.
    pub role: Role,
}

/// What the holder of a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// GET.
    Viewer,
}

/// Lets clients of the allowed networks pass.
pub(crate) fn check_peer(allow: &[IpNet], parts: &Parts) -> Result<(), Answer> {
    if allow.is_empty() {
        return Ok(());
    }
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    if peer.is_some_and(|peer| allow.iter().any(|network| network.contains(&peer))) {
        return Ok(());
    }
    let peer = peer.map_or_else(|| "of unknown address".to_string(), |peer| peer.to_string());
    Err(Answer::error(
        StatusCode::FORBIDDEN,
        format!("client {peer} is not in deployment.admin.allow_admin; add its network there to let it in"),
    ))
}

/// Refuses requests that a browser was tricked into sending here: a foreign page can make its own host name resolve to
/// this machine, but then the Host header has that name.
pub(crate) fn check_host(names: &[String], parts: &Parts) -> Result<(), Answer> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Answer::refused("exactly one Host header is expected"));
    };
    let host = host.to_str().unwrap_or_default();
    let target = parts.uri.authority().map_or(host, Authority::as_str);
    if trusted(names, host) && trusted(names, target) {
        return Ok(());
    }
    Err(Answer::error(
        StatusCode::FORBIDDEN,
        "the Host header is neither an IP address nor localhost nor a configured name of this listener",
    ))
}

/// Refuses what a page of another origin sends where such pages may not call: without CORS a browser keeps the answer from
/// the page, but not a simple request from us.
pub(crate) fn check_origin(admin: &Admin, parts: &Parts) -> Result<(), Answer> {
    let Some(origin) = parts.headers.get(header::ORIGIN).filter(|_| !admin.cors) else { return Ok(()) };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if origin.zip(host).is_some_and(|((_, authority), host)| authority.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    Err(Answer::error(
        StatusCode::FORBIDDEN,
        "the request comes from a page of another origin; deployment.admin.enable_admin_cors: true lets such pages call",
    ))
}

fn trusted(names: &[String], authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

/// Lets holders of a key pass; a viewer's only to read.
pub(crate) fn authenticate(admin: &Admin, parts: &Parts, query: &Query) -> Result<(), Answer> {
    if !admin.key_required {
        return Ok(());
    }
    let token = query
        .get("api_key")
        .map(str::as_bytes)
        .or_else(|| parts.headers.get("x-api-key").map(http::HeaderValue::as_bytes))
        .or_else(|| cookie(&parts.headers).map(str::as_bytes));
    let reason = match token.map(|token| role_of(&admin.keys, token)) {
        None => "missing apikey",
        Some(None) => "wrong apikey",
        Some(Some(Role::Viewer)) if parts.method != Method::GET => "invalid method for role viewer",
        Some(Some(Role::Viewer | Role::Admin)) => return Ok(()),
    };
    let body = json!({ "error_msg": "failed to check token", "description": reason });
    Err(Answer::json(StatusCode::UNAUTHORIZED, &body))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix("x_api_key="))
}

/// Compares with every key, also after one fitted, and each in constant time: how long it takes tells nothing.
fn role_of(keys: &[Key], token: &[u8]) -> Option<Role> {
    keys.iter().fold(None, |found, key| {
        let same = bool::from(key.key.expose().as_bytes().ct_eq(token)) && !token.is_empty();
        found.or(same.then_some(key.role))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn hosts_that_a_rebinding_page_cannot_have() {
        let names = ["a6.internal".to_string()];
        let cases = [
            ("127.0.0.1:9180", true),
            ("10.1.2.3", true),
            ("[::1]:9180", true),
            ("localhost:9180", true),
            ("LOCALHOST", true),
            ("A6.internal:9180", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1@evil.example", false),
            ("localhost:1@evil.example", false),
            ("", false),
        ];
        for (host, expected) in cases {
            let got = check_host(&names, &parts("GET", "/x", &[("host", host)]));
            assert_eq!(got.is_ok(), expected, "{host}");
        }
        assert!(
            check_host(&names, &parts("GET", "http://evil.example/x", &[("host", "localhost")])).is_err()
        );
        let wrong: [&[(&str, &str)]; 2] = [&[], &[("host", "localhost"), ("host", "localhost")]];
        for hosts in wrong {
            let answer = check_host(&names, &parts("GET", "/x", hosts)).unwrap_err();
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn pages_of_other_origins() {
        let mut admin = Admin {
            keys: Vec::new(),
            key_required: true,
            allow: Vec::new(),
            cors: false,
            server_tokens: true,
            names: Vec::new(),
        };
        let cases = [
            ("http://127.0.0.1:9180", true),
            ("https://127.0.0.1:9180", true),
            ("http://127.0.0.1", false),
            ("https://evil.example", false),
            ("127.0.0.1:9180", false),
            ("null", false),
            ("", false),
        ];
        for (origin, expected) in cases {
            let parts = parts("POST", "/x", &[("host", "127.0.0.1:9180"), ("origin", origin)]);
            admin.cors = false;
            assert_eq!(check_origin(&admin, &parts).is_ok(), expected, "{origin}");
            admin.cors = true;
            assert!(check_origin(&admin, &parts).is_ok(), "{origin}");
        }
        admin.cors = false;
        assert!(check_origin(&admin, &parts("POST", "/x", &[("host", "localhost")])).is_ok());
    }

    #[test]
    fn networks() {
        let allow: Vec<IpNet> = vec!["127.0.0.0/24".parse().unwrap(), "::1/128".parse().unwrap()];
        let from = |peer: Option<&str>, allow: &[IpNet]| {
            let mut parts = parts("GET", "/x", &[]);
            if let Some(peer) = peer {
                parts.extensions.insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
            }
            check_peer(allow, &parts).map_err(|answer| answer.status)
        };
        for peer in ["127.0.0.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(from(Some(peer), &allow), Ok(()), "{peer}");
        }
        for peer in [Some("127.0.1.1:1"), Some("[2001:db8::1]:1"), None] {
            assert_eq!(from(peer, &allow), Err(StatusCode::FORBIDDEN), "{peer:?}");
            assert_eq!(from(peer, &[]), Ok(()), "{peer:?}");
        }
    }

    #[test]
    fn keys_and_roles() {
        let key = |text: &str, role| Key { key: Secret::new(text.to_string()), role };
        let mut admin = Admin {
            keys: vec![key("adm", Role::Admin), key("vi", Role::Viewer), key("", Role::Admin)],
            key_required: true,
            allow: Vec::new(),
            cors: false,
            server_tokens: true,
            names: Vec::new(),
        };
        let ask = |admin: &Admin, method: &str, uri: &str, headers: &[(&str, &str)]| {
            let parts = parts(method, uri, headers);
            let query = Query::parse(parts.uri.query());
            authenticate(admin, &parts, &query).map_err(|answer| {
                let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
                body["description"].as_str().unwrap().to_string()
            })
        };
        let cases: [(&str, &str, &[(&str, &str)], Result<(), &str>); 10] = [
            ("PUT", "/x", &[("X-API-KEY", "adm")], Ok(())),
            ("PUT", "/x?api_key=adm", &[("X-API-KEY", "bad")], Ok(())),
            ("PUT", "/x?api_key=bad", &[("X-API-KEY", "adm")], Err("wrong apikey")),
            ("PUT", "/x", &[("Cookie", "a=b; x_api_key=adm")], Ok(())),
            ("GET", "/x", &[("X-API-KEY", "vi")], Ok(())),
            ("PUT", "/x", &[("X-API-KEY", "vi")], Err("invalid method for role viewer")),
            ("GET", "/x", &[], Err("missing apikey")),
            ("GET", "/x?api_key=", &[], Err("wrong apikey")),
            ("GET", "/x", &[("X-API-KEY", "")], Err("wrong apikey")),
            ("GET", "/x", &[("X-API-KEY", "adm ")], Err("wrong apikey")),
        ];
        for (method, uri, headers, expected) in cases {
            assert_eq!(
                ask(&admin, method, uri, headers),
                expected.map_err(str::to_string),
                "{method} {uri} {headers:?}"
            );
        }
        admin.keys.clear();
        assert!(ask(&admin, "GET", "/x", &[("X-API-KEY", "adm")]).is_err(), "no key, no entry");
        admin.key_required = false;
        assert_eq!(ask(&admin, "DELETE", "/x", &[]), Ok(()));
    }
}
