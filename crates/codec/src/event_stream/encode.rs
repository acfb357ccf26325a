use bytes::{BufMut, Bytes, BytesMut};

use super::decode::MAX_FRAME;
use super::{MAX_HEADERS, OVERHEAD, Value};

/// A frame that the format cannot express.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unencodable {
    /// A header's name is empty or has more than 255 bytes.
    #[error("the name of header {0} is empty or longer than 255 bytes")]
    Name(usize),
    /// A header's value has more than 65,535 bytes.
    #[error("the value of header {0} is longer than 65,535 bytes")]
    Value(usize),
    /// The frame, or its headers, would be too long.
    #[error("the frame would be longer than a frame may be")]
    Length,
}

/// The bytes of a frame.
///
/// # Errors
/// A name, a value or the whole is longer than the format allows.
pub fn encode(headers: &[(&str, Value<'_>)], payload: &[u8]) -> Result<Bytes, Unencodable> {
    let mut written = BytesMut::new();
    for (number, (name, value)) in headers.iter().enumerate() {
        let length = u8::try_from(name.len()).ok().filter(|length| *length > 0);
        written.put_u8(length.ok_or(Unencodable::Name(number))?);
        written.put_slice(name.as_bytes());
        if !value.write(&mut written) {
            return Err(Unencodable::Value(number));
        }
    }
    let length = written.len() + payload.len() + OVERHEAD;
    if written.len() > MAX_HEADERS || length > MAX_FRAME {
        return Err(Unencodable::Length);
    }
    let word = |length: usize| u32::try_from(length).map_err(|_| Unencodable::Length);
    let mut frame = BytesMut::with_capacity(length);
    frame.put_u32(word(length)?);
    frame.put_u32(word(written.len())?);
    let checksum = crc32fast::hash(&frame);
    frame.put_u32(checksum);
    frame.put_slice(&written);
    frame.put_slice(payload);
    let checksum = crc32fast::hash(&frame);
    frame.put_u32(checksum);
    Ok(frame.freeze())
}
