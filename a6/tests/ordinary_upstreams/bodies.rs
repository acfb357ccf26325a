//! Bodies on their way there and back.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::{backend, get, lead, nodes, read_head, send, start, who};
use crate::support::http2::{DATA, END_HEADERS, END_STREAM, End, HEADERS, Http2, block, frame};
use crate::support::{
    Answer, Connection, Echo, Gate, Gateway, Scripted, Step, chunk, eventually, post, request,
};

const MIB: usize = 1 << 20;
/// How large a large body is, in MiB.
const LARGE: usize = 64;
/// What a large body may cost at most.
const ALLOWED: u64 = 20 << 20;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// This MiB of a large body; no two that follow each other are equal.
fn piece(number: usize) -> Vec<u8> {
    vec![u8::try_from(number % 251).unwrap(); MIB]
}

/// The most memory that the gateway ever held has grown by no more than is allowed.
fn is_within(gateway: &Gateway, before: u64) {
    let grown = gateway.memory("VmHWM") - before;
    assert!(grown <= ALLOWED, "memory grew by {} MiB", grown >> 20);
}

/// Waits until a number that only grows no longer does.
fn settled(number: &AtomicUsize) -> usize {
    let mut last = (usize::MAX, 0);
    eventually("a standstill", || {
        let now = number.load(Ordering::SeqCst);
        last = if last.0 == now { (now, last.1 + 1) } else { (now, 0) };
        thread::sleep(Duration::from_millis(40));
        (last.1 >= 10).then_some(now)
    })
}

#[test]
fn a_large_upload_goes_as_fast_as_the_backend_takes_it() {
    let (open, opened) = mpsc::channel();
    let opened = Mutex::new(opened);
    let address = backend(move |stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        if read_head(&mut reader).is_none() {
            return;
        }
        let _ = opened.lock().unwrap().recv();
        let mut bytes = vec![0; MIB];
        let is_whole =
            (0..LARGE).all(|number| reader.read_exact(&mut bytes).is_ok() && bytes == piece(number));
        let status = if is_whole { "200 OK" } else { "500 Other Bytes" };
        let _ = write!(writer, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    });
    let gateway = start();
    let echo = Echo::start("echo");
    gateway.put("routes/warm", &json!({"uri": "/warm", "upstream": echo.upstream()}));
    lead(&gateway, &json!({"nodes": nodes(&[(address, 1)])}));
    who(&get(&gateway, "/warm"));
    let before = gateway.memory("VmHWM");

    let sent = Arc::new(AtomicUsize::new(0));
    let mut client = TcpStream::connect(gateway.data).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let length = (LARGE * MIB).to_string();
    client.write_all(&request("POST", "/", &[("Content-Length", length.as_str())], b"")).unwrap();
    let mut writer = client.try_clone().unwrap();
    let counter = Arc::clone(&sent);
    let writing = thread::spawn(move || {
        for number in 0..LARGE {
            for part in piece(number).chunks(64 * 1024) {
                writer.write_all(part)?;
                counter.fetch_add(part.len(), Ordering::SeqCst);
            }
        }
        Ok::<(), std::io::Error>(())
    });
    // The backend reads nothing yet: only what the sockets hold is under way.
    let held = settled(&sent);
    assert!(held < LARGE * MIB, "all of it was taken while the backend read nothing");
    is_within(&gateway, before);
    open.send(()).unwrap();
    writing.join().unwrap().expect("the gateway takes all of it");
    let head = read_head(&mut BufReader::new(client)).expect("an answer");
    assert_eq!(head[0], "HTTP/1.1 200 OK");
    is_within(&gateway, before);
}

