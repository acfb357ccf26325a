use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version};

use super::head::decimal;
use crate::http1::Framing;

/// What stands behind the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// An answer's head, and what decides how its body is framed.
#[derive(Debug)]
pub struct AnswerHead<'a> {
    /// The status.
    pub status: StatusCode,
    /// The headers. Those of the connection and of the framing are written anew, but for a `connection` of status 101;
    /// a `content-length` counts where `length` is not known.
    pub headers: &'a HeaderMap,
    /// The request's method.
    pub method: &'a Method,
    /// The request's version.
    pub version: Version,
    /// Bytes of the body, if they are known.
    pub length: Option<u64>,
    /// The connection ends with this answer.
    pub closes: bool,
    /// For the `date` header, unless the headers have one.
    pub date: &'a [u8],
}

/// Appends the head. Gives how the body has to be framed: [`Framing::Empty`] where no byte of it may be sent, and
/// [`Framing::Close`] where the connection has to end with it.
pub fn write_answer_head(out: &mut Vec<u8>, answer: &AnswerHead<'_>) -> Framing {
    let is_old = answer.version == Version::HTTP_10;
    out.reserve(128 + answer.headers.len() * 48);
    write_status_line(out, answer.status, is_old);
    let switches = answer.status == StatusCode::SWITCHING_PROTOCOLS;
    let mut has_date = false;
    for (name, value) in answer.headers {
        if name == CONTENT_LENGTH || name == TRANSFER_ENCODING || (name == CONNECTION && !switches) {
            continue;
        }
        has_date |= name == DATE;
        write_header(out, name.as_str(), value.as_bytes());
    }
    let announced = || answer.headers.get(CONTENT_LENGTH).and_then(|value| decimal(value.as_bytes()));
    let framing = write_framing(out, answer, announced, is_old);
    match answer.closes || framing == Framing::Close {
        _ if switches => {}
        true if !is_old => write_header(out, "connection", b"close"),
        false if is_old => write_header(out, "connection", b"keep-alive"),
        _ => {}
    }
    if !has_date {
        write_header(out, "date", answer.date);
    }
    out.extend_from_slice(b"\r\n");
    framing
}

fn write_status_line(out: &mut Vec<u8>, status: StatusCode, is_old: bool) {
    if status == StatusCode::OK && !is_old {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(if is_old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    // Some readers want a word here.
    out.extend_from_slice(status.canonical_reason().unwrap_or("Unknown").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// RFC 9112 §6.3, from the side that sends.
fn write_framing(
    out: &mut Vec<u8>,
    answer: &AnswerHead<'_>,
    announced: impl Fn() -> Option<u64>,
    is_old: bool,
) -> Framing {
    let status = answer.status;
    let knows_no_length = status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
        || (answer.method == Method::CONNECT && status.is_success());
    if knows_no_length {
        return Framing::Empty;
    }
    if answer.method == Method::HEAD {
        // What a GET would be told; nothing where that is not known.
        if let Some(length) = announced().or(answer.length.filter(|length| *length > 0)) {
            write_length(out, length);
        }
        return Framing::Empty;
    }
    match answer.length.or_else(announced) {
        Some(0) => {
            out.extend_from_slice(b"content-length: 0\r\n");
            Framing::Empty
        }
        Some(length) => {
            write_length(out, length);
            Framing::Length(length)
        }
        None if is_old => Framing::Close,
        None => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Framing::Chunked
        }
    }
}

fn write_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    write_number(out, length, 10);
    out.extend_from_slice(b"\r\n");
}

fn write_header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends what stands before the data of a chunk of `length` bytes; 0 would end the body.
pub fn write_chunk_head(out: &mut Vec<u8>, length: usize) {
    write_number(out, length as u64, 16);
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body with these trailers.
pub fn write_trailers(out: &mut Vec<u8>, trailers: &HeaderMap) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        write_header(out, name.as_str(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// The digits of a number to a base of at most 16, without the detour over formatting.
fn write_number(out: &mut Vec<u8>, mut number: u64, base: u64) {
    let mut digits = [0u8; 20];
    let mut from = digits.len();
    loop {
        from -= 1;
        digits[from] = b"0123456789abcdef"[(number % base) as usize];
        number /= base;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[from..]);
}
