use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use a6_snapshot::{BodyError, BodyPiece, BodySource, Client};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Response, Version};
use http_body::{Body, Frame};

use super::Asked;
use super::connection::{Connection, Next};
use super::sending::{Sent, send};
use crate::wire::{ClientSocket, Link, Patience, Wire};

const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a test with a connection and its client.
fn run<F: Future<Output = ()>>(test: impl FnOnce(Rc<Connection>, TcpStream) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let local = listener.local_addr().unwrap();
        let client = TcpStream::connect(local).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let (tcp, peer) = listener.accept().await.unwrap();
        let link = Rc::new(Link {
            client: Rc::new(Client { peer, local, scheme: "http" }),
            wire: Wire::new(Rc::default(), Arc::default()),
            tls: None,
        });
        let patience = Patience { keepalive: PATIENCE, head: PATIENCE, send: PATIENCE };
        let connection = Rc::new(Connection::new(ClientSocket::new(tcp.into(), link), patience));
        tokio::time::timeout(PATIENCE, test(connection, client)).await.unwrap();
    });
}

/// The next request's target; what else comes next is told in brackets.
async fn next(connection: &Connection) -> String {
    match poll_fn(|cx| connection.poll_head(cx)).await {
        Next::Request(head) => head.uri.to_string(),
        Next::Refused(fault) => format!("[{}]", fault.as_str()),
        Next::End => "[end]".to_string(),
    }
}

/// The whole body of the request that is under way.
async fn body(connection: &Connection) -> Result<Vec<u8>, BodyError> {
    let (mut all, mut buffer) = (Vec::new(), BytesMut::new());
    loop {
        match poll_fn(|cx| connection.poll_data(cx, &mut buffer)).await? {
            BodyPiece::Taken(bytes) => all.extend_from_slice(&bytes),
            BodyPiece::Appended(count) => all.extend_from_slice(&buffer.split_to(count)),
            BodyPiece::End => return Ok(all),
        }
    }
}

