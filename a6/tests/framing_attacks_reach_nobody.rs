//! Promise: however a request is framed, a provider gets one request that we framed, or none, and nothing of one client's
//! bytes is left for the next.
//!
//! Every row is followed by a whole request on the same connection, which must be served as a request of its own or not at
//! all. After every row another client asks: its answer is right, and it comes on the connection that was used before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Connection, Gateway, Scripted, Setup, ai_route, chat};

const GOOD: &str = "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"good\"},\"finish_reason\":\"stop\"}]}";

/// Headers that speak of one connection: none of a client's may reach a provider.
const NEVER_PASSED: [&str; 8] =
    ["connection", "expect", "http2-settings", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// Raw bytes, and what becomes of them and of the request that follows.
struct Row {
    name: &'static str,
    bytes: Vec<u8>,
    /// The statuses of the answers, in order.
    statuses: &'static [u16],
    /// The gateway closes behind the last answer.
    closes: bool,
    /// How many requests the provider gets: the row's own, then the one that follows.
    reach: usize,
}

/// It is refused, and so is whatever follows.
fn refused(name: &'static str, bytes: Vec<u8>) -> Row {
    Row { name, bytes, statuses: &[400], closes: true, reach: 0 }
}

/// It is served; what follows is not looked at.
fn served_last(name: &'static str, bytes: Vec<u8>) -> Row {
    Row { name, bytes, statuses: &[200], closes: true, reach: 1 }
}

/// It is sound: both are served.
fn served(name: &'static str, bytes: Vec<u8>) -> Row {
    Row { name, bytes, statuses: &[200, 200], closes: false, reach: 2 }
}

fn body() -> String {
    chat("hello").to_string()
}

/// The bytes of a request: its first line, these header lines, this body.
fn raw(line: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{line}\r\n{headers}\r\n{body}").into_bytes()
}

/// A chat request whose headers but for the first two are these.
fn post(headers: &[&str], body: &str) -> Vec<u8> {
    let usual = ["Host: a6.test", "Content-Type: application/json"];
    raw("POST /chat HTTP/1.1", &[&usual[..], headers].concat(), body)
}

/// The same with its right length.
fn sized(headers: &[&str]) -> Vec<u8> {
    let length = format!("Content-Length: {}", body().len());
    post(&[&[length.as_str()][..], headers].concat(), &body())
}

/// A chat request with a chunked body of these bytes.
fn chunked(bytes: &str) -> Vec<u8> {
    post(&["Transfer-Encoding: chunked"], bytes)
}

/// A chat request with its right length and another first line.
fn with_line(line: &str) -> Vec<u8> {
    let length = format!("Content-Length: {}", body().len());
    raw(line, &["Host: a6.test", "Content-Type: application/json", &length], &body())
}

/// A chat request with its right length and other Host lines.
fn with_hosts(hosts: &[&str]) -> Vec<u8> {
    let length = format!("Content-Length: {}", body().len());
    let rest = ["Content-Type: application/json", &length];
    raw("POST /chat HTTP/1.1", &[hosts, &rest[..]].concat(), &body())
}

/// The body as one chunk, and the last one.
fn one_chunk() -> String {
    format!("{:x}\r\n{}\r\n0\r\n\r\n", body().len(), body())
}

/// A gateway before a provider that writes everything down.
struct Stage {
    provider: Scripted,
    gateway: Gateway,
    seen: usize,
}

impl Stage {
    fn new() -> Self {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let provider =
            Scripted::answering(format!("{head}Content-Length: {}\r\n\r\n{GOOD}", GOOD.len()).into_bytes());
        let slow = "nginx_config:\n  http:\n    client_body_timeout: 300ms\n";
        let gateway = Setup::new().settings(slow).start();
        gateway.put("routes/r", &ai_route("/chat", &provider.url(), json!({})));
        Self { provider, gateway, seen: 0 }
    }

    fn check(&mut self, row: &Row) {
        let name = row.name;
        let follower = chat("smuggled").to_string();
        let follows = support::request("POST", "/chat", &[], follower.as_bytes());
        let mut connection = Connection::open(self.gateway.data);
        connection.write(&[row.bytes.as_slice(), &follows].concat());
        for status in row.statuses {
            let answer = connection.next_answer();
            assert_eq!(answer.status, *status, "{name}: {}", answer.text());
            assert!(*status != 200 || answer.text() == GOOD, "{name}: {}", answer.text());
        }
        if row.closes {
            assert!(connection.is_closed_by_the_other_side(), "{name}: the connection stays open");
        }
        let expected = match (row.reach, row.statuses) {
            (0, _) => vec![],
            (1, [200]) => vec![body()],
            // Its own part ended without a provider.
            (1, _) => vec![follower],
            _ => vec![body(), follower],
        };
        self.check_provider(name, &expected);
        self.check_next_client(name);
    }

    /// The provider got requests with these bodies since the last look, each framed by us.
    fn check_provider(&mut self, name: &str, expected: &[String]) {
        let received = self.provider.received();
        let new = &received[self.seen..];
        let bodies: Vec<&String> = new.iter().map(|request| &request.body).collect();
        assert_eq!(bodies, expected.iter().collect::<Vec<_>>(), "{name}");
        for request in new {
            assert_eq!(request.line, "POST /v1/chat/completions HTTP/1.1", "{name}");
            let named = |wanted: &str| request.headers.iter().filter(|(name, _)| name == wanted).count();
            assert_eq!(named("content-length"), 1, "{name}: {:?}", request.headers);
            assert_eq!(named("host"), 1, "{name}: {:?}", request.headers);
            for header in NEVER_PASSED {
                assert_eq!(named(header), 0, "{name}: {header} passed: {:?}", request.headers);
            }
            // Bytes that were left over from another request would have shown in its first line.
            assert_eq!(request.connection, 1, "{name}: the provider's connection was not kept");
        }
        self.seen = received.len();
    }

    fn check_next_client(&mut self, name: &str) {
        let body = chat(&format!("behind {name}"));
        let answer = support::post(self.gateway.data, "/chat", &[], &body);
        assert_eq!((answer.status, answer.text()), (200, GOOD.to_string()), "behind {name}");
        self.check_provider(name, &[body.to_string()]);
    }
}

fn lengths() -> Vec<Row> {
    let (body, chunks) = (body(), one_chunk());
    let (right, wrong) =
        (format!("Content-Length: {}", body.len()), format!("Content-Length: {}", body.len() + 1));
    let list = format!("{right}, {}", body.len());
    let (signed, hex) =
        (format!("Content-Length: +{}", body.len()), format!("Content-Length: 0x{}", body.len()));
    let coded = |coding: &str| post(&[&format!("Transfer-Encoding: {coding}")], &chunks);
    let chunked = "Transfer-Encoding: chunked";
    vec![
        served("a length twice", post(&[&right, &right], &body)),
        refused("two lengths", post(&[&right, &wrong], &body)),
        refused("two lengths, the other way round", post(&[&wrong, &right], &body)),
        refused("a list of lengths", post(&[&list], &body)),
        refused("a signed length", post(&[&signed], &body)),
        refused("a negative length", post(&["Content-Length: -1"], &body)),
        refused("a hexadecimal length", post(&[&hex], &body)),
        refused("an empty length", post(&["Content-Length: "], &body)),
        refused("a length of 2^64", post(&["Content-Length: 18446744073709551616"], &body)),
        // RFC 9112, 6.3: the chunks count, and the connection is not used again.
        served_last("length and chunks", post(&[&right, chunked], &chunks)),
        served_last("chunks and length", post(&[chunked, &right], &chunks)),
        refused("a length, and chunks that are none", post(&[&right, chunked], &body)),
        served("chunks in capitals", post(&["TRANSFER-ENCODING: Chunked"], &chunks)),
        // RFC 9112, 6.1: chunked is applied once, and a coding that is not understood is not passed on.
        refused("chunked twice", post(&[chunked, chunked], &chunks)),
        refused("chunked twice in a list", coded("chunked, chunked")),
        refused("gzip within chunks", coded("gzip, chunked")),
        refused("chunked, then gzip", coded("chunked, gzip")),
        refused("gzip", coded("gzip")),
        refused("identity", coded("identity")),
        refused("identity and a length", post(&["Transfer-Encoding: identity", &right], &body)),
        refused("no coding", post(&["Transfer-Encoding: ", &right], &body)),
        refused("another word", coded("xchunked")),
        refused("a quoted word", coded("\"chunked\"")),
        refused("a vertical tab", coded("\u{b}chunked")),
    ]
}

fn lines() -> Vec<Row> {
    let line_feeds = String::from_utf8(sized(&[])).unwrap().replace("\r\n", "\n");
    let hidden = sized(&["X-Long: a\r\n Content-Length: 3"]);
    vec![
        served("two requests at once", sized(&[])),
        served("an empty line before it", [b"\r\n".as_slice(), &sized(&[])].concat()),
        served("line feeds alone", line_feeds.into_bytes()),
        served("one line feed alone", sized(&["X-A: a\nX-B: b"])),
        refused("a carriage return alone", sized(&["X-A: a\rX-B: b"])),
        refused("a folded line", sized(&["X-Long: a\r\n b"])),
        refused("a length in a folded line", hidden),
        refused("a folded first line", raw("POST /chat HTTP/1.1", &[" X-A: a", "Host: a6.test"], "")),
        refused("a space before the colon", sized(&["X-A : a"])),
        refused("a space before the coding's colon", post(&["Transfer-Encoding : chunked"], &one_chunk())),
        refused("a space in a name", sized(&["Content Length: 3"])),
        refused("no colon", sized(&["nonsense"])),
        refused("no name", sized(&[": a"])),
        refused("a zero byte in a name", sized(&["X-\0A: a"])),
        refused("a zero byte in a value", sized(&["X-A: a\0b"])),
        refused("a control character in a value", sized(&["X-A: a\u{7f}b"])),
        served("an underscore in a name", sized(&["X_A: a"])),
        served("an underscore for the hyphen", sized(&["Content_Length: 3", "Transfer_Encoding: gzip"])),
        served(
            "headers of the connection",
            sized(&["Connection: x-a, content-length, host", "X-A: a", "TE: trailers"]),
        ),
        // What it asks for is not done, and not asked of the provider.
        served(
            "an upgrade to HTTP/2",
            sized(&["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"]),
        ),
        served("an upgrade to WebSocket", sized(&["Connection: Upgrade", "Upgrade: websocket"])),
    ]
}

fn chunks() -> Vec<Row> {
    let (body, size) = (body(), body().len());
    let end = format!("\r\n{body}\r\n0\r\n\r\n");
    let extension = |length: usize| format!("{size:x};a={}{end}", "b".repeat(length));
    let mut rows = vec![
        served("one chunk", chunked(&one_chunk())),
        served("zeros before the size", chunked(&format!("0000000000000000000000{size:x}{end}"))),
        refused("a size of 17 digits", chunked(&format!("1{size:016x}{end}"))),
        refused("a size with a sign", chunked(&format!("+{size:x}{end}"))),
        refused("a negative size", chunked(&format!("-{size:x}{end}"))),
        refused("a size with a prefix", chunked(&format!("0x{size:x}{end}"))),
        refused("no size", chunked(&end)),
        served("an extension", chunked(&extension(1))),
        served("an extension of 10 KB", chunked(&extension(10 << 10))),
        refused("an extension of 20 KB", chunked(&extension(20 << 10))),
        refused("a line feed in an extension", chunked(&format!("{size:x};a\nb{end}"))),
        refused("a line feed behind the size", chunked(&format!("{size:x}\n{body}\r\n0\r\n\r\n"))),
        refused("a line feed behind the data", chunked(&format!("{size:x}\r\n{body}\n0\r\n\r\n"))),
        refused("nothing behind the data", chunked(&format!("{size:x}\r\n{body}0\r\n\r\n"))),
        refused("other bytes behind the data", chunked(&format!("{size:x}\r\n{body}XX0\r\n\r\n"))),
        refused("no empty line at the end", chunked(&format!("{size:x}\r\n{body}\r\n0\r\n"))),
        served("trailers", chunked(&format!("{size:x}\r\n{body}\r\n0\r\nTE: a\r\nUpgrade: b\r\n\r\n"))),
        served(
            "a length in the trailers",
            chunked(&format!("{size:x}\r\n{body}\r\n0\r\nContent-Length: 5\r\n\r\n")),
        ),
        // The rest of the body is read as what it is, the next request, and that is none.
        Row {
            name: "a length that is too short",
            bytes: post(&[&format!("Content-Length: {}", size - 5)], &body),
            statuses: &[400, 400],
            closes: true,
            reach: 0,
        },
    ];
    // The largest size that is a number: the request that follows is a part of the chunk, which never ends.
    let bytes = chunked(&format!("ffffffffffffffff{end}"));
    rows.push(Row { name: "a size of 2^64 - 1", bytes, statuses: &[408], closes: true, reach: 0 });
    rows
}

fn targets() -> Vec<Row> {
    let one = |line: &str| raw(line, &["Host: a6.test"], "");
    let old = "POST /chat HTTP/1.0";
    let old_chunks = ["Host: a6.test", "Content-Type: application/json", "Transfer-Encoding: chunked"];
    let tls = [0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
    let bad_path: Vec<u8> = with_line("POST /ch~at HTTP/1.1")
        .into_iter()
        .map(|byte| if byte == b'~' { 0xff } else { byte })
        .collect();
    vec![
        refused("no Host", with_hosts(&[])),
        refused("two Hosts", with_hosts(&["Host: a6.test", "Host: b.test"])),
        refused("a Host twice", with_hosts(&["Host: a6.test", "Host: a6.test"])),
        // RFC 9112, 3.2: an invalid Host is refused.
        refused("a Host with a space", with_hosts(&["Host: a b"])),
        refused("a Host with a path", with_hosts(&["Host: a6.test/chat"])),
        refused(
            "an absolute target without Host",
            raw("POST http://a6.test/chat HTTP/1.1", &["Content-Length: 0"], ""),
        ),
        served("an absolute target with another Host", with_line("POST http://other.test/chat HTTP/1.1")),
        Row {
            name: "CONNECT",
            bytes: one("CONNECT a6.test:80 HTTP/1.1"),
            statuses: &[404, 200],
            closes: false,
            reach: 1,
        },
        Row {
            name: "an asterisk",
            bytes: one("OPTIONS * HTTP/1.1"),
            statuses: &[404, 200],
            closes: false,
            reach: 1,
        },
        refused("HTTP/0.9", b"GET /chat\r\n".to_vec()),
        served_last("HTTP/1.0", with_line(old)),
        refused("HTTP/1.0 with chunks", raw(old, &old_chunks, &one_chunk())),
        refused("HTTP/1.2", with_line("POST /chat HTTP/1.2")),
        refused("HTTP/2.0", with_line("POST /chat HTTP/2.0")),
        refused("a version in small letters", with_line("POST /chat http/1.1")),
        refused("half of HTTP/2's first bytes", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec()),
        refused("TLS", tls.to_vec()),
        refused("two spaces", with_line("POST  /chat HTTP/1.1")),
        refused("tabs", with_line("POST\t/chat\tHTTP/1.1")),
        refused("a space in the target", with_line("POST /chat /x HTTP/1.1")),
        refused("a zero byte in the target", with_line("POST /ch\0at HTTP/1.1")),
        refused("a target that is not UTF-8", bad_path),
        refused("a method that is no word", with_line("PO(T /chat HTTP/1.1")),
    ]
}

#[test]
fn lengths_and_codings() {
    let mut stage = Stage::new();
    lengths().iter().for_each(|row| stage.check(row));
}

#[test]
fn lines_of_a_head() {
    let mut stage = Stage::new();
    lines().iter().for_each(|row| stage.check(row));
}

#[test]
fn chunks_of_a_body() {
    let mut stage = Stage::new();
    chunks().iter().for_each(|row| stage.check(row));
}

#[test]
fn hosts_targets_and_versions() {
    let mut stage = Stage::new();
    targets().iter().for_each(|row| stage.check(row));
}

#[test]
fn what_was_sound_before_a_fault_is_served_and_nothing_behind_it() {
    let mut stage = Stage::new();
    let bad = post(&["Content-Length: many"], "");
    let mut connection = Connection::open(stage.gateway.data);
    connection.write(&[sized(&[]), sized(&[]), bad, sized(&[]), sized(&[])].concat());
    for status in [200, 200, 400] {
        let answer = connection.next_answer();
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    assert!(connection.is_closed_by_the_other_side(), "the connection stays open");
    stage.check_provider("a fault as the third of five", &[body(), body()]);
    stage.check_next_client("a fault as the third of five");
}

#[test]
fn a_body_that_ends_early_reaches_nobody() {
    let mut stage = Stage::new();
    let (whole, whole_chunks) = (sized(&[]), chunked(&one_chunk()));
    let cases = [
        ("no body", &whole[..whole.len() - body().len()]),
        ("half a body", &whole[..whole.len() - 10]),
        ("half a chunk", &whole_chunks[..whole_chunks.len() - 20]),
        ("no last chunk", &whole_chunks[..whole_chunks.len() - 5]),
        ("half of the last chunk", &whole_chunks[..whole_chunks.len() - 3]),
        ("no empty line", &whole_chunks[..whole_chunks.len() - 2]),
    ];
    for (name, bytes) in cases {
        let mut connection = Connection::open(stage.gateway.data);
        connection.write(bytes);
        connection.end_of_input();
        let told = connection.until_closed(Duration::from_secs(5));
        let told = told.unwrap_or_else(|| panic!("{name}: the connection stays open"));
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 400 "), "{name}: {told}");
        stage.check_provider(name, &[]);
        stage.check_next_client(name);
    }
}

#[test]
fn a_chunk_that_is_none_is_told_as_such_and_the_close_with_it() {
    let stage = Stage::new();
    let cases = ["xyz\r\n", "+5\r\nhello\r\n", "fffffffffffffffff\r\n", "5\r\nhelloXX0\r\n\r\n"];
    for (number, bytes) in cases.into_iter().enumerate() {
        let answer = Connection::open(stage.gateway.data).answer(&chunked(bytes));
        assert_eq!(answer.status, 400, "{bytes:?}: {}", answer.text());
        assert!(answer.text().contains("malformed"), "{bytes:?}: {}", answer.text());
        assert_eq!(answer.header("connection"), Some("close"), "{bytes:?}");
        let record = stage.gateway.exactly(number + 1).pop().unwrap();
        let told = (&record["outcome"], &record["status"]);
        assert_eq!(told, (&json!("failed"), &json!(400)), "{bytes:?}: {record}");
    }
}

#[test]
fn the_target_decides_where_it_and_host_differ() {
    let mut stage = Stage::new();
    let mut routes: Vec<Value> = Vec::new();
    for host in ["a6.test", "other.test"] {
        let mut route = ai_route("/hosted", &stage.provider.url(), json!({"options": {"model": host}}));
        route["host"] = json!(host);
        routes.push(route);
    }
    stage.gateway.put("routes/one", &routes[0]);
    stage.gateway.put("routes/two", &routes[1]);
    let length = format!("Content-Length: {}", body().len());
    let headers = ["Host: a6.test", "Content-Type: application/json", &length];
    let request = raw("POST http://other.test/hosted HTTP/1.1", &headers, &body());
    let answer = Connection::open(stage.gateway.data).answer(&request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = stage.provider.received().pop().unwrap();
    let sent: Value = serde_json::from_str(&received.body).unwrap();
    assert_eq!(sent["model"], "other.test", "{}", received.body);
    let forwarded: Vec<&str> = received
        .headers
        .iter()
        .filter(|(name, _)| name == "x-forwarded-host")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(
        forwarded,
        ["other.test"],
        "the provider is told of another host than the one that was routed"
    );
    stage.seen += 1;
    stage.check_next_client("an absolute target");
}

#[test]
fn what_was_refused_before_it_was_a_request_is_counted_by_reason() {
    let gateway = Setup::new().start();
    let heads: [(&str, &str); 3] = [
        ("differing_content_lengths", "Content-Length: 1\r\nContent-Length: 2\r\n"),
        ("unknown_transfer_encoding", "Transfer-Encoding: gzip\r\n"),
        ("malformed_header_name", "X Y: 1\r\n"),
    ];
    for (reason, lines) in heads {
        let bytes = format!("POST /chat HTTP/1.1\r\nHost: a6.test\r\n{lines}\r\n");
        let answer = Connection::open(gateway.data).answer(bytes.as_bytes());
        assert_eq!(answer.status, 400, "{reason}: {}", answer.text());
        assert!(answer.json()["error_msg"].is_string(), "{reason}: {}", answer.text());
    }
    let ask = support::request("GET", "/v1/counters", &[("Host", "localhost")], b"");
    let counters = Connection::open(gateway.control).answer(&ask).json();
    for (reason, _) in heads {
        assert_eq!(counters["head_faults"][reason], 1, "{counters}");
    }
    assert_eq!(counters["head_faults"]["malformed_target"], 0, "{counters}");
}
