use a6_codec::sse::events;
use a6_protocols::{answer_text, event_text};
use a6_snapshot::{Frame, Payload};
use serde_json::Value;

/// A plain answer that is longer is not read.
const MAX_READ: usize = 1 << 20;

/// Notes what a piece of a model's answer says, where the route's `logging.payloads` asks for it.
pub(crate) fn hear(payload: &mut Payload, frame: &Frame) {
    if frame.is_stream {
        for event in events(&frame.data) {
            if payload.is_full() {
                return;
            }
            let told = event.data.and_then(|data| serde_json::from_slice::<Value>(&data).ok());
            if let Some(text) = told.as_ref().and_then(event_text) {
                payload.hear(text);
            }
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

#[cfg(test)]
mod tests {
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
        hear(&mut payload, &frame(event, true, false));
        hear(&mut payload, &frame(event, true, false));
        hear(&mut payload, &frame("data: [DONE]\n\n", true, true));
        assert_eq!(payload.response, "ho ho ");

        let mut payload = Payload::default();
        hear(&mut payload, &frame("{\"choices\":[{\"mess", false, false));
        hear(&mut payload, &frame("age\":{\"content\":\"ho\"}}]}", false, false));
        assert_eq!(payload.response, "");
        hear(&mut payload, &frame("", false, true));
        assert_eq!((payload.response.as_str(), payload.pending.len()), ("ho", 0));
    }
}
