//! A raw HTTP/2 client with prior knowledge: frames are written and read by hand, so that a test may send what no library
//! would. It opens every window to its limit and switches the dynamic header table off, which leaves little to keep track of.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// The flags of DATA and HEADERS, and of SETTINGS and PING.
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;

/// The error code by which a client says that it no longer wants an answer.
pub const CANCEL: u32 = 8;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LARGEST_WINDOW: u32 = 0x7fff_ffff;
/// What a connection's window is before any WINDOW_UPDATE.
const FIRST_WINDOW: u32 = 65_535;
/// The longest silence that a test accepts.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literals that enter no table (RFC 7541 §6.2.2).
pub fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.push(0);
        for text in [name, value] {
            push_length(&mut bytes, text.len());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn push_length(bytes: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        bytes.push(u8::try_from(length).expect("below 127"));
        return;
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).expect("below 128") | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).expect("below 128"));
}

/// The header block of a POST of JSON.
pub fn post_block(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a6.test"),
        ("content-type", "application/json"),
    ];
    block(&[&usual[..], more].concat())
}

/// A frame as it was read.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM, which is all of its payload, or of GOAWAY, where the last stream stands before it.
    pub fn error_code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let code = self.payload.get(at..at + 4).and_then(|code| code.try_into().ok());
        u32::from_be_bytes(code.unwrap_or_else(|| panic!("no error code in {self:?}")))
    }

    /// The last stream that GOAWAY promises to serve.
    pub fn last_stream(&self) -> u32 {
        let last = self.payload.get(..4).and_then(|last| last.try_into().ok());
        u32::from_be_bytes(last.unwrap_or_else(|| panic!("no stream in {self:?}"))) & LARGEST_WINDOW
    }
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// END_STREAM: the answer is whole.
    Stream,
    /// RST_STREAM with this code.
    Reset(u32),
    /// The connection ended first.
    Connection,
}

/// An answer, and how it ended.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 0 where no head came.
    pub status: u16,
    pub body: Vec<u8>,
    pub end: End,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What a connection's bytes go through.
pub trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// A connection.
pub struct Http2 {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    next: u32,
    /// The GOAWAY frames that came so far.
    pub farewells: Vec<Frame>,
}

impl Http2 {
    /// Connects with the largest windows there are.
    pub fn open(address: SocketAddr) -> Self {
        Self::with_window(address, LARGEST_WINDOW).widened()
    }

    /// Speaks over a connection that is there, such as one in TLS, with the largest windows there are.
    pub fn over(stream: impl Stream + 'static) -> Self {
        Self::begin(Box::new(stream), LARGEST_WINDOW).widened()
    }

    fn widened(mut self) -> Self {
        let increment = LARGEST_WINDOW - FIRST_WINDOW;
        self.write(&frame(WINDOW_UPDATE, 0, 0, &increment.to_be_bytes()));
        self
    }

    /// Connects; the other side may send so many bytes of each answer until a WINDOW_UPDATE.
    pub fn with_window(address: SocketAddr, window: u32) -> Self {
        let stream =
            TcpStream::connect(address).unwrap_or_else(|e| panic!("cannot connect to {address}: {e}"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        Self::begin(Box::new(stream), window)
    }

    fn begin(stream: Box<dyn Stream>, window: u32) -> Self {
        let mut http2 = Self { stream, buffer: Vec::new(), next: 1, farewells: Vec::new() };
        // SETTINGS_HEADER_TABLE_SIZE is 1, SETTINGS_INITIAL_WINDOW_SIZE is 4.
        let settings = [&[0, 1, 0, 0, 0, 0, 0, 4][..], &window.to_be_bytes()].concat();
        http2.write(&[PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat());
        http2
    }

    /// Writes what the other side takes; false where it has closed.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write_all(bytes) {
            Ok(()) => true,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the other side took nothing for {PATIENCE:?}")
            }
            Err(_) => false,
        }
    }

    /// The number of a new stream.
    pub fn next_stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Sends a POST of JSON; returns its stream.
    pub fn post(&mut self, path: &str, more: &[(&str, &str)], body: &Value) -> u32 {
        let stream = self.next_stream();
        let head = frame(HEADERS, END_HEADERS, stream, &post_block(path, more));
        let body = frame(DATA, END_STREAM, stream, body.to_string().as_bytes());
        self.write(&[head, body].concat());
        stream
    }

