//! Promise: what a limit allows passes and not one request more, however many clients ask at once on however many
//! threads; and a client that leaves gives its place back, at whatever stage it leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use support::http2::{CANCEL, END_HEADERS, END_STREAM, HEADERS, Http2, RST_STREAM, block, frame};
use support::{Connection, Gateway, Scripted, Setup, Step, eventually, request};

/// A window that ends in no test: more than a year. Windows that are aligned to the clock change every three years.
const LONG: u64 = 100_000_000;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A backend that counts who is inside, and lets nobody out while its door is closed.
struct Crowd {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    count: Mutex<Count>,
    opened: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Count {
    arrived: usize,
    inside: usize,
    most: usize,
    is_closed: bool,
}

impl Crowd {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let crowd = Self { address, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.serve(stream));
            }
        });
        crowd
    }

    fn count(&self) -> Count {
        *self.shared.count.lock().unwrap()
    }

    fn set_closed(&self, is_closed: bool) {
        self.shared.count.lock().unwrap().is_closed = is_closed;
        self.shared.opened.notify_all();
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let mut writer = stream.try_clone().unwrap();
        // The requests of these tests have no bodies: each ends with an empty line.
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if line.is_empty() {
                self.pass();
                if writer.write_all(OK.as_bytes()).is_err() {
                    return;
                }
            }
        }
    }

    /// In and out again, before the answer is written: for the gateway the request is inside for longer.
    fn pass(&self) {
        let mut count = self.count.lock().unwrap();
        count.arrived += 1;
        count.inside += 1;
        count.most = count.most.max(count.inside);
        drop(count);
        thread::sleep(Duration::from_millis(1));
        let count = self.count.lock().unwrap();
        let limit = Duration::from_secs(60);
        let (mut count, _) = self.opened.wait_timeout_while(count, limit, |count| count.is_closed).unwrap();
        count.inside -= 1;
    }
}

/// A route on `uri` to this address.
fn route(uri: &str, address: SocketAddr, plugins: &Value) -> Value {
    json!({"uri": uri, "plugins": plugins, "upstream": {"nodes": {address.to_string(): 1}}})
}

fn get(path: &str) -> Vec<u8> {
    request("GET", path, &[], b"")
}

/// So many clients at once send so many requests together, to each path in turn; how often each status came.
fn storm(gateway: &Gateway, paths: &[&str], clients: usize, total: usize) -> BTreeMap<u16, usize> {
    let (next, start) = (AtomicUsize::new(0), Barrier::new(clients));
    let ask = || {
        let mut connection = Connection::open(gateway.data);
        let mut statuses = Vec::new();
        start.wait();
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= total {
                return statuses;
            }
            statuses.push(connection.answer(&get(paths[number % paths.len()])).status);
        }
    };
    let statuses: Vec<u16> = thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut tally = BTreeMap::new();
    for status in statuses {
        *tally.entry(status).or_insert(0) += 1;
    }
    tally
}

#[test]
fn of_two_thousand_requests_two_hundred_pass() {
    let windows = |more: Value| {
        let mut conf = json!({"count": 200, "time_window": LONG});
        conf.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"limit-count": conf})
    };
    let group = |window: &str| windows(json!({"window_type": window, "group": format!("g-{window}")}));
    let cases = [
        ("fixed", windows(json!({})), &["/a"][..]),
        ("sliding", windows(json!({"window_type": "sliding"})), &["/a"]),
        ("fixed, a group of two routes", group("fixed"), &["/a", "/b"]),
        ("sliding, a group of two routes", group("sliding"), &["/a", "/b"]),
        (
            "as a rule",
            json!({"limit-count": {"rules": [{"count": 200, "time_window": LONG, "key": "$remote_addr"}]}}),
            &["/a"],
        ),
    ];
    for (name, plugins, paths) in cases {
        let crowd = Crowd::start();
        let gateway = Setup::new().workers(2).start();
        for (number, path) in paths.iter().enumerate() {
            gateway.put(&format!("routes/{number}"), &route(path, crowd.address, &plugins));
        }
        let tally = storm(&gateway, paths, 64, 2_000);
        assert_eq!(tally, BTreeMap::from([(200, 200), (503, 1_800)]), "{name}");
        assert_eq!(crowd.count().arrived, 200, "{name}: what reached the backend");
    }
}

