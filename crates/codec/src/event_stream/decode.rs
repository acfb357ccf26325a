use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::header::Headers;
use super::{CHECKSUM, MAX_HEADERS, OVERHEAD, PRELUDE, Value};

/// A frame may have this many bytes, as AWS bounds them.
pub const MAX_FRAME: usize = 16 << 20;

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The checksum of the first eight bytes is another.
    #[error("the checksum of its lengths is wrong")]
    PreludeChecksum,
    /// Shorter than the shortest frame, or longer than the longest.
    #[error("its length of {0} bytes is not that of a frame")]
    Length(u32),
    /// The headers would be longer than the frame, or than headers may be.
    #[error("its headers cannot have {0} bytes")]
    HeadersLength(u32),
    /// The checksum of the frame is another.
    #[error("its checksum is wrong")]
    Checksum,
    /// A header ends behind the end of the headers.
    #[error("a header is cut")]
    HeaderCut,
    /// A header's name is empty or not UTF-8.
    #[error("a header has no name")]
    HeaderName,
    /// A header's text is not UTF-8.
    #[error("the text of a header is not UTF-8")]
    HeaderText,
    /// No value has that type.
    #[error("a header has the unknown type {0}")]
    HeaderType(u8),
    /// The stream ended inside the frame.
    #[error("the stream ends inside it")]
    Cut,
}

/// A stream that is broken, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame {frame} of the event stream, at byte {at}: {flaw}")]
pub struct FrameError {
    /// The frame's number, from 1.
    pub frame: u64,
    /// The byte of the stream where it is wrong, from 0; of a wrong checksum, where the checksum stands.
    pub at: u64,
    /// What is wrong.
    pub flaw: Flaw,
}

/// A frame whose checksums and headers are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    payload: usize,
}

impl Frame {
    /// The frame as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What it carries.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.payload..self.bytes.len() - CHECKSUM]
    }

    /// Its headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        let mut headers = Headers::of(&self.bytes[PRELUDE..self.payload]);
        // They were read once when the frame was taken, so that none is wrong.
        std::iter::from_fn(move || headers.next().ok().flatten())
    }

    /// The value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<Value<'_>> {
        self.headers().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// Takes frames off a byte stream that is cut anywhere.
///
/// It holds what has come of one frame, at most [`MAX_FRAME`] bytes, and what was pushed beside it. Once something was wrong
/// it says so for ever: nobody knows where the next frame would begin.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: BytesMut,
    /// Bytes of the frames that were given out.
    given: u64,
    frames: u64,
    broken: Option<FrameError>,
}

impl FrameDecoder {
    /// Takes the next bytes. [`FrameDecoder::frame`] is to be asked until it has no more before the next piece comes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next frame that is whole. None if more bytes have to come first.
    ///
    /// # Errors
    /// What came is no frame. Lengths are believed only once their checksum is right.
    pub fn frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        match self.whole() {
            Ok(None) => Ok(None),
            Ok(Some((length, payload))) => {
                let bytes = self.buffer.split_to(length).freeze();
                self.given += length as u64;
                self.frames += 1;
                Ok(Some(Frame { bytes, payload }))
            }
            Err((at, flaw)) => {
                let error = self.error(at, flaw);
                self.broken = Some(error);
                self.buffer = BytesMut::new();
                Err(error)
            }
        }
    }

    /// What has come of a frame that is not whole.
    pub fn tail(&self) -> &[u8] {
        &self.buffer
    }

    /// To be asked at the end of the stream.
    ///
    /// # Errors
    /// It ended inside a frame, or something was wrong before.
    pub fn finish(&self) -> Result<(), FrameError> {
        match self.broken {
            Some(error) => Err(error),
            None if self.buffer.is_empty() => Ok(()),
            None => Err(self.error(self.buffer.len(), Flaw::Cut)),
        }
    }

    fn error(&self, at: usize, flaw: Flaw) -> FrameError {
        FrameError { frame: self.frames + 1, at: self.given + at as u64, flaw }
    }

    /// Length of the first frame and the beginning of its payload, once it is whole and right; else what is wrong and
    /// where in it.
    fn whole(&self) -> Result<Option<(usize, usize)>, (usize, Flaw)> {
        let Some(prelude) = self.buffer.get(..PRELUDE) else { return Ok(None) };
        if crc32fast::hash(&prelude[..8]) != word(prelude, 8..12) {
            return Err((8, Flaw::PreludeChecksum));
        }
        let (announced, of_headers) = (word(prelude, 0..4), word(prelude, 4..8));
        let length = usize::try_from(announced).unwrap_or(usize::MAX);
        if !(OVERHEAD..=MAX_FRAME).contains(&length) {
            return Err((0, Flaw::Length(announced)));
        }
        let headers = usize::try_from(of_headers).unwrap_or(usize::MAX);
        if headers > (length - OVERHEAD).min(MAX_HEADERS) {
            return Err((4, Flaw::HeadersLength(of_headers)));
        }
        let Some(frame) = self.buffer.get(..length) else { return Ok(None) };
        let end = length - CHECKSUM;
        if crc32fast::hash(&frame[..end]) != word(frame, end..length) {
            return Err((end, Flaw::Checksum));
        }
        let payload = PRELUDE + headers;
        let mut read = Headers::of(&frame[PRELUDE..payload]);
        loop {
            match read.next() {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Some((length, payload))),
                Err(flaw) => return Err((PRELUDE + read.at, flaw)),
            }
        }
    }
}

/// A number of four bytes; the range has four.
fn word(bytes: &[u8], range: Range<usize>) -> u32 {
    bytes[range].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}
