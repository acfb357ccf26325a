//! Promise: too much of anything, from a client or from a provider, is refused or cut in bounded memory and time; the
//! next request is served.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use a6_mock::Outcome;
use serde_json::{Value, json};
use support::{
    Connection, Gateway, Scripted, Setup, Step, ai_route, chat, chat_stream, chunk, eventually, request,
};

const MIB: usize = 1 << 20;
/// What a bomb may cost at most.
const ALLOWED: u64 = 20 << 20;

const GOOD: &str = "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"good\"},\"finish_reason\":\"stop\"}]}";

/// An answer with a length and this body.
fn plain(body: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Keys of `nginx_config.http`.
fn http(keys: &str) -> String {
    format!("nginx_config:\n  http:\n    {keys}\n")
}

/// A gateway with these settings before a provider that gives a good answer.
fn start(settings: &str) -> (Scripted, Gateway) {
    let provider = Scripted::answering(plain(GOOD));
    let gateway = Setup::new().settings(settings).start();
    gateway.put("routes/r", &ai_route("/chat", &provider.url(), json!({})));
    (provider, gateway)
}

/// Another client is served, and rightly.
fn serves(gateway: &Gateway, behind: &str) {
    let answer = support::post(gateway.data, "/chat", &[], &chat("hello"));
    assert_eq!((answer.status, answer.text()), (200, GOOD.to_string()), "behind {behind}");
}

/// The most memory that the gateway ever held has grown by no more than is allowed.
fn is_within(gateway: &Gateway, before: u64, name: &str) {
    let grown = gateway.memory("VmHWM") - before;
    assert!(grown <= ALLOWED, "{name}: memory grew by {} MiB", grown >> 20);
}

/// A chat request with these headers more.
fn post_with(headers: &[(&str, &str)]) -> Vec<u8> {
    request("POST", "/chat", headers, chat("hello").to_string().as_bytes())
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let (provider, gateway) = start("");
    serves(&gateway, "nothing");
    let before = gateway.memory("VmHWM");
    let names: Vec<String> = (0..10_000).map(|number| format!("X-{number}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "a")).collect();
    let long = "a".repeat(10 * MIB);
    let long = long.as_str();
    let cases = [
        ("10,000 headers", post_with(&many)),
        ("a header of 10 MB", post_with(&[("X-Long", long)])),
        ("a header name of 10 MB", post_with(&[(long, "a")])),
        ("a target of 10 MB", request("GET", &format!("/{long}"), &[], b"")),
        ("a method of 10 MB", request(long, "/chat", &[], b"")),
    ];
    for (number, (name, bytes)) in cases.iter().enumerate() {
        let mut connection = Connection::open(gateway.data);
        connection.write(bytes);
        let told = connection.until_closed(Duration::from_secs(5));
        let told = String::from_utf8_lossy(&told.unwrap_or_else(|| panic!("{name}: no close"))).into_owned();
        // Where the client was cut off while it sent, it may see the close alone.
        let refused = told.starts_with("HTTP/1.1 431 ") || told.starts_with("HTTP/1.1 400 ");
        assert!(told.is_empty() || refused, "{name}: {told}");
        serves(&gateway, name);
        assert_eq!(provider.received().len(), number + 2, "{name}");
        is_within(&gateway, before, name);
    }
}

#[test]
fn a_head_that_never_ends_is_cut() {
    let (provider, gateway) = start(&http("client_header_timeout: 300ms"));
    for (name, bytes) in
        [("silence", ""), ("a letter", "P"), ("half of HTTP/2's first bytes", "PRI * HTTP/2")]
    {
        let mut connection = Connection::open(gateway.data);
        connection.write(bytes.as_bytes());
        let told = connection.until_closed(Duration::from_secs(5));
        assert_eq!(told.as_deref(), Some(&b""[..]), "{name}");
    }
    let mut connection = Connection::open(gateway.data);
    connection.write(b"POST /chat HTTP/1.1\r\nHost: a6.test\r\n");
    let closed = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        !connection.try_write(b"X-A: a\r\n")
    });
    assert!(closed, "a head that comes line by line keeps its connection for ever");
    serves(&gateway, "endless heads");
    assert_eq!(provider.received().len(), 1);
}

#[test]
fn a_body_that_does_not_come_is_a_408() {
    let (provider, gateway) = start(&http("client_body_timeout: 300ms"));
    let whole = post_with(&[]);
    let chunked = request("POST", "/chat", &[("Transfer-Encoding", "chunked")], &chunk("{\"messages\":"));
    let text = "{\"message\":\"could not get body: no byte of the request body came for 300 ms\"}\n";
    for (number, bytes) in [&whole[..whole.len() - 10], &chunked].into_iter().enumerate() {
        let mut connection = Connection::open(gateway.data);
        let answer = connection.answer(bytes);
        assert_eq!((answer.status, answer.text()), (408, text.to_string()));
        assert!(connection.is_closed_by_the_other_side(), "half a request is left on the connection");
        let record = gateway.exactly(number + 1).pop().unwrap();
        let told = (&record["outcome"], &record["status"], &record["error"]);
        assert_eq!(told, (&json!("failed"), &json!(408), &json!("request_timeout")), "{record}");
    }
    assert_eq!(provider.received().len(), 0);

    // Slow, but it comes: the time counts from piece to piece.
    let mut connection = Connection::open(gateway.data);
    let (head, body) = whole.split_at(whole.len() - 10);
    connection.write(head);
    for byte in body {
        std::thread::sleep(Duration::from_millis(60));
        connection.write(&[*byte]);
    }
    assert_eq!(connection.next_answer().status, 200);
}

#[test]
fn a_body_of_200_mib_is_refused_and_not_kept() {
    const SIZE: usize = 200 * MIB;
    let (provider, gateway) = start(&http("client_max_body_size: 1m"));
    gateway.put("routes/small", &ai_route("/small", &provider.url(), json!({"max_req_body_size": 1000})));
    serves(&gateway, "nothing");
    let before = gateway.memory("VmHWM");
    let piece = vec![b' '; MIB];
    let length = SIZE.to_string();
    let sized = [("Content-Length", length.as_str())];
    let chunked = [("Transfer-Encoding", "chunked")];
    let cases = [
        ("a length", request("POST", "/chat", &sized, b""), false, 1 << 20),
        ("chunks", request("POST", "/chat", &chunked, b""), true, 1 << 20),
        ("a length, the route's limit", request("POST", "/small", &sized, b""), false, 1000),
        ("chunks, the route's limit", request("POST", "/small", &chunked, b""), true, 1000),
        ("a length, no route", request("POST", "/nothing", &sized, b""), false, 0),
        ("chunks, no route", request("POST", "/nothing", &chunked, b""), true, 0),
    ];
    for (number, (name, head, in_chunks, limit)) in cases.iter().enumerate() {
        let mut connection = Connection::open(gateway.data);
        connection.write(head);
        let bytes = if *in_chunks { chunk(&piece) } else { piece.clone() };
        let taken = (0..SIZE / MIB).take_while(|_| connection.try_write(&bytes)).count();
        assert!(taken < SIZE / MIB, "{name}: the gateway read it all");
        let answer = connection.next_answer();
        let text = answer.text();
        if *limit == 0 {
            assert_eq!(
                (answer.status, text.as_str()),
                (404, "{\"error_msg\":\"404 Route Not Found\"}\n"),
                "{name}"
            );
        } else {
            let end = format!(" is greater than the maximum size {limit} allowed\"}}\n");
            let begin = "{\"message\":\"could not get body: request size ";
            assert_eq!(answer.status, 413, "{name}: {text}");
            assert!(text.starts_with(begin) && text.ends_with(&end), "{name}: {text}");
            let size: u64 = text[begin.len()..text.len() - end.len()].parse().expect("a size");
            assert!(size > *limit && (*in_chunks || size == SIZE as u64), "{name}: {text}");
        }
        serves(&gateway, name);
        assert_eq!(provider.received().len(), number + 2, "{name}");
        is_within(&gateway, before, name);
    }
}

#[test]
fn an_answer_before_the_whole_body_says_that_the_connection_closes() {
    let (_provider, gateway) = start(&http("client_max_body_size: 1m\n    client_body_timeout: 300ms"));
    let large = chunk(vec![b' '; 2 * MIB]);
    let length = (200 * MIB).to_string();
    let cases = [
        (413, request("POST", "/chat", &[("Content-Length", length.as_str())], b"")),
        (413, request("POST", "/chat", &[("Transfer-Encoding", "chunked")], &large)),
        (408, request("POST", "/chat", &[("Content-Length", "9")], b"{")),
    ];
    for (status, bytes) in cases {
        let mut connection = Connection::open(gateway.data);
        let answer = connection.answer(&bytes);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("connection"), Some("close"), "{status}: the client may send more");
        assert!(connection.is_closed_by_the_other_side(), "{status}: the connection stays open");
    }
}

