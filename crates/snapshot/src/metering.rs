use serde_json::Value;

/// A request is counted in metrics by this rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// Routes and services are called by their names, where they have any, rather than by their ids.
    pub prefer_name: bool,
}

/// What logs may tell of a request to a model and of its answer, where the route asks for it (`logging` of the AI
/// plugins).
#[derive(Clone, Debug, Default)]
pub struct ModelLog {
    /// A summary.
    pub summary: bool,
    /// What was asked and what was said, each at most [`ModelLog::MAX_PAYLOAD`] bytes; none unless asked for.
    pub payload: Option<Payload>,
}

/// What was asked and what was said. Nothing of it is remembered once the request is settled.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    /// The request's messages as the client wrote them; the beginning as a text, where they are too long.
    pub messages: Option<Value>,
    /// The text of the answer, as far as it came.
    pub response: String,
    /// What has come of a plain answer, until its end.
    pub pending: Vec<u8>,
}

impl ModelLog {
    /// Longer messages and texts are cut.
    pub const MAX_PAYLOAD: usize = 64 << 10;
}

impl Payload {
    /// Of a request whose messages are this JSON text.
    pub fn of(messages: Option<&[u8]>) -> Self {
        let told = |raw: &[u8]| match serde_json::from_slice(raw) {
            Ok(whole) if raw.len() <= ModelLog::MAX_PAYLOAD => whole,
            _ => {
                let text = String::from_utf8_lossy(raw);
                Value::from(&text[..text.floor_char_boundary(ModelLog::MAX_PAYLOAD)])
            }
        };
        Self { messages: messages.map(told), ..Self::default() }
    }

    /// Adds a piece of the answer's text, as far as there is room.
    pub fn hear(&mut self, piece: &str) {
        let room = ModelLog::MAX_PAYLOAD.saturating_sub(self.response.len());
        self.response.push_str(&piece[..piece.floor_char_boundary(room)]);
    }

    /// Whether more of the answer's text would be cut.
    pub fn is_full(&self) -> bool {
        self.response.len() >= ModelLog::MAX_PAYLOAD
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_too_long_is_cut_and_stays_text() {
        let mut short = Payload::of(Some(br#"[{"role":"user"}]"#));
        assert_eq!(short.messages, Some(json!([{"role": "user"}])));
        short.hear("");
        assert!(!short.is_full());
        let long = format!("[\"{}\"]", "ä".repeat(ModelLog::MAX_PAYLOAD));
        let mut payload = Payload::of(Some(long.as_bytes()));
        let Some(Value::String(kept)) = &payload.messages else { panic!("{:?}", payload.messages) };
        assert!(long.starts_with(kept.as_str()) && kept.len() >= ModelLog::MAX_PAYLOAD - 1, "{}", kept.len());
        for _ in 0..3 {
            payload.hear(&"a".repeat(ModelLog::MAX_PAYLOAD - 1));
        }
        assert_eq!(payload.response.len(), ModelLog::MAX_PAYLOAD);
        assert!(payload.is_full() && Payload::of(None).messages.is_none());
    }
}
