//! Managers' stand-ins over real sockets, and what reaches the compiler.

mod managers;
mod resolving;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Made for these tests; it opens nothing.
pub(crate) const RSA_KEY: &str = include_str!("rsa.pem");

/// A request as a stand-in got it.
struct Got {
    /// Method and path.
    line: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Starts a stand-in for a manager; gives its address. It answers every request by status and body.
fn stand_in(answer: impl Fn(&Got) -> (u16, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (status, body) = answer(&read(&stream));
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
            // A client that has gone is the test's to notice.
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    address
}

fn read(stream: &TcpStream) -> Got {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end().to_string();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let line = lines.remove(0).strip_suffix(" HTTP/1.1").unwrap().to_string();
    let headers: BTreeMap<String, String> = lines
        .iter()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Got { line, headers, body: String::from_utf8(body).unwrap() }
}
