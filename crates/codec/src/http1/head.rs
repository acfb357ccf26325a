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
    /// All headers as they came, those of the connection included.
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

/// Takes a response head off the front of `buffer`; none while it is not whole.
///
/// # Errors
/// The bytes are not a response head, or its framing is ambiguous.
pub fn parse_head(buffer: &mut BytesMut, method: &Method) -> Result<Option<ResponseHead>, Http1Error> {
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
    let spans: Vec<_> =
        response.headers.iter().map(|header| (header.name, span(buffer, header.value))).collect();
    // One copy of the head, which all header values share; the read buffer stays free for what follows.
    let head = Bytes::copy_from_slice(&buffer[..length]);
    let headers = collect(&head, &spans)?;
    let (framing, reusable) = framing(status, &headers, method, http11)?;
    let _ = buffer.split_to(length);
    Ok(Some(ResponseHead { status, headers, framing, reusable }))
}

fn span(buffer: &[u8], part: &[u8]) -> std::ops::Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(buffer.as_ptr() as usize);
    start..start + part.len()
}

fn collect(head: &Bytes, spans: &[(&str, std::ops::Range<usize>)]) -> Result<HeaderMap, Http1Error> {
    let mut headers = HeaderMap::with_capacity(spans.len());
    for (name, span) in spans {
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| Http1Error("a header name is malformed"))?;
        let value = if span.is_empty() { Bytes::new() } else { head.slice(span.clone()) };
        let value =
            HeaderValue::from_maybe_shared(value).map_err(|_| Http1Error("a header value is malformed"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// RFC 9112 §6.3, strict where a lenient reading could desynchronise the connection.
fn framing(
    status: StatusCode,
    headers: &HeaderMap,
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
    if headers.contains_key(TRANSFER_ENCODING) {
        let codings: Vec<_> = headers.get_all(TRANSFER_ENCODING).iter().collect();
        let chunked = matches!(codings[..], [one] if one.as_bytes().eq_ignore_ascii_case(b"chunked"));
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

fn keeps_alive(headers: &HeaderMap, http11: bool) -> bool {
    let has = |token: &str| {
        headers.get_all(CONNECTION).iter().any(|value| {
            value
                .to_str()
                .is_ok_and(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
        })
    };
    if http11 { !has("close") } else { has("keep-alive") }
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Http1Error> {
    let mut found = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for part in value.as_bytes().split(|byte| *byte == b',') {
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
