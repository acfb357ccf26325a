use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use proptest::prelude::*;

use super::*;
use crate::http1::{Framing, Http1Error};

fn parse(text: &[u8]) -> Result<Option<RequestHead>, HeadFault> {
    parse_request(&mut BytesMut::from(text), &mut HeaderMap::new())
}

/// What a head is told as: method, target, version, headers, framing, whether more may follow.
fn told(head: &RequestHead) -> String {
    let headers: Vec<String> = head
        .headers
        .iter()
        .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let (method, uri, version) = (&head.method, &head.uri, head.version);
    format!("{method} {uri} {version:?} [{}] {:?} {}", headers.join(","), head.framing, head.keeps_alive)
}

#[test]
fn good_heads_are_read() {
    let cases = [
        ("GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1 [] Empty true"),
        ("\r\n\nGET /a?b=c HTTP/1.1\nHost: a\n\n", "GET /a?b=c HTTP/1.1 [host=a] Empty true"),
        ("OPTIONS * HTTP/1.1\r\n\r\n", "OPTIONS * HTTP/1.1 [] Empty true"),
        ("CONNECT a.test:80 HTTP/1.1\r\n\r\n", "CONNECT a.test:80 HTTP/1.1 [] Empty true"),
        ("GET http://a.test/b HTTP/1.1\r\n\r\n", "GET http://a.test/b HTTP/1.1 [] Empty true"),
        ("GET / HTTP/1.1\r\nX-A:  1 \r\nx-a:\r\n\r\n", "GET / HTTP/1.1 [x-a=1,x-a=] Empty true"),
        (
            "POST / HTTP/1.1\r\nContent-Length: 5\r\ncontent-length: 05\r\n\r\n",
            "POST / HTTP/1.1 [content-length=5] Length(5) true",
        ),
        ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "POST / HTTP/1.1 [content-length=0] Empty true"),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n",
            "POST / HTTP/1.1 [transfer-encoding=Chunked] Chunked true",
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1 [transfer-encoding=chunked] Chunked false",
        ),
        (
            "GET / HTTP/1.1\r\nConnection: x , Close\r\nConnection: keep-alive\r\n\r\n",
            "GET / HTTP/1.1 [connection=x , Close,connection=keep-alive] Empty false",
        ),
        ("GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0 [] Empty false"),
        (
            "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
            "GET / HTTP/1.0 [connection=Keep-Alive] Empty true",
        ),
    ];
    for (text, expected) in cases {
        let mut buffer = BytesMut::from(format!("{text}rest").as_str());
        let head = parse_request(&mut buffer, &mut HeaderMap::new()).unwrap().unwrap();
        assert_eq!(told(&head), expected, "{text:?}");
        assert_eq!(&buffer[..], b"rest", "{text:?}");
    }
}

#[test]
fn only_http_1_1_knows_how_to_wait_for_a_word() {
    let expect = |text: &str| parse(text.as_bytes()).unwrap().unwrap().expects_continue;
    assert!(expect("PUT / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n"));
    assert!(!expect("PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"));
    assert!(!expect("PUT / HTTP/1.1\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\n"));
}