#[test]
fn an_admin_body_of_20_mib_is_refused_with_its_size() {
    let (_provider, gateway) = start("");
    let before = gateway.memory("VmHWM");
    let document = json!({"uri": "/x", "desc": "d".repeat(20 * MIB)});
    let size = document.to_string().len();
    let (status, answer) = gateway.admin("PUT", "routes/x", Some(&document));
    let text =
        format!("invalid request body: request size {size} is greater than the maximum size 1572864 allowed");
    assert_eq!((status, answer), (400, json!({"error_msg": text})));
    is_within(&gateway, before, "a large document");

    // Without the key it is not even looked at.
    let host = gateway.admin.to_string();
    let headers = [("Host", host.as_str()), ("X-API-KEY", "no-key")];
    let body = document.to_string();
    let stranger = request("PUT", "/apisix/admin/routes/x", &headers, body.as_bytes());
    assert_eq!(Connection::open(gateway.admin).answer(&stranger).status, 401);
    is_within(&gateway, before, "a stranger's large document");
    assert_eq!(gateway.admin("GET", "routes/x", None).0, 404);
    serves(&gateway, "large documents");
}

#[test]
fn bodies_beyond_the_budget_are_a_503_and_the_budget_comes_back() {
    let (provider, gateway) = start("a6:\n  memory_budget: 4MiB\n");
    let body = chat(&"x".repeat(MIB)).to_string();
    let whole = request("POST", "/chat", &[], body.as_bytes());
    let (begin, end) = whole.split_at(whole.len() - 5);
    let before = gateway.memory("VmHWM");
    let mut clients: Vec<Connection> = (0..8).map(|_| Connection::open(gateway.data)).collect();
    clients.iter_mut().for_each(|client| client.write(begin));
    // Four bodies are more than the budget, so that no more than three of eight can be held.
    let refused = || gateway.records().iter().filter(|record| record["status"] == 503).count();
    eventually("five to be refused", || (refused() >= 5).then_some(()));
    let mut held = Vec::new();
    for mut client in clients {
        let Some(told) = client.until_closed(Duration::from_millis(100)) else {
            held.push(client);
            continue;
        };
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("\r\nretry-after: 1\r\n"), "{told}");
        assert!(told.contains("{\"message\":\"could not get body: the gateway holds as many"), "{told}");
    }
    assert!(!held.is_empty(), "nobody was served");
    for client in &mut held {
        let answer = client.answer(end);
        assert_eq!((answer.status, answer.text()), (200, GOOD.to_string()));
    }
    let served = held.len();
    for number in 1..=4 {
        let answer = Connection::open(gateway.data).answer(&whole);
        assert_eq!(answer.status, 200, "the budget did not come back: {}", answer.text());
        assert_eq!(provider.received().len(), served + number);
    }
    is_within(&gateway, before, "eight large bodies");
    let records = gateway.exactly(8 + 4);
    for record in records.iter().filter(|record| record["status"] == 503) {
        let told = (&record["outcome"], &record["error"]);
        assert_eq!(told, (&json!("failed"), &json!("gateway_overloaded")), "{record}");
    }
}

