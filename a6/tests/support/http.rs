//! A raw HTTP/1.1 client: no retries, no redirects, nothing hidden.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest silence that a test accepts.
const PATIENCE: Duration = Duration::from_secs(15);

/// The bytes of a request. `Host`, `Content-Type` (JSON, with a body) and `Content-Length` are added unless `headers` names
/// them; a header with an empty value is not sent at all.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let given = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !given("host") {
        head.push_str("Host: a6.test\r\n");
    }
    if !body.is_empty() && !given("content-type") {
        head.push_str("Content-Type: application/json\r\n");
    }
    let has_body = !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH");
    if has_body && !given("content-length") && !given("transfer-encoding") {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// One POST of JSON on a connection of its own.
pub fn post(address: SocketAddr, target: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    Connection::open(address).answer(&request("POST", target, headers, body.to_string().as_bytes()))
}

/// Status line and headers; names in lower case.
#[derive(Clone, Debug)]
pub struct Head {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

impl Head {
    fn parse(raw: &[u8]) -> Self {
        let text = String::from_utf8_lossy(raw);
        let mut lines = text.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        Self {
            status: status.unwrap_or_else(|| panic!("not a status line: {status_line:?}")),
            headers: lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string()))
                .collect(),
        }
    }

    /// The value of a header that came once; `None` where it did not come, a panic where it came twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let first = values.next();
        assert!(values.next().is_none(), "{name} came more than once: {:?}", self.headers);
        first
    }
}

/// A whole answer and how it ended.
#[derive(Clone, Debug)]
pub struct Answer {
    pub head: Head,
    pub status: u16,
    pub body: Vec<u8>,
    /// The framing said that this is the end: the last chunk came, or all bytes of the Content-Length.
    pub clean_end: bool,
    /// The connection was reset.
    pub reset: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON: {e}: {}", self.text()))
    }
}

/// A connection that may carry several requests one after the other.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    reset: bool,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream =
            TcpStream::connect(address).unwrap_or_else(|e| panic!("cannot connect to {address}: {e}"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        Self { stream, buffer: Vec::new(), reset: false }
    }

    /// Writes what the other side takes: it may answer, and close, before it has read everything.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next final head; interim ones (1xx) are skipped. `None` where the connection ends first.
    pub fn head(&mut self) -> Option<Head> {
        loop {
            let head = self.any_head()?;
            if head.status >= 200 {
                return Some(head);
            }
        }
    }

    /// The next head, interim or final. `None` where the connection ends first.
    pub fn any_head(&mut self) -> Option<Head> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let raw: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Some(Head::parse(&raw));
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Sends a request and reads its whole answer.
    pub fn answer(&mut self, request: &[u8]) -> Answer {
        self.write(request);
        let head = self.head().expect("an answer before the connection ends");
        let mut body = Body::of(&head, request.starts_with(b"HEAD "));
        while body.more(self) {}
        body.into_answer(head, self.reset)
    }

    /// Reads one more answer, to a request that was written before.
    pub fn next_answer(&mut self) -> Answer {
        self.answer(b"")
    }

    /// Everything that comes until the other side closes; `None` where it is still open after `limit`. What came until then
    /// stays to be read.
    pub fn until_closed(&mut self, limit: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + limit;
        let mut closed = false;
        while !closed && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left)).expect("a timeout can be set");
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(count) => {
                    self.buffer.extend_from_slice(&bytes[..count]);
                    closed = count == 0;
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) => {
                    self.reset = e.kind() == ErrorKind::ConnectionReset;
                    closed = true;
                }
            }
        }
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        closed.then(|| std::mem::take(&mut self.buffer))
    }

    /// Writes as long as the other side takes bytes; false once it has closed.
    pub fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Says that nothing more will be sent; answers can still be read.
    pub fn end_of_input(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Waits for the other side to close; false where it says something instead.
    pub fn is_closed_by_the_other_side(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill()
    }

    fn fill(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                true
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => {
                self.reset = true;
                false
            }
            Err(e) => panic!(
                "nothing came for {PATIENCE:?}: {e}; before: {}",
                String::from_utf8_lossy(&self.buffer)
            ),
        }
    }
}