#[test]
fn bad_heads_are_refused_with_their_reason() {
    let get = |lines: &str| format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n");
    let long = "a".repeat(MAX_HEAD);
    let cases = [
        ("PO(T / HTTP/1.1\r\n\r\n".to_string(), HeadFault::Method),
        ("\u{16}\u{3}\u{1}".to_string(), HeadFault::Method),
        ("GET  / HTTP/1.1\r\n\r\n".to_string(), HeadFault::Target),
        ("GET /\u{0} HTTP/1.1\r\n\r\n".to_string(), HeadFault::Target),
        (format!("GET /{} HTTP/1.1\r\n\r\n", &long[..65_534]), HeadFault::LongTarget),
        ("GET / HTTP/1.2\r\n\r\n".to_string(), HeadFault::Version),
        ("GET / http/1.1\r\n\r\n".to_string(), HeadFault::Version),
        ("PRI * HTTP/2.0\r\n\r\n".to_string(), HeadFault::Version),
        (get("X-A : a"), HeadFault::HeaderName),
        (get(" X-A: a"), HeadFault::HeaderName),
        (get("X-A: a\r\n b"), HeadFault::HeaderName),
        (get("nonsense"), HeadFault::HeaderName),
        (get(": a"), HeadFault::HeaderName),
        (get("X-A: a\u{0}b"), HeadFault::HeaderValue),
        (get("X-A: a\u{7f}b"), HeadFault::HeaderValue),
        (get(&format!("{}X-B: b", "X-A: a\r\n".repeat(MAX_HEADERS))), HeadFault::ManyHeaders),
        (get(&format!("X-A: {long}")), HeadFault::LongHead),
        (format!("GET / HTTP/1.1\r\nX-A: {long}"), HeadFault::LongHead),
        (get("Content-Length: 5\r\nContent-Length: 6"), HeadFault::Lengths),
        (get("Content-Length: 5, 5"), HeadFault::Length),
        (get("Content-Length: +5"), HeadFault::Length),
        (get("Content-Length: -5"), HeadFault::Length),
        (get("Content-Length: 0x5"), HeadFault::Length),
        (get("Content-Length: "), HeadFault::Length),
        (get("Content-Length: 18446744073709551616"), HeadFault::Length),
        (get("Transfer-Encoding: gzip, chunked"), HeadFault::Coding),
        (get("Transfer-Encoding: identity"), HeadFault::Coding),
        (get("Transfer-Encoding: "), HeadFault::Coding),
        (get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), HeadFault::Coding),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_string(), HeadFault::OldCoding),
    ];
    for (text, fault) in cases {
        let shown = &text[..text.len().min(60)];
        assert_eq!(parse(text.as_bytes()).err(), Some(fault), "{shown:?}");
        assert!(fault.status().is_client_error() && !fault.as_str().is_empty(), "{shown:?}");
    }
}

#[test]
fn each_fault_has_a_place_of_its_own() {
    for (place, fault) in HeadFault::ALL.into_iter().enumerate() {
        assert_eq!(fault as usize, place, "{fault}");
    }
}

#[test]
fn a_head_is_whole_at_its_last_byte_and_not_before() {
    for text in ["GET /a HTTP/1.1\r\nHost: a.test\r\nX-A: b\r\n\r\n", "GET /a HTTP/1.1\nHost: a.test\n\n"] {
        for cut in 0..text.len() {
            let begin = &text.as_bytes()[..cut];
            assert!(matches!(parse(begin), Ok(None)), "{cut}");
            let seen = (0..cut).any(|looked| may_be_whole(begin, looked));
            assert!(!seen, "{cut}");
            assert!(may_be_whole(text.as_bytes(), cut), "{cut}");
        }
        assert!(parse(text.as_bytes()).unwrap().is_some());
    }
}

/// Body, whether it is over, and how many bytes are left, however the wire was cut.
fn decode(framing: Framing, wire: &[u8], step: usize) -> Result<(Vec<u8>, bool, usize), Http1Error> {
    let mut decoder = RequestDecoder::new(framing);
    let (mut buffer, mut body) = (BytesMut::new(), Vec::new());
    for piece in wire.chunks(step.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            let skip = decoder.framing(&buffer)?;
            buffer.advance(skip);
            let length = usize::try_from(decoder.data()).unwrap().min(buffer.len());
            if length == 0 {
                break;
            }
            body.extend_from_slice(&buffer.split_to(length));
            decoder.passed(length as u64);
        }
    }
    Ok((body, decoder.is_done(), buffer.len()))
}