#[test]
fn a_client_that_never_reads_does_not_keep_the_provider() {
    let mock = support::mock();
    let gateway = Setup::new().settings(&http("send_timeout: 300ms")).start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    let before = gateway.memory("VmHWM");
    // Far more than the sockets between here and there can hold.
    let headers = [("x-mock-chunks", "40000"), ("x-mock-chunk-bytes", "1000")];
    let mut client = Connection::open(gateway.data);
    client.write(&request("POST", "/chat", &headers, chat_stream("on and on").to_string().as_bytes()));
    let exchange = support::ledger(&mock, 1).remove(0);
    assert_eq!(exchange.outcome, Outcome::ClientGone);
    let record = gateway.exactly(1).remove(0);
    assert_eq!((&record["outcome"], &record["status"]), (&json!("client_gone"), &json!(200)), "{record}");
    is_within(&gateway, before, "a client that never reads");
    drop(client);
}

#[test]
fn an_idle_connection_is_closed_in_its_time() {
    for (keepalive, requests) in [("300ms", 1), ("300ms", 3), ("0", 1)] {
        let (_provider, gateway) = start(&http(&format!("keepalive_timeout: {keepalive}")));
        let mut connection = Connection::open(gateway.data);
        for _ in 0..requests {
            assert_eq!(connection.answer(&post_with(&[])).status, 200);
        }
        let told = connection.until_closed(Duration::from_secs(3));
        assert_eq!(
            told.as_deref(),
            Some(&b""[..]),
            "keepalive_timeout {keepalive} behind {requests} answers"
        );
    }
}

