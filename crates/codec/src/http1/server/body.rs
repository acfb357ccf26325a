use crate::http1::{Framing, Http1Error};

/// Extensions, and zeros that stand before a size: bytes of one body.
const MAX_EXTENSIONS: usize = 16 << 10;
/// Bytes and lines of the trailers.
const MAX_TRAILERS: usize = 16 << 10;
const MAX_TRAILER_LINES: usize = 100;

/// Tells a request's body from what frames it. It sees the bytes where they are and takes none of them: the caller takes
/// [`RequestDecoder::framing`] bytes away, then up to [`RequestDecoder::data`] bytes of body, and tells how many.
#[derive(Debug)]
pub struct RequestDecoder {
    state: State,
    /// Bytes that are read for nothing: extensions and leading zeros, then trailers.
    overhead: usize,
    trailer_lines: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// A body with a length: so many bytes are left.
    Length(u64),
    /// Before the first digit of a chunk's size.
    SizeStart,
    Size(u64),
    /// Behind the size: white space, then an extension or the end of the line.
    SizeSpace(u64),
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// Before a trailer or the empty line.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
    /// What comes can no longer be read.
    Broken(Http1Error),
}

impl RequestDecoder {
    /// For a body framed like that. No request ends with its connection: [`Framing::Close`] counts as no body.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty | Framing::Close | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::SizeStart,
        };
        Self { state, overhead: 0, trailer_lines: 0 }
    }

    /// Whether the body is over.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of body that are certain to come next, unless the client goes away; none within framing.
    pub fn data(&self) -> u64 {
        match self.state {
            State::Length(left) | State::Data(left) => left,
            _ => 0,
        }
    }

    /// Whether all that is left is announced.
    pub fn has_length(&self) -> bool {
        matches!(self.state, State::Length(_) | State::Done)
    }

    /// So many of the [`RequestDecoder::data`] bytes were taken.
    pub fn passed(&mut self, count: u64) {
        self.state = match self.state {
            State::Length(left) if left <= count => State::Done,
            State::Length(left) => State::Length(left - count),
            State::Data(left) if left <= count => State::DataCr,
            State::Data(left) => State::Data(left - count),
            other => other,
        };
    }

    /// Walks over what stands before the next byte of body, as far as `bytes` go. Gives its length.
    ///
    /// # Errors
    /// A chunk or a trailer is malformed; it is told again at every further call.
    pub fn framing(&mut self, bytes: &[u8]) -> Result<usize, Http1Error> {
        for (at, byte) in bytes.iter().enumerate() {
            match self.state {
                State::Length(_) | State::Data(_) | State::Done => return Ok(at),
                State::Broken(error) => return Err(error),
                _ => match self.step(*byte) {
                    Ok(state) => self.state = state,
                    Err(error) => {
                        self.state = State::Broken(error);
                        return Err(error);
                    }
                },
            }
        }
        match self.state {
            State::Broken(error) => Err(error),
            _ => Ok(bytes.len()),
        }
    }

    fn step(&mut self, byte: u8) -> Result<State, Http1Error> {
        const SIZE: Http1Error = Http1Error("a chunk size is malformed");
        const LINE: Http1Error = Http1Error("a line of the chunked framing does not end in CR LF");
        const TRAILER: Http1Error = Http1Error("a trailer is malformed");
        Ok(match (self.state, byte) {
            (State::SizeStart, _) => self.digit(0, byte).ok_or(SIZE)??,
            (State::Size(size) | State::SizeSpace(size), b' ' | b'\t') => State::SizeSpace(size),
            (State::Size(size) | State::SizeSpace(size), b';') => State::Extension(size),
            (State::Size(size) | State::SizeSpace(size) | State::Extension(size), b'\r') => {
                State::SizeLf(size)
            }
            (State::Size(size), _) => self.digit(size, byte).ok_or(SIZE)??,
            (State::SizeSpace(_), _) => return Err(SIZE),
            // Some readers take a bare line feed for the end of the line.
            (State::Extension(_), b'\n') => return Err(LINE),
            (State::Extension(_), _) => {
                self.waste(MAX_EXTENSIONS)?;
                self.state
            }
            (State::SizeLf(0), b'\n') => {
                self.overhead = 0;
                State::TrailerStart
            }
            (State::SizeLf(size), b'\n') => State::Data(size),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::SizeStart,
            (State::DataCr | State::DataLf, _) => {
                return Err(Http1Error("a chunk is longer than it says"));
            }
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart, _) if is_token(byte) && self.trailer_lines < MAX_TRAILER_LINES => {
                self.trailer_lines += 1;
                State::TrailerName
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerName, _) if is_token(byte) => {
                self.waste(MAX_TRAILERS)?;
                self.state
            }
            (State::TrailerValue, _) if is_value(byte) => {
                self.waste(MAX_TRAILERS)?;
                self.state
            }
            (State::TrailerStart | State::TrailerName | State::TrailerValue, _) => return Err(TRAILER),
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => State::Done,
            (State::SizeLf(_) | State::TrailerLf | State::EndLf, _) => return Err(LINE),
            (State::Length(_) | State::Data(_) | State::Done | State::Broken(_), _) => self.state,
        })
    }

    /// One more digit of a size; none if it is no digit.
    fn digit(&mut self, size: u64, byte: u8) -> Option<Result<State, Http1Error>> {
        let digit = char::from(byte).to_digit(16)?;
        if size == 0
            && digit == 0
            && let Err(error) = self.waste(MAX_EXTENSIONS)
        {
            return Some(Err(error));
        }
        let larger = size.checked_mul(16).map(|size| size | u64::from(digit));
        Some(larger.map(State::Size).ok_or(Http1Error("a chunk size is 2^64 or more")))
    }

    /// Counts a byte that is read for nothing.
    fn waste(&mut self, limit: usize) -> Result<(), Http1Error> {
        self.overhead += 1;
        if self.overhead > limit {
            Err(Http1Error("the chunked framing is longer than 16 KiB"))
        } else {
            Ok(())
        }
    }
}

/// What a name may hold (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What a value may hold: anything but control characters.
fn is_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
