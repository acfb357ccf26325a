//! The upstream of a case: it answers with what was recorded, and keeps what it received.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::case::{from_hex, pairs};
use super::{mock, value};

/// How long a request is waited for that the gateway should have sent before it answered.
const PATIENCE: Duration = Duration::from_millis(300);

/// A request as it came; header names in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The first value of a header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str())
    }

    /// The value of a query parameter.
    pub(crate) fn asks(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    fn pause(&self, name: &str) -> Option<Duration> {
        self.asks(name)?.parse().ok().map(Duration::from_millis)
    }
}

/// What is sent back.
pub(crate) struct Reply {
    pub(crate) status: u64,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// The upstream, on a port of its own; it ends with its value.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
    connections: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The step's exchanges; one that was served is gone.
    recorded: Vec<Option<Value>>,
    received: Vec<Received>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared::default());
        let upstream = Self { address, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.is_over.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(handle) = stream.try_clone() {
                    shared.connections.lock().expect("no panic under the lock").push(handle);
                }
                let shared = Arc::clone(&shared);
                // A gateway that leaves early is part of many cases; what it missed shows in its answer.
                std::thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        upstream
    }

    /// Begins a step with these exchanges.
    pub(crate) fn expect(&self, exchanges: &[Value]) {
        let mut state = self.shared.state.lock().expect("no panic under the lock");
        state.recorded = exchanges.iter().cloned().map(Some).collect();
        state.received.clear();
    }

    /// What the step's requests were; waits a little while there are fewer than expected.
    pub(crate) fn received(&self, expected: usize) -> Vec<Received> {
        let state = self.shared.state.lock().expect("no panic under the lock");
        let waited =
            self.shared.arrived.wait_timeout_while(state, PATIENCE, |state| state.received.len() < expected);
        waited.expect("no panic under the lock").0.received.clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        if let Ok(connections) = self.shared.connections.lock() {
            for connection in connections.iter() {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer)? {
        let reply = {
            let mut state = shared.state.lock().expect("no panic under the lock");
            state.received.push(request.clone());
            choose(&mut state.recorded, &request)
        };
        shared.arrived.notify_all();
        if !write_reply(&mut stream, &request, reply)? {
            return stream.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

/// The recorded answer to a request, `None` for none at all. A request that nobody recorded gets what the recorder's own
/// upstream would have said, so that a case goes on and its differences tell of the gateway.
fn choose(recorded: &mut [Option<Value>], request: &Received) -> Option<Reply> {
    let host = request.header("host");
    let is_asked = |exchange: &Option<Value>| {
        let wanted = exchange.as_ref().map_or(&Value::Null, |exchange| &exchange["request"]);
        let target = wanted["target"].as_str().unwrap_or_default();
        wanted["method"] == request.method
            && sorted_target(target) == sorted_target(&request.target)
            && wanted["headers"]["host"] == host
    };
    let has_body = |exchange: &Option<Value>| {
        let body = exchange.as_ref().and_then(|exchange| exchange["request"]["body"].as_str());
        body.is_some_and(|body| value::body_differences(body, &request.body).is_empty())
    };
    let place = recorded.iter().position(|exchange| is_asked(exchange) && has_body(exchange));
    let place = place.or_else(|| recorded.iter().position(is_asked));
    if let (None, Some(name)) = (place, host.strip_suffix(".echo")) {
        return Some(mock::echo(request, name));
    }
    let place = place.or_else(|| recorded.iter().position(Option::is_some));
    match place.and_then(|place| recorded[place].take()) {
        Some(exchange) => recorded_reply(&exchange["response"]),
        None => Some(mock::reply(request)),
    }
}

/// Path and query; the order of parameters does not count.
pub(crate) fn sorted_target(target: &str) -> (&str, Vec<&str>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut parameters: Vec<&str> = query.split('&').filter(|parameter| !parameter.is_empty()).collect();
    parameters.sort_unstable();
    (path, parameters)
}

/// `"closed"`, and nothing at all where the gateway left first, is no answer.
fn recorded_reply(response: &Value) -> Option<Reply> {
    let body = match response["body_hex"].as_str() {
        Some(hex) => from_hex(hex),
        None => response["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
    };
    Some(Reply { status: response["status"].as_u64()?, headers: pairs(&response["headers"]), body })
}

/// False where the connection is to be closed.
fn write_reply(stream: &mut TcpStream, request: &Received, reply: Option<Reply>) -> io::Result<bool> {
    if let Some(pause) = request.pause("delay_ms") {
        std::thread::sleep(pause);
    }
    let Some(Reply { status, headers, body }) = reply else { return Ok(false) };
    let is_stream = headers
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("content-type") && value.contains("event-stream"));
    let is_chunked = is_stream || request.asks("nocl").is_some();
    let has_body = request.method != "HEAD" && !matches!(status, 204 | 304);
    let mut head = format!("HTTP/1.1 {status} Recorded\r\n");
    for (name, value) in &headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match (is_chunked && has_body, status) {
        (true, _) => head.push_str("Transfer-Encoding: chunked\r\n"),
        (false, 204 | 304) => {}
        (false, _) => head.push_str(&format!("Content-Length: {}\r\n", body.len())),
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    if !has_body {
        return Ok(true);
    }
    let is_cut = request.asks("trunc").is_some();
    for (index, piece) in pieces(&body, is_stream, is_cut).into_iter().enumerate() {
        if let Some(pause) = request.pause("gap_ms").filter(|_| index > 0) {
            std::thread::sleep(pause);
        }
        match is_chunked {
            true => stream.write_all(&crate::support::chunk(piece))?,
            false => stream.write_all(piece)?,
        }
    }
    if is_chunked && !is_cut {
        stream.write_all(b"0\r\n\r\n")?;
    }
    Ok(!is_cut)
}

/// The pieces of a body: the events of a stream, else one. `is_cut` gives the first half only.
fn pieces(body: &[u8], is_stream: bool, is_cut: bool) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = body;
    while let Some(end) = event_end(rest).filter(|_| is_stream) {
        let (event, behind) = rest.split_at(end);
        pieces.push(event);
        rest = behind;
    }
    match (is_stream, is_cut) {
        (true, true) => pieces.truncate(pieces.len() / 2),
        (false, true) => pieces.push(&rest[..rest.len() / 2]),
        (_, false) => pieces.push(rest),
    }
    // An empty chunk would be the end.
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn event_end(bytes: &[u8]) -> Option<usize> {
    let ends = |end: &usize| bytes[..*end].ends_with(b"\n\n") || bytes[..*end].ends_with(b"\r\n\r\n");
    (2..=bytes.len()).find(ends)
}

/// One request framed by Content-Length; `None` where the connection ends between requests.
fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Received>> {
    let mut bytes = [0; 16 * 1024];
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let mut lines = head.split("\r\n");
            let mut line = lines.next().unwrap_or_default().split(' ').map(str::to_string);
            let headers: Vec<(String, String)> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string()))
                .collect();
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let length: usize = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
                return Ok(Some(Received { method, target, headers, body }));
            }
        }
        match stream.read(&mut bytes)? {
            0 => return Ok(None),
            count => buffer.extend_from_slice(&bytes[..count]),
        }
    }
}