#[test]
fn json_that_is_deep_or_has_too_many_members_is_refused() {
    let refused = |why: &str| format!("{{\"message\":\"could not parse JSON request body: {why}");
    let nested = |open: &str, close: &str, depth: usize| {
        format!("{{\"messages\":[],\"x\":{}1{}}}", open.repeat(depth), close.repeat(depth))
    };
    // Names that differ within each 5,000.
    let members = |count: usize| {
        let some: String = (0..5_000).map(|number| format!(",\"k{number:07}\":1")).collect();
        some.repeat(count / 5_000)
    };
    let distinct =
        |count: usize| -> String { (0..count).map(|number| format!(",\"k{number}\":1")).collect() };
    let (deep, many) = (refused("nested deeper than 1000 levels"), refused("more than 4096 members"));
    let (deep, many) = (deep.as_str(), many.as_str());
    let (sixty_mb, twenty_mb) = (members(60 * MIB / 13), members(20 * MIB / 13));
    let cases = [
        ("999 lists within an object", nested("[", "]", 999), GOOD),
        ("1,000 lists within an object", nested("[", "]", 1_000), deep),
        ("100,000 objects", nested("{\"a\":", "}", 100_000), deep),
        ("5,000,000 open lists", "[".repeat(5_000_000), deep),
        ("4,096 members", format!("{{\"messages\":[]{}}}", distinct(4_095)), GOOD),
        ("4,097 members", format!("{{\"messages\":[]{}}}", distinct(4_096)), many),
        ("60 MB of members", format!("{{\"messages\":[]{sixty_mb}}}"), many),
        ("20 MB of members in one", format!("{{\"messages\":[],\"x\":{{{}}}}}", &twenty_mb[1..]), GOOD),
        ("a number of 1 MB", format!("{{\"messages\":[],\"x\":{}}}", "7".repeat(MIB)), GOOD),
    ];
    let (provider, gateway) = start("");
    for (name, body, expected) in &cases {
        let seen = provider.received().len();
        let answer = Connection::open(gateway.data).answer(&request("POST", "/chat", &[], body.as_bytes()));
        let passes = *expected == GOOD;
        assert_eq!(answer.status, if passes { 200 } else { 400 }, "{name}: {}", answer.text());
        assert!(answer.text().starts_with(*expected), "{name}: {}", answer.text());
        let received = provider.received();
        assert_eq!(received.len(), seen + usize::from(passes), "{name}");
        assert!(!passes || received[seen].body == *body, "{name}: the provider got something else");
        serves(&gateway, name);
    }
}

