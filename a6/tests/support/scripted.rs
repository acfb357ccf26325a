//! An upstream that sends exactly the bytes it was told, and keeps what it received.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

/// What the upstream does next with a connection on which it has read a whole request.
#[derive(Clone)]
pub enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    /// Waits until the gate stands at this count.
    Await(Gate, usize),
    /// Waits until the other side is gone, and counts it.
    AwaitHangUp,
    /// Closes in an orderly way.
    Fin,
    /// Closes with a reset.
    Reset,
}

/// A counter that a test raises and an upstream waits for.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<usize>, Condvar)>);

impl Gate {
    pub fn open_to(&self, count: usize) {
        *self.0.0.lock().expect("no panic under the lock") = count;
        self.0.1.notify_all();
    }

    fn wait_for(&self, count: usize) {
        let open = self.0.0.lock().expect("no panic under the lock");
        // A test that fails never opens its gates; its threads must end all the same.
        drop(self.0.1.wait_timeout_while(open, Duration::from_secs(60), |now| *now < count));
    }
}

/// A request as the upstream received it; header names in lower case.
#[derive(Clone, Debug)]
pub struct Received {
    /// Number of the connection that it came on, from 1.
    pub connection: usize,
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

#[derive(Default)]
struct Shared {
    script: Mutex<Vec<Step>>,
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    hang_ups: AtomicUsize,
}

/// The upstream. It serves every connection with the script of the moment until the test's process ends.
pub struct Scripted {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Scripted {
    pub fn start(script: Vec<Step>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared { script: Mutex::new(script), ..Shared::default() });
        let upstream = Self { address, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A peer that leaves early is part of many tests; what it missed shows on the other side.
                std::thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        upstream
    }

    /// An upstream that answers every request with these bytes and keeps the connection.
    pub fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        Self::start(vec![Step::Send(bytes.into())])
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the upstream does from the next request on.
    pub fn set(&self, script: Vec<Step>) {
        *self.shared.script.lock().expect("no panic under the lock") = script;
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no panic under the lock").clone()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many times the other side left while [`Step::AwaitHangUp`] waited for it.
    pub fn hang_ups(&self) -> usize {
        self.shared.hang_ups.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let connection = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer, connection)? {
        shared.received.lock().expect("no panic under the lock").push(request);
        let script = shared.script.lock().expect("no panic under the lock").clone();
        for step in script {
            match step {
                Step::Send(bytes) => stream.write_all(&bytes)?,
                Step::Pause(duration) => std::thread::sleep(duration),
                Step::Await(gate, count) => gate.wait_for(count),
                Step::AwaitHangUp => {
                    if !matches!(stream.read(&mut [0]), Ok(1)) {
                        shared.hang_ups.fetch_add(1, Ordering::SeqCst);
                    }
                    return Ok(());
                }
                Step::Fin => return stream.shutdown(Shutdown::Both),
                Step::Reset => return SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
            }
        }
    }
    Ok(())
}

/// Reads one request framed by Content-Length; `None` where the connection ends between requests.
fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    connection: usize,
) -> io::Result<Option<Received>> {
    let mut bytes = [0; 16 * 1024];
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let mut lines = head.split("\r\n");
            let line = lines.next().unwrap_or_default().to_string();
            let headers: Vec<(String, String)> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string()))
                .collect();
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let length: usize = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                let body = String::from_utf8_lossy(&buffer[end + 4..end + 4 + length]).into_owned();
                buffer.drain(..end + 4 + length);
                return Ok(Some(Received { connection, line, headers, body }));
            }
        }
        match stream.read(&mut bytes)? {
            0 => return Ok(None),
            count => buffer.extend_from_slice(&bytes[..count]),
        }
    }
}

/// One chunk of a chunked body.
pub fn chunk(data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

/// An address that takes no connection and refuses none: whoever connects waits.
pub struct Blackhole {
    pub address: SocketAddr,
    _listener: Socket,
    _waiting: Vec<TcpStream>,
}

impl Blackhole {
    pub fn start() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        listener.listen(0).expect("it listens");
        let address =
            listener.local_addr().ok().and_then(|address| address.as_socket()).expect("a bound address");
        // Nobody accepts, so the kernel's queue fills; after that it drops what asks to connect.
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            waiting.push(stream);
            assert!(waiting.len() < 1_000, "the queue of a socket that nobody accepts from never filled");
        }
        Self { address, _listener: listener, _waiting: waiting }
    }
}

/// An address at which nobody listens.
pub fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound address")
}
