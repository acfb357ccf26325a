//! Promise: a change costs the memory of what changed: a thousand open streams, each begun under another configuration,
//! during ten thousand changes at ten thousand routes stay within one and a half times the memory that they had.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use support::{Call, Connection, Gateway, Setup, ai_route, chat_stream, chunk, request, sse};

const ROUTES: usize = 10_000;
const STREAMS: usize = 1_000;
/// So many changes come before the next stream is opened anew.
const EACH: usize = ROUTES / STREAMS;
/// So many write at once: each write waits for the disk.
const WRITERS: usize = 16;

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const BEGIN: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"begin\"}}]}\n\n";
const END: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\", end\"},\"finish_reason\":\"stop\"}]}\n\n\
    data: [DONE]\n\n";

/// A stream that has begun.
struct Held {
    stream: TcpStream,
    /// The model that was asked for: the route's as it was when the stream began.
    model: String,
}

/// An upstream that begins every stream and ends all of them together. One thread is enough: a request is there whole, or
/// nearly so, when its connection is.
struct Holding {
    address: SocketAddr,
    /// By what the client has said.
    held: Arc<Mutex<BTreeMap<String, Held>>>,
}

impl Holding {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let held = Arc::<Mutex<BTreeMap<String, Held>>>::default();
        let upstream = Self { address, held: Arc::clone(&held) };
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let body = read_body(&mut stream);
                stream.write_all(&[HEAD.as_bytes(), &chunk(BEGIN)].concat()).expect("the gateway reads");
                let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
                let (said, model) = (text(&body["messages"][0]["content"]), text(&body["model"]));
                // The stream of the same name was left by its client.
                held.lock().expect("no panic under the lock").insert(said, Held { stream, model });
            }
        });
        upstream
    }

    /// How many streams were begun with that model.
    fn count(&self, model: &str) -> usize {
        let held = self.held.lock().expect("no panic under the lock");
        held.values().filter(|held| held.model == model).count()
    }

    /// Ends all streams.
    fn finish(&self) {
        for held in self.held.lock().expect("no panic under the lock").values_mut() {
            held.stream.write_all(&[chunk(END), chunk("")].concat()).expect("the gateway reads");
        }
    }
}

/// The body of the one request that comes on a connection.
fn read_body(stream: &mut TcpStream) -> Value {
    stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a timeout can be set");
    let (mut received, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&received).into_owned();
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            return body;
        }
        let count = stream.read(&mut bytes).expect("a whole request");
        assert_ne!(count, 0, "the connection ended within a request: {text}");
        received.extend_from_slice(&bytes[..count]);
    }
}

/// Raises the limit of open files as far as allowed, for the gateway too: a new process inherits it.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    assert!(limit.maximum.is_none_or(|most| most >= 4_000), "this test needs 4,000 open files: ulimit -Hn");
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .expect("a limit may be raised up to the hard one");
}

/// The memory of the gateway in bytes, what it shares with other processes divided among them.
fn memory(gateway: &Gateway) -> u64 {
    let path = format!("/proc/{}/smaps_rollup", gateway.pid());
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes.unwrap_or_else(|| panic!("no Pss in {path}:\n{text}")) * 1024
}

/// Calls `each` with the number of every route, from several threads, each with an admin connection of its own.
fn for_each_route(gateway: &Gateway, each: impl Fn(&mut Connection, usize) + Sync) {
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let each = &each;
            scope.spawn(move || {
                let mut admin = Connection::open(gateway.admin);
                (writer..ROUTES).step_by(WRITERS).for_each(|number| each(&mut admin, number));
            });
        }
    });
}

/// Writes a route anew, with this model.
fn write(gateway: &Gateway, admin: &mut Connection, upstream: &Holding, number: usize, model: &str) {
    // Longer than any test: nothing comes on a stream while the others are opened.
    let more = json!({"options": {"model": model}, "timeout": 600_000});
    let route = ai_route(&format!("/r/{number}"), &format!("http://{}", upstream.address), more);
    let answer = gateway.admin_on(admin, "PUT", &format!("routes/{number}"), Some(&route));
    assert!(matches!(answer.status, 200 | 201), "route {number}: {} {}", answer.status, answer.text());
}

/// The route that a stream goes to; the streams are spread over all routes.
fn route_of(stream: usize) -> usize {
    stream * EACH + stream % EACH
}

/// Opens a stream and waits until it has begun.
fn open(gateway: &Gateway, stream: usize) -> Call {
    let body = chat_stream(&format!("stream {stream}")).to_string();
    let target = format!("/r/{}", route_of(stream));
    let mut call = Call::send(gateway.data, &request("POST", &target, &[], body.as_bytes()));
    assert_eq!(call.head.status, 200, "stream {stream}");
    call.read_until("begin");
    call
}

/// Reads the memory again and again while something is done, and gives the most that was seen.
fn most_memory(gateway: &Gateway, done: impl FnOnce()) -> u64 {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = 0;
            while !is_done.load(Ordering::SeqCst) {
                most = most.max(memory(gateway));
                thread::sleep(Duration::from_millis(200));
            }
            most.max(memory(gateway))
        });
        // A panic in there ends the watcher too.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(done));
        is_done.store(true, Ordering::SeqCst);
        let most = watcher.join().expect("the watcher has not panicked");
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
        most
    })
}

#[test]
fn a_thousand_streams_outlive_ten_thousand_changes_within_bounds() {
    raise_open_files();
    let upstream = Holding::start();
    let gateway = Setup::new().workers(2).start();
    for_each_route(&gateway, |admin, number| write(&gateway, admin, &upstream, number, "first"));
    let calls: Vec<Mutex<Option<Call>>> =
        (0..STREAMS).map(|stream| Mutex::new(Some(open(&gateway, stream)))).collect();
    assert_eq!(upstream.count("first"), STREAMS);

    let before = memory(&gateway);
    let most = most_memory(&gateway, || {
        for_each_route(&gateway, |admin, number| {
            write(&gateway, admin, &upstream, number, "second");
            // A client leaves and another comes, so that every stream holds on to another configuration.
            let stream = number / EACH;
            if route_of(stream) == number {
                let mut call = calls[stream].lock().expect("no panic under the lock");
                drop(call.take());
                *call = Some(open(&gateway, stream));
            }
        });
    });
    eprintln!("{} KiB before the changes, {} KiB at most", before / 1024, most / 1024);
    assert_eq!(upstream.count("second"), STREAMS, "a stream has not got the route as it was written");

    upstream.finish();
    for (stream, call) in calls.into_iter().enumerate() {
        let call = call.into_inner().ok().flatten().expect("an open stream");
        let answer = call.finish();
        assert!(answer.clean_end && sse::is_done(&answer.body), "stream {stream}: {}", answer.text());
        assert_eq!(sse::content(&answer.body), "begin, end", "stream {stream}");
    }
    assert!(most <= before / 2 * 3, "{before} bytes before the changes, {most} bytes at most");
}
