use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};

use crate::http1::Framing;

/// A request head may be this many bytes long.
pub const MAX_HEAD: usize = 128 << 10;
/// And may have this many headers.
pub const MAX_HEADERS: usize = 100;
/// No [`Uri`] is longer.
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// A request's head.
#[derive(Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The target in the form that the client chose.
    pub uri: Uri,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The headers; at most one `content-length`, and none where the body is chunked.
    pub headers: HeaderMap,
    /// How the body is framed; never [`Framing::Close`].
    pub framing: Framing,
    /// Whether the client may send another request behind this one.
    pub keeps_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// Why bytes are refused before they are a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// The first word of the request line.
    #[error("the request's method is malformed")]
    Method,
    /// The second word of the request line.
    #[error("the request's target is malformed")]
    Target,
    /// A target that no program of ours can hold.
    #[error("the request's target is longer than 65534 bytes")]
    LongTarget,
    /// The third word of the request line.
    #[error("the request's version is not HTTP/1.0 or HTTP/1.1")]
    Version,
    /// A header's name, or what stands in its place.
    #[error("a header name is malformed")]
    HeaderName,
    /// A header's value.
    #[error("a header value is malformed")]
    HeaderValue,
    /// A carriage return that no line feed follows.
    #[error("a line of the head has a carriage return without a line feed")]
    LineEnd,
    /// More than [`MAX_HEADERS`].
    #[error("the request has more than 100 headers")]
    ManyHeaders,
    /// More than [`MAX_HEAD`] bytes.
    #[error("the request head is longer than 128 KiB")]
    LongHead,
    /// A length that is no decimal number below 2^64.
    #[error("the content-length is malformed")]
    Length,
    /// Two lengths.
    #[error("two content-lengths differ")]
    Lengths,
    /// Anything but `chunked`, once.
    #[error("the request's transfer-encoding is not chunked")]
    Coding,
    /// HTTP/1.0 knows no codings.
    #[error("HTTP/1.0 has no transfer-encoding")]
    OldCoding,
    /// Whoever reads the bytes tells of this one.
    #[error("the request head did not come in time")]
    Late,
}

impl HeadFault {
    /// Every one there is.
    pub const ALL: [Self; 14] = [
        Self::Method,
        Self::Target,
        Self::LongTarget,
        Self::Version,
        Self::HeaderName,
        Self::HeaderValue,
        Self::LineEnd,
        Self::ManyHeaders,
        Self::LongHead,
        Self::Length,
        Self::Lengths,
        Self::Coding,
        Self::OldCoding,
        Self::Late,
    ];

