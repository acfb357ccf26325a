//! What every auth plugin does alike: it finds a credential, hides it, and lets the caller in, or the consumer that
//! stands for everybody, or nobody.

use std::borrow::Cow;
use std::sync::Arc;

use a6_snapshot::{Directory, Exchange, Identity, Reply, Request, Stop};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use base64::{Engine, alphabet};
use http::header::{COOKIE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::limit::{flag, text};
use super::uri;

/// Base64 as nginx reads it; see [`decode_base64`].
const AS_NGINX: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));

/// What every auth plugin can be configured with on a route, and what follows from it.
#[derive(Debug)]
pub(crate) struct Gate {
    challenge: HeaderValue,
    hides: bool,
    anonymous: Option<Box<str>>,
}

impl Gate {
    /// Reads `realm`, `hide_credentials` and `anonymous_consumer`. The scheme is that of the challenge (RFC 9110,
    /// section 11.6.1).
    ///
    /// # Errors
    /// The realm cannot stand in a header.
    pub(crate) fn compile(conf: &Value, scheme: &str, default_realm: &str) -> Result<Self, String> {
        let realm = text(conf, "realm").unwrap_or(default_realm);
        let challenge = HeaderValue::from_str(&format!("{scheme} realm=\"{realm}\""))
            .map_err(|_| "realm: the text has a character that no header may have".to_string())?;
        let anonymous = text(conf, "anonymous_consumer").map(Into::into);
        Ok(Self { challenge, hides: flag(conf, "hide_credentials", false), anonymous })
    }

    /// Whether the upstream must not see credentials.
    pub(crate) fn hides(&self) -> bool {
        self.hides
    }

    /// Lets the caller in; or, where it is unknown, the anonymous consumer; or nobody, with the reason as text.
    pub(crate) fn enter(
        &self,
        exchange: &mut Exchange,
        directory: &Directory,
        caller: Result<Arc<Identity>, &str>,
    ) -> Result<(), Stop> {
        let identity = match (caller, &self.anonymous) {
            (Ok(identity), _) => identity,
            (Err(reason), None) => return Err(self.refusal(reason)),
            (Err(_), Some(name)) => {
                let consumer = directory.consumer(name);
                let consumer = consumer.ok_or_else(|| self.refusal("Invalid user authorization"))?;
                Arc::new(Identity { is_anonymous: true, credential_id: None, ..(**consumer).clone() })
            }
        };
        exchange.attach(identity);
        Ok(())
    }

    fn refusal(&self, reason: &str) -> Stop {
        let reply = Reply::json(StatusCode::UNAUTHORIZED, &json!({"message": reason}));
        reply.with(WWW_AUTHENTICATE, self.challenge.clone()).into()
    }
}

/// The schema of a route's configuration: what all auth plugins have, and these members.
pub(crate) fn schema(default_realm: &str, own: &[(&str, Value)]) -> Value {
    let realm = json!({
        "type": "string",
        "minLength": 1,
        "maxLength": 128,
        "pattern": r"^[ -!#-[\]-~]+$",
        "default": default_realm,
    });
    let common = [
        ("realm", realm),
        ("hide_credentials", json!({"type": "boolean", "default": false})),
        ("anonymous_consumer", json!({"type": "string", "minLength": 1})),
    ];
    let members = own.iter().chain(&common).map(|(name, schema)| ((*name).to_string(), schema.clone()));
    let properties: Map<String, Value> = members.collect();
    json!({"type": "object", "properties": properties})
}

/// Who may ask. A request without a directory is one that nobody can be found for: it ends with status 500.
pub(crate) fn directory(exchange: &Exchange) -> Result<Arc<Directory>, Stop> {
    exchange.directory.clone().ok_or_else(|| Stop::page(StatusCode::INTERNAL_SERVER_ERROR))
}

/// A header's name as a configuration writes it; none if no header can have it.
pub(crate) fn header_name(conf: &Value, member: &str, default: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(text(conf, member).unwrap_or(default).as_bytes()).ok()
}

