//! gRPC: HTTP/2 on both sides, messages both ways at once, trailers.

use std::convert::Infallible;
use std::future::ready;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{nodes, start};
use crate::support::{Gateway, closed_port};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// A backend of HTTP/2 in the clear: `/test.Echo/Stream` leads back what comes, as it comes, and ends with trailers;
/// `/test.Echo/Fail` has an error in its head alone.
fn backend() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        runtime().block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(http2.serve_connection(TokioIo::new(stream), service_fn(answer)));
            }
        });
    });
    address
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn answer(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, hyper::Error>>, Infallible> {
    let seen =
        |name: &str| request.headers().get(name).cloned().unwrap_or(HeaderValue::from_static("absent"));
    let authority = request.uri().authority().map_or("absent", |authority| authority.as_str());
    let mut head = Response::builder()
        .header("content-type", GRPC)
        .header("x-seen-te", seen("te"))
        .header("x-seen-content-type", seen("content-type"))
        .header("x-seen-mine", seen("x-mine"))
        .header("x-seen-authority", authority);
    if request.uri().path() == "/test.Echo/Fail" {
        head = head.header("grpc-status", "5").header("grpc-message", "no such thing");
        let body: BoxBody<Bytes, hyper::Error> =
            Empty::<Bytes>::new().map_err(|never| match never {}).boxed();
        return Ok(head.body(body).unwrap());
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("grpc-message", HeaderValue::from_static("all of it"));
    let body = request.into_body().with_trailers(ready(Some(Ok(trailers)))).boxed();
    Ok(head.body(body).unwrap())
}

/// The messages of a request, sent one by one; it ends where their sender does.
struct Messages(mpsc::Receiver<Bytes>);

impl Body for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|message| message.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// A message with the five bytes that gRPC puts before it.
fn message(text: &[u8]) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0][..], &length, text].concat().into()
}

/// What a call gets.
struct Called {
    response: Response<Incoming>,
    pending: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Called {
    fn header(&self, name: &str) -> &str {
        self.response.headers().get(name).map_or("absent", |value| value.to_str().unwrap())
    }

    /// Reads until so many bytes have come, or the end.
    async fn read(&mut self, count: usize) -> Vec<u8> {
        while self.pending.len() < count {
            let Some(frame) = self.response.body_mut().frame().await else { break };
            match frame.expect("no reset").into_data() {
                Ok(data) => self.pending.extend_from_slice(&data),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
        let count = count.min(self.pending.len());
        self.pending.drain(..count).collect()
    }

    /// Reads to the end, where nothing but trailers may come.
    async fn end(mut self) -> HeaderMap {
        let rest = self.read(usize::MAX).await;
        assert!(rest.is_empty(), "{rest:?}");
        self.trailers.expect("trailers")
    }
}

type Sender = hyper::client::conn::http2::SendRequest<Messages>;

async fn connect(gateway: &Gateway) -> Sender {
    let stream = TcpStream::connect(gateway.data).await.unwrap();
    let http2 = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = http2.await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Begins a call; what is to be sent goes through the channel.
async fn call(sender: &mut Sender, path: &str) -> (mpsc::Sender<Bytes>, Called) {
    let (messages, receiver) = mpsc::channel(8);
    let request = Request::post(format!("http://grpc.example{path}"))
        .header("content-type", GRPC)
        .header("te", "trailers")
        .header("x-mine", "yes")
        .body(Messages(receiver))
        .unwrap();
    let response = sender.send_request(request).await.expect("an answer");
    (messages, Called { response, pending: Vec::new(), trailers: None })
}

/// A gateway before a gRPC backend, and what a test does with it; it fails where that takes too long.
fn with_backend<F: Future<Output = ()>>(test: impl FnOnce(Gateway) -> F) {
    let gateway = start();
    let upstream = json!({"scheme": "grpc", "nodes": nodes(&[(backend(), 1)])});
    gateway.put("routes/r", &json!({"uri": "/test.Echo/*", "upstream": upstream}));
    let limit = Duration::from_secs(20);
    runtime().block_on(async { tokio::time::timeout(limit, test(gateway)).await }).expect("in time");
}

#[test]
fn messages_pass_both_ways_and_trailers_end_the_call() {
    with_backend(|gateway| async move {
        let mut sender = connect(&gateway).await;
        let (messages, mut called) = call(&mut sender, "/test.Echo/Stream").await;
        assert_eq!(called.response.status(), 200);
        for (name, expected) in [
            ("content-type", "application/grpc"),
            ("x-seen-te", "trailers"),
            ("x-seen-content-type", "application/grpc"),
            ("x-seen-mine", "yes"),
            ("x-seen-authority", "grpc.example"),
        ] {
            assert_eq!(called.header(name), expected, "{name}");
        }
        // Each answer comes before the next message is sent: it is a conversation.
        for number in 0..20 {
            let sent = message(format!("message {number}").as_bytes());
            messages.send(sent.clone()).await.unwrap();
            assert_eq!(called.read(sent.len()).await, sent, "message {number}");
        }
        let large = message(&vec![b'x'; 1_000_000]);
        messages.send(large.clone()).await.unwrap();
        assert!(called.read(large.len()).await == large, "another megabyte came back");
        drop(messages);
        let trailers = called.end().await;
        assert_eq!(trailers.get("grpc-status").unwrap(), "0");
        assert_eq!(trailers.get("grpc-message").unwrap(), "all of it");
        let record = gateway.exactly(1).remove(0);
        assert_eq!((&record["status"], &record["outcome"]), (&json!(200), &json!("complete")), "{record}");
    });
}

#[test]
fn calls_of_one_connection_do_not_mix() {
    with_backend(|gateway| async move {
        let mut sender = connect(&gateway).await;
        let mut calls = Vec::new();
        for _ in 0..30 {
            calls.push(call(&mut sender, "/test.Echo/Stream").await);
        }
        for (number, (messages, _)) in calls.iter().enumerate() {
            messages.send(message(format!("call {number:02}").as_bytes())).await.unwrap();
        }
        for (number, (messages, mut called)) in calls.into_iter().enumerate() {
            let expected = message(format!("call {number:02}").as_bytes());
            assert_eq!(called.read(expected.len()).await, expected);
            drop(messages);
            assert_eq!(called.end().await.get("grpc-status").unwrap(), "0");
        }
        gateway.exactly(30);
    });
}

#[test]
fn a_status_in_the_head_alone_passes() {
    with_backend(|gateway| async move {
        let mut sender = connect(&gateway).await;
        let (_messages, mut called) = call(&mut sender, "/test.Echo/Fail").await;
        assert_eq!(called.response.status(), 200);
        assert_eq!((called.header("grpc-status"), called.header("grpc-message")), ("5", "no such thing"));
        assert!(called.read(usize::MAX).await.is_empty());
    });
}

#[test]
fn a_backend_that_is_down_is_a_502() {
    with_backend(|gateway| async move {
        let upstream = json!({"scheme": "grpc", "nodes": nodes(&[(closed_port(), 1)])});
        gateway.put("routes/r", &json!({"uri": "/*", "upstream": upstream}));
        let mut sender = connect(&gateway).await;
        let (_messages, called) = call(&mut sender, "/test.Echo/Stream").await;
        assert_eq!(called.response.status(), 502);
    });
}
