use a6_codec::json::Document;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Protocol;

/// What a request's user said last: the text of the last message of role `user` that has any, its parts joined by spaces.
/// None where there is no such message. Messages before it are not read.
pub fn last_user_text(protocol: Protocol, document: &Document, text: &[u8]) -> Option<String> {
    let member = |name: &str| document.get(text, name);
    match protocol {
        Protocol::OpenaiChat => last(member("messages")?, |message| message.said(is_text)),
        Protocol::AnthropicMessages => last(member("messages")?, |message| message.said(is_text)),
        Protocol::BedrockConverse => last(member("messages")?, |message| message.said(|_| true)),
        Protocol::OpenaiResponses => {
            let input = member("input")?;
            whole(input).or_else(|| last(input, |message| message.said_in_responses()))
        }
        Protocol::OpenaiEmbeddings => whole(member("input")?),
        Protocol::VertexPredict | Protocol::Passthrough => None,
    }
}

/// A message as any of the protocols writes it; what is not as expected counts as not there.
#[derive(Default, Deserialize)]
struct Message<'a> {
    #[serde(default)]
    role: Option<String>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    /// Responses has items that are no messages.
    #[serde(default, borrow)]
    text: Option<&'a RawValue>,
    #[serde(default, borrow)]
    output: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    text: String,
}

/// Chat and Anthropic name the kind of each part.
fn is_text(part: &Part) -> bool {
    part.kind.as_deref() == Some("text")
}

impl Message<'_> {
    fn said(&self, counts: fn(&Part) -> bool) -> Option<String> {
        (self.role.as_deref() == Some("user")).then(|| written(self.content?, counts)).flatten()
    }

    /// An item without a role is the user's.
    fn said_in_responses(&self) -> Option<String> {
        if self.role.as_deref().is_some_and(|role| role != "user") {
            return None;
        }
        match self.content.or(self.text).or(self.output) {
            Some(raw) => written(raw, |_| true),
            None => None,
        }
    }
}

/// What the last message says that says anything. An item that is a string is the user's word itself.
fn last(messages: &[u8], said: impl Fn(&Message<'_>) -> Option<String>) -> Option<String> {
    let messages: Vec<&RawValue> = serde_json::from_slice(messages).ok()?;
    messages.into_iter().rev().find_map(|raw| {
        whole(raw.get().as_bytes()).or_else(|| said(&serde_json::from_str(raw.get()).unwrap_or_default()))
    })
}

/// A text that stands for itself.
fn whole(raw: &[u8]) -> Option<String> {
    serde_json::from_slice::<String>(raw).ok().filter(|text| !text.is_empty())
}

/// A text, or the texts of a list of parts.
fn written(raw: &RawValue, counts: fn(&Part) -> bool) -> Option<String> {
    whole(raw.get().as_bytes()).or_else(|| {
        let parts: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
        let texts = parts.into_iter().filter_map(|part| serde_json::from_str::<Part>(part.get()).ok());
        let texts: Vec<String> = texts.filter(counts).map(|part| part.text).collect();
        Some(texts.join(" ")).filter(|text| !text.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_of_the_user_counts() {
        use Protocol::*;
        let parts = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},
            {"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"b"}]}]}"#;
        let cases: &[(Protocol, &str, Option<&str>)] = &[
            (
                OpenaiChat,
                r#"{"messages":[{"role":"user","content":"one"},{"role":"user","content":"t\u0077o"},
                    {"role":"assistant","content":"three"}]}"#,
                Some("two"),
            ),
            (OpenaiChat, parts, Some("a b")),
            (AnthropicMessages, parts, Some("a b")),
            (
                OpenaiChat,
                r#"{"messages":[{"role":"user","content":"one"},{"role":"user","content":[]},
                    {"role":"user","content":null},{"role":"user","content":""},{"role":"user"},7]}"#,
                Some("one"),
            ),
            (OpenaiChat, r#"{"messages":[{"role":"system","content":"s"}]}"#, None),
            (OpenaiChat, r#"{"messages":{}}"#, None),
            (OpenaiChat, r#"{"messages":[{"role":7,"content":"x"}]}"#, None),
            (
                BedrockConverse,
                r#"{"messages":[{"role":"user","content":[{"text":"a"},{"image":{}},{"text":"b"}]}]}"#,
                Some("a b"),
            ),
            (OpenaiResponses, r#"{"input":"hello","instructions":"be short"}"#, Some("hello")),
            (
                OpenaiResponses,
                r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"in"}]},
                    {"role":"assistant","content":[{"type":"output_text","text":"out"}]}]}"#,
                Some("in"),
            ),
            (
                OpenaiResponses,
                r#"{"input":[{"content":"no role"},{"type":"reasoning","summary":[]}]}"#,
                Some("no role"),
            ),
            (OpenaiResponses, r#"{"input":["a","b"]}"#, Some("b")),
            (OpenaiResponses, r#"{"input":[{"type":"function_call_output","output":"42"}]}"#, Some("42")),
            (OpenaiEmbeddings, r#"{"input":"text"}"#, Some("text")),
            (OpenaiEmbeddings, r#"{"input":["text"]}"#, None),
            (Passthrough, r#"{"messages":[{"role":"user","content":"x"}]}"#, None),
        ];
        for (protocol, body, expected) in cases {
            let document = Document::scan(body.as_bytes()).unwrap();
            let found = last_user_text(*protocol, &document, body.as_bytes());
            assert_eq!(found.as_deref(), *expected, "{protocol:?} {body}");
        }
    }
}