#[test]
fn a_large_answer_goes_as_fast_as_the_client_takes_it() {
    let written = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&written);
    let address = backend(move |stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        while read_head(&mut reader).is_some() {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
            if writer.write_all(head.as_bytes()).is_err() {
                return;
            }
            for number in 0..LARGE {
                for part in piece(number).chunks(64 * 1024) {
                    if writer.write_all(&chunk(part)).is_err() {
                        return;
                    }
                    counter.fetch_add(part.len(), Ordering::SeqCst);
                }
            }
            let _ = writer.write_all(b"0\r\n\r\n");
        }
    });
    let gateway = start();
    let echo = Echo::start("echo");
    gateway.put("routes/warm", &json!({"uri": "/warm", "upstream": echo.upstream()}));
    lead(&gateway, &json!({"nodes": nodes(&[(address, 1)])}));
    who(&get(&gateway, "/warm"));
    let before = gateway.memory("VmHWM");
    let mut client = TcpStream::connect(gateway.data).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    client.write_all(&request("GET", "/", &[("Connection", "close")], b"")).unwrap();
    let held = settled(&written);
    assert!(held < LARGE * MIB, "all of it was taken while the client read nothing");
    is_within(&gateway, before);

    let mut reader = BufReader::new(client);
    let head = read_head(&mut reader).expect("an answer");
    assert_eq!(head[0], "HTTP/1.1 200 OK");
    // The sizes of the chunks are the gateway's own.
    let (mut pending, mut number) = (Vec::new(), 0);
    loop {
        let size = read_chunk_size(&mut reader);
        let mut bytes = vec![0; size + 2];
        reader.read_exact(&mut bytes).unwrap();
        pending.extend_from_slice(&bytes[..size]);
        while pending.len() >= MIB {
            assert!(pending[..MIB] == piece(number)[..], "MiB {number} is another one");
            pending.drain(..MIB);
            number += 1;
        }
        if size == 0 {
            break;
        }
    }
    assert_eq!((number, pending.len()), (LARGE, 0));
    is_within(&gateway, before);
}

fn read_chunk_size(reader: &mut BufReader<TcpStream>) -> usize {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        reader.read_exact(&mut byte).expect("a chunk");
        line.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&line).trim().to_string();
    usize::from_str_radix(&text, 16).unwrap_or_else(|_| panic!("not a chunk size: {text:?}"))
}

#[test]
fn a_body_of_unknown_length_passes_as_it_comes() {
    let gateway = start();
    let echo = Echo::start("echo");
    lead(&gateway, &echo.upstream());
    let chunked = [("Transfer-Encoding", "chunked")];
    let mut connection = Connection::open(gateway.data);
    connection.write(&request("POST", "/", &chunked, b""));
    let mut expected = String::new();
    for number in 0..200 {
        let text = format!("piece {number};").repeat(number % 7 + 1);
        connection.write(&chunk(&text));
        expected.push_str(&text);
    }
    connection.write(b"0;last=yes\r\nX-Trailer: late\r\n\r\n");
    let answer = connection.next_answer();
    assert_eq!(who(&answer), "echo");
    assert!(answer.json()["body"] == expected, "{}", answer.text());
    let seen = echo.last();
    assert_eq!(seen.header("x-trailer"), None);
    let framings = [seen.header("content-length").is_some(), seen.header("transfer-encoding").is_some()];
    assert!(framings[0] != framings[1], "{:?}", seen.headers);

    // Empty, and then the next request of the same connection.
    connection.write(&[request("POST", "/", &chunked, b""), chunk("")].concat());
    assert_eq!(connection.next_answer().json()["body"], "");
    let answer = connection.answer(&request("PUT", "/", &[], b"{}"));
    assert_eq!(answer.json()["body"], "{}");

    // The same over HTTP/2, which needs no length at all.
    let mut client = Http2::open(gateway.data);
    let stream = client.next_stream();
    let head = [(":method", "POST"), (":scheme", "http"), (":path", "/h2"), (":authority", "a6.test")];
    client.write(&frame(HEADERS, END_HEADERS, stream, &block(&head)));
    for text in ["one ", "two ", ""] {
        client.write(&frame(DATA, 0, stream, text.as_bytes()));
    }
    client.write(&frame(DATA, END_STREAM, stream, b"three"));
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.end), (200, End::Stream), "{}", answer.text());
    assert_eq!((echo.last().body.as_str(), echo.last().target.as_str()), ("one two three", "/h2"));
}

#[test]
fn the_first_piece_reaches_the_backend_before_the_last_is_sent() {
    let (told, heard) = mpsc::channel();
    let told = Mutex::new(told);
    let address = backend(move |stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        read_head(&mut reader);
        let mut bytes = [0; 5];
        reader.read_exact(&mut bytes).unwrap();
        told.lock().unwrap().send(bytes).unwrap();
        reader.read_exact(&mut bytes).unwrap();
        writer.write_all(OK.as_bytes()).unwrap();
        told.lock().unwrap().send(bytes).unwrap();
    });
    let gateway = start();
    lead(&gateway, &json!({"nodes": nodes(&[(address, 1)])}));
    let mut client = Connection::open(gateway.data);
    client.write(&request("POST", "/", &[("Content-Length", "10")], b"first"));
    let wait = Duration::from_secs(5);
    assert_eq!(heard.recv_timeout(wait).expect("the first piece at the backend"), *b"first");
    client.write(b"after");
    assert_eq!(client.next_answer().text(), "ok");
    assert_eq!(heard.recv_timeout(wait).unwrap(), *b"after");
}

