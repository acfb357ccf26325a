use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;

use super::*;

fn head(text: &str) -> Result<Option<ResponseHead>, Http1Error> {
    parse_head(&mut BytesMut::from(text), &Method::POST, |_| true)
}

#[test]
fn framing_follows_rfc_9112() {
    let cases: &[(&str, Framing, bool)] = &[
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Framing::Length(5), true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Framing::Empty, true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\n", Framing::Length(5), true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Framing::Chunked, true),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
            Framing::Chunked,
            false,
        ),
        ("HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 5\r\n\r\n", Framing::Length(5), false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n", Framing::Length(5), false),
        ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\n", Framing::Length(5), true),
        ("HTTP/1.1 200 OK\r\n\r\n", Framing::Close, false),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", Framing::Empty, true),
        ("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", Framing::Empty, true),
    ];
    for (text, framing, reusable) in cases {
        let found = head(text).unwrap().unwrap();
        assert_eq!((found.framing, found.reusable), (*framing, *reusable), "{text:?}");
    }
}

#[test]
fn only_the_headers_asked_for_are_kept() {
    let text = "HTTP/1.1 200 OK\r\nX-A: 1\r\nServer: s\r\nx-a: 2\r\nX-Empty:\r\ncontent-length: 0\r\n\r\n";
    let keep = |name: &http::HeaderName| name.as_str().starts_with("x-");
    let head = parse_head(&mut BytesMut::from(text), &Method::GET, keep).unwrap().unwrap();
    let found: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(found, [("x-a", b"1".as_slice()), ("x-a", b"2"), ("x-empty", b"")]);
    assert_eq!(head.framing, Framing::Empty);
}

#[test]
fn ambiguous_or_broken_heads_are_refused() {
    let cases = [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        "garbage\r\n\r\n",
        "HTTP/1.1 99 X\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad header: 1\r\n\r\n",
    ];
    for text in cases {
        assert!(head(text).is_err(), "{text:?}");
    }
    assert!(head(&format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(MAX_HEAD))).is_err());
    assert!(head(&format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(MAX_HEAD))).is_err());
    assert!(head(&format!("HTTP/1.1 200 OK\r\n{}", "x: a\r\n".repeat(MAX_HEADERS + 1))).is_err());
    assert!(head("HTTP/1.1 200 OK\r\nx: a").unwrap().is_none());
}

#[test]
fn a_request_head_is_written_as_it_is_framed() {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("a.test"));
    headers.insert("content-length", HeaderValue::from_static("2"));
    let written = write_head(&Method::POST, "/v1/x?a=b", &headers);
    assert_eq!(written, b"POST /v1/x?a=b HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\n");
}

fn decode_in_steps(framing: Framing, wire: &[u8], step: usize) -> Result<(Vec<u8>, bool, usize), Http1Error> {
    let mut decoder = BodyDecoder::new(framing);
    let mut buffer = BytesMut::new();
    let mut body = Vec::new();
    for piece in wire.chunks(step.max(1)) {
        buffer.extend_from_slice(piece);
        while let Decoded::Data(data) = decoder.decode(&mut buffer)? {
            body.extend_from_slice(&data);
        }
    }
    Ok((body, decoder.is_done(), buffer.len()))
}

#[test]
fn chunks_of_one_read_come_out_as_one_piece() {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let mut buffer = BytesMut::from("3\r\nabc\r\n4;ext=1\r\ndefg\r\n2\r\nh");
    assert_eq!(decoder.decode(&mut buffer), Ok(Decoded::Data("abcdefgh".into())));
    assert_eq!(decoder.decode(&mut buffer), Ok(Decoded::More));
    buffer.extend_from_slice(b"i\r\n0\r\nx-trailer: 1\r\n\r\nHTTP/1.1");
    assert_eq!(decoder.decode(&mut buffer), Ok(Decoded::Data("i".into())));
    assert_eq!(decoder.decode(&mut buffer), Ok(Decoded::End));
    assert_eq!(&buffer[..], b"HTTP/1.1");
}

#[test]
fn trailers_are_kept_until_the_body_is_over() {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let mut buffer = BytesMut::from("1\r\na\r\n0\r\nX-Sum: 7 \r\nno field\r\nx-sum:8\r\n");
    assert_eq!(decoder.decode(&mut buffer), Ok(Decoded::Data("a".into())));
    assert_eq!(decoder.take_trailers(), None, "more may come");
    buffer.extend_from_slice(b"grpc-status: 0\r\n\r\n");
    assert_eq!(decoder.decode(&mut buffer), Ok(Decoded::End));
    let trailers = decoder.take_trailers().unwrap();
    let found: Vec<_> = trailers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(found, [("x-sum", b"7".as_slice()), ("x-sum", b"8"), ("grpc-status", b"0")]);
    assert_eq!(decoder.take_trailers(), None);
}

#[test]
fn unusual_words_of_a_status_are_kept() {
    let cases = [
        ("HTTP/1.1 200 OK\r\n\r\n", None),
        ("HTTP/1.1 200\r\n\r\n", None),
        ("HTTP/1.1 302 Moved Temporarily\r\n\r\n", Some("Moved Temporarily")),
        ("HTTP/1.1 599 Odd\r\n\r\n", Some("Odd")),
    ];
    for (text, reason) in cases {
        assert_eq!(head(text).unwrap().unwrap().reason.as_deref(), reason.map(str::as_bytes), "{text:?}");
    }
}

#[test]
fn malformed_chunks_are_refused() {
    let cases: &[&[u8]] = &[
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"11111111111111111\r\n",
        b"3\nabc\r\n",
        b"3\r\nabcd\r\n",
        b"0\r\nx\n",
        &[b'1'; 5000],
    ];
    for wire in cases {
        assert!(
            decode_in_steps(Framing::Chunked, wire, wire.len()).is_err(),
            "{}",
            String::from_utf8_lossy(wire)
        );
    }
}

#[test]
fn a_length_takes_no_byte_of_the_next_response() {
    assert_eq!(decode_in_steps(Framing::Length(3), b"abcHTTP", 2), Ok((b"abc".to_vec(), true, 4)));
    assert_eq!(decode_in_steps(Framing::Length(9), b"abc", 1), Ok((b"abc".to_vec(), false, 0)));
}

proptest! {
    #[test]
    fn any_chunking_read_in_any_steps_gives_the_body(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
        step in 1usize..30,
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        prop_assert_eq!(decode_in_steps(Framing::Chunked, &wire, step), Ok((chunks.concat(), true, 0)));
    }

    #[test]
    fn no_bytes_make_it_panic(wire in prop::collection::vec(any::<u8>(), 0..200), step in 1usize..20) {
        let _ = decode_in_steps(Framing::Chunked, &wire, step);
        let _ = parse_head(&mut BytesMut::from(&wire[..]), &Method::GET, |_| true);
    }
}
