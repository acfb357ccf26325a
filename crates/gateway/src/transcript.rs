use a6_codec::event_stream::FrameDecoder;
use a6_codec::sse::events;
use a6_protocols::{answer_text, event_text};
use a6_snapshot::{Frame, Payload};
use serde_json::Value;

/// A plain answer that is longer is not read.
const MAX_READ: usize = 1 << 20;

/// Notes what a piece of a model's answer says, where the route's `logging.payloads` asks for it.
/// `is_framed` says that a stream is one of AWS's frames, not of server-sent events.
pub(crate) fn hear(payload: &mut Payload, frame: &Frame, is_framed: bool) {
    if frame.is_stream && is_framed {
        let mut decoder = FrameDecoder::default();
        decoder.push(&frame.data);
        while let (Ok(Some(frame)), false) = (decoder.frame(), payload.is_full()) {
            hear_event(payload, frame.payload());
        }
        return;
    }
    if frame.is_stream {
        for data in events(&frame.data).filter_map(|event| event.data) {
            if payload.is_full() {
                return;
            }
            hear_event(payload, &data);
        }
        return;
    }
    if payload.pending.len() + frame.data.len() <= MAX_READ {
        payload.pending.extend_from_slice(&frame.data);
    }
    if frame.is_last {
        let whole = std::mem::take(&mut payload.pending);
        let answer = serde_json::from_slice::<Value>(&whole).ok();
        if let Some(text) = answer.as_ref().and_then(answer_text) {
            payload.hear(&text);
        }
    }
}

fn hear_event(payload: &mut Payload, data: &[u8]) {
    let told = serde_json::from_slice::<Value>(data).ok();
    if let Some(text) = told.as_ref().and_then(event_text) {
        payload.hear(text);
    }
}

#[cfg(test)]
mod tests {
    use a6_codec::event_stream::{Value, encode};
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_stream_is_heard_as_it_comes_and_a_plain_answer_at_its_end() {
        let frame = |data: &'static str, is_stream, is_last| Frame {
            data: Bytes::from_static(data.as_bytes()),
            is_stream,
            is_last,
        };
        let mut payload = Payload::default();
        let event = "data: {\"choices\":[{\"delta\":{\"content\":\"ho \"}}]}\n\n";
        hear(&mut payload, &frame(event, true, false), false);
        hear(&mut payload, &frame(event, true, false), false);
        hear(&mut payload, &frame("data: [DONE]\n\n", true, true), false);
        assert_eq!(payload.response, "ho ho ");

        let mut payload = Payload::default();
        hear(&mut payload, &frame("{\"choices\":[{\"mess", false, false), false);
        hear(&mut payload, &frame("age\":{\"content\":\"ho\"}}]}", false, false), false);
        assert_eq!(payload.response, "");
        hear(&mut payload, &frame("", false, true), false);
        assert_eq!((payload.response.as_str(), payload.pending.len()), ("ho", 0));
    }

    #[test]
    fn frames_are_heard_too() {
        let kind =
            [(":event-type", Value::Text("contentBlockDelta")), (":message-type", Value::Text("event"))];
        let text =
            |text: &str| encode(&kind, format!("{{\"delta\":{{\"text\":\"{text}\"}}}}").as_bytes()).unwrap();
        let data = [text("ho "), text("ho")].concat().into();
        let mut payload = Payload::default();
        hear(&mut payload, &Frame { data, is_stream: true, is_last: false }, true);
        assert_eq!(payload.response, "ho ho");
    }
}
