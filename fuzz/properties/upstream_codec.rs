//! Whatever an upstream sends on a connection: it is read or refused, never a panic, and how it is cut changes nothing.
//!
//! An input is a line of lengths of pieces, `HEAD` before them for replies to a HEAD request, then what the upstream sends.

use a6_codec::http1::{BodyDecoder, Decoded, Framing, Http1Error, parse_head};
use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode};

use crate::cuts::{first_line, ways};

/// What came out of a connection.
#[derive(Debug, PartialEq)]
struct Outcome {
    responses: Vec<Response>,
    /// What was not read; unknown where the connection was given up at a fault.
    left: Option<Vec<u8>>,
}

#[derive(Debug, PartialEq)]
struct Response {
    status: StatusCode,
    headers: HeaderMap,
    framing: Framing,
    body: Vec<u8>,
    is_whole: bool,
}

/// A connection as the upstream's client drives it.
struct Connection<'m> {
    method: &'m Method,
    buffer: BytesMut,
    body: Option<BodyDecoder>,
    responses: Vec<Response>,
    is_open: bool,
}

impl Connection<'_> {
    /// Takes the next thing off the buffer; whether there was one.
    fn step(&mut self) -> Result<bool, Http1Error> {
        let (Some(body), Some(response)) = (&mut self.body, self.responses.last_mut()) else {
            return self.head();
        };
        match body.decode(&mut self.buffer)? {
            Decoded::Data(data) => {
                assert!(!data.is_empty(), "data without a byte");
                response.body.extend_from_slice(&data);
            }
            Decoded::More => return Ok(false),
            Decoded::End => {
                response.is_whole = true;
                self.body = None;
            }
        }
        Ok(true)
    }

    fn head(&mut self) -> Result<bool, Http1Error> {
        if !self.is_open {
            return Ok(false);
        }
        let Some(head) = parse_head(&mut self.buffer, self.method, |_| true)? else { return Ok(false) };
        self.is_open = head.reusable || head.status.is_informational();
        self.body = Some(BodyDecoder::new(head.framing));
        self.responses.push(Response {
            status: head.status,
            headers: head.headers,
            framing: head.framing,
            body: Vec::new(),
            is_whole: false,
        });
        Ok(true)
    }
}

fn read(pieces: &[&[u8]], method: &Method) -> Outcome {
    let mut connection =
        Connection { method, buffer: BytesMut::new(), body: None, responses: Vec::new(), is_open: true };
    for piece in pieces {
        connection.buffer.extend_from_slice(piece);
        loop {
            match connection.step() {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return Outcome { responses: connection.responses, left: None },
            }
        }
    }
    Outcome { responses: connection.responses, left: Some(connection.buffer.to_vec()) }
}

fn check(response: &Response) {
    let length = response.body.len() as u64;
    match response.framing {
        Framing::Empty => assert_eq!(length, 0),
        Framing::Length(said) => {
            assert!(length <= said, "{length} bytes instead of {said}");
            assert_eq!(response.is_whole, length == said);
        }
        Framing::Close => assert!(!response.is_whole, "the end of a connection passes for the end of a body"),
        Framing::Chunked => {}
    }
}

/// Holds an input to the property.
pub(crate) fn property(input: &[u8]) {
    let (line, sent) = first_line(input);
    let (method, sizes) = match line.strip_prefix(b"HEAD") {
        Some(sizes) => (Method::HEAD, sizes),
        None => (Method::POST, line),
    };
    let [whole, even, chosen] = ways(sizes, sent).map(|pieces| read(&pieces, &method));
    whole.responses.iter().for_each(check);
    assert_eq!(whole, even, "whole and in even pieces");
    assert_eq!(whole, chosen, "whole and in pieces of the lengths {sizes:?}");
}
