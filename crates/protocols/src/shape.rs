use std::borrow::Cow;

use a6_codec::json::{Document, Edit, merge, splice, splice_shared, text_of};
use bytes::Bytes;
use serde_json::Value;

use crate::{MaxTokens, Protocol};

/// What an instance's configuration changes in a request body. Compiled once.
#[derive(Clone, Debug, Default)]
pub struct Shaping {
    /// `options`: member and value as JSON text; each overwrites the client's.
    pub options: Vec<(String, Vec<u8>)>,
    /// `override.llm_options.max_tokens`, and where the provider wants it.
    pub max_tokens: Option<(u64, MaxTokens)>,
    /// `override.request_body`, per target protocol.
    pub patches: Vec<(Protocol, Value)>,
    /// `override.request_body_force_override`.
    pub force: bool,
    /// The provider takes the model from the URL.
    pub drops_model: bool,
}

/// A request body for one target.
#[derive(Debug)]
pub struct Shaped {
    /// The new body; none where the client's own bytes go out as they came.
    pub body: Option<Vec<Bytes>>,
    /// Whether a usage event will come that the client did not ask for.
    pub hides_usage: bool,
    /// The model that is asked.
    pub model: Option<String>,
}

impl Shaping {
    /// The value of an option, as JSON text.
    pub fn option(&self, name: &str) -> Option<&[u8]> {
        self.options.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
    }

    /// Edits a body in the order that later steps win: the protocol's own needs, `options`, `override.llm_options`,
    /// `override.request_body`, and last the model taken out.
    pub fn apply(&self, protocol: Protocol, document: &Document, text: &Bytes) -> Shaped {
        let prepared = protocol.prepare(document, text, self);
        let model = match self.option("model") {
            Some(raw) => text_of(raw).map(Cow::into_owned),
            None => document.get_str(text, "model").map(Cow::into_owned),
        };
        let mut edits: Vec<Edit<'_>> = Vec::with_capacity(self.options.len() + 4);
        if let Some(stream_options) = prepared.stream_options {
            edits.push(Edit::Set("stream_options", stream_options.into()));
        }
        edits.extend(self.options.iter().map(|(key, value)| Edit::Set(key, value.into())));
        self.limit_tokens(&mut edits);
        let patch = self.patches.iter().find(|(target, _)| *target == protocol).map(|(_, patch)| patch);
        if patch.is_none() && self.drops_model && document.get(text, "model").is_some() {
            edits.push(Edit::Remove("model"));
        }
        let body = match patch {
            None => (!edits.is_empty()).then(|| splice_shared(text, document, &edits)),
            Some(patch) => self.patched(document, text, &edits, patch).map(|body| vec![body.into()]),
        };
        Shaped { body, hides_usage: prepared.hides_usage, model }
    }

    fn patched(
        &self,
        document: &Document,
        text: &[u8],
        edits: &[Edit<'_>],
        patch: &Value,
    ) -> Option<Vec<u8>> {
        let mut body = (!edits.is_empty()).then(|| splice(text, document, edits));
        body = merge(body.as_deref().unwrap_or(text), patch, self.force).or(body);
        if self.drops_model {
            body = without_model(body.as_deref().unwrap_or(text)).or(body);
        }
        body
    }

    fn limit_tokens<'a>(&self, edits: &mut Vec<Edit<'a>>) {
        let Some((limit, member)) = self.max_tokens else { return };
        let value = limit.to_string().into_bytes();
        match member {
            MaxTokens::MaxTokens => edits.push(Edit::Set("max_tokens", value.into())),
            MaxTokens::MaxCompletionTokens => edits.push(Edit::Set("max_completion_tokens", value.into())),
            MaxTokens::MaxCompletionTokensAlone => {
                edits.push(Edit::Set("max_completion_tokens", value.into()));
                edits.push(Edit::Remove("max_tokens"));
            }
        }
    }
}

fn without_model(text: &[u8]) -> Option<Vec<u8>> {
    let document = Document::scan(text).ok()?;
    document.get(text, "model")?;
    Some(splice(text, &document, &[Edit::Remove("model")]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shaped(shaping: &Shaping, body: &str) -> (String, Option<String>) {
        let body = Bytes::from(body.to_string());
        let shaped = shaping.apply(Protocol::OpenaiChat, &Document::scan(&body).unwrap(), &body);
        let text =
            shaped.body.map_or_else(|| "verbatim".into(), |parts| String::from_utf8(parts.concat()).unwrap());
        (text, shaped.model)
    }

    fn options(list: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        list.iter().map(|(key, value)| (key.to_string(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn later_steps_win_and_other_bytes_stay() {
        let body = r#"{"model":"a", "x":1.0,"max_tokens":9}"#;
        let cases = [
            (Shaping::default(), "verbatim", "a"),
            (
                Shaping { options: options(&[("model", "\"b\""), ("t", "0.5")]), ..Shaping::default() },
                r#"{"model":"b", "x":1.0,"max_tokens":9,"t":0.5}"#,
                "b",
            ),
            (
                Shaping { max_tokens: Some((5, MaxTokens::MaxCompletionTokensAlone)), ..Shaping::default() },
                r#"{"model":"a", "x":1.0,"max_completion_tokens":5}"#,
                "a",
            ),
            (
                Shaping {
                    options: options(&[("max_tokens", "1")]),
                    max_tokens: Some((5, MaxTokens::MaxTokens)),
                    ..Shaping::default()
                },
                r#"{"model":"a", "x":1.0,"max_tokens":5}"#,
                "a",
            ),
            (Shaping { drops_model: true, ..Shaping::default() }, r#"{"x":1.0,"max_tokens":9}"#, "a"),
            (
                Shaping {
                    patches: vec![(Protocol::OpenaiChat, json!({"model": "p", "y": {"z": 1}}))],
                    ..Shaping::default()
                },
                r#"{"model":"a", "x":1.0,"max_tokens":9,"y":{"z":1}}"#,
                "a",
            ),
            (
                Shaping {
                    patches: vec![(Protocol::OpenaiChat, json!({"x": 2}))],
                    force: true,
                    drops_model: true,
                    ..Shaping::default()
                },
                r#"{"x":2,"max_tokens":9}"#,
                "a",
            ),
        ];
        for (shaping, expected, model) in cases {
            assert_eq!(
                shaped(&shaping, body),
                (expected.to_string(), Some(model.to_string())),
                "{shaping:?}"
            );
        }
    }
}
