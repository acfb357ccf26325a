//! Any bytes cut anywhere: nothing is lost or moved, what comes out ends where an event ends, and the events are the
//! same for every cut.
//!
//! An input is a line of lengths of pieces, then the stream.

use std::borrow::Cow;

use a6_codec::sse::{MAX_EVENT, SseDecoder, events};
use bytes::Bytes;

use crate::cuts::{first_line, ways};

/// Name and data of an event.
type Fields = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The events that say something; their spans must cover the run without gaps.
fn fields(run: &[u8]) -> Vec<Fields> {
    let mut at = 0;
    let mut found = Vec::new();
    for event in events(run) {
        assert_eq!(event.span.start, at, "a gap between two events");
        at = event.span.end;
        let fields = (event.name.map(<[u8]>::to_vec), event.data.map(Cow::into_owned));
        if fields != (None, None) {
            found.push(fields);
        }
    }
    assert_eq!(at, run.len(), "bytes behind the last event");
    found
}

fn ends_an_event(run: &[u8]) -> bool {
    run.is_empty() || run.ends_with(b"\n\n") || run.ends_with(b"\n\r\n")
}

/// Holds an input to the property.
pub(crate) fn property(input: &[u8]) {
    let (sizes, stream) = first_line(input);
    // A longer event may be given out in pieces, unread.
    let is_read = stream.len() <= MAX_EVENT;
    let expected = fields(stream);
    for pieces in ways(sizes, stream) {
        let mut decoder = SseDecoder::default();
        let mut passed = Vec::new();
        let mut found = Vec::new();
        for piece in pieces {
            let run = decoder.push(Bytes::copy_from_slice(piece));
            assert!(!is_read || ends_an_event(&run), "cut inside an event: {run:?}");
            found.extend(fields(&run));
            passed.extend_from_slice(&run);
        }
        let tail = decoder.take_tail();
        found.extend(fields(&tail));
        passed.extend_from_slice(&tail);
        assert_eq!(passed, stream, "not the bytes that came");
        assert!(!is_read || found == expected, "{found:?} instead of {expected:?}");
    }
}