#[test]
fn an_answer_before_the_end_of_the_request_passes() {
    let address = backend(|stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        if read_head(&mut reader).is_none() {
            return;
        }
        let _ = reader.read_exact(&mut [0; 1000]);
        let text = "HTTP/1.1 413 Too Much\r\nContent-Length: 8\r\n\r\ntoo much";
        let _ = writer.write_all(text.as_bytes());
        // Whatever still comes is not read.
        thread::sleep(Duration::from_secs(60));
    });
    let gateway = start();
    let echo = Echo::start("echo");
    gateway.put("routes/other", &json!({"uri": "/other", "upstream": echo.upstream()}));
    lead(&gateway, &json!({"nodes": nodes(&[(address, 1)])}));
    let length = (LARGE * MIB).to_string();
    let cases = [("Content-Length", length.as_str()), ("Transfer-Encoding", "chunked")];
    for header in cases {
        let mut client = Connection::open(gateway.data);
        client.write(&request("POST", "/", &[header], b""));
        let begin = vec![b'a'; 2_000];
        client.write(&if header.1 == "chunked" { chunk(&begin) } else { begin });
        let answer = client.next_answer();
        assert_eq!((answer.status, answer.clean_end), (413, true), "{header:?}");
        assert_eq!(answer.text(), "too much", "{header:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{header:?}: the client may send more");
        assert!(client.is_closed_by_the_other_side(), "{header:?}: the connection stays open");
    }
    assert_eq!(who(&get(&gateway, "/other")), "echo");
}

#[test]
fn a_client_that_waits_for_100_is_told_to_go_on() {
    let gateway = start();
    let echo = Echo::start("echo");
    lead(&gateway, &echo.upstream());
    let mut client = Connection::open(gateway.data);
    client.write(&request("POST", "/", &[("Expect", "100-continue"), ("Content-Length", "4")], b""));
    assert_eq!(client.any_head().map(|head| head.status), Some(100));
    client.write(b"body");
    let answer = client.next_answer();
    assert_eq!((who(&answer).as_str(), &answer.json()["body"]), ("echo", &json!("body")));
    assert_eq!(echo.last().header("expect"), None, "the gateway has answered it");
}

#[test]
fn answers_that_have_no_body_leave_the_connection_in_order() {
    let gateway = start();
    let upstream = Scripted::start(Vec::new());
    lead(&gateway, &json!({"nodes": nodes(&[(upstream.address, 1)])}));
    let cases = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", 200, Some("1234")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, None),
        ("HEAD", "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", 404, Some("9")),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, None),
        ("DELETE", "HTTP/1.1 204 No Content\r\nX-Mine: yes\r\n\r\n", 204, None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", 304, None),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, Some("0")),
    ];
    let mut connection = Connection::open(gateway.data);
    for (method, bytes, status, length) in cases {
        upstream.set(vec![Step::Send(bytes.into())]);
        let answer = connection.answer(&request(method, "/", &[], b""));
        assert_eq!((answer.status, answer.header("content-length")), (status, length), "{method} {bytes}");
        assert!(answer.clean_end && answer.body.is_empty(), "{method} {bytes}: {}", answer.text());
        upstream.set(vec![Step::Send(OK.into())]);
        let answer = connection.answer(&request("GET", "/", &[], b""));
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "behind {method} {bytes}");
    }
    let connections = upstream.connections();
    assert!(connections <= 2, "{connections} connections, although none had to be given up");
}

#[test]
fn trailers_reach_the_client() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTrailer: X-Sum, X-Late\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = [&chunk("body")[..], b"0\r\nX-Sum: 42\r\nX-Late: yes\r\n\r\n"].concat();
    let upstream = Scripted::answering([head.as_bytes(), &body].concat());
    let gateway = start();
    lead(&gateway, &json!({"nodes": nodes(&[(upstream.address, 1)])}));
    // Twice: what follows the first one's last chunk is not the beginning of the second.
    for _ in 0..2 {
        let mut client = Connection::open(gateway.data);
        client.write(&request("GET", "/", &[("TE", "trailers"), ("Connection", "TE, close")], b""));
        let told = client.until_closed(Duration::from_secs(10)).expect("a close");
        let told = String::from_utf8_lossy(&told).to_ascii_lowercase();
        let (head, body) = told.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("http/1.1 200 ") && head.contains("transfer-encoding: chunked"), "{told}");
        assert!(body.starts_with("4\r\nbody\r\n0\r\n") && body.ends_with("\r\n\r\n"), "{told}");
        assert!(body.contains("x-sum: 42\r\n") && body.contains("x-late: yes\r\n"), "{told}");
    }
}

