//! The variables of an access log line, and of what else is told of a request.
//!
//! - `request.rs`: what the client asked and got, as nginx names it.
//! - `upstream.rs`: one value per attempt.
//! - `model.rs`: what APISIX tells of a language model's answer.

mod model;
mod request;
mod upstream;

use a6_snapshot::{Record, Request};
use http::{HeaderMap, HeaderName};

use super::encode;

/// What a line is made from.
pub(crate) struct Source<'a> {
    pub(crate) request: &'a Request,
    pub(crate) record: &'a Record,
}

/// Appends a value; `None`, and nothing appended, where the request has none.
type Render = fn(&Source<'_>, &mut Vec<u8>) -> Option<()>;

/// A variable, its name looked up once.
#[derive(Clone, Debug)]
pub(crate) enum Variable {
    /// One with a name of its own.
    Named(Render),
    /// `http_«name»`.
    Header(HeaderName),
    /// A header that carries a credential: only whether it is there.
    SecretHeader(HeaderName),
    /// `arg_«name»`: the first query value of that name, decoded.
    Argument(Box<str>),
    /// `cookie_«name»`: only whether it is there, since it may be a session.
    Cookie(Box<str>),
}

impl Variable {
    /// The variable of that name, without `$`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let tables = [request::VARIABLES, upstream::VARIABLES, model::VARIABLES];
        if let Some((_, render)) = tables.into_iter().flatten().find(|(known, _)| *known == name) {
            return Some(Self::Named(*render));
        }
        if let Some(argument) = name.strip_prefix("arg_") {
            return Some(Self::Argument(argument.into()));
        }
        if let Some(cookie) = name.strip_prefix("cookie_") {
            return Some(Self::Cookie(cookie.into()));
        }
        let header = match name {
            "content_type" | "content_length" => name,
            _ => name.strip_prefix("http_")?,
        };
        let header: HeaderName = header.to_ascii_lowercase().replace('_', "-").parse().ok()?;
        let is_secret = encode::is_secret_header(header.as_str());
        Some(if is_secret { Self::SecretHeader(header) } else { Self::Header(header) })
    }

    /// Appends the value; `None`, and nothing appended, where the request has none.
    pub(crate) fn write(&self, source: &Source<'_>, out: &mut Vec<u8>) -> Option<()> {
        let request = source.request;
        match self {
            Self::Named(render) => render(source, out),
            Self::Header(name) if request.credentials.headers.contains(name) => {
                request.headers.contains_key(name).then(|| mask(out))
            }
            Self::Header(name) => header(&request.headers, name, out),
            Self::SecretHeader(name) => request.headers.contains_key(name).then(|| mask(out)),
            Self::Argument(name) => argument(request, name, out),
            Self::Cookie(name) => has_cookie(&request.headers, name).then(|| mask(out)),
        }
    }
}

fn mask(out: &mut Vec<u8>) {
    out.extend_from_slice(encode::MASK);
}

/// All values of a header, joined as nginx does.
fn header(headers: &HeaderMap, name: &HeaderName, out: &mut Vec<u8>) -> Option<()> {
    let mut values = headers.get_all(name).iter();
    encode::text(out, values.next()?.as_bytes());
    for value in values {
        out.extend_from_slice(b", ");
        encode::text(out, value.as_bytes());
    }
    Some(())
}

fn argument(request: &Request, name: &str, out: &mut Vec<u8>) -> Option<()> {
    let query = request.uri.query()?;
    let (_, value) = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name)?;
    if encode::is_secret_member(name) || request.credentials.parameters.iter().any(|known| **known == *name) {
        mask(out);
    } else {
        encode::text(out, value.as_bytes());
    }
    Some(())
}

fn has_cookie(headers: &HeaderMap, name: &str) -> bool {
    let lines = headers.get_all(http::header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .any(|pair| pair.trim().split_once('=').is_some_and(|(key, _)| key == name))
}

/// A text that is always there, if only empty.
fn text(out: &mut Vec<u8>, value: &str) -> Option<()> {
    encode::text(out, value.as_bytes());
    Some(())
}

/// A number.
fn number(out: &mut Vec<u8>, value: u64) -> Option<()> {
    encode::number(out, value);
    Some(())
}
