//! Reads replies: just enough HTTP/1.1 to know where a reply ends, and one blocking call.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

/// Longest reply head that is still a reply and not a fault, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The end of a whole SSE stream of chat chunks.
const DONE: &[u8; 14] = b"data: [DONE]\n\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Body(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    Done,
}

/// One reply as it comes in: fed with bytes, it says when it is whole.
#[derive(Debug)]
pub(crate) struct Reply {
    state: State,
    /// Status code; 0 before the head is whole.
    pub(crate) status: u16,
    /// Body bytes so far, chunk framing not counted.
    pub(crate) bytes: u64,
    /// Events so far, that is blank lines.
    pub(crate) events: u64,
    /// The body, if the reply was made to keep it.
    pub(crate) body: Option<Vec<u8>>,
    last_newline: Option<u64>,
    tail: [u8; DONE.len()],
}

impl Reply {
    /// A reply of which nothing has come yet and whose body is only counted.
    pub(crate) fn new() -> Reply {
        Reply {
            state: State::Head,
            status: 0,
            bytes: 0,
            events: 0,
            body: None,
            last_newline: None,
            tail: [0; DONE.len()],
        }
    }

    /// The same, keeping the body.
    pub(crate) fn keeping_body() -> Reply {
        Reply { body: Some(Vec::new()), ..Reply::new() }
    }

    /// True when the last byte of the reply has been taken.
    pub(crate) fn is_whole(&self) -> bool {
        self.state == State::Done
    }

    /// True when the body so far ends with the `[DONE]` event.
    pub(crate) fn ends_with_done(&self) -> bool {
        self.tail == *DONE
    }

    /// Takes what it can of `input` and says how many bytes that was; the rest must be shown again, with more.
    pub(crate) fn advance(&mut self, input: &[u8]) -> Result<usize> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let step = match self.state {
                State::Head => self.head(rest)?,
                State::Body(left) => self.data(rest, left, State::Body, State::Done),
                State::ChunkSize => self.chunk_size(rest)?,
                State::Chunk(left) => self.data(rest, left, State::Chunk, State::ChunkEnd),
                State::ChunkEnd => self.empty_line(rest, State::ChunkSize)?,
                State::Trailer => self.trailer(rest),
                State::Done => return Ok(used),
            };
            match step {
                Some(taken) => used += taken,
                None => return Ok(used),
            }
        }
    }

    fn head(&mut self, rest: &[u8]) -> Result<Option<usize>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let length = match head.parse(rest).context("cannot parse the reply's head")? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial if rest.len() > MAX_HEAD => {
                bail!("the reply's head is over {MAX_HEAD} bytes")
            }
            httparse::Status::Partial => return Ok(None),
        };
        self.status = head.code.unwrap_or(0);
        if (100..200).contains(&self.status) {
            return Ok(Some(length));
        }
        let (mut chunked, mut content_length) = (false, None);
        for header in head.headers.iter() {
            let value = String::from_utf8_lossy(header.value);
            if header.name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.eq_ignore_ascii_case("chunked");
            } else if header.name.eq_ignore_ascii_case("content-length") {
                let length = value.trim().parse::<u64>();
                content_length = Some(length.with_context(|| format!("Content-Length is {value:?}"))?);
            }
        }
        self.state = match (chunked, content_length) {
            (true, _) => State::ChunkSize,
            (false, Some(0)) => State::Done,
            (false, Some(length)) => State::Body(length),
            (false, None) => {
                bail!("reply {} has neither Content-Length nor chunks: its end cannot be told", self.status)
            }
        };
        Ok(Some(length))
    }

    fn data(&mut self, rest: &[u8], left: u64, more: fn(u64) -> State, after: State) -> Option<usize> {
        if rest.is_empty() {
            return None;
        }
        let take = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        self.count(&rest[..take]);
        let left = left - take as u64;
        self.state = if left == 0 { after } else { more(left) };
        Some(take)
    }

    fn count(&mut self, data: &[u8]) {
        for at in memchr::memchr_iter(b'\n', data) {
            let position = self.bytes + at as u64;
            if position > 0 && self.last_newline == Some(position - 1) {
                self.events += 1;
                self.last_newline = None;
            } else {
                self.last_newline = Some(position);
            }
        }
        self.bytes += data.len() as u64;
        let keep = data.len().min(DONE.len());
        self.tail.copy_within(keep.., 0);
        self.tail[DONE.len() - keep..].copy_from_slice(&data[data.len() - keep..]);
        if let Some(body) = &mut self.body {
            body.extend_from_slice(data);
        }
    }

    fn chunk_size(&mut self, rest: &[u8]) -> Result<Option<usize>> {
        let Some(end) = memchr::memchr(b'\n', rest) else { return Ok(None) };
        let line = String::from_utf8_lossy(&rest[..end]);
        let digits = line.split(';').next().unwrap_or("").trim();
        let size = u64::from_str_radix(digits, 16).map_err(|_| anyhow!("chunk size line is {line:?}"))?;
        self.state = if size == 0 { State::Trailer } else { State::Chunk(size) };
        Ok(Some(end + 1))
    }

    fn empty_line(&mut self, rest: &[u8], next: State) -> Result<Option<usize>> {
        if rest.len() < 2 {
            return Ok(None);
        }
        if &rest[..2] != b"\r\n" {
            bail!("a chunk is not followed by a line end");
        }
        self.state = next;
        Ok(Some(2))
    }

    fn trailer(&mut self, rest: &[u8]) -> Option<usize> {
        let end = memchr::memchr(b'\n', rest)?;
        if rest[..end].trim_ascii().is_empty() {
            self.state = State::Done;
        }
        Some(end + 1)
    }
}