    /// The next frame; SETTINGS and PING are answered. `None` where the connection ends first.
    pub fn next_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take_frame() {
                match (frame.kind, frame.flags & ACK) {
                    (SETTINGS, 0) => {
                        self.write(&self::frame(SETTINGS, ACK, 0, &[]));
                    }
                    (PING, 0) => {
                        self.write(&self::frame(PING, ACK, 0, &frame.payload));
                    }
                    (GOAWAY, _) => self.farewells.push(frame.clone()),
                    _ => {}
                }
                return Some(frame);
            }
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend_from_slice(&bytes[..count]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("no frame came for {PATIENCE:?}")
                }
                Err(_) => return None,
            }
        }
    }

    fn take_frame(&mut self) -> Option<Frame> {
        let &[a, b, c, kind, flags, d, e, f, g, ..] = self.buffer.as_slice() else { return None };
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).expect("24 bits");
        if self.buffer.len() < 9 + length {
            return None;
        }
        let payload = self.buffer[9..9 + length].to_vec();
        self.buffer.drain(..9 + length);
        let stream = u32::from_be_bytes([d, e, f, g]) & LARGEST_WINDOW;
        Some(Frame { kind, flags, stream, payload })
    }

    /// Reads this stream's first piece of a body; what comes before it is thrown away, for whatever stream it is.
    pub fn first_data(&mut self, stream: u32) -> Vec<u8> {
        loop {
            let frame = self.next_frame().expect("a frame before the connection ends");
            if frame.kind == DATA && frame.stream == stream {
                return frame.payload;
            }
            assert_ne!((frame.kind, frame.stream), (RST_STREAM, stream), "it was reset: {frame:?}");
        }
    }

    /// Reads one whole answer.
    pub fn answer(&mut self, stream: u32) -> Answer {
        self.answers(&[stream]).remove(&stream).expect("the answer that was waited for")
    }

    /// Reads the answers of these streams, however they interleave.
    pub fn answers(&mut self, streams: &[u32]) -> BTreeMap<u32, Answer> {
        let begun = Answer { status: 0, body: Vec::new(), end: End::Connection };
        let mut answers: BTreeMap<u32, Answer> = streams.iter().map(|id| (*id, begun.clone())).collect();
        let mut open = streams.len();
        while open > 0 {
            let Some(frame) = self.next_frame() else { break };
            let Some(answer) = answers.get_mut(&frame.stream) else { continue };
            if answer.end != End::Connection {
                let goes_on = answer.end == End::Stream && matches!(frame.kind, HEADERS | DATA);
                assert!(!goes_on, "stream {} goes on behind its end: {frame:?}", frame.stream);
                continue;
            }
            match frame.kind {
                HEADERS if answer.status == 0 => answer.status = status(&frame.payload),
                // Trailers.
                HEADERS => {}
                DATA => answer.body.extend_from_slice(&frame.payload),
                RST_STREAM => answer.end = End::Reset(frame.error_code()),
                _ => continue,
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                answer.end = End::Stream;
            }
            open -= usize::from(answer.end != End::Connection);
        }
        answers
    }

    /// Reads until the other side closes, throwing away what comes; the frames that told of an error are kept in
    /// [`Http2::farewells`].
    pub fn until_closed(&mut self) {
        while self.next_frame().is_some() {}
    }
}

/// The status of a header block that begins with `:status`, as every answer's does.
fn status(block: &[u8]) -> u16 {
    // Each change of the table's size is told first (RFC 7541 §6.3).
    let sizes = block.iter().take_while(|byte| **byte & 0b1110_0000 == 0b0010_0000).count();
    match &block[sizes..] {
        // The entries 8 to 14 of the static table.
        [first, ..] if (0x88..=0x8e).contains(first) => {
            [200, 204, 206, 304, 400, 404, 500][usize::from(first & 0x7f) - 8]
        }
        // A literal whose name is entry 8, with or without a place in a table.
        [0x08 | 0x18 | 0x48, length, value @ ..] if length & 0x80 == 0 => {
            let digits = String::from_utf8_lossy(&value[..usize::from(*length)]).into_owned();
            digits.parse().unwrap_or_else(|_| panic!("not a status: {digits:?}"))
        }
        [0x08 | 0x18 | 0x48, length, value @ ..] => huffman_digits(&value[..usize::from(length & 0x7f)]),
        other => panic!("not the head of an answer: {other:?}"),
    }
}

/// Three digits in the code of RFC 7541, appendix B: `0`, `1` and `2` are 0 to 2 in five bits, `3` to `9` are 25 to 31 in six.
fn huffman_digits(coded: &[u8]) -> u16 {
    let bits: Vec<u16> =
        coded.iter().flat_map(|byte| (0..8).rev().map(move |at| u16::from((byte >> at) & 1))).collect();
    let mut rest = bits.as_slice();
    let mut number = 0;
    for _ in 0..3 {
        let value = |count: usize| rest[..count].iter().fold(0u16, |value, bit| value * 2 + *bit);
        let (digit, length) = match (value(5), rest.len()) {
            (short @ 0..=2, _) => (short, 5),
            (_, 6..) if (25..=31).contains(&value(6)) => (value(6) - 22, 6),
            _ => panic!("not a status in Huffman's code: {coded:?}"),
        };
        number = number * 10 + digit;
        rest = &rest[length..];
    }
    number
}
