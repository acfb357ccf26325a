//! The mock over real sockets, spoken to by a client that is as plain as can be.

mod anthropic;
mod chat;
mod converse;
mod endpoints;
mod faults;
mod ledger;
mod replay;
mod responses;
mod tls;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::knobs::Knobs;
use crate::server::{Mock, Options};

const CHAT: &str = "/v1/chat/completions";

/// A mock with these knobs.
fn mock(knobs: Knobs) -> Mock {
    Mock::start(Options { knobs, ..Options::default() }).unwrap()
}

/// The bytes of a POST; `headers` are whole lines.
fn post(target: &str, headers: &str, body: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nhost: mock\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// One request on a connection of its own.
fn ask(mock: &Mock, target: &str, headers: &str, body: &Value) -> Answered {
    let mut client = Client::of(mock);
    client.send(post(target, headers, &body.to_string()));
    client.reply()
}

/// The data of a stream's events; `[DONE]` is left as text.
fn data(body: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(body).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap_or_else(|_| Value::from(data)))
        .collect()
}

/// A reply as the client saw it.
struct Answered {
    status: u16,
    head: String,
    body: Vec<u8>,
    /// Bytes of the head and the framed body.
    bytes: u64,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn of(mock: &Mock) -> Self {
        let stream = TcpStream::connect(mock.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Everything until the connection ends, and the error it ended with, if any.
    fn rest(&mut self) -> (Vec<u8>, Option<io::ErrorKind>) {
        let mut bytes = Vec::new();
        let error = self.0.read_to_end(&mut bytes).err().map(|error| error.kind());
        (bytes, error)
    }

    /// One response, interim ones included, with its body by whatever framing its head tells.
    fn reply(&mut self) -> Answered {
        let mut raw = Vec::new();
        let mut head = String::new();
        loop {
            let line = self.line(&mut raw);
            assert!(!line.is_empty(), "the connection ended in the head {head:?}");
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut reply = Answered { status: head[9..12].parse().unwrap(), head, body: Vec::new(), bytes: 0 };
        if reply.header("transfer-encoding") == Some("chunked") {
            reply.body = self.chunks(&mut raw);
        } else if let Some(length) = reply.header("content-length") {
            let length: usize = length.parse().unwrap();
            reply.body.resize(length, 0);
            self.0.read_exact(&mut reply.body).unwrap();
            raw.extend_from_slice(&reply.body);
        } else if reply.status >= 200 && reply.status != 204 {
            self.0.read_to_end(&mut reply.body).unwrap();
            raw.extend_from_slice(&reply.body);
        }
        reply.bytes = raw.len() as u64;
        reply
    }

    fn line(&mut self, raw: &mut Vec<u8>) -> String {
        let from = raw.len();
        self.0.read_until(b'\n', raw).unwrap();
        String::from_utf8(raw[from..].to_vec()).unwrap()
    }

    fn chunks(&mut self, raw: &mut Vec<u8>) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(self.line(raw).trim_end(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            self.0.read_exact(&mut chunk).unwrap();
            raw.extend_from_slice(&chunk);
            assert!(chunk.ends_with(b"\r\n"));
            if size == 0 {
                return body;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
}
