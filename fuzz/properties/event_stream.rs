//! Any bytes cut anywhere: the frames are the same for every cut, and so is what is wrong and where. What is taken as a
//! frame is written again as the same bytes.
//!
//! An input is a line of lengths of pieces, then the stream.

use a6_codec::event_stream::{Flaw, FrameDecoder, FrameError, encode};

use crate::cuts::{first_line, ways};

/// What came out of a stream.
#[derive(Debug, PartialEq)]
struct Outcome {
    frames: Vec<u8>,
    end: Result<(), FrameError>,
}

fn run(pieces: Vec<&[u8]>) -> Outcome {
    let mut decoder = FrameDecoder::default();
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Ok(Some(frame)) = decoder.frame() {
            let headers: Vec<_> = frame.headers().collect();
            let again = encode(&headers, frame.payload()).expect("a frame that came can be written");
            assert_eq!(&again, frame.bytes(), "{headers:?}");
            frames.extend_from_slice(frame.bytes());
        }
    }
    Outcome { frames, end: decoder.finish() }
}

/// Holds an input to the property.
pub(crate) fn property(input: &[u8]) {
    let (sizes, stream) = first_line(input);
    let [whole, even, chosen] = ways(sizes, stream);
    let expected = run(whole);
    assert!(stream.starts_with(&expected.frames), "not the bytes that came");
    match expected.end {
        Ok(()) => assert_eq!(expected.frames, stream, "an end inside a frame"),
        Err(error) => {
            let behind = error.at >= expected.frames.len() as u64;
            assert!(behind && error.at <= stream.len() as u64, "{error}");
            assert_eq!(error.flaw == Flaw::Cut, error.at == stream.len() as u64, "{error}");
        }
    }
    assert_eq!(run(even), expected);
    assert_eq!(run(chosen), expected);
}