/// Notes where a plugin looks for credentials, whether or not it comes to that.
pub(crate) fn mark(request: &mut Request, header: Option<&HeaderName>, parameter: &str) {
    request.credentials.headers.extend(header.cloned());
    request.credentials.parameters.push(parameter.into());
}

/// The first header of that name, as a credential.
pub(crate) fn header(exchange: &mut Exchange, name: Option<&HeaderName>) -> Option<HeaderValue> {
    let name = name?;
    let value = exchange.request.headers.get(name)?.clone();
    exchange.request.credentials.headers.push(name.clone());
    Some(value)
}

/// Removes every header of that name.
pub(crate) fn hide_header(request: &mut Request, name: Option<&HeaderName>) {
    if let Some(name) = name {
        request.headers.remove(name);
    }
}

/// A query parameter as a credential, decoded. One that is given twice or without a value is there, but empty: a
/// credential that nobody has.
pub(crate) fn parameter(request: &mut Request, name: &str) -> Option<Vec<u8>> {
    let mut found = request.query()?.split('&').filter(|pair| is_named(pair, name));
    let first = found.next()?;
    let value = match (first.split_once('='), found.next()) {
        (Some((_, value)), None) => decoded(value).into_owned(),
        _ => Vec::new(),
    };
    request.credentials.parameters.push(name.into());
    Some(value)
}

/// Removes a query parameter, and leaves the others as they stand.
pub(crate) fn hide_parameter(request: &mut Request, name: &str) {
    let Some(query) = request.query() else { return };
    if !query.split('&').any(|pair| is_named(pair, name)) {
        return;
    }
    let others: Vec<&str> = query.split('&').filter(|pair| !is_named(pair, name)).collect();
    let target = request.target();
    let mut hidden = target.split_once('?').map_or(target, |(path, _)| path).to_string();
    uri::append_query(&mut hidden, Some(&others.join("&")));
    let path = request.path().to_string();
    request.rewrite_target(&hidden, &path);
}

fn is_named(pair: &str, name: &str) -> bool {
    let key = pair.split_once('=').map_or(pair, |(key, _)| key);
    !key.is_empty() && *decoded(key) == *name.as_bytes()
}

fn decoded(text: &str) -> Cow<'_, [u8]> {
    if text.contains(['%', '+']) {
        percent_decode_str(&text.replace('+', " ")).collect::<Vec<u8>>().into()
    } else {
        text.as_bytes().into()
    }
}

/// The first cookie of that name, as a credential.
pub(crate) fn cookie(exchange: &mut Exchange, name: &str) -> Option<Vec<u8>> {
    let lines = exchange.request.headers.get_all(COOKIE);
    let value = lines.iter().flat_map(cookies).find_map(|pair| cookie_value(pair, name))?.to_vec();
    exchange.request.credentials.headers.push(COOKIE);
    Some(value)
}

/// Removes the cookies of that name, and leaves the others as they stand.
pub(crate) fn hide_cookie(request: &mut Request, name: &str) {
    let lines: Vec<HeaderValue> = request.headers.get_all(COOKIE).iter().cloned().collect();
    request.headers.remove(COOKIE);
    for line in lines {
        let others: Vec<&[u8]> = cookies(&line).filter(|pair| cookie_value(pair, name).is_none()).collect();
        if let Ok(hidden) = HeaderValue::from_bytes(&others.join(b"; ".as_slice()))
            && !others.is_empty()
        {
            request.headers.append(COOKIE, hidden);
        }
    }
}

fn cookies(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let pairs = line.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    pairs.filter(|pair| !pair.is_empty())
}

fn cookie_value<'c>(pair: &'c [u8], name: &str) -> Option<&'c [u8]> {
    pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

