//! WebSocket.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::{backend, nodes, read_head, start};
use crate::support::{Connection, Gateway, eventually, request};

/// The key of RFC 6455, 1.3, and the answer to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const HANDSHAKE: [(&str, &str); 5] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Protocol", "chat"),
];

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const MASK: [u8; 4] = [1, 2, 3, 4];

/// The bytes of a frame; a client's is masked.
fn frame(kind: u8, is_masked: bool, payload: &[u8]) -> Vec<u8> {
    let mark = if is_masked { 0x80 } else { 0 };
    let mut bytes = vec![kind];
    match payload.len() {
        short @ 0..126 => bytes.push(mark | u8::try_from(short).unwrap()),
        middle @ 126..0x1_0000 => {
            bytes.push(mark | 126);
            bytes.extend(u16::try_from(middle).unwrap().to_be_bytes());
        }
        long => {
            bytes.push(mark | 127);
            bytes.extend(u64::try_from(long).unwrap().to_be_bytes());
        }
    }
    if is_masked {
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        bytes.extend(payload);
    }
    bytes
}

/// Reads a frame, unmasked; `None` where the connection ends.
fn read_frame(reader: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    reader.read_exact(&mut head).ok()?;
    let length = match head[1] & 0x7f {
        126 => {
            let mut length = [0; 2];
            reader.read_exact(&mut length).ok()?;
            usize::from(u16::from_be_bytes(length))
        }
        127 => {
            let mut length = [0; 8];
            reader.read_exact(&mut length).ok()?;
            usize::try_from(u64::from_be_bytes(length)).unwrap()
        }
        short => usize::from(short),
    };
    let mut mask = [0; 4];
    if head[1] & 0x80 != 0 {
        reader.read_exact(&mut mask).ok()?;
    }
    let mut payload = vec![0; length];
    reader.read_exact(&mut payload).ok()?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Some((head[0], payload))
}

/// What a backend has seen.
#[derive(Default)]
struct Log {
    heads: Vec<Vec<String>>,
    /// Tunnels that the other side has ended.
    ends: usize,
}

/// A backend with a greeting, which leads every frame back; a text `leave` makes it leave. Without a handshake, and on the
/// path `/refuse`, it answers as any other backend.
struct Chat {
    address: std::net::SocketAddr,
    log: Arc<Mutex<Log>>,
}

impl Chat {
    fn start() -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let own = Arc::clone(&log);
        Self { address: backend(move |stream| chat(stream, &own)), log }
    }

    fn last_head(&self) -> Vec<String> {
        self.log.lock().unwrap().heads.last().cloned().expect("a request at the backend")
    }

    fn has_ends(&self, count: usize) {
        eventually(&format!("{count} ends at the backend"), || {
            (self.log.lock().unwrap().ends == count).then_some(())
        });
    }
}

fn chat(stream: TcpStream, log: &Mutex<Log>) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(head) = read_head(&mut reader) {
        let is_refused = head[0].contains("/refuse");
        let is_handshake = value(&head, "upgrade") == Some("websocket");
        log.lock().unwrap().heads.push(head);
        let plain = if is_refused { "403 Forbidden" } else { "200 OK" };
        if is_refused || !is_handshake {
            let answer = format!("HTTP/1.1 {plain}\r\nContent-Length: 5\r\n\r\nplain");
            if writer.write_all(answer.as_bytes()).is_err() {
                return;
            }
            continue;
        }
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Protocol: chat\r\nX-Mine: yes\r\n\r\n"
        );
        // In one write, so that the first frame may come with the head.
        let _ = writer.write_all(&[head.as_bytes(), &frame(TEXT, false, b"welcome")].concat());
        while let Some((kind, payload)) = read_frame(&mut reader) {
            let _ = writer.write_all(&frame(kind, false, &payload));
            if kind == CLOSE || payload == b"leave" {
                let _ = writer.shutdown(Shutdown::Both);
                return;
            }
        }
        log.lock().unwrap().ends += 1;
        return;
    }
}

/// The value of a header in the lines of a head.
fn value<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let header = |line: &'a String| line.split_once(':').map(|(name, value)| (name, value.trim()));
    head.iter().filter_map(header).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A client that has sent its handshake.
struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    head: Vec<String>,
}

impl Client {
    fn open(gateway: &Gateway, path: &str) -> Self {
        let mut writer = TcpStream::connect(gateway.data).unwrap();
        writer.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        writer.set_nodelay(true).unwrap();
        writer.write_all(&request("GET", path, &HANDSHAKE, b"")).unwrap();
        let mut reader = BufReader::new(writer.try_clone().unwrap());
        let head = read_head(&mut reader).expect("an answer to the handshake");
        Self { reader, writer, head }
    }

    /// One whose tunnel stands and who has been greeted.
    fn greeted(gateway: &Gateway) -> Self {
        let mut client = Self::open(gateway, "/ws");
        assert!(client.head[0].starts_with("HTTP/1.1 101 "), "{:?}", client.head);
        assert_eq!(client.read(), Some((TEXT, b"welcome".to_vec())));
        client
    }

    fn write(&mut self, kind: u8, payload: &[u8]) {
        self.writer.write_all(&frame(kind, true, payload)).expect("the tunnel takes a frame");
    }

    fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        read_frame(&mut self.reader)
    }

    /// Insists that the tunnel ends and that nothing more comes out of it.
    fn ends(&mut self, why: &str) {
        let mut rest = Vec::new();
        if let Err(error) = self.reader.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{why}");
        }
        assert!(rest.is_empty(), "{why}: {rest:?}");
    }
}

