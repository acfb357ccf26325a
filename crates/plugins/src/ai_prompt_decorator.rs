//! `ai-prompt-decorator`: puts messages before and behind those of a request.

use a6_protocols::{Dialect, Prompt, decorate};
use a6_resources::PluginSpec;
use a6_snapshot::{Exchange, Phases, Plugin, Site, Stop};
use serde_json::{Value, json};

use crate::support::limit::items;
use crate::support::prompts;
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "ai-prompt-decorator";

/// A compiled configuration.
#[derive(Debug)]
pub struct AiPromptDecorator {
    prepend: Vec<Prompt>,
    append: Vec<Prompt>,
    max_body: u64,
}

impl AiPromptDecorator {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        Ok(Self {
            prepend: messages(conf, "prepend")?,
            append: messages(conf, "append")?,
            max_body: prompts::max_body(conf)?,
        })
    }
}

/// The schema lets pass what is no object at all.
fn messages(conf: &Value, member: &str) -> Result<Vec<Prompt>, String> {
    let message = |(at, value): (usize, &Value)| {
        Prompt::of(value).ok_or_else(|| {
            format!("{member}[{at}]: {value} is no message; write an object with role and content")
        })
    };
    items(conf, member).iter().enumerate().map(message).collect()
}

impl Plugin for AiPromptDecorator {
    fn phases(&self) -> Phases {
        Phases { rewrite: true, ..Phases::default() }
    }

    async fn rewrite(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        let (text, document) = Box::pin(prompts::read(&mut exchange.body, self.max_body)).await?;
        let dialect = Dialect::detect(exchange.request.path(), document, &text);
        let decorated = decorate(dialect, document, &text, &self.prepend, &self.append)
            .map_err(|why| prompts::bad(format!("could not put messages into the request body: {why}")))?;
        if let Some(decorated) = decorated {
            exchange.body.replace(decorated.into())?;
        }
        Ok(())
    }
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec::new(NAME, priority, "0.1", schema)
}

fn schema() -> Value {
    let messages = json!({"type": "array", "items": prompts::message_schema()});
    json!({
        "type": "object",
        "properties": {
            "prepend": messages,
            "append": messages,
            "max_req_body_size": prompts::size_schema(),
        },
        "anyOf": [
            {"required": ["prepend"]},
            {"required": ["append"]},
            {"required": ["append", "prepend"]},
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::testing;

    /// What the upstream gets, or the text of the refusal with its status.
    fn rewritten(conf: &Value, path: &str, body: &str) -> Result<String, String> {
        let plugin = AiPromptDecorator::compile(conf, &testing::site(), &testing::shared()).unwrap();
        let mut exchange = testing::exchange("POST", path, &[], body);
        match testing::run(plugin.rewrite(&mut exchange)) {
            Ok(()) => Ok(String::from_utf8(exchange.body.bytes().unwrap().to_vec()).unwrap()),
            Err(Stop::Fault(fault)) => Err(format!("{} {}", fault.status.as_u16(), fault.text)),
            Err(Stop::Reply(reply)) => panic!("{reply:?}"),
        }
    }

    fn both() -> Value {
        json!({
            "prepend": [{"role": "system", "content": "P1"}, {"role": "user", "content": "P2"}],
            "append": [{"role": "user", "content": "X"}],
        })
    }

    #[test]
    fn messages_stand_before_and_behind() {
        let sent = r#"{"model":"m", "messages":[{"role":"user","content":"hi"}],"n":1.0}"#;
        let (p1, p2) = (r#"{"role":"system","content":"P1"}"#, r#"{"role":"user","content":"P2"}"#);
        let (hi, x) = (r#"{"role":"user","content":"hi"}"#, r#"{"role":"user","content":"X"}"#);
        let cases = [
            (both(), format!("[{p1},{p2},{hi},{x}]")),
            (json!({"prepend": both()["prepend"]}), format!("[{p1},{p2},{hi}]")),
            (json!({"append": both()["append"]}), format!("[{hi},{x}]")),
            (json!({"append": []}), format!("[{hi}]")),
        ];
        for (conf, messages) in cases {
            let expected = format!(r#"{{"model":"m", "messages":{messages},"n":1.0}}"#);
            assert_eq!(rewritten(&conf, "/x", sent), Ok(expected), "{conf}");
        }
    }

    #[test]
    fn the_path_decides_where_messages_go() {
        let sent = r#"{"input":"x"}"#;
        let responses = r#"{"input":"x\nX","instructions":"P1\nP2"}"#;
        for (path, expected) in [("/v1/responses?a=b", responses), ("/v1/embeddings", sent)] {
            assert_eq!(rewritten(&both(), path, sent).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn bodies_that_cannot_be_used_are_refused() {
        let small = json!({"append": [], "max_req_body_size": 3});
        let cases = [
            (both(), "", "400 could not get body: request body is empty"),
            (both(), "{", "400 could not parse JSON request body: "),
            (both(), "5", "400 could not put messages into the request body: the body is not an object"),
            (
                both(),
                r#"{"messages":{"a":1}}"#,
                "400 could not put messages into the request body: messages is not a list",
            ),
            (
                small,
                "{   }",
                "400 could not get body: request size 5 is greater than the maximum size 3 allowed",
            ),
        ];
        for (conf, body, expected) in cases {
            let refused = rewritten(&conf, "/x", body).unwrap_err();
            assert!(refused.starts_with(expected), "{body}: {refused}");
        }
    }

    #[test]
    fn configurations_are_checked() {
        let schema = a6_resources::Schema::compile(schema()).unwrap();
        let item = "property \"prepend\" validation failed: failed to validate item 1: ";
        let cases = [
            (
                json!({}),
                "object matches none of the required: [\"prepend\"] or [\"append\"] or [\"append\",\"prepend\"]"
                    .to_string(),
            ),
            (
                json!({"prepend": [{"role": "x", "content": "y"}]}),
                format!("{item}property \"role\" validation failed: matches none of the enum values"),
            ),
            (
                json!({"prepend": [{"role": "user", "content": ""}]}),
                format!(
                    "{item}property \"content\" validation failed: string too short, expected at least 1, got 0"
                ),
            ),
        ];
        for (conf, expected) in cases {
            assert_eq!(schema.check(&conf), Err(expected), "{conf}");
        }
        let compile = |conf: Value| {
            let compiled = AiPromptDecorator::compile(&conf, &testing::site(), &testing::shared());
            compiled.unwrap_err()
        };
        assert_eq!(
            compile(json!({"append": ["x"]})),
            "append[0]: \"x\" is no message; write an object with role and content"
        );
        assert_eq!(
            compile(json!({"append": [], "max_req_body_size": 1.5})),
            "max_req_body_size: 1.5 is no number of bytes; write a whole number"
        );
    }
}
