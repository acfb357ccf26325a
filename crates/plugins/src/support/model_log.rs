use a6_snapshot::{Exchange, ModelLog, Payload};
use serde::Deserialize;

/// `logging` of the AI plugins: what logs may tell of prompt and answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Logging {
    summaries: bool,
    payloads: bool,
}

impl Logging {
    /// Notes in the record what is to be told, once the request's body has been read.
    pub(crate) fn begin(self, exchange: &mut Exchange) {
        if !self.summaries && !self.payloads {
            return;
        }
        let payload = self.payloads.then(|| {
            let scanned = exchange.body.scanned();
            Payload::of(scanned.and_then(|(text, document)| {
                ["messages", "input"].into_iter().find_map(|member| document.get(text, member))
            }))
        });
        exchange.record.model_log = Some(Box::new(ModelLog { summary: self.summaries, payload }));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::support::testing;

    #[test]
    fn only_what_is_asked_for_is_kept() {
        let cases = [
            (json!({}), None),
            (json!({"summaries": false, "other": 1}), None),
            (json!({"summaries": true}), Some((true, None))),
            (json!({"payloads": true}), Some((false, Some(json!([{"role": "user"}]))))),
        ];
        for (conf, expected) in cases {
            let logging: Logging = serde_json::from_value(conf.clone()).unwrap();
            let body = r#"{"messages":[{"role":"user"}]}"#;
            let mut exchange = testing::exchange("POST", "/", &[], body);
            testing::run(async { exchange.body.document().await.map(|_| ()) }).unwrap();
            logging.begin(&mut exchange);
            let found: Option<(bool, Option<Value>)> = exchange
                .record
                .model_log
                .map(|log| (log.summary, log.payload.map(|payload| payload.messages.unwrap())));
            assert_eq!(found, expected, "{conf}");
        }
    }
}
