use std::borrow::Cow;

use a6_codec::json::{Document, Edit, Root, merge, splice, splice_shared, text_of};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{MaxTokens, Protocol};

/// What an instance's configuration changes in a request body. Compiled once.
#[derive(Clone, Debug, Default)]
pub struct Shaping {
    /// `options`: member and value as JSON text; each overwrites the client's.
    pub options: Vec<(String, Vec<u8>)>,
    /// `override.llm_options.max_tokens`, and where the provider wants it.
    pub max_tokens: Option<(u64, &'static [(Protocol, MaxTokens)])>,
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
    /// `override.request_body`, and last the model taken out. Only an object can be edited.
    pub fn apply(&self, protocol: Protocol, document: &Document, text: &Bytes) -> Shaped {
        if document.root != Root::Object {
            return Shaped { body: None, hides_usage: false, model: None };
        }
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
        // What the protocol refuses in a body, whoever has put it there.
        edits.extend(prepared.removes.map(Edit::Remove));
        let nested = self.limit_tokens(protocol, &mut edits);
        let patch = self.patches.iter().find(|(target, _)| *target == protocol).map(|(_, patch)| patch);
        let body = if nested.is_none() && patch.is_none() {
            let has_model = document.get(text, "model").is_some() || self.option("model").is_some();
            if self.drops_model && has_model {
                edits.push(Edit::Remove("model"));
            }
            (!edits.is_empty()).then(|| splice_shared(text, document, &edits))
        } else {
            let patches = [(nested.as_ref(), true), (patch, self.force)];
            self.patched(document, text, &edits, patches).map(|body| vec![body.into()])
        };
        Shaped { body, hides_usage: prepared.hides_usage, model }
    }

    /// The body with edits and, in order, patches: each with whether it is forced.
    fn patched(
        &self,
        document: &Document,
        text: &[u8],
        edits: &[Edit<'_>],
        patches: [(Option<&Value>, bool); 2],
    ) -> Option<Vec<u8>> {
        let mut body = (!edits.is_empty()).then(|| splice(text, document, edits));
        for (patch, force) in patches {
            if let Some(patch) = patch {
                body = merge(body.as_deref().unwrap_or(text), patch, force).or(body);
            }
        }
        if self.drops_model {
            body = without_model(body.as_deref().unwrap_or(text)).or(body);
        }
        body
    }

    /// Limits the answer; where the limit is not a member of the body itself, it is given back as a patch.
    fn limit_tokens(&self, protocol: Protocol, edits: &mut Vec<Edit<'_>>) -> Option<Value> {
        let (limit, places) = self.max_tokens?;
        let (_, place) = places.iter().find(|(target, _)| *target == protocol)?;
        let member = match place {
            MaxTokens::MaxTokens => "max_tokens",
            MaxTokens::MaxOutputTokens => "max_output_tokens",
            MaxTokens::MaxCompletionTokens | MaxTokens::MaxCompletionTokensAlone => "max_completion_tokens",
            MaxTokens::InferenceConfig => return Some(json!({"inferenceConfig": {"maxTokens": limit}})),
        };
        edits.push(Edit::Set(member, limit.to_string().into_bytes().into()));
        if *place == MaxTokens::MaxCompletionTokensAlone {
            edits.push(Edit::Remove("max_tokens"));
        }
        None
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
    use crate::Provider;

    fn shaped(shaping: &Shaping, body: &str) -> (String, Option<String>) {
        shaped_for(Protocol::OpenaiChat, shaping, body)
    }

    fn shaped_for(protocol: Protocol, shaping: &Shaping, body: &str) -> (String, Option<String>) {
        let body = Bytes::from(body.to_string());
        let shaped = shaping.apply(protocol, &Document::scan(&body).unwrap(), &body);
        let text =
            shaped.body.map_or_else(|| "verbatim".into(), |parts| String::from_utf8(parts.concat()).unwrap());
        (text, shaped.model)
    }

    fn options(list: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        list.iter().map(|(key, value)| (key.to_string(), value.as_bytes().to_vec())).collect()
    }

    fn limit(provider: &str) -> Option<(u64, &'static [(Protocol, MaxTokens)])> {
        Some((5, Provider::named(provider).unwrap().max_tokens))
    }

    #[test]
    fn a_limit_goes_where_provider_and_protocol_want_it() {
        let body = r#"{"model":"m","max_tokens":9,"inferenceConfig":{"maxTokens":7,"topP":1}}"#;
        let converse = Protocol::BedrockConverse;
        let cases = [
            (
                "openai",
                Protocol::OpenaiResponses,
                r#"{"model":"m","max_tokens":9,"inferenceConfig":{"maxTokens":7,"topP":1},"max_output_tokens":5}"#,
            ),
            (
                "anthropic",
                Protocol::AnthropicMessages,
                r#"{"model":"m","max_tokens":5,"inferenceConfig":{"maxTokens":7,"topP":1}}"#,
            ),
            (
                "gemini",
                Protocol::OpenaiChat,
                r#"{"model":"m","max_tokens":9,"inferenceConfig":{"maxTokens":7,"topP":1},"max_completion_tokens":5}"#,
            ),
            ("bedrock", converse, r#"{"max_tokens":9,"inferenceConfig":{"maxTokens":5,"topP":1}}"#),
            ("openai", Protocol::OpenaiEmbeddings, "verbatim"),
            ("openai", Protocol::Passthrough, "verbatim"),
        ];
        for (provider, protocol, expected) in cases {
            let drops_model = Provider::named(provider).unwrap().drops_model;
            let shaping = Shaping { max_tokens: limit(provider), drops_model, ..Shaping::default() };
            assert_eq!(shaped_for(protocol, &shaping, body).0, expected, "{provider} {protocol:?}");
        }
        let absent = Shaping { max_tokens: limit("bedrock"), ..Shaping::default() };
        let (body, _) = shaped_for(converse, &absent, r#"{"messages":[],"stream":true}"#);
        assert_eq!(body, r#"{"messages":[],"inferenceConfig":{"maxTokens":5}}"#);
    }

    #[test]
    fn what_is_no_object_passes_as_it_is() {
        let shaping = Shaping { options: options(&[("model", "\"b\"")]), ..Shaping::default() };
        assert_eq!(shaped_for(Protocol::Passthrough, &shaping, "[1, 2]"), ("verbatim".to_string(), None));
        let (body, model) = shaped_for(Protocol::Passthrough, &shaping, r#"{"prompt":1}"#);
        assert_eq!((body.as_str(), model.as_deref()), (r#"{"prompt":1,"model":"b"}"#, Some("b")));
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
                Shaping { max_tokens: limit("openai"), ..Shaping::default() },
                r#"{"model":"a", "x":1.0,"max_completion_tokens":5}"#,
                "a",
            ),
            (
                Shaping {
                    options: options(&[("max_tokens", "1")]),
                    max_tokens: limit("deepseek"),
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

    #[test]
    fn a_configured_model_never_stays_where_the_url_names_it() {
        let shaping =
            Shaping { options: options(&[("model", "\"b\"")]), drops_model: true, ..Shaping::default() };
        for body in [r#"{"x":1}"#, r#"{"model":"a","x":1}"#] {
            assert_eq!(shaped(&shaping, body), (r#"{"x":1}"#.to_string(), Some("b".to_string())), "{body}");
        }
    }

    #[test]
    fn a_stream_that_is_turned_off_has_no_options() {
        let shaping = Shaping { options: options(&[("stream", "false")]), ..Shaping::default() };
        let body = r#"{"stream":true,"stream_options":{"include_usage":true},"x":1}"#;
        assert_eq!(shaped(&shaping, body).0, r#"{"stream":false,"x":1}"#);
    }

    #[test]
    fn what_a_protocol_refuses_is_taken_out_whoever_wrote_it() {
        let shaping = Shaping { options: options(&[("stream", "true")]), ..Shaping::default() };
        for body in [r#"{"x":1}"#, r#"{"stream":false,"x":1}"#] {
            let shaped = shaping.apply(
                Protocol::BedrockConverse,
                &Document::scan(body.as_bytes()).unwrap(),
                &Bytes::copy_from_slice(body.as_bytes()),
            );
            assert_eq!(shaped.body.unwrap().concat(), br#"{"x":1}"#, "{body}");
        }
    }
}
