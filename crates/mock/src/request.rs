//! Strict parsing of a request's head and of a chunked body. What a careful server refuses is refused here, so
//! that a gateway's framing mistake shows up as a malformed request in the ledger.

use httparse::{EMPTY_HEADER, Status};

const MAX_HEAD: usize = 1024 * 1024;
const MAX_HEADERS: usize = 256;
const MAX_BODY: usize = 512 * 1024 * 1024;

/// One request as it came.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// The minor version of HTTP/1.
    pub(crate) version: u8,
    /// Header lines in their order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    pub(crate) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Whether the client wants to send another request on this connection.
    pub(crate) fn keeps_alive(&self) -> bool {
        let asks = |token: &str| {
            self.headers
                .iter()
                .filter(|(name, _)| name == "connection")
                .flat_map(|(_, value)| value.split(','))
                .any(|found| found.trim().eq_ignore_ascii_case(token))
        };
        if self.version == 0 { asks("keep-alive") } else { !asks("close") }
    }
}

/// Bytes that are not a request: the status that answers them and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) status: u16,
    pub(crate) why: &'static str,
}

const fn bad(why: &'static str) -> Malformed {
    Malformed { status: 400, why }
}

/// How the end of a request's body is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// This many bytes follow the head.
    Length(usize),
    /// Chunks follow the head.
    Chunked,
}

/// A parsed head: the request without its body, and what follows.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) request: Request,
    /// Bytes of the head in the buffer.
    pub(crate) len: usize,
    pub(crate) body: Body,
    pub(crate) expects_continue: bool,
}

impl Head {
    /// Parses the head at the start of `buffer`; `None` while it is not whole.
    pub(crate) fn parse(buffer: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut space = [EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut space);
        let len = match parsed.parse(buffer) {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) if buffer.len() > MAX_HEAD => {
                return Err(Malformed { status: 431, why: "the head is over 1 MiB" });
            }
            Ok(Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Malformed { status: 431, why: "more than 256 header lines" });
            }
            Err(_) => return Err(bad("the bytes are not an HTTP/1 request")),
        };
        let head = &buffer[..len];
        if head.first() == Some(&b'\n') || head.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r') {
            return Err(bad("a line ends in a bare LF"));
        }
        let request = Request {
            method: parsed.method.unwrap_or("").to_owned(),
            target: parsed.path.unwrap_or("").to_owned(),
            version: parsed.version.unwrap_or(1),
            headers: parsed
                .headers
                .iter()
                .map(|line| (line.name.to_ascii_lowercase(), text(line.value)))
                .collect(),
            body: Vec::new(),
        };
        let body = body_of(&request)?;
        let expects_continue =
            request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
        Ok(Some(Self { request, len, body, expects_continue }))
    }
}

/// A header value as text without loss: UTF-8 as it is, else each byte as its Latin-1 character.
fn text(value: &[u8]) -> String {
    std::str::from_utf8(value)
        .map_or_else(|_| value.iter().map(|&byte| char::from(byte)).collect(), str::to_owned)
}

fn body_of(request: &Request) -> Result<Body, Malformed> {
    let all = |wanted: &'static str| -> Vec<&str> {
        request.headers.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect()
    };
    match (all("transfer-encoding").as_slice(), all("content-length").as_slice()) {
        ([], []) => Ok(Body::Length(0)),
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Body::Chunked),
        ([], [length]) if !length.is_empty() && length.bytes().all(|digit| digit.is_ascii_digit()) => {
            match length.parse() {
                Ok(length) if length <= MAX_BODY => Ok(Body::Length(length)),
                _ => Err(Malformed { status: 413, why: "the body is over 512 MiB" }),
            }
        }
        ([], [_]) => Err(bad("content-length is not a number")),
        ([], _) => Err(bad("more than one content-length")),
        (_, []) => Err(bad("transfer-encoding is not exactly `chunked`")),
        _ => Err(bad("content-length and transfer-encoding together")),
    }
}

/// A chunked body on its way in.
#[derive(Debug)]
pub(crate) struct Chunks {
    at: usize,
    /// What the chunks held so far.
    pub(crate) body: Vec<u8>,
}

