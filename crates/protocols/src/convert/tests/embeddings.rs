use serde_json::{Value, json};

use super::ENVELOPE;
use crate::convert::{Conversion, Unreadable};

#[test]
fn embeddings_reach_vertex_ai() {
    let instances = |texts: &[&str]| -> Value {
        let listed: Vec<Value> = texts.iter().map(|text| json!({"content": text})).collect();
        json!({"instances": listed})
    };
    let cases: &[(Value, Value, &[&str])] = &[
        (json!({"model": "m", "input": "é\n"}), instances(&["é\n"]), &[]),
        (json!({"input": ["a", "b"]}), instances(&["a", "b"]), &[]),
        (json!({"input": [[1, 2], "x", []]}), instances(&["1 2", "x", ""]), &[]),
        (json!({"input": []}), instances(&[]), &[]),
        (json!({"input": "x", "user": "u", "encoding_format": "float"}), instances(&["x"]), &["user"]),
        (
            json!({"input": "x", "dimensions": 256}),
            json!({"instances": [{"content": "x"}], "parameters": {"outputDimensionality": 256}}),
            &[],
        ),
    ];
    for (body, expected, dropped) in cases {
        let converted = Conversion::EmbeddingsToPredict.request(body.to_string().as_bytes()).unwrap();
        let written: Value = serde_json::from_slice(&converted.body).unwrap();
        assert_eq!(&written, expected, "{body}");
        assert_eq!(converted.dropped, *dropped, "{body}");
        assert_eq!(converted.model.as_deref(), body["model"].as_str(), "{body}");
    }
}

#[test]
fn what_is_no_input_is_refused() {
    let cases = [
        ("{}", "`input` is required for embeddings"),
        (r#"{"input":null}"#, "`input` is required for embeddings"),
        (r#"{"input":5}"#, "`input` must be string or array"),
        (r#"{"input":{"a":1}}"#, "`input` must be string or array"),
        (r#"{"input":["x",1]}"#, "unsupported input type at index 2"),
        (r#"{"input":[[{}]]}"#, "unsupported input type at index 1"),
        ("[]", "the body is not a JSON object"),
    ];
    for (body, expected) in cases {
        let refused = Conversion::EmbeddingsToPredict.request(body.as_bytes()).unwrap_err();
        assert_eq!(refused.to_string(), expected, "{body}");
    }
}

#[test]
fn predictions_become_embeddings() {
    let recall = |format: &str| {
        let body = json!({"input": "x", "encoding_format": format}).to_string();
        Conversion::EmbeddingsToPredict.request(body.as_bytes()).unwrap().recall
    };
    let prediction =
        |count: Value| json!({"embeddings": {"values": [0.5, -2], "statistics": {"token_count": count}}});
    let text = json!({"predictions": [prediction(json!(3)), prediction(json!(4.0))]}).to_string();
    let converted = |format: &str| -> Value {
        let reply =
            Conversion::EmbeddingsToPredict.reply(&recall(format), &ENVELOPE, text.as_bytes()).unwrap();
        serde_json::from_slice(&reply.body).unwrap()
    };
    let expected = |embedding: Value| {
        json!({"object": "list", "model": "asked", "usage": {"prompt_tokens": 7, "total_tokens": 7}, "data": [
            {"object": "embedding", "index": 0, "embedding": embedding},
            {"object": "embedding", "index": 1, "embedding": embedding}]})
    };
    assert_eq!(converted("float"), expected(json!([0.5, -2])));
    assert_eq!(converted("base64"), expected(json!("AAAAPwAAAMA=")));
    for broken in [r#"{"predictions":[{}]}"#, r#"{"predictions":[{"embeddings":{"values":"x"}}]}"#] {
        let reply = Conversion::EmbeddingsToPredict.reply(&recall("float"), &ENVELOPE, broken.as_bytes());
        assert_eq!(
            reply.unwrap_err(),
            Unreadable::Invalid("invalid embedding at index 1".into()),
            "{broken}"
        );
    }
}