/// Sends one request over a connection of its own and reads the whole reply, body kept. `timeout` bounds each
/// read and write, not the sum.
pub(crate) fn call(addr: SocketAddr, request: &[u8], timeout: Duration) -> Result<Reply> {
    let mut stream = TcpStream::connect(addr).with_context(|| format!("cannot connect to {addr}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(request).with_context(|| format!("cannot send to {addr}"))?;
    let mut reply = Reply::keeping_body();
    let mut pending = Vec::new();
    let mut piece = [0; 16 * 1024];
    while !reply.is_whole() {
        let count = stream.read(&mut piece).with_context(|| format!("no reply from {addr}"))?;
        if count == 0 {
            bail!("{addr} closed the connection after {} body bytes of a reply", reply.bytes);
        }
        pending.extend_from_slice(&piece[..count]);
        let used = reply.advance(&pending)?;
        pending.drain(..used);
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &[u8], step: usize) -> Result<Reply> {
        let mut reply = Reply::keeping_body();
        let mut pending = Vec::new();
        for piece in wire.chunks(step) {
            pending.extend_from_slice(piece);
            let used = reply.advance(&pending)?;
            pending.drain(..used);
        }
        Ok(reply)
    }

    #[test]
    fn replies_are_read_whole_however_they_are_split() {
        let plain = &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..];
        let informed = &b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"[..];
        let stream = &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            b\r\ndata: {}\n\nd\r\nd\r\nata: [DONE]\n\n\r\n0\r\n\r\n"[..];
        let cut = &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\ndata: {}\n\nd\r\n"[..];
        let empty = &b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"[..];
        // wire, whole, status, body bytes, events, ends with [DONE]
        let cases = [
            (plain, true, 200, 5, 0, false),
            (informed, true, 200, 2, 0, false),
            (stream, true, 200, 24, 2, true),
            (cut, false, 200, 11, 1, false),
            (empty, true, 204, 0, 0, false),
        ];
        for (wire, whole, status, bytes, events, done) in cases {
            for step in 1..=wire.len() {
                let reply = read(wire, step).unwrap();
                let seen =
                    (reply.is_whole(), reply.status, reply.bytes, reply.events, reply.ends_with_done());
                assert_eq!(seen, (whole, status, bytes, events, done), "{} by {step}", wire.escape_ascii());
                assert_eq!(reply.body.unwrap().len() as u64, bytes);
            }
        }
    }

    #[test]
    fn wrong_framing_is_an_error() {
        let cases = [
            ("HTTP/1.1 200 OK\r\n\r\n", "neither Content-Length nor chunks"),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "Content-Length is"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "chunk size line is"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", "not followed by a line end"),
            ("nonsense\r\n\r\n", "cannot parse"),
        ];
        for (wire, expected) in cases {
            let error = read(wire.as_bytes(), wire.len()).unwrap_err().to_string();
            assert!(error.contains(expected), "{wire:?}: {error}");
        }
    }
}
