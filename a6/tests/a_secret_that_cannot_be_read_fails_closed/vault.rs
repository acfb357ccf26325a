//! A stand-in for Vault: a key-value engine of version 1 at `kv`, and one of version 2 at `secret`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::Gateway;

/// The token that it takes.
pub(crate) const TOKEN: &str = "hvs.the-token-of-the-gateway";

#[derive(Default)]
struct State {
    /// By path below the engine.
    secrets: BTreeMap<String, Value>,
    /// It answers everything with this status.
    broken: Option<u16>,
    asked: usize,
}

pub(crate) struct Vault {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Vault {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A gateway that has gone asks nothing.
                let _ = serve(&stream, &shared);
            }
        });
        Self { address, state }
    }

    /// Keeps a secret in both engines.
    pub(crate) fn keep(&self, path: &str, members: Value) {
        self.state.lock().unwrap().secrets.insert(path.to_string(), members);
    }

    /// From now on it answers everything with this status.
    pub(crate) fn fail(&self, status: Option<u16>) {
        self.state.lock().unwrap().broken = status;
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }

    /// Tells a gateway of it, as `vault/1`; what is known of its secrets is asked for anew.
    pub(crate) fn introduce(&self, gateway: &Gateway, prefix: &str, token: &str) {
        let uri = format!("http://{}", self.address);
        gateway.put("secrets/vault/1", &json!({"uri": uri, "prefix": prefix, "token": token}));
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = Vec::new();
    for line in BufReader::new(stream).lines() {
        match line? {
            line if line.is_empty() => break,
            line => lines.push(line),
        }
    }
    let (status, body) = answer(&lines, state);
    let body = body.to_string();
    let mut writer = stream;
    write!(writer, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn answer(lines: &[String], state: &Mutex<State>) -> (u16, Value) {
    let mut state = state.lock().unwrap();
    state.asked += 1;
    if let Some(status) = state.broken {
        return (status, json!({"errors": ["internal error"]}));
    }
    let token = lines.iter().find_map(|line| line.strip_prefix("x-vault-token: "));
    if token != Some(TOKEN) {
        // As a careless one would.
        return (403, json!({"errors": [format!("permission denied for {token:?}")]}));
    }
    let path = lines[0].strip_prefix("GET /v1/").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
    let found = |prefix: &str| state.secrets.get(path?.strip_prefix(prefix)?).cloned();
    match (found("kv/"), found("secret/data/")) {
        (Some(members), _) => (200, json!({ "data": members })),
        (None, Some(members)) => (200, json!({"data": {"data": members, "metadata": {"version": 1}}})),
        (None, None) => (404, json!({"errors": []})),
    }
}
