//! Vertex AI predict (`…:predict`): what embeddings are asked of Vertex by. Only a provider speaks it.
//!
//! - this file: plain answers. Errors are OpenAI's, see `openai_chat`.

use a6_codec::json::Document;
use serde::Deserialize;

use crate::openai_chat::error_body;
use crate::start::unknown;
use crate::usage::Count;
use crate::wire::{Wire, as_it_is, never_quick};
use crate::{Description, Usage};

/// Its row.
pub(crate) static WIRE: Wire = Wire {
    name: "vertex-predict",
    detects: |_| false,
    streams: false,
    describe: |_, _| Description::default(),
    prepare: as_it_is,
    usage,
    quick_usage: never_quick,
    calls_tool: |_| false,
    start: unknown,
    error_body,
};

/// The tokens of all predictions. One that does not tell leaves the sum unknown.
fn usage(document: &Document, text: &[u8]) -> Usage {
    #[derive(Deserialize)]
    struct Prediction {
        embeddings: Embeddings,
    }
    #[derive(Deserialize)]
    struct Embeddings {
        statistics: Statistics,
    }
    #[derive(Deserialize)]
    struct Statistics {
        token_count: Count,
    }
    let predictions = document.get(text, "predictions").map(serde_json::from_slice::<Vec<Prediction>>);
    let Some(Ok(predictions)) = predictions else { return Usage::default() };
    let counts = predictions.iter().map(|prediction| prediction.embeddings.statistics.token_count.0);
    match counts.sum::<Option<u64>>() {
        Some(prompt) => Usage { prompt: Some(prompt), completion: Some(0), ..Usage::default() }.summed(),
        None => Usage::default(),
    }
}

#[cfg(test)]
mod tests {
    use crate::Protocol;
    use crate::testing::told;

    #[test]
    fn the_tokens_of_all_predictions_are_added() {
        let prediction =
            |count: &str| format!(r#"{{"embeddings":{{"values":[0.1],"statistics":{{{count}}}}}}}"#);
        let body = |counts: [&str; 2]| {
            format!(r#"{{"predictions":[{},{}]}}"#, prediction(counts[0]), prediction(counts[1]))
        };
        let usage = |body: &str| told(Protocol::VertexPredict, body).usage;
        let all = usage(&body([r#""token_count":3"#, r#""token_count":4"#]));
        assert_eq!((all.prompt, all.completion, all.total), (Some(7), Some(0), Some(7)));
        for silent in [&body([r#""token_count":3"#, ""]), "{}", r#"{"predictions":[{}]}"#] {
            assert!(!usage(silent).is_known(), "{silent}");
        }
    }
}
