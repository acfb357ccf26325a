//! What the tests of every protocol share.

use a6_codec::json::Document;
use a6_codec::sse::{SseDecoder, events};
use a6_core::{Fault, FaultKind};
use bytes::Bytes;

use crate::{End, Protocol, Usage, Verdict};

/// What is known of a stream once it has ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) end: End,
    pub(crate) usage: Usage,
    pub(crate) calls_tool: bool,
    /// Name and data of each event that passed.
    pub(crate) events: Vec<(Option<String>, Option<String>)>,
}

/// Reads a stream that comes in these pieces.
pub(crate) fn read<'a>(protocol: Protocol, pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut decoder = SseDecoder::default();
    let mut reader = protocol.stream_reader(false);
    let mut seen = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pieces = pieces.into_iter().map(Some).chain([None]);
    for piece in pieces {
        let run = match piece {
            Some(piece) => decoder.push(Bytes::copy_from_slice(piece)),
            None => decoder.take_tail(),
        };
        for event in events(&run) {
            if reader.event(&event) == Verdict::Pass {
                seen.push((event.name.map(text), event.data.as_deref().map(text)));
            }
        }
    }
    Seen { end: reader.end(), usage: reader.usage(), calls_tool: reader.has_tool_calls(), events: seen }
}

/// Feeds a complete stream whole, byte by byte, and in two pieces cut at every byte, which must all tell the same. Then
/// ends it at every byte: before its last byte that tells anything it must not look complete, and the client's error event must be one
/// that its protocol knows. Gives what the whole stream tells.
pub(crate) fn every_cut(protocol: Protocol, stream: &[u8]) -> Seen {
    let whole = read(protocol, [stream]);
    assert_eq!(whole.end, End::Complete, "{whole:?}");
    assert_eq!(read(protocol, stream.chunks(1)), whole, "byte by byte");
    let fault = Fault::upstream(FaultKind::UpstreamTruncated, "cut");
    let end = stream.trim_ascii_end().len();
    for cut in 0..=stream.len() {
        assert_eq!(read(protocol, [&stream[..cut], &stream[cut..]]), whole, "cut at {cut}");
        let short = read(protocol, [&stream[..cut]]);
        if cut < end {
            assert_ne!(short.end, End::Complete, "ended at {cut}: {short:?}");
        }
    }
    let mut reader = protocol.stream_reader(false);
    for event in events(stream) {
        reader.event(&event);
    }
    let event = reader.error_event(&fault).expect("an error event");
    assert!(event.ends_with(b"\n\n"), "{event:?}");
    let told = events(&event).next().unwrap();
    let data: serde_json::Value = serde_json::from_slice(told.data.as_deref().unwrap()).unwrap();
    assert_eq!(data["error"]["message"], "cut", "{data}");
    whole
}

/// The protocol of a request.
pub(crate) fn detect(path: &str, body: &str) -> Option<Protocol> {
    Protocol::detect(path, &Document::scan(body.as_bytes()).unwrap(), body.as_bytes())
}

/// What a plain answer tells, in one piece.
pub(crate) fn told(protocol: Protocol, body: &str) -> crate::Told {
    let mut reader = protocol.plain_reader();
    reader.push(&Bytes::copy_from_slice(body.as_bytes()));
    reader.finish(true).unwrap()
}
