use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Framing, Http1Error, MAX_HEADERS};

const MAX_CHUNK_LINE: usize = 4096;
const MAX_TRAILERS: usize = 16 << 10;

/// Takes a response body off the front of a buffer.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// Boxed, since few bodies have any.
    trailers: Option<Box<HeaderMap>>,
}

#[derive(Debug, PartialEq)]
enum State {
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers { read: usize },
    Close,
    Done,
}

/// What a buffer held.
#[derive(Debug, PartialEq)]
pub enum Decoded {
    /// Body bytes: all that the buffer held, merged.
    Data(Bytes),
    /// Nothing yet: read more.
    More,
    /// The body is over.
    End,
}

impl BodyDecoder {
    /// For a body framed like that.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::Close => State::Close,
        };
        Self { state, trailers: None }
    }

    /// Whether the body is over.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the end of the connection is the end of the body.
    pub fn ends_with_connection(&self) -> bool {
        self.state == State::Close
    }

    /// The fields that came behind the chunks, once the body is over; none if there were none. They are as the sender
    /// wrote them: which of them may pass is for the caller to say.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        if self.is_done() { self.trailers.take().map(|trailers| *trailers) } else { None }
    }

    /// Takes all body bytes that `buffer` holds.
    ///
    /// # Errors
    /// A chunk is malformed.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, Http1Error> {
        let data = match &mut self.state {
            State::Done => return Ok(Decoded::End),
            State::Close => buffer.split().freeze(),
            State::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                *left -= take as u64;
                if *left == 0 {
                    self.state = State::Done;
                }
                buffer.split_to(take).freeze()
            }
            _ => self.chunks(buffer)?,
        };
        Ok(match (data.is_empty(), self.is_done()) {
            (false, _) => Decoded::Data(data),
            (true, true) => Decoded::End,
            (true, false) => Decoded::More,
        })
    }

    /// Walks over all chunks in the buffer and moves their data together, so that one read gives one piece.
    fn chunks(&mut self, buffer: &mut BytesMut) -> Result<Bytes, Http1Error> {
        let mut read = 0;
        let mut written = 0;
        loop {
            match self.state {
                State::ChunkData(left) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len() - read);
                    buffer.copy_within(read..read + take, written);
                    read += take;
                    written += take;
                    let left = left - take as u64;
                    if left > 0 {
                        self.state = State::ChunkData(left);
                        break;
                    }
                    self.state = State::ChunkEnd;
                }
                _ => match self.between(&buffer[read..]) {
                    Ok(Some(length)) => read += length,
                    Ok(None) => break,
                    // What came before the fault is given out first; the next call meets the fault again.
                    Err(_) if written > 0 => break,
                    Err(error) => return Err(error),
                },
            }
        }
        let data = buffer.split_to(written).freeze();
        buffer.advance(read - written);
        Ok(data)
    }
}

impl BodyDecoder {
    /// Takes what stands between the data of two chunks. Gives its length; none while it is not whole, or at the end.
    fn between(&mut self, bytes: &[u8]) -> Result<Option<usize>, Http1Error> {
        let (next, length) = match self.state {
            State::ChunkEnd => match bytes.get(..2) {
                Some(b"\r\n") => (State::ChunkSize, 2),
                Some(_) => return Err(Http1Error("a chunk is longer than it says")),
                None => return Ok(None),
            },
            State::ChunkSize => {
                let Some(text) = line(bytes, MAX_CHUNK_LINE)? else { return Ok(None) };
                let next = match chunk_size(text)? {
                    0 => State::Trailers { read: 0 },
                    size => State::ChunkData(size),
                };
                (next, text.len() + 2)
            }
            State::Trailers { read } => {
                let Some(text) = line(bytes, MAX_TRAILERS)? else { return Ok(None) };
                let read = read + text.len();
                if read > MAX_TRAILERS {
                    return Err(Http1Error("the trailers are longer than 16 KiB"));
                }
                self.keep_trailer(text);
                (if text.is_empty() { State::Done } else { State::Trailers { read } }, text.len() + 2)
            }
            State::Length(_) | State::ChunkData(_) | State::Close | State::Done => return Ok(None),
        };
        self.state = next;
        Ok(Some(length))
    }

    /// What is not a field is passed over: the framing does not depend on it.
    fn keep_trailer(&mut self, line: &[u8]) {
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) else {
            return;
        };
        let trailers = self.trailers.get_or_insert_default();
        if trailers.len() < MAX_HEADERS {
            trailers.append(name, value);
        }
    }
}

/// The line at the front, without its end; none while it is not whole.
fn line(bytes: &[u8], limit: usize) -> Result<Option<&[u8]>, Http1Error> {
    match memchr::memchr(b'\n', bytes) {
        Some(end) if end > limit => Err(Http1Error("a chunk-size line or trailer is too long")),
        Some(end) => match bytes[..end].strip_suffix(b"\r") {
            Some(text) => Ok(Some(text)),
            None => Err(Http1Error("a chunk-size line or trailer ends in a bare line feed")),
        },
        None if bytes.len() > limit => Err(Http1Error("a chunk-size line or trailer is too long")),
        None => Ok(None),
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, Http1Error> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    if digits.is_empty() || digits.len() > 16 {
        return Err(Http1Error("a chunk size is malformed"));
    }
    digits.iter().try_fold(0u64, |size, byte| {
        let digit = char::from(*byte).to_digit(16).ok_or(Http1Error("a chunk size is malformed"))?;
        Ok(size << 4 | u64::from(digit))
    })
}
