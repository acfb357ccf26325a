use std::sync::Arc;

use a6_codec::event_stream::{Value, encode};
use a6_core::{Retry, Secret};
use a6_protocols::Scheme;
use a6_snapshot::Target;
use a6_upstream::{Call, Resolver, TlsRoots, Upstream};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const ROLE: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
const WORD: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const ERROR: &str = "data: {\"error\":{\"message\":\"slow down\",\"code\":\"rate_limit_exceeded\"}}\n\n";
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const END: &str = "0\r\n\r\n";

fn watch(protocol: Protocol, decoder: Decoder) -> Watch<'static> {
    Watch { protocol, address: "a.test:443", inflater: None, decoder, seen: 0 }
}

fn chat() -> Watch<'static> {
    watch(Protocol::OpenaiChat, Decoder::Events(SseDecoder::default()))
}

/// What becomes of a stream that comes in pieces of this length and then ends: after how many bytes the first word is seen.
fn first_word(mut watch: Watch<'_>, stream: &[u8], step: usize) -> Result<Option<usize>, Fault> {
    let mut seen = 0;
    for piece in stream.chunks(step) {
        seen += piece.len();
        if watch.see(&Bytes::copy_from_slice(piece))? {
            return Ok(Some(seen));
        }
    }
    watch.end().map(|()| None)
}

#[test]
fn the_first_word_is_found_however_the_bytes_come() {
    let stream = [ROLE, ROLE, WORD, WORD].concat();
    let word = 2 * ROLE.len() + WORD.len();
    for step in 1..=stream.len() {
        let seen = first_word(chat(), stream.as_bytes(), step).unwrap().unwrap();
        assert!(seen >= word && seen < word + step, "{step}: {seen}");
    }
}

#[test]
fn an_end_or_an_error_before_the_first_word_is_a_fault_with_a_true_status() {
    let cases: [(&str, FaultKind, u16, &str); 4] = [
        ("", FaultKind::UpstreamTruncated, 502, "a.test:443"),
        (ROLE, FaultKind::UpstreamTruncated, 502, "ended before the first word"),
        (ERROR, FaultKind::UpstreamError, 429, "a.test:443 began a stream and told of an error: slow down"),
        ("data: {\"error\":{}}\n\n", FaultKind::UpstreamError, 502, "told of an error"),
    ];
    for (rest, kind, status, text) in cases {
        let stream = [ROLE, rest].concat();
        for step in [1, stream.len()] {
            let fault = first_word(chat(), stream.as_bytes(), step).unwrap_err();
            assert_eq!((fault.kind, fault.status.as_u16()), (kind, status), "{rest:?}");
            assert!(fault.text.contains(text) && fault.retry == Retry::OtherTarget, "{fault}");
        }
    }
    // Without the empty line at its end.
    assert!(first_word(chat(), [ROLE, WORD.trim_end()].concat().as_bytes(), 7).unwrap().is_none());
    let passing = watch(Protocol::Passthrough, Decoder::Events(SseDecoder::default()));
    assert!(first_word(passing, b": nothing\n\n", 3).unwrap().is_none());
}

#[test]
fn an_error_in_many_words_is_told_in_few() {
    let long = "\u{e9}".repeat(MAX_MESSAGE);
    let fault = told(StartError { status: None, message: Some(long) }, "a.test:443");
    assert!(fault.text.len() < MAX_MESSAGE + 100, "{}", fault.text.len());
}

#[test]
fn an_opening_without_end_is_passed_on() {
    let mut watch = chat();
    let piece = Bytes::from(ROLE);
    let held = (0..).take_while(|_| !watch.see(&piece).unwrap()).count();
    assert_eq!(held, MOST / ROLE.len());
}