/// A body that gives these frames; none stands for a moment in which it has nothing.
struct Frames(VecDeque<Option<Frame<Bytes>>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.pop_front() {
            None => Poll::Ready(None),
            Some(Some(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

fn data(text: &'static str) -> Option<Frame<Bytes>> {
    Some(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn asked(method: Method) -> Asked {
    Asked { method, version: Version::HTTP_11, keeps_alive: true }
}

#[test]
fn requests_follow_each_other_with_their_bodies() {
    run(|connection, mut client| async move {
        let get = "GET /one HTTP/1.1\r\n\r\nPOST /two HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\r\n";
        let chunks =
            "PUT /three HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        client.write_all(format!("{get}{chunks}GET / HTTP/9\r\n\r\n").as_bytes()).unwrap();
        for (target, text) in [("/one", ""), ("/two", "abc"), ("/three", "abc")] {
            assert_eq!(next(&connection).await, target);
            assert_eq!(connection.remaining().is_some(), target != "/three");
            assert_eq!(body(&connection).await, Ok(text.as_bytes().to_vec()), "{target}");
            assert!(connection.is_end() && connection.skip_body());
        }
        assert_eq!(next(&connection).await, "[unknown_version]");
    });
}

#[test]
fn a_large_body_leaves_what_follows_it() {
    run(|connection, mut client| async move {
        let long = vec![b'x'; 300_000];
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", long.len());
        let bytes = [head.as_bytes(), &long, b"GET /next HTTP/1.1\r\n\r\n"].concat();
        let writer = std::thread::spawn(move || {
            client.write_all(&bytes).unwrap();
            client
        });
        assert_eq!(next(&connection).await, "/");
        assert_eq!(body(&connection).await.map(|body| body == long), Ok(true));
        assert_eq!(next(&connection).await, "/next");
        drop(writer.join().unwrap());
        assert_eq!(next(&connection).await, "[end]");
    });
}

#[test]
fn a_client_is_told_to_go_on_when_its_body_is_asked_for() {
    run(|connection, mut client| async move {
        client.write_all(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").unwrap();
        assert_eq!(next(&connection).await, "/");
        client.set_nonblocking(true).unwrap();
        assert!(client.read(&mut [0]).is_err(), "it was told before anybody asked");
        client.set_nonblocking(false).unwrap();
        let client = std::thread::spawn(move || {
            let mut word = [0; 25];
            client.read_exact(&mut word).unwrap();
            client.write_all(b"abc").unwrap();
            word
        });
        assert_eq!(body(&connection).await, Ok(b"abc".to_vec()));
        assert_eq!(&client.join().unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
    });
}

#[test]
fn a_body_that_ends_early_or_is_none_is_told() {
    let cases = [
        ("Content-Length: 9\r\n\r\nabc", BodyError::Gone),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nab", BodyError::Gone),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nabcd", BodyError::Malformed),
        ("Transfer-Encoding: chunked\r\n\r\nx", BodyError::Malformed),
    ];
    for (rest, error) in cases {
        run(|connection, mut client| async move {
            client.write_all(format!("POST / HTTP/1.1\r\n{rest}").as_bytes()).unwrap();
            drop(client);
            assert_eq!(next(&connection).await, "/");
            assert_eq!(body(&connection).await, Err(error), "{rest}");
            assert_eq!(body(&connection).await, Err(error), "{rest}");
            assert!(!connection.skip_body(), "{rest}");
        });
    }
}

#[test]
fn a_hang_up_is_seen_but_not_behind_requests_that_were_sent_ahead() {
    for (bytes, is_seen) in [("GET / HTTP/1.1\r\n\r\n", true), ("GET / HTTP/1.1\r\n\r\nGET /2", false)] {
        run(|connection, mut client| async move {
            client.write_all(bytes.as_bytes()).unwrap();
            assert_eq!(next(&connection).await, "/");
            drop(client);
            let gone = poll_fn(|cx| connection.poll_hang_up(cx));
            let seen = tokio::time::timeout(Duration::from_millis(200), gone).await.is_ok();
            assert_eq!(seen, is_seen, "{bytes}");
            if !is_seen {
                assert_eq!(next(&connection).await, "[end]");
            }
        });
    }
}

#[test]
fn answers_are_written_as_their_bodies_come() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", HeaderValue::from_static("1"));
    let trailers = Some(Frame::trailers(trailers));
    // The content-length, the frames; what the client gets behind the head's first line, and how it ends.
    let cases: [(&'static str, Vec<Option<Frame<Bytes>>>, &str, bool); 6] = [
        ("", vec![data("ab"), None, data("c")], "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", true),
        ("", vec![data("ab"), data(""), trailers], "2\r\nab\r\n0\r\nx-end: 1\r\n\r\n", true),
        ("", vec![], "0\r\n\r\n", true),
        ("3", vec![data("ab"), None, data("c")], "abc", true),
        ("3", vec![data("abcd"), data("e")], "abc", true),
        ("3", vec![data("ab")], "ab", false),
    ];
    for (number, (length, frames, expected, is_whole)) in cases.into_iter().enumerate() {
        run(|connection, mut client| async move {
            let mut answer = Response::new(Frames(frames.into()));
            answer.headers_mut().insert("date", HeaderValue::from_static("today"));
            if !length.is_empty() {
                answer.headers_mut().insert("content-length", HeaderValue::from_static(length));
            }
            let sent = send(&connection, answer, &asked(Method::GET), false).await;
            assert_eq!(matches!(sent, Sent::Whole { closes: false }), is_whole, "{number}");
            drop(connection);
            let mut told = String::new();
            client.read_to_string(&mut told).unwrap();
            let framing = match length {
                "" => "transfer-encoding: chunked".to_string(),
                length => format!("content-length: {length}"),
            };
            assert_eq!(
                told,
                format!("HTTP/1.1 200 OK\r\ndate: today\r\n{framing}\r\n\r\n{expected}"),
                "{number}"
            );
        });
    }
}

#[test]
fn nothing_is_asked_of_a_body_that_may_not_be_sent() {
    run(|connection, mut client| async move {
        let answer = Response::new(Frames([data("never")].into()));
        let sent = send(&connection, answer, &asked(Method::HEAD), true).await;
        assert!(matches!(sent, Sent::Whole { closes: true }));
        drop(connection);
        let mut told = String::new();
        client.read_to_string(&mut told).unwrap();
        assert!(told.ends_with("\r\n\r\n") && told.contains("connection: close\r\n"), "{told}");
    });
}