/// Base64 as nginx reads it: padding may be absent, what follows it does not count, and bits that make no byte need not
/// be zero.
pub(crate) fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.split(|byte| *byte == b'=').next().unwrap_or_default();
    AS_NGINX.decode(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::testing;

    #[test]
    fn a_parameter_is_found_and_hidden_and_the_others_stay_as_they_are() {
        // Target; the parameter `k`, and what the upstream is asked for once it is hidden.
        let cases: [(&str, Option<&[u8]>, &str); 12] = [
            ("/t?k=1", Some(b"1"), "/t"),
            ("/t?a=%20+&k=1&b", Some(b"1"), "/t?a=%20+&b"),
            ("/t?b=2&a=1&k=x%20y+z", Some(b"x y z"), "/t?b=2&a=1"),
            ("/t?%6B=%FF", Some(b"\xff"), "/t"),
            ("/t?k=1&k=1", Some(b""), "/t"),
            ("/t?k", Some(b""), "/t"),
            ("/t?k=&a", Some(b""), "/t?a"),
            ("/t?k=a=b", Some(b"a=b"), "/t"),
            ("/a%2Fb/../t?k=1&&=x", Some(b"1"), "/a%2Fb/../t?&=x"),
            ("/t?kk=1&K=1", None, "/t?kk=1&K=1"),
            ("/t?", None, "/t?"),
            ("/t", None, "/t"),
        ];
        for (target, expected, hidden) in cases {
            let mut exchange = testing::exchange("GET", target, &[], "");
            assert_eq!(parameter(&mut exchange.request, "k").as_deref(), expected, "{target}");
            let path = exchange.request.path().to_string();
            hide_parameter(&mut exchange.request, "k");
            assert_eq!((exchange.request.target(), exchange.request.path()), (hidden, path.as_str()));
            assert_eq!(parameter(&mut exchange.request, ""), None);
        }
    }

    #[test]
    fn a_cookie_is_found_and_hidden_and_the_others_stay_as_they_are() {
        // Cookie headers; the cookie `k`, and the headers once it is hidden.
        type Case = (&'static [&'static str], Option<&'static [u8]>, &'static [&'static str]);
        let cases: [Case; 6] = [
            (&["k=1"], Some(b"1"), &[]),
            (&["a=x%20y; k=1;b=\"2\""], Some(b"1"), &["a=x%20y; b=\"2\""]),
            (&["a=1", "k=2; k=3", "c=4"], Some(b"2"), &["a=1", "c=4"]),
            (&["k=a=b"], Some(b"a=b"), &[]),
            (&["k="], Some(b""), &[]),
            (&["kk=1; k; K=2"], None, &["kk=1; k; K=2"]),
        ];
        for (lines, expected, hidden) in cases {
            let headers: Vec<(&str, &str)> = lines.iter().map(|line| ("cookie", *line)).collect();
            let mut exchange = testing::exchange("GET", "/t", &headers, "");
            assert_eq!(cookie(&mut exchange, "k").as_deref(), expected, "{lines:?}");
            assert_eq!(exchange.request.credentials.headers.contains(&COOKIE), expected.is_some());
            hide_cookie(&mut exchange.request, "k");
            let left: Vec<_> = exchange.request.headers.get_all(COOKIE).iter().collect();
            assert_eq!(left, hidden, "{lines:?}");
        }
    }

    #[test]
    fn a_header_counts_as_consumed_once_it_is_looked_at() {
        let mut exchange = testing::exchange("GET", "/t", &[("X-Key", "first"), ("x-key", "second")], "");
        let name = header_name(&json!({"header": "X-KEY"}), "header", "apikey");
        assert_eq!(header(&mut exchange, name.as_ref()).unwrap(), "first");
        assert_eq!(exchange.request.credentials.headers, ["x-key"]);
        hide_header(&mut exchange.request, name.as_ref());
        assert!(header(&mut exchange, name.as_ref()).is_none());
        for impossible in ["", "a b", "é"] {
            assert_eq!(header_name(&json!({"header": impossible}), "header", "apikey"), None);
        }
    }

    #[test]
    fn base64_is_read_as_nginx_reads_it() {
        let cases: [(&str, Option<&[u8]>); 7] = [
            ("Zm9vOmJhcg==", Some(b"foo:bar")),
            ("Zm9vOmJhcg", Some(b"foo:bar")),
            ("Zm9vOmJhch==x", Some(b"foo:bar")),
            ("", Some(b"")),
            ("Zm9vO", None),
            (" Zm9v", None),
            ("Zm9-", None),
        ];
        for (text, expected) in cases {
            assert_eq!(decode_base64(text.as_bytes()).as_deref(), expected, "{text}");
        }
    }
}