#[test]
fn what_a_client_names_is_not_kept() {
    let (_provider, gateway) = start("");
    let body = |member: &str| format!("{{\"messages\":[],\"{member}\":\"{}\"}}", "n".repeat(MIB));
    let post = |body: &str| request("POST", "/chat", &[], body.as_bytes());
    let long = "n".repeat(100_000);
    let long = long.as_str();
    // What is sent how often. The last requests are remembered, but not megabytes of each.
    let cases = [
        ("a model of 1 MB", 20, post(&body("model"))),
        ("a user of 1 MB", 20, post(&body("user"))),
        ("a member of 1 MB", 20, post(&body("other"))),
        ("a content type of 100 KB", 150, post_with(&[("Content-Type", long)])),
        ("a method of 100 KB", 150, request(long, "/chat", &[], b"")),
        ("a target of 60 KB", 150, request("GET", &format!("/{}", &long[..60_000]), &[], b"")),
    ];
    let ask = |bytes: &[u8]| Connection::open(gateway.data).answer(bytes).status;
    // What requests of this size need while they are served is not what is counted.
    let warm_up: BTreeSet<u16> = (0..5).map(|_| ask(&post(&body("other")))).collect();
    assert_eq!(warm_up, BTreeSet::from([200]));
    let mut kept = Vec::new();
    for (name, count, bytes) in &cases {
        let before = gateway.memory("VmRSS");
        let statuses: BTreeSet<u16> = (0..*count).map(|_| ask(bytes)).collect();
        assert_eq!(statuses.len(), 1, "{name}: {statuses:?}");
        let grown = gateway.memory("VmRSS").saturating_sub(before);
        if grown > 8 << 20 {
            kept.push(format!("{count} times {name}: {} MiB", grown >> 20));
        }
    }
    assert_eq!(kept, Vec::<String>::new());
}

/// A gzip file of `count` times 258 zero bytes, and one: ten bytes in front, a literal and repetitions in the fixed code of
/// RFC 1951, eight bytes behind.
fn gzip_bomb(count: usize) -> Vec<u8> {
    let mut bits: Vec<u8> = vec![1, 1, 0];
    // The code of each is written from its highest bit on: literal 0; length 258 (285) and distance 1; the end (256).
    bits.extend([0, 0, 1, 1, 0, 0, 0, 0]);
    for _ in 0..count {
        bits.extend([1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]);
    }
    bits.extend([0; 7]);
    let packed = bits.chunks(8).map(|byte| byte.iter().rev().fold(0u8, |value, bit| (value << 1) | bit));
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    bytes.extend(packed);
    bytes.extend([0; 8]);
    bytes
}

#[test]
fn a_compressed_answer_passes_as_it_is() {
    let (provider, gateway) = start("");
    serves(&gateway, "nothing");
    let before = gateway.memory("VmHWM");
    let bomb = gzip_bomb(400_000);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n";
    let sized = format!("{head}Content-Length: {}\r\n\r\n", bomb.len());
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let cases = [
        ("a length", [sized.as_bytes(), &bomb].concat()),
        ("chunks", [chunked.as_bytes(), &chunk(&bomb), &chunk("")].concat()),
    ];
    for (name, bytes) in cases {
        provider.set(vec![Step::Send(bytes)]);
        let answer = support::post(gateway.data, "/chat", &[], &chat("hello"));
        assert_eq!((answer.status, answer.clean_end), (200, true), "{name}");
        assert_eq!(answer.header("content-encoding"), Some("gzip"), "{name}");
        assert!(answer.body == bomb, "{name}: {} bytes became {}", bomb.len(), answer.body.len());
        is_within(&gateway, before, name);
    }
    let record = gateway.exactly(3).pop().unwrap();
    assert_eq!((&record["outcome"], &record["total_tokens"]), (&json!("complete"), &Value::Null), "{record}");
}

