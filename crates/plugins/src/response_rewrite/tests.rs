use std::io::Write;

use a6_resources::{Catalogue, ConfKind};
use http::HeaderValue;

use super::*;
use crate::support::testing;

/// The bytes of `{"a":"b"}` in brotli: one meta-block that is not compressed, and the last, which is empty.
const BROTLI: &[u8] = b"\x0b\x04\x80{\"a\":\"b\"}\x03";

fn compile(conf: &Value) -> ResponseRewrite {
    ResponseRewrite::compile(conf, &testing::site(), &testing::shared()).unwrap()
}

/// What a client gets of an answer: status, headers and body.
fn answered(
    conf: &Value,
    status: u16,
    headers: &[(&str, &str)],
    body: &[&[u8]],
) -> (u16, HeaderMap, Vec<u8>) {
    let plugin = compile(conf);
    let mut exchange = testing::exchange("GET", "/t?a=1", &[], "");
    let (mut head, ()) = http::Response::builder().status(status).body(()).unwrap().into_parts();
    for (name, value) in headers {
        let name = http::HeaderName::try_from(*name).unwrap();
        head.headers.append(name, HeaderValue::try_from(*value).unwrap());
    }
    plugin.header_filter(&mut exchange, &mut head);
    let mut sent = Vec::new();
    let mut ends = 0;
    for (number, data) in (1..).zip(body) {
        let frame =
            Frame { data: Bytes::copy_from_slice(data), is_stream: false, is_last: number == body.len() };
        match plugin.frame(&mut exchange, frame) {
            FrameFlow::Pass(frame) => {
                sent.extend_from_slice(&frame.data);
                ends += usize::from(frame.is_last);
            }
            FrameFlow::Hold => {}
            FrameFlow::Ask(_) | FrameFlow::End(_) | FrameFlow::Abort(_) => panic!("none is called for"),
        }
    }
    assert_eq!(ends, 1, "{conf}");
    (head.status.as_u16(), head.headers, sent)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn bodies_are_replaced_or_filtered() {
    let filter =
        |pattern: &str, by: &str, scope: &str| json!({"regex": pattern, "replace": by, "scope": scope});
    let filters = |all: Value| json!({"filters": all});
    let cases: [(Value, &[&[u8]], &str); 16] = [
        (json!({"body": "new"}), &[b"old"], "new"),
        (json!({"body": "new"}), &[b"old", b"older", b""], "new"),
        (json!({"body": "new"}), &[b""], "new"),
        (json!({"body": ""}), &[b"old", b"older"], ""),
        (json!({"body": "aGVsbG8=", "body_base64": true}), &[b"old"], "hello"),
        (json!({"status_code": 201}), &[b"old", b"er"], "older"),
        (filters(json!([filter("t", "T", "once")])), &[b"met", b"hod tt"], "meThod tt"),
        (filters(json!([filter("t", "T", "global")])), &[b"met", b"hod tt"], "meThod TT"),
        (filters(json!([filter("eth", "-", "once")])), &[b"met", b"hod", b""], "m-od"),
        (filters(json!([filter("(a)_(b)", "$2-$1", "once")])), &[b"a_b"], "b-a"),
        (filters(json!([filter("GET", "A", "once"), filter("A", "B", "once")])), &[b"GET"], "B"),
        (filters(json!([{"regex": "get", "replace": "x", "options": "i"}])), &[b"GET"], "x"),
        (filters(json!([filter("zzz", "y", "global")])), &[b"a", b"b"], "ab"),
        (filters(json!([filter("(", "y", "once"), filter("b", "c", "once")])), &[b"ab"], "ac"),
        (json!({"filters": [filter("c", "x", "once")], "max_resp_body_size": 4}), &[b"abc", b"def"], "abxd"),
        (filters(json!([filter("a", "b", "once")])), &[b"", b""], ""),
    ];
    for (conf, body, expected) in cases {
        let (_, _, sent) = answered(&conf, 200, &[], body);
        assert_eq!(String::from_utf8_lossy(&sent), expected, "{conf}");
    }
}

#[test]
fn what_is_no_text_is_passed_over() {
    let filter = |scope: &str| json!({"filters": [{"regex": "a", "replace": "b", "scope": scope}]});
    let body: &[&[u8]] = &[b"a\xff", b"a\xfea"];
    assert_eq!(answered(&filter("once"), 200, &[], body).2, b"b\xffa\xfea");
    assert_eq!(answered(&filter("global"), 200, &[], body).2, b"b\xffb\xfeb");
}

#[test]
fn codings_are_undone_and_unknown_ones_left_alone() {
    let conf = json!({"filters": [{"regex": "b", "replace": "c"}], "headers": {"X-A": "1"}});
    let zipped = gzip(r#"{"a":"b"}"#);
    let (first, rest) = zipped.split_at(12);
    let mut deflated = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut deflated, br#"{"a":"b"}"#).unwrap();
    let deflated = deflated.finish().unwrap();
    let changed = br#"{"a":"c"}"#.to_vec();
    let cases: [(&str, &[&[u8]], Vec<u8>, bool); 6] = [
        ("deflate", &[&deflated], changed.clone(), false),
        ("gzip", &[first, rest, b""], changed.clone(), false),
        ("gzip", &[&zipped], changed.clone(), false),
        ("br", &[BROTLI], changed.clone(), false),
        ("identity", &[br#"{"a":"b"}"#], changed, false),
        ("zstd", &[b"b"], b"b".to_vec(), true),
    ];
    for (coding, body, expected, stays) in cases {
        let head =
            [("content-encoding", coding), ("content-length", "9"), ("etag", "e"), ("last-modified", "d")];
        let (_, headers, sent) = answered(&conf, 200, &head, body);
        assert_eq!(sent, expected, "{coding}");
        for (name, _) in head {
            assert_eq!(headers.contains_key(name), stays, "{coding} {name}");
        }
        assert_eq!(headers["x-a"], "1");
    }
    let bomb = gzip(&"b".repeat(100_000));
    let conf = json!({"filters": [{"regex": "^b", "replace": "c"}], "max_resp_body_size": 1000});
    let (_, _, sent) = answered(&conf, 200, &[("content-encoding", "gzip")], &[&bomb]);
    assert_eq!((sent.len(), sent[0]), (1000, b'c'));
}

#[test]
fn a_body_that_cannot_be_had_whole_is_not_passed_for_whole() {
    let zipped = gzip(&"all of it ".repeat(1000));
    let plugin = compile(&json!({"filters": [{"regex": "all", "replace": "most"}]}));
    let last = |data: &[u8]| Frame { data: Bytes::copy_from_slice(data), is_stream: false, is_last: true };
    let frame_of = |coding: &str, budget: u64, frame: Frame| {
        let mut exchange = testing::exchange_within("GET", "/t", &[], "", budget);
        let (mut head, ()) = http::Response::new(()).into_parts();
        head.headers.insert(CONTENT_ENCODING, HeaderValue::try_from(coding).unwrap());
        plugin.header_filter(&mut exchange, &mut head);
        match plugin.frame(&mut exchange, frame) {
            FrameFlow::Abort(fault) => Some(fault.kind),
            _ => None,
        }
    };
    let cut = &zipped[..zipped.len() - 9];
    assert_eq!(frame_of("gzip", 1 << 20, last(&zipped)), None);
    assert_eq!(frame_of("gzip", 1 << 20, last(cut)), Some(FaultKind::UpstreamTruncated));
    assert_eq!(frame_of("br", 1 << 20, last(&BROTLI[..6])), Some(FaultKind::UpstreamTruncated));
    assert_eq!(frame_of("identity", 5, last(b"longer")), Some(FaultKind::Overloaded));
    // What comes out of the coding counts too, not only what went in.
    assert!(zipped.len() < 1_000);
    assert_eq!(frame_of("gzip", 5_000, last(&zipped)), Some(FaultKind::Overloaded));
}

#[test]
fn heads_are_changed_where_the_condition_holds() {
    let conf = json!({
        "vars": [["status", "==", 200], ["sent_http_x_r", "==", "1"]],
        "status_code": 403,
        "headers": {
            "add": ["X-Add: $arg_a", "X-R: 2"],
            "set": {"X-Set": "$status"},
            "remove": ["X-Gone"],
        },
    });
    let (status, headers, sent) = answered(&conf, 200, &[("x-r", "1"), ("x-gone", "1")], &[b"old"]);
    assert_eq!((status, &sent[..]), (403, &b"old"[..]));
    assert_eq!(headers.get_all("x-r").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(headers["x-add"], "1");
    assert_eq!(headers["x-set"], "403");
    assert!(!headers.contains_key("x-gone"));
    let (status, headers, _) = answered(&conf, 201, &[("x-r", "1"), ("x-gone", "1")], &[b"old"]);
    assert_eq!((status, headers.len()), (201, 2));
    let conf = json!({"vars": [["status", "==", 404]], "body": "x"});
    let (_, headers, sent) = answered(&conf, 200, &[("content-length", "3")], &[b"old"]);
    assert_eq!((headers.len(), &sent[..]), (1, &b"old"[..]));
}

#[test]
fn unusable_configurations_are_refused_as_apisix_words_it() {
    let cases = [
        (json!({"body": "?", "body_base64": true}), "invalid base64 content"),
        (json!({"body_base64": true}), "invalid base64 content"),
        (
            json!({"vars": [["status", "bad", 200]]}),
            "failed to validate the 'vars' expression: invalid operator 'bad'",
        ),
        (
            json!({"filters": [{"regex": "a", "replace": "b", "options": "z"}]}),
            "regex \"a\" validation failed: unknown flag \"z\" (flags \"z\")",
        ),
        (
            json!({"headers": {"add": ["nope"]}}),
            "property \"headers\" validation failed: object matches none of the required",
        ),
        (
            json!({"body": "x", "filters": [{"regex": "a", "replace": "b"}]}),
            "failed to validate dependent schema for \"filters\": value wasn't supposed to match schema",
        ),
    ];
    let plugins = crate::Builtins::default();
    for (conf, expected) in cases {
        assert_eq!(plugins.check(NAME, &conf, ConfKind::Route).unwrap_err(), expected, "{conf}");
    }
    for conf in [json!({}), json!({"headers": {"remove": "x"}}), json!({"headers": {"set": {"a b": "x"}}})] {
        assert_eq!(plugins.check(NAME, &conf, ConfKind::Route), Ok(()), "{conf}");
    }
}