#[test]
fn frames_tell_their_exceptions_by_name() {
    let frame = |kind: &str, name: &str, payload: &str| {
        let headers = [(kind, Value::Text(name)), (":message-type", Value::Text("event"))];
        encode(&headers, payload.as_bytes()).unwrap()
    };
    let exception = [
        (":exception-type", Value::Text("throttlingException")),
        (":message-type", Value::Text("exception")),
    ];
    let exception = encode(&exception, br#"{"message":"slow down"}"#).unwrap();
    let start = frame(":event-type", "messageStart", r#"{"role":"assistant"}"#);
    let delta = frame(":event-type", "contentBlockDelta", r#"{"delta":{"text":"Hi"}}"#);
    let bedrock = || watch(Protocol::BedrockConverse, Decoder::Frames(FrameDecoder::default()));
    let good = [&start[..], &delta[..]].concat();
    let bad = [&start[..], &exception[..]].concat();
    for step in [1, 9, good.len() + bad.len()] {
        assert_eq!(first_word(bedrock(), &good, step).unwrap(), Some(good.len()), "{step}");
        let fault = first_word(bedrock(), &bad, step).unwrap_err();
        assert_eq!((fault.kind, fault.status.as_u16()), (FaultKind::UpstreamError, 429), "{fault}");
    }
    let fault = first_word(bedrock(), &[&start[..], b"this is no frame at all"].concat(), 1_000).unwrap_err();
    assert_eq!(fault.kind, FaultKind::UpstreamTruncated, "{fault}");
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// The answer of a server that sends these bytes and then ends the connection, or else stays silent.
async fn answer(sent: String, ends: bool) -> Answer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        if !ends {
            let _ = stream.read(&mut [0]).await;
        }
    });
    let target = Target { scheme: Scheme::Http, host: "127.0.0.1".into(), port, verify: false };
    let call = Call {
        target: Arc::new(target),
        keepalive: None,
        timeout: Duration::from_secs(10),
        method: Method::POST,
        keep_header: |_| true,
        head: Secret::new("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n".into()),
        body: Vec::new(),
    };
    let upstream = Upstream::new(Arc::new(Resolver::new([])), Arc::new(TlsRoots::new(None)));
    upstream.send(call).await.unwrap()
}

/// All of a body, or the fault that it broke with.
async fn whole(answer: &mut Answer) -> Result<Vec<u8>, Fault> {
    let mut whole = Vec::new();
    while let Some(piece) = poll_fn(|cx| answer.body.poll_data(cx)).await {
        whole.extend_from_slice(&piece?);
    }
    Ok(whole)
}

#[tokio::test]
async fn what_was_held_is_given_out_byte_for_byte() {
    let stream = [ROLE, WORD, "data: [DONE]\n\n"];
    let sent = [HEAD.to_string(), stream.map(chunk).concat(), END.to_string()].concat();
    let mut answer = answer(sent, false).await;
    // As a limit of the instance's has it.
    answer.body.read_ahead(0).await.unwrap();
    hold(&mut answer, Protocol::OpenaiChat, true, "a.test:443").await.unwrap();
    assert_eq!(whole(&mut answer).await.unwrap(), stream.concat().as_bytes());
    assert!(answer.body.is_done());
}

#[tokio::test]
async fn a_stream_that_is_cut_behind_its_opening_is_a_fault() {
    let mut cut = answer([HEAD, &chunk(ROLE)].concat(), true).await;
    let fault = hold(&mut cut, Protocol::OpenaiChat, true, "a.test:443").await.unwrap_err();
    assert_eq!((fault.kind, fault.retry), (FaultKind::UpstreamTruncated, Retry::OtherTarget), "{fault}");
    assert!(!cut.body.is_done(), "the cut is still to be told");
    assert_eq!(whole(&mut cut).await.unwrap_err().kind, FaultKind::UpstreamTruncated);
    // An error stays in the body, for whoever passes it on all the same.
    let mut told = answer([HEAD, &chunk(ERROR), END].concat(), false).await;
    hold(&mut told, Protocol::OpenaiChat, true, "a.test:443").await.unwrap_err();
    assert_eq!(whole(&mut told).await.unwrap(), ERROR.as_bytes());
}

#[tokio::test]
async fn silence_is_not_waited_out() {
    let mut silent = answer([HEAD, &chunk(ROLE)].concat(), false).await;
    let watch = Watch::of(&silent, Protocol::OpenaiChat, true, "a.test:443").unwrap();
    until_begun(&mut silent, watch, Duration::from_millis(20)).await.unwrap();
    let first = poll_fn(|cx| silent.body.poll_data(cx)).await.unwrap().unwrap();
    assert_eq!(first, ROLE);
}

#[tokio::test]
async fn what_is_no_stream_is_not_read() {
    let plain = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let error = "HTTP/1.1 429 Slow\r\ncontent-type: text/event-stream\r\ncontent-length: 0\r\n\r\n";
    let coded = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: odd\r\ncontent-length: 0\r\n\r\n";
    for sent in [plain, error, coded] {
        let mut answer = answer(sent.to_string(), false).await;
        hold(&mut answer, Protocol::OpenaiChat, true, "a.test:443").await.unwrap();
        assert_eq!(answer.body.ahead().count(), 0, "{sent}");
    }
}