impl Chunks {
    /// A body whose first chunk starts at this offset of the buffer.
    pub(crate) fn from(at: usize) -> Self {
        Self { at, body: Vec::new() }
    }

    /// Takes all whole chunks; the offset of the body's end once the last chunk and the trailers are there.
    pub(crate) fn take(&mut self, buffer: &[u8]) -> Result<Option<usize>, Malformed> {
        loop {
            let rest = &buffer[self.at..];
            let (used, size) = match httparse::parse_chunk_size(rest) {
                Ok(Status::Complete(found)) => found,
                Ok(Status::Partial) => return Ok(None),
                Err(_) => return Err(bad("a chunk size is not a hexadecimal number")),
            };
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if size > MAX_BODY - self.body.len() {
                return Err(Malformed { status: 413, why: "the body is over 512 MiB" });
            }
            let data = &rest[used..];
            if size == 0 {
                let mut trailers = [EMPTY_HEADER; MAX_HEADERS];
                return match httparse::parse_headers(data, &mut trailers) {
                    Ok(Status::Complete((len, _))) => Ok(Some(self.at + used + len)),
                    Ok(Status::Partial) => Ok(None),
                    Err(_) => Err(bad("the trailers are not header lines")),
                };
            }
            let Some(end) = data.get(size..size + 2) else { return Ok(None) };
            if end != b"\r\n" {
                return Err(bad("a chunk is longer than its size says"));
            }
            self.body.extend_from_slice(&data[..size]);
            self.at += used + size + 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_that_a_careful_server_refuses_are_refused() {
        for (head, why) in [
            ("GET / HTTP/1.1\nhost: a\n\n", "a line ends in a bare LF"),
            (
                "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
                "more than one content-length",
            ),
            ("POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\n", "content-length is not a number"),
            (
                "POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
                "content-length and transfer-encoding together",
            ),
            (
                "POST / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
                "transfer-encoding is not exactly `chunked`",
            ),
            ("POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", "the body is over 512 MiB"),
            ("GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n", "the bytes are not an HTTP/1 request"),
        ] {
            assert_eq!(Head::parse(head.as_bytes()).unwrap_err().why, why, "{head:?}");
        }
    }

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let bytes = b"POST /v1/x?a=1 HTTP/1.1\r\nHost: A\r\nX-Y: \xe9\r\nContent-Length: 3\r\n\r\nabcGET";
        for cut in 0..bytes.len() - 6 {
            assert!(Head::parse(&bytes[..cut]).unwrap().is_none(), "{cut}");
        }
        let head = Head::parse(bytes).unwrap().unwrap();
        assert_eq!((head.len, head.body), (bytes.len() - 6, Body::Length(3)));
        assert_eq!((head.request.path(), head.request.query()), ("/v1/x", "a=1"));
        assert_eq!((head.request.header("host"), head.request.header("x-y")), (Some("A"), Some("é")));
    }

    #[test]
    fn connection_persistence_follows_version_and_header() {
        for (version, connection, keeps) in [
            (1, "", true),
            (1, "Close", false),
            (1, "x, close", false),
            (0, "", false),
            (0, "Keep-Alive", true),
        ] {
            let headers = vec![("connection".to_owned(), connection.to_owned())];
            let request = Request { version, headers, ..Request::default() };
            assert_eq!(request.keeps_alive(), keeps, "{version} {connection:?}");
        }
    }

    #[test]
    fn chunks_are_joined_wherever_the_reads_end() {
        let bytes = b"xx3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nt: 1\r\n\r\nNEXT";
        let end = bytes.len() - 4;
        for cut in 2..end {
            let mut chunks = Chunks::from(2);
            assert_eq!(chunks.take(&bytes[..cut]), Ok(None), "{cut}");
            assert_eq!(chunks.take(bytes), Ok(Some(end)), "{cut}");
            assert_eq!(chunks.body, b"abcdefg", "{cut}");
        }
        for wrong in ["zz\r\nabc\r\n", "3\r\nabcd\r\n", "fffffffff\r\n", "11111111111111111\r\n"] {
            assert!(Chunks::from(0).take(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }
}
