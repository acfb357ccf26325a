//! Embeddings, models, and everything else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Client, ask, mock, post};
use crate::knobs::Knobs;

#[test]
fn embeddings_are_the_same_in_both_encodings() {
    let mock = mock(Knobs::default());
    let body = json!({"model": "e", "input": ["One two", "three"], "dimensions": 5});
    let floats = ask(&mock, "/v1/embeddings", "", &body).json();
    let numbers: Vec<f32> = serde_json::from_value(floats["data"][0]["embedding"].clone()).unwrap();
    assert_eq!((numbers.len(), floats["data"].as_array().unwrap().len()), (5, 2));
    assert_ne!(floats["data"][0]["embedding"], floats["data"][1]["embedding"]);
    assert_eq!(floats["usage"]["prompt_tokens"], mock.settled(1)[0].prompt_tokens);
    assert_eq!(floats["usage"]["total_tokens"], 3);

    let body = json!({"model": "e", "input": "One two", "dimensions": 5, "encoding_format": "base64"});
    let encoded = ask(&mock, "/v1/embeddings", "", &body).json();
    let bytes = STANDARD.decode(encoded["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let decoded: Vec<f32> =
        bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    assert_eq!(decoded, numbers);

    for (input, dimensions) in [(json!(null), json!(5)), (json!([]), json!(5)), (json!("a"), json!(-1))] {
        let body = json!({"input": input, "dimensions": dimensions});
        assert_eq!(ask(&mock, "/v1/embeddings", "", &body).status, 400, "{body}");
    }
}

#[test]
fn models_are_listed() {
    let mock = mock(Knobs::default());
    let mut client = Client::of(&mock);
    client.send("GET /v1/models HTTP/1.1\r\n\r\n");
    let list = client.reply().json();
    assert_eq!((&list["object"], &list["data"][0]["object"]), (&json!("list"), &json!("model")));
}

#[test]
fn anything_else_is_echoed() {
    let mock = mock(Knobs::default());
    let reply = ask(&mock, "/v1/rerank?a=1", "X-A: 1\r\nx-a: 2\r\n", &json!({"k": [1]})).json();
    assert_eq!((&reply["method"], &reply["target"]), (&json!("POST"), &json!("/v1/rerank?a=1")));
    assert_eq!((&reply["headers"]["x-a"], &reply["body"]), (&json!("1, 2"), &json!({"k": [1]})));

    let mut client = Client::of(&mock);
    client.send(post("/v1/files", "", "no json"));
    assert_eq!(client.reply().json()["body"], "no json");
    client.send("GET /nowhere HTTP/1.1\r\n\r\n");
    let reply = client.reply();
    let error: Value = reply.json();
    assert_eq!((reply.status, &error["error"]["code"]), (404, &json!("unknown_url")));
}