    /// The stable word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Method => "malformed_method",
            Self::Target => "malformed_target",
            Self::LongTarget => "target_too_long",
            Self::Version => "unknown_version",
            Self::HeaderName => "malformed_header_name",
            Self::HeaderValue => "malformed_header_value",
            Self::LineEnd => "malformed_line_end",
            Self::ManyHeaders => "too_many_headers",
            Self::LongHead => "head_too_long",
            Self::Length => "malformed_content_length",
            Self::Lengths => "differing_content_lengths",
            Self::Coding => "unknown_transfer_encoding",
            Self::OldCoding => "transfer_encoding_in_http_1_0",
            Self::Late => "head_timeout",
        }
    }

    /// The status that the client is told.
    pub fn status(self) -> StatusCode {
        match self {
            Self::LongTarget => StatusCode::URI_TOO_LONG,
            Self::ManyHeaders | Self::LongHead => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Whether bytes that came behind the first `looked` may have ended the head. Cheap, for a head that comes in many
/// pieces: only then is it worth while to parse it once more.
pub fn may_be_whole(buffer: &[u8], looked: usize) -> bool {
    let new = buffer.get(looked.saturating_sub(2)..).unwrap_or_default();
    buffer.len() >= MAX_HEAD
        || memchr::memchr_iter(b'\n', new).any(|at| {
            let behind = &new[at + 1..];
            behind.starts_with(b"\n") || behind.starts_with(b"\r\n")
        })
}

/// Takes a request head off the front of `buffer`; none while it is not whole. `headers` is an empty map whose memory is
/// used.
///
/// # Errors
/// The bytes are not a request head, or its framing is ambiguous; nothing behind them can be trusted then.
pub fn parse_request(
    buffer: &mut BytesMut,
    headers: &mut HeaderMap,
) -> Result<Option<RequestHead>, HeadFault> {
    if buffer.is_empty() {
        return Ok(None);
    }
    let mut slots = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let length = match parser.parse_request_with_uninit_headers(&mut request, buffer, &mut slots) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if buffer.len() < MAX_HEAD => return Ok(None),
        Ok(_) => return Err(HeadFault::LongHead),
        Err(error) => return Err(fault(error, request.method.is_some())),
    };
    let method = request.method.unwrap_or_default();
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| HeadFault::Method)?;
    let target = request.path.unwrap_or_default();
    if target.len() > MAX_TARGET {
        return Err(HeadFault::LongTarget);
    }
    // One copy of the head, of its own size, which target and values share: the read buffer serves on.
    let head = Bytes::copy_from_slice(&buffer[..length]);
    let start = buffer.as_ptr().addr();
    let shared = |part: &[u8]| {
        let from = part.as_ptr().addr().saturating_sub(start);
        if part.is_empty() { Bytes::new() } else { head.slice(from..from + part.len()) }
    };
    let uri = Uri::from_maybe_shared(shared(target.as_bytes())).map_err(|_| HeadFault::Target)?;
    let mut notes = Notes { is_old: request.version == Some(0), ..Notes::default() };
    headers.reserve(request.headers.len());
    for header in &*request.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| HeadFault::HeaderName)?;
        let value = shared(header.value);
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| HeadFault::HeaderValue)?;
        if notes.take(&name, value.as_bytes())? {
            headers.append(name, value);
        }
    }
    buffer.advance(length);
    if notes.is_chunked {
        // The chunks count (RFC 9112 §6.3), so that nobody behind us may count otherwise.
        headers.remove(CONTENT_LENGTH);
    }
    Ok(Some(RequestHead {
        method,
        uri,
        version: if notes.is_old { Version::HTTP_10 } else { Version::HTTP_11 },
        headers: std::mem::take(headers),
        framing: notes.framing(),
        keeps_alive: notes.keeps_alive(),
        expects_continue: notes.expects_continue && !notes.is_old,
    }))
}

fn fault(error: httparse::Error, has_method: bool) -> HeadFault {
    match error {
        httparse::Error::Token if has_method => HeadFault::Target,
        httparse::Error::Token | httparse::Error::Status => HeadFault::Method,
        httparse::Error::Version => HeadFault::Version,
        httparse::Error::HeaderName => HeadFault::HeaderName,
        httparse::Error::HeaderValue => HeadFault::HeaderValue,
        httparse::Error::NewLine => HeadFault::LineEnd,
        httparse::Error::TooManyHeaders => HeadFault::ManyHeaders,
    }
}

/// What the headers say of the connection and of the body's framing.
#[derive(Default)]
struct Notes {
    is_old: bool,
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
    persists: bool,
    expects_continue: bool,
}

impl Notes {
    /// False for a header that says nothing new.
    fn take(&mut self, name: &HeaderName, value: &[u8]) -> Result<bool, HeadFault> {
        if name == CONTENT_LENGTH {
            let length = decimal(value).ok_or(HeadFault::Length)?;
            return match self.length.replace(length) {
                Some(before) if before != length => Err(HeadFault::Lengths),
                before => Ok(before.is_none()),
            };
        }
        if name == TRANSFER_ENCODING {
            if self.is_old {
                return Err(HeadFault::OldCoding);
            }
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HeadFault::Coding);
            }
            self.is_chunked = true;
        } else if name == CONNECTION {
            for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                self.closes |= token.eq_ignore_ascii_case(b"close");
                self.persists |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if name == EXPECT {
            self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
        }
        Ok(true)
    }

    fn framing(&self) -> Framing {
        match self.length {
            _ if self.is_chunked => Framing::Chunked,
            None | Some(0) => Framing::Empty,
            Some(length) => Framing::Length(length),
        }
    }

    fn keeps_alive(&self) -> bool {
        // Where a length stands beside chunks, somebody on the way may have counted otherwise.
        let is_ambiguous = self.is_chunked && self.length.is_some();
        !self.closes && !is_ambiguous && (!self.is_old || self.persists)
    }
}

/// A number of decimal digits and nothing else, below 2^64.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
