//! A backend that answers every request with what it received.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// A request as the backend received it; header names in lower case, a chunked body joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    /// The value of a header that came once; `None` where it did not come, a panic where it came twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() <= 1, "{name} came more than once: {:?}", self.headers);
        values.first().copied()
    }

    /// All values of a header, in the order in which they came.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// How the backend answers.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// With this status, and as JSON with its own name and what it received.
    Status(u16),
    /// Not at all: it closes the connection.
    HangUp,
}

struct Shared {
    name: String,
    manner: Mutex<(Manner, Duration)>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
}

/// The backend. It keeps connections, and serves until the test's process ends.
pub struct Echo {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Echo {
    /// A backend of this name on a free port, which answers at once with 200.
    pub fn start(name: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared {
            name: name.to_string(),
            manner: Mutex::new((Manner::Status(200), Duration::ZERO)),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        let echo = Self { address, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // What a broken request or connection does to a test shows in the gateway's answer.
                std::thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        echo
    }

    /// An inline upstream with this backend as its only node.
    pub fn upstream(&self) -> Value {
        let mut nodes = serde_json::Map::new();
        nodes.insert(self.address.to_string(), json!(1));
        json!({"type": "roundrobin", "nodes": nodes})
    }

    /// How the backend answers from the next request on, and how long it waits before.
    pub fn answer(&self, manner: Manner, delay: Duration) {
        *self.shared.manner.lock().expect("no panic under the lock") = (manner, delay);
    }

    /// The requests that came, oldest first; a request is among them before it is answered.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("no panic under the lock").clone()
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.shared.seen.lock().expect("no panic under the lock").len()
    }

    /// The youngest request.
    pub fn last(&self) -> Seen {
        let seen = self.shared.seen.lock().expect("no panic under the lock").last().cloned();
        seen.unwrap_or_else(|| panic!("no request reached the backend {}", self.shared.name))
    }

    /// Forgets the requests that came.
    pub fn clear(&self) {
        self.shared.seen.lock().expect("no panic under the lock").clear();
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    shared.connections.fetch_add(1, Ordering::SeqCst);
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(seen) = read_request(&mut reader)? {
        shared.seen.lock().expect("no panic under the lock").push(seen.clone());
        let (manner, delay) = *shared.manner.lock().expect("no panic under the lock");
        std::thread::sleep(delay);
        match manner {
            Manner::Status(status) => writer.write_all(&answer(status, &shared.name, &seen))?,
            Manner::HangUp => return writer.shutdown(Shutdown::Both),
        }
    }
    Ok(())
}

fn answer(status: u16, name: &str, seen: &Seen) -> Vec<u8> {
    let body = json!({
        "answered_by": name,
        "method": seen.method,
        "target": seen.target,
        "headers": seen.headers,
        "body": seen.body,
    })
    .to_string();
    let head = format!("HTTP/1.1 {status} Echo\r\nX-Answered-By: {name}\r\n");
    if matches!(status, 204 | 304) {
        return format!("{head}\r\n").into_bytes();
    }
    let length = body.len();
    let body = if seen.method == "HEAD" { "" } else { body.as_str() };
    format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// Reads one request; `None` where the connection ends between requests.
fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Seen>> {
    let Some(line) = read_line(reader)? else { return Ok(None) };
    let mut words = line.split(' ').map(str::to_string);
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("not a request line: {line:?}")));
    };
    let headers = read_headers(reader)?;
    let body = read_body(reader, &headers)?;
    Ok(Some(Seen { method, target, headers, body: String::from_utf8_lossy(&body).into_owned() }))
}

/// Reads header lines, or trailer lines, and the empty line that ends them.
fn read_headers(reader: &mut BufReader<TcpStream>) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?.ok_or(ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').unwrap_or((line.as_str(), ""));
        headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
    }
}

fn read_body(reader: &mut BufReader<TcpStream>, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
    let value = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let mut body = Vec::new();
    if value("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let line = read_line(reader)?.ok_or(ErrorKind::UnexpectedEof)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
            if size == 0 {
                read_headers(reader)?;
                return Ok(body);
            }
            read_exactly(reader, size, &mut body)?;
            read_line(reader)?;
        }
    }
    if let Some(length) = value("content-length") {
        read_exactly(reader, length.parse::<u64>().map_err(io::Error::other)?, &mut body)?;
    }
    Ok(body)
}

fn read_exactly(reader: &mut BufReader<TcpStream>, count: u64, into: &mut Vec<u8>) -> io::Result<()> {
    let got = reader.by_ref().take(count).read_to_end(into)?;
    if u64::try_from(got).is_ok_and(|got| got == count) {
        return Ok(());
    }
    Err(ErrorKind::UnexpectedEof.into())
}

/// A line without its end; `None` at the end of the stream.
fn read_line(reader: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_string()))
}
