//! AWS event streams (`application/vnd.amazon.eventstream`): frames with headers, a payload and two checksums.
//!
//! - `decode.rs`: [`FrameDecoder`], whole frames out of a byte stream that is cut anywhere.
//! - `header.rs`: [`Value`], what a header can hold.
//! - `encode.rs`: [`encode`], a frame's bytes.
//!
//! The format, in bytes: the frame's length (4), the headers' length (4), CRC-32 of these eight (4), headers, payload, CRC-32
//! of all before it (4). Numbers are big endian. Source: "Event stream encoding" of AWS's Smithy.

mod decode;
mod encode;
mod header;
#[cfg(test)]
mod tests;

pub use decode::{Flaw, Frame, FrameDecoder, FrameError, MAX_FRAME};
pub use encode::{Unencodable, encode};
pub use header::Value;

/// The media type of such a stream.
pub const MEDIA_TYPE: &str = "application/vnd.amazon.eventstream";

/// Length, length of the headers, and their checksum.
const PRELUDE: usize = 12;
/// What a frame has besides headers and payload.
const OVERHEAD: usize = PRELUDE + CHECKSUM;
const CHECKSUM: usize = 4;
/// More than that is no frame's headers.
const MAX_HEADERS: usize = 128 << 10;