#[test]
fn two_routes_without_a_group_have_a_limit_each() {
    let crowd = Crowd::start();
    let gateway = Setup::new().workers(2).start();
    let plugins = json!({"limit-count": {"count": 50, "time_window": LONG}});
    gateway.put("routes/1", &route("/a", crowd.address, &plugins));
    gateway.put("routes/2", &route("/b", crowd.address, &plugins));
    assert_eq!(storm(&gateway, &["/a", "/b"], 16, 400), BTreeMap::from([(200, 100), (503, 300)]));
    assert_eq!(crowd.count().arrived, 100);
}

#[test]
fn a_change_of_the_route_does_not_let_one_more_pass() {
    let crowd = Crowd::start();
    let gateway = Setup::new().workers(2).start();
    let plugins = json!({"limit-count": {"count": 100, "time_window": LONG}});
    let mut document = route("/a", crowd.address, &plugins);
    gateway.put("routes/1", &document);
    let tally = thread::scope(|scope| {
        let clients = scope.spawn(|| storm(&gateway, &["/a"], 16, 1_000));
        // Changes that have nothing to do with the limit, while it is used.
        for number in 0..20 {
            document["desc"] = json!(format!("change {number}"));
            gateway.put("routes/1", &document);
        }
        clients.join().unwrap()
    });
    assert_eq!(tally, BTreeMap::from([(200, 100), (503, 900)]));
    assert_eq!(crowd.count().arrived, 100);
}

#[test]
fn a_bucket_holds_its_burst_and_one() {
    let crowd = Crowd::start();
    let gateway = Setup::new().workers(2).start();
    // It takes 100 seconds until there is room for another one.
    let conf = json!({"rate": 0.01, "burst": 5, "nodelay": true, "key": "remote_addr", "rejected_code": 429});
    gateway.put("routes/1", &route("/a", crowd.address, &json!({"limit-req": conf})));
    assert_eq!(storm(&gateway, &["/a"], 10, 50), BTreeMap::from([(200, 6), (429, 44)]));
    assert_eq!(crowd.count().arrived, 6);
}

#[test]
fn no_more_than_conn_and_burst_are_at_the_backend_at_a_time() {
    let crowd = Crowd::start();
    let gateway = Setup::new().workers(2).start();
    let conf = json!({"conn": 3, "burst": 2, "default_conn_delay": 0.001, "key": "remote_addr"});
    gateway.put("routes/1", &route("/a", crowd.address, &json!({"limit-conn": conf})));

    // While nobody gets out, it is exactly so many.
    crowd.set_closed(true);
    let tally = thread::scope(|scope| {
        let clients = scope.spawn(|| storm(&gateway, &["/a"], 32, 32));
        let refused = || gateway.records().iter().filter(|record| record["status"] == 503).count();
        eventually("five inside and the others refused", || {
            (crowd.count().inside == 5 && refused() == 27).then_some(())
        });
        crowd.set_closed(false);
        clients.join().unwrap()
    });
    assert_eq!(tally, BTreeMap::from([(200, 5), (503, 27)]));

    let tally = storm(&gateway, &["/a"], 32, 1_000);
    let passed = tally.get(&200).copied().unwrap_or(0);
    assert!(tally.keys().all(|status| matches!(status, 200 | 503)), "{tally:?}");
    let count = crowd.count();
    assert_eq!((count.arrived, count.inside), (5 + passed, 0), "{tally:?}");
    assert_eq!(count.most, 5);
}

/// A backend that says when it has read the word `half` of a request, and reads on until the other side leaves.
fn half_reader() -> (SocketAddr, mpsc::Receiver<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                bytes.extend_from_slice(&piece[..count]);
                if bytes.ends_with(b"half") {
                    let _ = told.send(());
                }
            }
        }
    });
    (address, heard)
}

/// A gateway where one place is shared by `/held`, `/upload` and `/probe`.
struct OnePlace {
    gateway: Gateway,
    held: Scripted,
    upload: mpsc::Receiver<()>,
}

