use crate::testing::{detect, told};
use crate::{End, Protocol};

#[test]
fn a_request_is_one_with_input() {
    for body in [r#"{"input":"x"}"#, r#"{"input":null}"#, r#"{"input":[[1,2]],"stream":true}"#] {
        assert_eq!(detect("/anything", body), Some(Protocol::OpenaiEmbeddings), "{body}");
    }
    assert_eq!(detect("/v1/embeddings", r#"{"input":"x","messages":[]}"#), Some(Protocol::OpenaiChat));
    assert_eq!(detect("/v1/audio/speech", r#"{"input":"x","voice":"a"}"#), Some(Protocol::Passthrough));
    assert_eq!(detect("/v1/moderations", r#"{"input":"x"}"#), Some(Protocol::Passthrough));
    assert_eq!(detect("/v1/embeddings", r#"{"inputs":"x"}"#), Some(Protocol::Passthrough));
}

#[test]
fn the_prompt_is_all_that_it_costs() {
    let body = r#"{"object":"list","data":[],"usage":{"prompt_tokens":5,"total_tokens":5}}"#;
    let usage = told(Protocol::OpenaiEmbeddings, body).usage;
    assert_eq!((usage.prompt, usage.completion, usage.total), (Some(5), Some(0), Some(5)));
    assert!(!told(Protocol::OpenaiEmbeddings, r#"{"data":[],"usage":null}"#).usage.is_known());
}

#[test]
fn there_is_no_stream() {
    let body = br#"{"input":"x","stream":true}"#;
    let document = a6_codec::json::Document::scan(body).unwrap();
    assert!(!Protocol::OpenaiEmbeddings.wants_stream("/v1/embeddings", &document, body));
    assert_eq!(Protocol::OpenaiEmbeddings.stream_reader(false).end(), End::Unjudged);
}