/// A request whose answer is read piece by piece.
pub struct Call {
    connection: Connection,
    pub head: Head,
    body: Body,
}

impl Call {
    /// Sends the request on a new connection and reads the answer's head.
    pub fn send(address: SocketAddr, request: &[u8]) -> Self {
        let mut connection = Connection::open(address);
        connection.write(request);
        let head = connection.head().expect("a head before the connection ends");
        let body = Body::of(&head, request.starts_with(b"HEAD "));
        Self { connection, head, body }
    }

    /// Reads until the body holds `text`.
    pub fn read_until(&mut self, text: &str) {
        while find(&self.body.bytes, text.as_bytes()).is_none() {
            let more = self.body.more(&mut self.connection);
            assert!(more, "ended before {text:?}: {}", String::from_utf8_lossy(&self.body.bytes));
        }
    }

    /// Reads to the end.
    pub fn finish(mut self) -> Answer {
        while self.body.more(&mut self.connection) {}
        self.body.into_answer(self.head, self.connection.reset)
    }
}

#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
    Close,
}

struct Body {
    framing: Framing,
    bytes: Vec<u8>,
    clean_end: bool,
}

impl Body {
    fn of(head: &Head, to_head_request: bool) -> Self {
        let framing = if to_head_request || matches!(head.status, 204 | 304) {
            Framing::Length(0)
        } else if head.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            Framing::Chunked
        } else {
            let length = head.header("content-length").and_then(|value| value.parse().ok());
            length.map_or(Framing::Close, Framing::Length)
        };
        Self { framing, bytes: Vec::new(), clean_end: false }
    }

    /// Takes the next piece; false at the end, clean or not.
    fn more(&mut self, connection: &mut Connection) -> bool {
        match self.framing {
            Framing::Length(0) => {
                self.clean_end = true;
                false
            }
            Framing::Length(left) => {
                if connection.buffer.is_empty() && !connection.fill() {
                    return false;
                }
                let taken = left.min(connection.buffer.len());
                self.bytes.extend(connection.buffer.drain(..taken));
                self.framing = Framing::Length(left - taken);
                true
            }
            Framing::Chunked => self.next_chunk(connection),
            Framing::Close => {
                let arrived = !connection.buffer.is_empty() || connection.fill();
                self.bytes.append(&mut connection.buffer);
                arrived
            }
        }
    }

    fn next_chunk(&mut self, connection: &mut Connection) -> bool {
        loop {
            let data = find(&connection.buffer, b"\r\n").map(|line| {
                let size = String::from_utf8_lossy(&connection.buffer[..line]).into_owned();
                let size =
                    usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("not a chunk size: {size:?}"));
                line + 2..line + 2 + size
            });
            if let Some(data) = data.clone().filter(|data| connection.buffer.len() >= data.end + 2) {
                self.bytes.extend_from_slice(&connection.buffer[data.clone()]);
                connection.buffer.drain(..data.end + 2);
                if data.is_empty() {
                    self.framing = Framing::Length(0);
                    self.clean_end = true;
                }
                return !data.is_empty();
            }
            if !connection.fill() {
                // A chunk that was cut is still what the client got.
                if let Some(data) = data {
                    let arrived = connection.buffer.get(data.start..).unwrap_or_default();
                    self.bytes.extend_from_slice(&arrived[..arrived.len().min(data.len())]);
                }
                connection.buffer.clear();
                return false;
            }
        }
    }

    fn into_answer(self, head: Head, reset: bool) -> Answer {
        Answer { status: head.status, head, body: self.bytes, clean_end: self.clean_end, reset }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
