use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::Http1Error;

/// A response head may be this many bytes long.
pub const MAX_HEAD: usize = 64 << 10;
/// And may have this many headers.
pub const MAX_HEADERS: usize = 128;

/// A response's head.
#[derive(Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// Its words, where they are not the usual ones.
    pub reason: Option<Bytes>,
    /// The headers that were asked for.
    pub headers: HeaderMap,
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the connection may serve another request after this body.
    pub reusable: bool,
}

/// How a response's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// After this many bytes.
    Length(u64),
    /// With the chunk terminator.
    Chunked,
    /// With the connection; such an end is never told from a broken connection.
    Close,
}

/// Takes a response head off the front of `buffer`; none while it is not whole. Of its headers those are kept that `keep`
/// asks for: most heads have many that go nowhere.
///
/// # Errors
/// The bytes are not a response head, or its framing is ambiguous.
pub fn parse_head(
    buffer: &mut BytesMut,
    method: &Method,
    keep: impl Fn(&HeaderName) -> bool,
) -> Result<Option<ResponseHead>, Http1Error> {
    if buffer.is_empty() {
        return Ok(None);
    }
    let mut slots = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let length = match parser.parse_response_with_uninit_headers(&mut response, buffer, &mut slots) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if buffer.len() < MAX_HEAD => return Ok(None),
        Ok(_) => return Err(Http1Error("the response head is longer than 64 KiB")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Http1Error("the response has more than 128 headers"));
        }
        Err(_) => return Err(Http1Error("the response head is not HTTP/1.1")),
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Http1Error("the response has no valid status"))?;
    let http11 = response.version == Some(1);
    let (framing, reusable) = framing(status, response.headers, method, http11)?;
    // One copy of the head, which all header values share; the read buffer stays free for what follows.
    let head = Bytes::copy_from_slice(&buffer[..length]);
    let start = buffer.as_ptr() as usize;
    let share = |part: &[u8]| match part {
        [] => Bytes::new(),
        part => {
            let from = (part.as_ptr() as usize).saturating_sub(start);
            head.slice(from..from + part.len())
        }
    };
    let usual = status.canonical_reason().unwrap_or_default();
    let reason = response.reason.filter(|reason| !reason.is_empty() && *reason != usual);
    let reason = reason.map(|reason| share(reason.as_bytes()));
    let mut headers = HeaderMap::with_capacity(response.headers.len().min(16));
    for header in &*response.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| Http1Error("a header name is malformed"))?;
        if !keep(&name) {
            continue;
        }
        let value = HeaderValue::from_maybe_shared(share(header.value))
            .map_err(|_| Http1Error("a header value is malformed"))?;
        headers.append(name, value);
    }
    let _ = buffer.split_to(length);
    Ok(Some(ResponseHead { status, reason, headers, framing, reusable }))
}

/// The values of a header, in order.
fn values<'h>(headers: &'h [httparse::Header<'h>], name: HeaderName) -> impl Iterator<Item = &'h [u8]> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name.as_str()))
        .map(|header| header.value)
}

/// RFC 9112 §6.3, strict where a lenient reading could desynchronise the connection.
fn framing(
    status: StatusCode,
    headers: &[httparse::Header<'_>],
    method: &Method,
    http11: bool,
) -> Result<(Framing, bool), Http1Error> {
    let keeps = keeps_alive(headers, http11);
    let bodiless = method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    if bodiless {
        return Ok((Framing::Empty, keeps));
    }
    let length = content_length(headers)?;
    let mut codings = values(headers, TRANSFER_ENCODING);
    if let Some(first) = codings.next() {
        let chunked = first.eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        if !chunked {
            return Err(Http1Error("the transfer-encoding is not chunked"));
        }
        // With a Content-Length beside it somebody on the way may count otherwise: read it, but never reuse.
        return Ok((Framing::Chunked, keeps && length.is_none()));
    }
    Ok(match length {
        Some(0) => (Framing::Empty, keeps),
        Some(length) => (Framing::Length(length), keeps),
        None => (Framing::Close, false),
    })
}

fn keeps_alive(headers: &[httparse::Header<'_>], http11: bool) -> bool {
    let has = |token: &[u8]| {
        values(headers, CONNECTION)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
    };
    if http11 { !has(b"close") } else { has(b"keep-alive") }
}

fn content_length(headers: &[httparse::Header<'_>]) -> Result<Option<u64>, Http1Error> {
    let mut found = None;
    for value in values(headers, CONTENT_LENGTH) {
        for part in value.split(|byte| *byte == b',') {
            let digits = part.trim_ascii();
            let number = std::str::from_utf8(digits)
                .ok()
                .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse::<u64>().ok())
                .ok_or(Http1Error("the content-length is malformed"))?;
            if found.is_some_and(|before| before != number) {
                return Err(Http1Error("two content-lengths differ"));
            }
            found = Some(number);
        }
    }
    Ok(found)
}