#[test]
fn bodies_are_told_from_their_framing_however_they_are_cut() {
    let long = format!("2;{}\r\nab\r\n0\r\n\r\nGET", "e".repeat(10 << 10));
    let cases: [(Framing, &str, &str, bool, usize); 10] = [
        (Framing::Empty, "GET", "", true, 3),
        (Framing::Length(3), "abcGET", "abc", true, 3),
        (Framing::Length(9), "abc", "abc", false, 0),
        (Framing::Chunked, "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nGET", "abc0123456789", true, 3),
        (Framing::Chunked, "0000000000000000000003 ;x=\"y\"\r\nabc\r\n000\r\n\r\n", "abc", true, 0),
        (Framing::Chunked, "1\r\na\r\n0\r\nTE: a\r\nX-B:\tc d\r\n\r\nGET", "a", true, 3),
        (Framing::Chunked, "1\r\na\r\n0\r\n\r", "a", false, 0),
        (Framing::Chunked, "3\r\nab", "ab", false, 0),
        (Framing::Chunked, "fF\r\nab", "ab", false, 0),
        (Framing::Chunked, &long, "ab", true, 3),
    ];
    for (framing, wire, body, is_over, left) in cases {
        for step in [1, 2, 3, 7, wire.len()] {
            let found = decode(framing, wire.as_bytes(), step).unwrap();
            // What lies behind the end is there only as far as it was given.
            let found = (String::from_utf8(found.0).unwrap(), found.1, found.2);
            assert_eq!(found, (body.to_string(), is_over, left), "{step} of {wire:.40?}");
        }
    }
}

#[test]
fn malformed_chunks_are_refused_for_good() {
    let (many_zeros, long) = ("0".repeat(17 << 10), format!("1;{}\r\n", "e".repeat(20 << 10)));
    let trailer = format!("0\r\nA: {}", "b".repeat(17 << 10));
    let trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(101));
    let cases: [&str; 19] = [
        "x\r\n",
        "\r\n",
        "+1\r\na",
        "-1\r\na",
        "0x1\r\na",
        "10000000000000000\r\n",
        "1 1\r\n",
        "1\na",
        "1\rxa",
        "1;a\nb\r\n",
        "1\r\na0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\naXX0\r\n\r\n",
        "1\r\na\r\n0\r\nPOST /chat HTTP/1.1\r\n\r\n",
        "0\r\nA: b\nC: d\r\n\r\n",
        &many_zeros,
        &long,
        &trailer,
        &trailers,
    ];
    for wire in cases {
        for step in [1, 5, wire.len()] {
            assert!(decode(Framing::Chunked, wire.as_bytes(), step).is_err(), "{step} of {wire:.40?}");
        }
    }
    let mut decoder = RequestDecoder::new(Framing::Chunked);
    assert!(decoder.framing(b"x").is_err() && decoder.framing(b"1\r\na\r\n").is_err());
    assert!(decoder.framing(b"").is_err() && !decoder.is_done() && decoder.data() == 0);
}

