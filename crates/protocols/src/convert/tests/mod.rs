//! Golden tables of every conversion, and what must hold for every stream however it is cut.

mod embeddings;
mod folded;
mod recorded;
mod replies;
mod requests;
mod streams;

use a6_codec::sse::{Event, SseDecoder, events};
use bytes::Bytes;
use serde_json::Value;

use super::{Conversion, Envelope, Recall};
use crate::protocol::End;

/// What the tests put around replies.
const ENVELOPE: Envelope<'static> = Envelope { id: "req-1", model: Some("asked"), created: 1700 };

/// A provider's stream and how it became the client's.
#[derive(Debug, PartialEq)]
struct Streamed {
    text: String,
    end: End,
    dropped: Vec<String>,
}

/// Runs Server-Sent Events, piece by piece, through a conversion.
fn run<'p>(
    conversion: Conversion,
    recall: &Recall,
    pieces: impl IntoIterator<Item = &'p [u8]>,
    is_proper: bool,
) -> Streamed {
    let mut stream = conversion.stream(recall, &ENVELOPE).unwrap();
    let mut decoder = SseDecoder::default();
    let mut out = Vec::new();
    for piece in pieces {
        let whole = decoder.push(Bytes::copy_from_slice(piece));
        events(&whole).for_each(|event| stream.event(&event, &mut out));
    }
    let end = stream.finish(is_proper, &mut out);
    Streamed { text: String::from_utf8(out).unwrap(), end, dropped: stream.dropped().to_vec() }
}

/// Runs frames of Bedrock's, as kinds and payloads, through their conversion.
fn run_frames(recall: &Recall, frames: &[(&str, &str)], is_proper: bool) -> Streamed {
    let mut stream = Conversion::ChatToConverse.stream(recall, &ENVELOPE).unwrap();
    let mut out = Vec::new();
    for (kind, payload) in frames {
        if kind.ends_with("Exception") {
            stream.exception(kind, payload.as_bytes(), &mut out);
        } else {
            let (name, data) = (Some(kind.as_bytes()), Some(payload.as_bytes().into()));
            stream.event(&Event { span: 0..0, name, data }, &mut out);
        }
    }
    let end = stream.finish(is_proper, &mut out);
    Streamed { text: String::from_utf8(out).unwrap(), end, dropped: stream.dropped().to_vec() }
}

/// Whether a client takes its stream for whole.
fn has_terminal(text: &str) -> bool {
    text.contains("event: message_stop") || text.contains("data: [DONE]")
}

/// The data of a stream's events, in order; `[DONE]` as a string.
fn data(text: &str) -> Vec<Value> {
    events(text.as_bytes())
        .filter_map(|event| event.data.map(|data| String::from_utf8(data.into_owned()).unwrap()))
        .map(|data| serde_json::from_str(&data).unwrap_or(Value::String(data)))
        .collect()
}

/// A stream means the same however it is cut; cut off at any byte it gives the beginning of the same events, and the
/// client never takes it for whole.
fn holds_for_every_cut(conversion: Conversion, recall: &Recall, provider: &str) -> Streamed {
    let bytes = provider.as_bytes();
    let whole = run(conversion, recall, [bytes], true);
    assert_eq!(run(conversion, recall, bytes.chunks(1), true), whole, "byte by byte");
    let terminal = ["data: [DONE]\n\n", "data: {\"type\":\"message_stop\"}\n\n"]
        .iter()
        .filter_map(|event| provider.find(event).map(|at| at + event.len()))
        .min();
    for cut in 0..bytes.len() {
        // A long stream would take minutes; byte by byte it is cut everywhere at once.
        if bytes.len() < 4096 {
            assert_eq!(run(conversion, recall, [&bytes[..cut], &bytes[cut..]], true), whole, "cut at {cut}");
        }
        let broken = run(conversion, recall, [&bytes[..cut]], false);
        assert!(whole.text.starts_with(&broken.text), "broken off at {cut}: {}", broken.text);
        if terminal.is_none_or(|terminal| cut < terminal) && whole.end != End::UpstreamError {
            assert_eq!(broken.end, End::Truncated, "broken off at {cut}");
            assert!(!has_terminal(&broken.text), "broken off at {cut}: {}", broken.text);
        }
    }
    whole
}
