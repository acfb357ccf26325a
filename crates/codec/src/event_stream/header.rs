use bytes::{BufMut, BytesMut};

use super::decode::Flaw;

/// What a header holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Yes or no.
    Bool(bool),
    /// One byte.
    Byte(i8),
    /// Two bytes.
    Short(i16),
    /// Four bytes.
    Integer(i32),
    /// Eight bytes.
    Long(i64),
    /// Any bytes, at most 65,535.
    Bytes(&'a [u8]),
    /// A text of at most 65,535 bytes.
    Text(&'a str),
    /// A moment, in milliseconds since the Unix epoch.
    Timestamp(i64),
    /// A UUID.
    Uuid([u8; 16]),
}

impl<'a> Value<'a> {
    /// The text, if it is one.
    pub fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Writes type and value. False if the value is too long to be written.
    pub(super) fn write(self, out: &mut BytesMut) -> bool {
        match self {
            Self::Bool(yes) => out.put_u8(u8::from(!yes)),
            Self::Byte(number) => {
                out.put_u8(2);
                out.put_i8(number);
            }
            Self::Short(number) => {
                out.put_u8(3);
                out.put_i16(number);
            }
            Self::Integer(number) => {
                out.put_u8(4);
                out.put_i32(number);
            }
            Self::Long(number) => {
                out.put_u8(5);
                out.put_i64(number);
            }
            Self::Bytes(bytes) => return write_long(out, 6, bytes),
            Self::Text(text) => return write_long(out, 7, text.as_bytes()),
            Self::Timestamp(moment) => {
                out.put_u8(8);
                out.put_i64(moment);
            }
            Self::Uuid(bytes) => {
                out.put_u8(9);
                out.put_slice(&bytes);
            }
        }
        true
    }
}

fn write_long(out: &mut BytesMut, kind: u8, bytes: &[u8]) -> bool {
    let Ok(length) = u16::try_from(bytes.len()) else { return false };
    out.put_u8(kind);
    out.put_u16(length);
    out.put_slice(bytes);
    true
}

/// Reads headers one after the other.
pub(super) struct Headers<'a> {
    bytes: &'a [u8],
    /// Where the next header begins.
    pub(super) at: usize,
}

impl<'a> Headers<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next header. None at the end.
    pub(super) fn next(&mut self) -> Result<Option<(&'a str, Value<'a>)>, Flaw> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let mut rest = &self.bytes[self.at..];
        let length = usize::from(u8::from_be_bytes(array(&mut rest)?));
        if length == 0 {
            return Err(Flaw::HeaderName);
        }
        let name = std::str::from_utf8(take(&mut rest, length)?).map_err(|_| Flaw::HeaderName)?;
        let value = value(&mut rest)?;
        self.at = self.bytes.len() - rest.len();
        Ok(Some((name, value)))
    }
}

fn value<'a>(rest: &mut &'a [u8]) -> Result<Value<'a>, Flaw> {
    Ok(match u8::from_be_bytes(array(rest)?) {
        0 => Value::Bool(true),
        1 => Value::Bool(false),
        2 => Value::Byte(i8::from_be_bytes(array(rest)?)),
        3 => Value::Short(i16::from_be_bytes(array(rest)?)),
        4 => Value::Integer(i32::from_be_bytes(array(rest)?)),
        5 => Value::Long(i64::from_be_bytes(array(rest)?)),
        6 => Value::Bytes(long(rest)?),
        7 => Value::Text(std::str::from_utf8(long(rest)?).map_err(|_| Flaw::HeaderText)?),
        8 => Value::Timestamp(i64::from_be_bytes(array(rest)?)),
        9 => Value::Uuid(array(rest)?),
        kind => return Err(Flaw::HeaderType(kind)),
    })
}

fn long<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Flaw> {
    let length = usize::from(u16::from_be_bytes(array(rest)?));
    take(rest, length)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Flaw> {
    let (taken, left) = rest.split_at_checked(length).ok_or(Flaw::HeaderCut)?;
    *rest = left;
    Ok(taken)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Flaw> {
    let (taken, left) = rest.split_first_chunk::<N>().ok_or(Flaw::HeaderCut)?;
    let taken = *taken;
    *rest = left;
    Ok(taken)
}