#[test]
fn pieces_of_an_answer_leave_as_they_come() {
    let gate = Gate::default();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let sized = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 25\r\n\r\n";
    let streamed = vec![
        Step::Send([head.as_bytes(), &chunk("data: begin\n\n")].concat()),
        Step::Await(gate.clone(), 1),
        Step::Send([chunk("data: end\n\n"), chunk("")].concat()),
    ];
    let plain = vec![
        Step::Send(format!("{sized}data: begin\n\n").into()),
        Step::Await(gate.clone(), 2),
        Step::Send("data: end\n\n\n".into()),
    ];
    let upstream = Scripted::start(Vec::new());
    let gateway = start();
    lead(&gateway, &json!({"nodes": nodes(&[(upstream.address, 1)])}));
    for (number, script) in [streamed, plain].into_iter().enumerate() {
        upstream.set(script);
        let mut call = crate::support::Call::send(gateway.data, &request("GET", "/", &[], b""));
        call.read_until("data: begin\n\n");
        gate.open_to(number + 1);
        let answer: Answer = call.finish();
        assert!(answer.clean_end && answer.text().contains("data: end\n\n"), "{}", answer.text());
    }
}

#[test]
fn a_client_that_leaves_is_told_to_the_backend() {
    let begin = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin";
    let upstream = Scripted::start(vec![Step::Send(begin.into()), Step::AwaitHangUp]);
    let gateway = start();
    lead(&gateway, &json!({"nodes": nodes(&[(upstream.address, 1)])}));
    let mut call = crate::support::Call::send(gateway.data, &request("GET", "/", &[], b""));
    call.read_until("begin");
    drop(call);
    eventually("the backend to see the hang-up", || (upstream.hang_ups() == 1).then_some(()));
    upstream.set(vec![Step::AwaitHangUp]);
    let mut client = Connection::open(gateway.data);
    client.write(&request("GET", "/", &[], b""));
    eventually("the request at the backend", || (upstream.received().len() == 2).then_some(()));
    drop(client);
    eventually("the backend to see the hang-up", || (upstream.hang_ups() == 2).then_some(()));
    let records = gateway.exactly(2);
    assert!(records.iter().all(|record| record["outcome"] == "client_gone"), "{records:#?}");
}

#[test]
fn a_request_that_breaks_off_never_looks_complete() {
    let (told, heard) = mpsc::channel();
    let told = Mutex::new(told);
    let address = backend(move |stream| {
        let mut reader = BufReader::new(stream);
        if read_head(&mut reader).is_some() {
            let mut bytes = vec![0];
            let _ = reader.read_exact(&mut bytes);
            told.lock().unwrap().send(bytes.clone()).unwrap();
            let _ = reader.read_to_end(&mut bytes);
            told.lock().unwrap().send(bytes).unwrap();
        }
    });
    let gateway = start();
    lead(&gateway, &json!({"nodes": nodes(&[(address, 1)])}));
    let chunked = [("Transfer-Encoding", "chunked")];
    let cases = [
        request("POST", "/", &[("Content-Length", "10")], b"half"),
        [request("POST", "/", &chunked, b""), chunk("half")].concat(),
    ];
    for bytes in cases {
        let mut client = Connection::open(gateway.data);
        client.write(&bytes);
        // It has to be under way before it can break off.
        heard.recv_timeout(Duration::from_secs(5)).expect("the backend to see the beginning");
        drop(client);
        let got = heard.recv_timeout(Duration::from_secs(5)).expect("the backend to see the end");
        let got = String::from_utf8_lossy(&got).into_owned();
        assert!(got.len() < 20 && !got.ends_with("0\r\n\r\n"), "{got:?}");
    }
}

#[test]
fn bodies_of_all_sizes_come_back_whole() {
    let gateway = start();
    let echo = Echo::start("echo");
    lead(&gateway, &echo.upstream());
    for size in [0, 1, 100, 4_096, 8_191, 8_192, 16_384, 65_536, 100_000, 1_000_000] {
        let body = json!("x".repeat(size));
        let answer = post(gateway.data, "/", &[], &body);
        assert_eq!((who(&answer).as_str(), answer.clean_end), ("echo", true), "{size}");
        let came_back = answer.json()["body"].as_str() == Some(body.to_string().as_str());
        assert!(came_back, "{size}: another body came back");
    }
    let answer = send(&gateway, "POST", "/", &[("Content-Length", "0")]);
    assert_eq!(answer.json()["body"], "");
}
