use super::*;
use bytes::Bytes;

/// The examples of AWS's own C implementation (aws-c-event-stream, tests of its decoder).
const EMPTY: &[u8] = b"\0\0\0\x10\0\0\0\0\x05\xc2\x48\xeb\x7d\x98\xc8\xff";
const NO_HEADERS: &[u8] = b"\0\0\0\x1d\0\0\0\0\xfd\x52\x8c\x5a{'foo':'bar'}\xc3\x65\x39\x36";
const ONE_HEADER: &[u8] =
    b"\0\0\0\x3d\0\0\0\x20\x07\xfd\x83\x96\x0ccontent-type\x07\0\x10application/json{'foo':'bar'}\x8d\x9c\x08\xb1";

fn decode(bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let mut decoder = FrameDecoder::default();
    decoder.push(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.frame()? {
        frames.push(frame);
    }
    decoder.finish().map(|()| frames)
}

#[test]
fn the_published_examples_are_read_and_written() {
    let json = ("content-type", Value::Text("application/json"));
    let cases: [(&[u8], &[(&str, Value<'_>)], &[u8]); 3] =
        [(EMPTY, &[], b""), (NO_HEADERS, &[], b"{'foo':'bar'}"), (ONE_HEADER, &[json], b"{'foo':'bar'}")];
    for (bytes, headers, payload) in cases {
        let frames = decode(bytes).unwrap();
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].bytes(), frames[0].payload()), (&Bytes::from(bytes), payload));
        assert_eq!(frames[0].headers().collect::<Vec<_>>(), headers);
        assert_eq!(encode(headers, payload).unwrap(), bytes);
    }
}

#[test]
fn every_type_of_header_comes_back() {
    let headers = [
        ("yes", Value::Bool(true)),
        ("no", Value::Bool(false)),
        ("byte", Value::Byte(-3)),
        ("short", Value::Short(-300)),
        ("integer", Value::Integer(-70_000)),
        ("long", Value::Long(i64::MIN)),
        ("bytes", Value::Bytes(b"\xff\0")),
        ("text", Value::Text("h\u{e9}")),
        ("empty", Value::Text("")),
        ("moment", Value::Timestamp(1_700_000_000_123)),
        ("uuid", Value::Uuid(*b"0123456789abcdef")),
    ];
    let frame = encode(&headers, b"p").unwrap();
    let frames = decode(&frame).unwrap();
    assert_eq!(frames[0].headers().collect::<Vec<_>>(), headers);
    assert_eq!(frames[0].header("text").and_then(Value::text), Some("h\u{e9}"));
    assert_eq!((frames[0].header("byte").and_then(Value::text), frames[0].header("none")), (None, None));
}

#[test]
fn every_cut_gives_the_same_frames_and_a_cut_frame_is_no_end() {
    let stream = [ONE_HEADER, EMPTY, NO_HEADERS].concat();
    let ends = [0, ONE_HEADER.len(), ONE_HEADER.len() + EMPTY.len(), stream.len()];
    for cut in 0..=stream.len() {
        let mut decoder = FrameDecoder::default();
        let mut taken = Vec::new();
        for piece in [&stream[..cut], &stream[cut..]] {
            decoder.push(piece);
            while let Some(frame) = decoder.frame().unwrap() {
                taken.extend_from_slice(frame.bytes());
            }
        }
        assert_eq!((taken.as_slice(), decoder.tail()), (stream.as_slice(), &b""[..]), "{cut}");
        assert_eq!(decoder.finish(), Ok(()), "{cut}");
        let result = decode(&stream[..cut]);
        match ends.iter().position(|end| *end == cut) {
            Some(frames) => assert_eq!(result.unwrap().len(), frames, "{cut}"),
            None => {
                let error = result.unwrap_err();
                let frame = ends.iter().filter(|end| **end < cut).count() as u64;
                assert_eq!(error, FrameError { frame, at: cut as u64, flaw: Flaw::Cut }, "{cut}");
            }
        }
    }
}

/// A frame whose checksums are right, whatever it says.
fn forged(length: u32, of_headers: u32, rest: &[u8]) -> Vec<u8> {
    let mut frame = [length.to_be_bytes(), of_headers.to_be_bytes()].concat();
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(rest);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}

fn with_headers(headers: &[u8]) -> Vec<u8> {
    let length = u32::try_from(headers.len()).unwrap();
    forged(length + 16, length, headers)
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let flipped = |at: usize| {
        let mut bytes = ONE_HEADER.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let cases: [(&str, Vec<u8>, u64, Flaw); 14] = [
        ("length", flipped(3), 8, Flaw::PreludeChecksum),
        ("headers' length", flipped(7), 8, Flaw::PreludeChecksum),
        ("checksum of lengths", flipped(11), 8, Flaw::PreludeChecksum),
        ("header", flipped(20), 57, Flaw::Checksum),
        ("payload", flipped(50), 57, Flaw::Checksum),
        ("checksum", flipped(60), 57, Flaw::Checksum),
        ("too short", forged(15, 0, b""), 0, Flaw::Length(15)),
        ("too long", forged((16 << 20) + 1, 0, b""), 0, Flaw::Length((16 << 20) + 1)),
        ("headers beyond the frame", forged(20, 5, b"abcd"), 4, Flaw::HeadersLength(5)),
        ("name of no bytes", with_headers(b"\x01a\x00\x00\x00"), 15, Flaw::HeaderName),
        ("name not UTF-8", with_headers(b"\x01\xff\x00"), 12, Flaw::HeaderName),
        ("type", with_headers(b"\x01a\x0a"), 12, Flaw::HeaderType(10)),
        ("text not UTF-8", with_headers(b"\x01a\x07\x00\x01\xff"), 12, Flaw::HeaderText),
        ("value beyond the headers", with_headers(b"\x01a\x06\x00\x02x"), 12, Flaw::HeaderCut),
    ];
    for (name, bytes, at, flaw) in cases {
        assert_eq!(decode(&bytes), Err(FrameError { frame: 1, at, flaw }), "{name}");
        let second = [NO_HEADERS, &bytes].concat();
        let at = at + NO_HEADERS.len() as u64;
        assert_eq!(decode(&second), Err(FrameError { frame: 2, at, flaw }), "{name} behind another");
    }
}

#[test]
fn a_broken_stream_stays_broken_and_holds_nothing() {
    let mut decoder = FrameDecoder::default();
    decoder.push(&forged(15, 0, b""));
    let error = decoder.frame().unwrap_err();
    decoder.push(NO_HEADERS);
    assert_eq!((decoder.frame(), decoder.finish()), (Err(error), Err(error)));
    assert_eq!((decoder.tail(), error.to_string().as_str()), (&b""[..], TOO_SHORT));
}

const TOO_SHORT: &str =
    "frame 1 of the event stream, at byte 0: its length of 15 bytes is not that of a frame";

#[test]
fn what_the_format_cannot_express_is_refused() {
    let long = "n".repeat(256);
    let value = "v".repeat(65_536);
    let yes = Value::Bool(true);
    assert_eq!(encode(&[("", yes)], b""), Err(Unencodable::Name(0)));
    assert_eq!(encode(&[("a", yes), (&long, yes)], b""), Err(Unencodable::Name(1)));
    assert_eq!(encode(&[("a", Value::Text(&value))], b""), Err(Unencodable::Value(0)));
    assert_eq!(encode(&[("a", Value::Bytes(value.as_bytes()))], b""), Err(Unencodable::Value(0)));
    let most = vec![0; MAX_FRAME - OVERHEAD];
    assert_eq!(encode(&[], &most).map(|frame| frame.len()), Ok(MAX_FRAME));
    assert_eq!(encode(&[("a", yes)], &most), Err(Unencodable::Length));
}