#[test]
fn a_head_without_end_from_a_provider_is_an_error() {
    let (provider, gateway) = start("");
    let before = gateway.memory("VmHWM");
    let begin = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let early = |count: usize| [interim.repeat(count).as_bytes(), &plain(GOOD)].concat();
    let cases = [
        ("16 interim answers", early(16), None),
        ("1,000 interim answers", early(1_000), Some("upstream_protocol_error")),
        ("20 MB of interim answers", interim.repeat(500_000).into_bytes(), Some("upstream_protocol_error")),
        (
            "129 headers",
            format!("{begin}{}\r\n", "X-A: a\r\n".repeat(128)).into_bytes(),
            Some("upstream_protocol_error"),
        ),
        (
            "20 MB of headers",
            format!("{begin}{}", "X-A: a\r\n".repeat(2_500_000)).into_bytes(),
            Some("upstream_protocol_error"),
        ),
        (
            "a header of 20 MB",
            format!("{begin}X-A: {}", "a".repeat(20 * MIB)).into_bytes(),
            Some("upstream_protocol_error"),
        ),
        (
            "a status line of 20 MB",
            format!("HTTP/1.1 200 {}", "a".repeat(20 * MIB)).into_bytes(),
            Some("upstream_protocol_error"),
        ),
    ];
    for (name, bytes, error) in cases {
        provider.set(vec![Step::Send(bytes)]);
        let answer = support::post(gateway.data, "/chat", &[], &chat("hello"));
        assert!(answer.clean_end, "{name}: {}", answer.text());
        match error {
            None => assert_eq!((answer.status, answer.text()), (200, GOOD.to_string()), "{name}"),
            Some(error) => {
                assert_eq!((answer.status, &answer.json()["error"]["type"]), (502, &json!(error)), "{name}");
            }
        }
        is_within(&gateway, before, name);
        provider.set(vec![Step::Send(plain(GOOD))]);
        serves(&gateway, name);
    }
}

#[test]
fn an_event_without_end_is_not_kept() {
    let (provider, gateway) = start("");
    serves(&gateway, "nothing");
    let before = gateway.memory("VmHWM");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let begin = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"first\"}}]}\n\n";
    let cases = [
        ("a line of 30 MB", format!("data: {}", "a".repeat(30 * MIB))),
        ("30 MB of lines in one event", "data: a\n".repeat(30 * MIB / 8)),
        ("5 MB of comments", ": a\n\n".repeat(MIB)),
        ("5 MB of empty lines", "\n".repeat(5 * MIB)),
    ];
    for (name, rest) in cases {
        let bytes = [head.as_bytes(), &chunk(begin), &chunk(&rest), &chunk("")].concat();
        provider.set(vec![Step::Send(bytes)]);
        let answer = support::post(gateway.data, "/chat", &[], &chat_stream("hello"));
        // Nobody said that it was over, so that it must not look as if it were.
        assert_eq!((answer.status, answer.clean_end), (200, false), "{name}");
        assert!(answer.text().starts_with(begin), "{name}");
        // But for the last piece of an event, which never became whole.
        assert!(answer.body.len() + 2 * MIB >= rest.len(), "{name}: {} bytes came", answer.body.len());
        is_within(&gateway, before, name);
        provider.set(vec![Step::Send(plain(GOOD))]);
        serves(&gateway, name);
    }
}