impl OnePlace {
    fn new(conf: &Value) -> Self {
        let held = Scripted::start(vec![Step::AwaitHangUp]);
        let probe = Scripted::answering(OK);
        let (address, upload) = half_reader();
        let gateway = Setup::new().workers(2).start();
        gateway.put("services/s", &json!({"plugins": {"limit-conn": conf}}));
        for (path, address) in [("held", held.address), ("upload", address), ("probe", probe.address)] {
            let nodes = json!({address.to_string(): 1});
            let document =
                json!({"uri": format!("/{path}"), "service_id": "s", "upstream": {"nodes": nodes}});
            gateway.put(&format!("routes/{path}"), &document);
        }
        Self { gateway, held, upload }
    }

    fn probe(&self) -> u16 {
        Connection::open(self.gateway.data).answer(&get("/probe")).status
    }

    fn wait_for_request(&self, number: usize, name: &str) {
        eventually(&format!("{name}: request {number} at the backend"), || {
            (self.held.received().len() >= number).then_some(())
        });
    }

    fn is_free(&self, behind: &str) {
        eventually(&format!("the place to be free behind: {behind}"), || (self.probe() == 200).then_some(()));
    }
}

#[test]
fn a_client_that_leaves_gives_its_place_back() {
    let conf = json!({"conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr"});
    let place = OnePlace::new(&conf);
    let occupied = |name: &str| assert_eq!(place.probe(), 503, "{name}: the place is not taken");
    place.is_free("nothing");

    let name = "before the answer";
    let mut client = Connection::open(place.gateway.data);
    client.write(&get("/held"));
    place.wait_for_request(1, name);
    occupied(name);
    drop(client);
    place.is_free(name);

    let name = "within the answer";
    let begin = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin";
    place.held.set(vec![Step::Send(begin.into()), Step::AwaitHangUp]);
    let mut call = support::Call::send(place.gateway.data, &get("/held"));
    call.read_until("begin");
    occupied(name);
    drop(call);
    place.is_free(name);

    let name = "within its request";
    let mut client = Connection::open(place.gateway.data);
    client.write(&request("POST", "/upload", &[("Content-Length", "8")], b"half"));
    place.upload.recv_timeout(Duration::from_secs(5)).expect("half a body at the backend");
    occupied(name);
    drop(client);
    place.is_free(name);

    let name = "a stream of HTTP/2, reset";
    place.held.set(vec![Step::AwaitHangUp]);
    let mut client = Http2::open(place.gateway.data);
    let stream = client.next_stream();
    let head =
        block(&[(":method", "GET"), (":scheme", "http"), (":path", "/held"), (":authority", "a6.test")]);
    client.write(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
    place.wait_for_request(3, name);
    occupied(name);
    client.write(&frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    place.is_free(name);

    let name = "the backend left";
    place.held.set(vec![Step::Fin]);
    let answer = Connection::open(place.gateway.data).answer(&get("/held"));
    assert_eq!(answer.status, 502, "{name}: {}", answer.text());
    place.is_free(name);

    // Nothing was given back twice: one is in, the next is not.
    place.held.set(vec![Step::AwaitHangUp]);
    let before = place.held.received().len();
    let mut client = Connection::open(place.gateway.data);
    client.write(&get("/held"));
    place.wait_for_request(before + 1, "the end");
    occupied("the end");
}

#[test]
fn a_client_that_leaves_while_it_waits_gives_its_place_back() {
    let conf = json!({"conn": 1, "burst": 1, "default_conn_delay": 60, "key": "remote_addr"});
    let place = OnePlace::new(&conf);
    let mut first = Connection::open(place.gateway.data);
    first.write(&get("/held"));
    place.wait_for_request(1, "the first");
    // The second waits for a minute; whoever comes after it is too many.
    let mut waiting = Vec::new();
    eventually("two to be there", || {
        let mut client = Connection::open(place.gateway.data);
        client.write(&request("GET", "/held", &[("Connection", "close")], b""));
        let told = client.until_closed(Duration::from_millis(200));
        waiting.push(client);
        told.map(|told| assert!(told.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&told)))
    });
    assert_eq!(place.held.received().len(), 1, "one that should wait has passed");
    drop((first, waiting));
    // Were one of them still counted, this one had to wait for a minute.
    let _third = eventually("a place without waiting", || {
        let before = place.held.received().len();
        let mut client = Connection::open(place.gateway.data);
        client.write(&get("/held"));
        let arrives = || {
            thread::sleep(Duration::from_millis(10));
            place.held.received().len() > before
        };
        (0..50).any(|_| arrives()).then_some(client)
    });
}