/// Leads every request to that backend; members are added to the route.
fn lead(gateway: &Gateway, chat: &Chat, members: Value) {
    let mut route = json!({"uri": "/*", "upstream": {"nodes": nodes(&[(chat.address, 1)])}});
    route.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    gateway.put("routes/r", &route);
}

#[test]
fn frames_pass_both_ways_until_one_side_closes() {
    let (gateway, chat) = (start(), Chat::start());
    lead(&gateway, &chat, json!({"enable_websocket": true}));
    let mut client = Client::greeted(&gateway);
    let head = client.head.clone();
    for (name, expected) in [
        ("upgrade", "websocket"),
        ("sec-websocket-accept", ACCEPT),
        ("sec-websocket-protocol", "chat"),
        ("x-mine", "yes"),
    ] {
        assert_eq!(value(&head, name), Some(expected), "{name}: {head:?}");
    }
    assert!(
        value(&head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")),
        "{head:?}"
    );
    assert_eq!((value(&head, "content-length"), value(&head, "transfer-encoding")), (None, None));
    let head = chat.last_head();
    for (name, expected) in HANDSHAKE {
        assert!(
            value(&head, name).is_some_and(|value| value.eq_ignore_ascii_case(expected)),
            "{name}: {head:?}"
        );
    }
    assert_eq!(value(&head, "x-forwarded-for"), Some("127.0.0.1"));

    for round in 0..50 {
        let text = format!("message {round}");
        client.write(TEXT, text.as_bytes());
        assert_eq!(client.read(), Some((TEXT, text.into_bytes())));
    }
    let large: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_be_bytes()[2]).collect();
    client.write(BINARY, &large);
    assert!(client.read() == Some((BINARY, large)), "another megabyte came back");

    client.write(CLOSE, &1000_u16.to_be_bytes());
    assert_eq!(client.read(), Some((CLOSE, 1000_u16.to_be_bytes().to_vec())));
    client.ends("closed in due form");
    let record = gateway.exactly(1).remove(0);
    assert_eq!(record["status"], 101, "{record}");
}

#[test]
fn whoever_leaves_the_other_side_is_told() {
    let (gateway, chat) = (start(), Chat::start());
    lead(&gateway, &chat, json!({"enable_websocket": true}));
    let mut client = Client::greeted(&gateway);
    client.write(TEXT, b"leave");
    assert_eq!(client.read(), Some((TEXT, b"leave".to_vec())));
    client.ends("the backend has left");

    drop(Client::greeted(&gateway));
    chat.has_ends(1);
    // Within a frame.
    let mut client = Client::greeted(&gateway);
    client.writer.write_all(&frame(TEXT, true, b"half a frame")[..8]).unwrap();
    drop(client);
    chat.has_ends(2);
    assert!(gateway.exactly(3).iter().all(|record| record["status"] == 101));
}

#[test]
fn many_tunnels_do_not_mix() {
    let (gateway, chat) = (start(), Chat::start());
    lead(&gateway, &chat, json!({"enable_websocket": true}));
    let mut clients: Vec<Client> = (0..40).map(|_| Client::greeted(&gateway)).collect();
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.write(TEXT, format!("{number} in round {round}").as_bytes());
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let expected = format!("{number} in round {round}").into_bytes();
            assert_eq!(client.read(), Some((TEXT, expected)));
        }
    }
    drop(clients);
    chat.has_ends(40);
    gateway.exactly(40);
}

#[test]
fn where_it_is_not_enabled_the_handshake_is_an_ordinary_request() {
    let (gateway, chat) = (start(), Chat::start());
    gateway.put("services/on", &json!({"enable_websocket": true}));
    gateway.put("services/off", &json!({"enable_websocket": false}));
    let cases = [
        (json!({}), false),
        (json!({"enable_websocket": false}), false),
        (json!({"service_id": "off"}), false),
        (json!({"service_id": "on"}), true),
        (json!({"service_id": "off", "enable_websocket": true}), true),
        (json!({"service_id": "on", "enable_websocket": false}), false),
    ];
    for (members, is_enabled) in cases {
        lead(&gateway, &chat, members.clone());
        if is_enabled {
            Client::greeted(&gateway);
            continue;
        }
        let answer = Connection::open(gateway.data).answer(&request("GET", "/ws", &HANDSHAKE, b""));
        assert_eq!((answer.status, answer.text().as_str()), (200, "plain"), "{members}");
        let head = chat.last_head();
        assert_eq!(value(&head, "upgrade"), None, "{members}: {head:?}");
        let connection = value(&head, "connection").unwrap_or("keep-alive");
        assert!(connection.eq_ignore_ascii_case("keep-alive"), "{members}: {connection}");
    }
}

#[test]
fn a_backend_may_refuse() {
    let (gateway, chat) = (start(), Chat::start());
    lead(&gateway, &chat, json!({"enable_websocket": true}));
    let mut connection = Connection::open(gateway.data);
    let answer = connection.answer(&request("GET", "/refuse", &HANDSHAKE, b""));
    assert_eq!((answer.status, answer.text().as_str(), answer.clean_end), (403, "plain", true));
    // A request that asks for nothing of the kind is served on the same route.
    let answer = Connection::open(gateway.data).answer(&request("GET", "/", &[], b""));
    assert_eq!((answer.status, answer.text().as_str()), (200, "plain"));
}

#[test]
fn a_silent_tunnel_ends_with_the_time_to_read() {
    let (gateway, chat) = (start(), Chat::start());
    let limits = json!({"connect": 5, "send": 5, "read": 0.5});
    lead(&gateway, &chat, json!({"enable_websocket": true, "timeout": limits}));
    let mut client = Client::greeted(&gateway);
    client.ends("nobody said anything");
    chat.has_ends(1);
}