#[test]
fn a_wrong_length_from_a_provider_is_not_passed_off_as_right() {
    let (provider, gateway) = start("");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let with_length = |length: &str| format!("{head}Content-Length: {length}\r\n\r\n{GOOD}").into_bytes();
    let (short, long) = ((GOOD.len() + 20).to_string(), GOOD.len() - 20);
    let two = format!("{head}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{GOOD}").into_bytes();
    // What the client gets: status, whether it ends properly, and the error of the record.
    let protocol = json!("upstream_protocol_error");
    let cases = [
        ("more announced than sent", with_length(&short), 200, false, json!("upstream_truncated")),
        ("less announced than sent", with_length(&long.to_string()), 200, true, Value::Null),
        ("two lengths", two, 502, true, protocol.clone()),
        ("no number", with_length("many"), 502, true, protocol.clone()),
        ("a sign", with_length("+5"), 502, true, protocol.clone()),
        ("more than there can be", with_length("99999999999999999999"), 502, true, protocol),
    ];
    for (number, (name, bytes, status, clean, error)) in cases.into_iter().enumerate() {
        provider.set(vec![Step::Send(bytes), Step::Fin]);
        let answer = support::post(gateway.data, "/chat", &[], &chat("hello"));
        assert_eq!((answer.status, answer.clean_end), (status, clean), "{name}: {}", answer.text());
        if name == "less announced than sent" {
            assert_eq!(answer.text(), GOOD[..long], "{name}");
        }
        // What was sent too much must not begin the next answer.
        provider.set(vec![Step::Send(plain(GOOD))]);
        serves(&gateway, name);
        let record = gateway.exactly(2 * number + 2).remove(2 * number);
        assert_eq!(record["error"], error, "{name}: {record}");
    }
}

#[test]
fn bytes_that_are_not_utf8_pass_or_are_refused() {
    let mock = support::mock();
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    let body = chat("hello").to_string();
    let request = |target: &[u8], header: &[u8]| {
        let rest = format!(
            "Host: a6.test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        [b"POST ".as_slice(), target, b" HTTP/1.1\r\n", header, b"\r\n", rest.as_bytes()].concat()
    };
    let malformed = "the request's path is malformed";
    let target = "{\"error_msg\":\"the request's target is malformed\"}\n";
    let name = "{\"error_msg\":\"a header name is malformed\"}\n";
    let cases: [(&str, &[u8], &[u8], u16, &str); 7] = [
        ("in the path", b"/ch\xffat", b"X-A: a", 400, target),
        ("in the query", b"/chat?a=\xff", b"X-A: a", 400, target),
        ("in a header name", b"/chat", b"X-\xff: a", 400, name),
        ("percent-encoded in the path", b"/ch%ffat", b"X-A: a", 400, malformed),
        ("percent-encoded in the query", b"/chat?a=%ff", b"X-A: a", 200, ""),
        ("in a header", b"/chat", b"X-A: \xff\xfe", 200, ""),
        ("in the content type", b"/chat", b"Content-Type: application/json\xff", 200, ""),
    ];
    for (name, target, header, status, text) in cases {
        mock.clear();
        let mut bytes = request(target, header);
        if name == "in the content type" {
            // The other one would make two.
            let other = b"\r\nContent-Type: application/json\r\nContent-Length";
            let at = bytes.windows(other.len()).position(|window| window == other).unwrap();
            bytes.drain(at..at + "\r\nContent-Type: application/json".len());
        }
        let answer = Connection::open(gateway.data).answer(&bytes);
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert!(status == 200 || answer.text() == text, "{name}: {}", answer.text());
        let sent = support::ledger(&mock, usize::from(status == 200));
        if name == "in a header" {
            // The ledger reads such bytes as Latin-1.
            assert_eq!(support::sent_once(&sent[0], "x-a"), Some("\u{ff}\u{fe}"), "{name}");
        }
    }
}