#[test]
fn answers_are_framed_by_what_is_known_of_them() {
    let with = |length: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-a", HeaderValue::from_static("1"));
        headers.insert("connection", HeaderValue::from_static("x-b"));
        headers.insert("transfer-encoding", HeaderValue::from_static("gzip"));
        if !length.is_empty() {
            headers.insert("content-length", HeaderValue::from_static(length));
        }
        headers
    };
    let (new, old) = (Version::HTTP_11, Version::HTTP_10);
    // Method, status, version, content-length, known length, whether it closes; the lines, and the framing.
    let cases = [
        ("GET", 200, new, "", Some(3), false, "1.1 200 OK|content-length: 3", Framing::Length(3)),
        ("GET", 200, new, "7", Some(3), false, "1.1 200 OK|content-length: 3", Framing::Length(3)),
        ("GET", 200, new, "7", None, false, "1.1 200 OK|content-length: 7", Framing::Length(7)),
        ("GET", 200, new, "x", None, false, "1.1 200 OK|transfer-encoding: chunked", Framing::Chunked),
        ("GET", 404, new, "", None, false, "1.1 404 Not Found|transfer-encoding: chunked", Framing::Chunked),
        ("GET", 529, new, "5", Some(0), false, "1.1 529 Unknown|content-length: 0", Framing::Empty),
        (
            "GET",
            400,
            new,
            "",
            Some(12),
            true,
            "1.1 400 Bad Request|content-length: 12|connection: close",
            Framing::Length(12),
        ),
        ("GET", 204, new, "5", Some(3), false, "1.1 204 No Content", Framing::Empty),
        ("GET", 304, new, "5", None, false, "1.1 304 Not Modified", Framing::Empty),
        ("HEAD", 200, new, "5", Some(0), false, "1.1 200 OK|content-length: 5", Framing::Empty),
        ("HEAD", 200, new, "", Some(12345), false, "1.1 200 OK|content-length: 12345", Framing::Empty),
        ("HEAD", 200, new, "", None, false, "1.1 200 OK", Framing::Empty),
        ("CONNECT", 200, new, "", Some(3), false, "1.1 200 OK", Framing::Empty),
        ("CONNECT", 404, new, "", Some(3), false, "1.1 404 Not Found|content-length: 3", Framing::Length(3)),
        ("GET", 200, old, "", None, false, "1.0 200 OK", Framing::Close),
        ("GET", 200, old, "", Some(3), true, "1.0 200 OK|content-length: 3", Framing::Length(3)),
        (
            "GET",
            200,
            old,
            "",
            Some(3),
            false,
            "1.0 200 OK|content-length: 3|connection: keep-alive",
            Framing::Length(3),
        ),
    ];
    for (method, status, version, length, known, closes, lines, framing) in cases {
        let (mut first, mut more) = (lines, String::new());
        if let Some((line, rest)) = lines.split_once('|') {
            (first, more) = (line, format!("{}\r\n", rest.replace('|', "\r\n")));
        }
        let mut out = Vec::new();
        let found = write_answer_head(
            &mut out,
            &AnswerHead {
                status: StatusCode::from_u16(status).unwrap(),
                headers: &with(length),
                method: &Method::from_bytes(method.as_bytes()).unwrap(),
                version,
                length: known,
                closes,
                date: b"today",
            },
        );
        let expected = format!("HTTP/{first}\r\nx-a: 1\r\n{more}date: today\r\n\r\n");
        assert_eq!((String::from_utf8(out).unwrap(), found), (expected, framing), "{method} {lines}");
    }
}

#[test]
fn a_switch_of_protocols_passes_its_connection_header() {
    let mut headers = HeaderMap::new();
    headers.insert("connection", HeaderValue::from_static("upgrade"));
    headers.insert("date", HeaderValue::from_static("then"));
    let mut out = Vec::new();
    let answer = AnswerHead {
        status: StatusCode::SWITCHING_PROTOCOLS,
        headers: &headers,
        method: &Method::GET,
        version: Version::HTTP_11,
        length: None,
        closes: true,
        date: b"today",
    };
    assert_eq!(write_answer_head(&mut out, &answer), Framing::Empty);
    let expected = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\ndate: then\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn chunks_and_trailers_are_written() {
    let mut out = Vec::new();
    for length in [1, 15, 16, 255, 65_536] {
        write_chunk_head(&mut out, length);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    write_trailers(&mut out, &trailers);
    assert_eq!(out, b"1\r\nf\r\n10\r\nff\r\n10000\r\n0\r\ngrpc-status: 0\r\n\r\n");
}

proptest! {
    #[test]
    fn any_chunking_read_in_any_steps_gives_the_body(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
        step in 1usize..30,
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            write_chunk_head(&mut wire, chunk.len());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(CHUNK_END);
        }
        wire.extend_from_slice(LAST_CHUNK);
        prop_assert_eq!(decode(Framing::Chunked, &wire, step), Ok((chunks.concat(), true, 0)));
    }

    #[test]
    fn no_bytes_make_it_panic(wire in prop::collection::vec(any::<u8>(), 0..200), step in 1usize..20) {
        let _ = decode(Framing::Chunked, &wire, step);
        let _ = parse(&wire);
        let _ = may_be_whole(&wire, step);
    }
}
