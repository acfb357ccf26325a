//! Any request, reply or stream put through a conversion between protocols: no panic, JSON comes out, names of what was
//! dropped fit into a header; a stream is the same however it is cut, each of its events is JSON, and nothing stands
//! behind the event that ends it.
//!
//! An input is a line of choices, then the text. The first choice is `0` for a request, `1` for a reply, anything else
//! for a stream; the others are lengths of pieces. A stream for Bedrock is a line per frame: its type, a space, its
//! payload.

use a6_codec::sse::{Event, SseDecoder, events};
use a6_protocols::{Conversion, End, Envelope, Recall};
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::cuts::{first_line, ways};

const ENVELOPE: Envelope<'static> = Envelope { id: "id", model: None, created: 1 };

/// How a stream came out: what was written, and how it stands.
type Streamed = (Vec<u8>, End);

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(text).is_ok()
}

fn fit_a_header(names: &[String]) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    names.len() <= 32 && names.iter().all(|name| name.len() <= 64 && name.bytes().all(fits))
}

fn request(conversion: Conversion, text: &[u8]) {
    match conversion.request(text) {
        Ok(converted) => {
            assert!(is_json(&converted.body), "{:?}", String::from_utf8_lossy(&converted.body));
            assert!(fit_a_header(&converted.dropped), "{:?}", converted.dropped);
            assert!(converted.dropped.is_empty() || converted.strict().is_err());
        }
        Err(refused) => assert!(!refused.to_string().is_empty()),
    }
}

fn reply(conversion: Conversion, text: &[u8]) {
    if let Ok(reply) = conversion.reply(&Recall::default(), &ENVELOPE, text) {
        assert!(is_json(&reply.body), "{:?}", String::from_utf8_lossy(&reply.body));
        assert!(fit_a_header(&reply.dropped), "{:?}", reply.dropped);
    }
    assert!(is_json(&conversion.error(500, text)));
}

fn streamed<'b>(conversion: Conversion, pieces: impl IntoIterator<Item = &'b [u8]>) -> Option<Streamed> {
    let mut stream = conversion.stream(&Recall::default(), &ENVELOPE)?;
    let mut decoder = SseDecoder::default();
    let mut out = Vec::new();
    for piece in pieces {
        let run = decoder.push(Bytes::copy_from_slice(piece));
        events(&run).for_each(|event| stream.event(&event, &mut out));
    }
    let end = stream.finish(true, &mut out);
    assert!(fit_a_header(stream.dropped()));
    Some((out, end))
}

fn framed(conversion: Conversion, text: &[u8]) -> Option<Streamed> {
    let mut stream = conversion.stream(&Recall::default(), &ENVELOPE)?;
    let mut out = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let at = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let kind = &line[..at];
        let payload = line.get(at + 1..).unwrap_or_default();
        if kind.ends_with(b"Exception") {
            stream.exception(&String::from_utf8_lossy(kind), payload, &mut out);
        } else {
            let (name, data) = (Some(kind), Some(payload.into()));
            stream.event(&Event { span: 0..0, name, data }, &mut out);
        }
    }
    let end = stream.finish(true, &mut out);
    Some((out, end))
}

/// Each event is JSON, or `[DONE]`; only the last ends the stream, and does so exactly if the stream is whole.
fn check((out, end): &Streamed) {
    let mut ended = None;
    for event in events(out) {
        assert_eq!(ended, None, "an event behind the last: {:?}", String::from_utf8_lossy(out));
        let data = event.data.unwrap_or_default();
        assert!(matches!(&*data, b"[DONE]") || is_json(&data), "{:?}", String::from_utf8_lossy(&data));
        let is_error = event.name == Some(b"error".as_slice()) || data.starts_with(b"{\"error\":");
        let is_terminal = matches!(&*data, b"[DONE]") || event.name == Some(b"message_stop".as_slice());
        ended = (is_error || is_terminal).then_some(is_terminal);
    }
    let expected = match end {
        End::Complete | End::CompleteWithoutTerminal => Some(true),
        End::UpstreamError => Some(false),
        _ => None,
    };
    assert_eq!(ended, expected, "{:?}", String::from_utf8_lossy(out));
}

/// Holds an input to the property.
pub(crate) fn property(conversion: Conversion, input: &[u8]) {
    let (choices, text) = first_line(input);
    let (kind, sizes) = choices.split_first().map_or((b'0', choices), |(kind, sizes)| (*kind, sizes));
    match kind {
        b'0' => request(conversion, text),
        b'1' => reply(conversion, text),
        _ if conversion == Conversion::ChatToConverse => {
            framed(conversion, text).iter().for_each(check);
        }
        _ => {
            let whole = streamed(conversion, [text]);
            whole.iter().for_each(check);
            for pieces in ways(sizes, text) {
                assert_eq!(streamed(conversion, pieces), whole);
            }
        }
    }
}
