//! What the tests of this room share: the command line as the binary declares it, a shell that runs commands without a
//! process, and an Admin API that answers from a script and remembers what it was asked.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use a6_resources::{Catalogue, ConfKind, PluginSpec, Schema};
use clap::Parser;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::session::Session;
use crate::{Command, GlobalFlags, perform};

/// The command line as the binary declares it.
#[derive(Debug, Parser)]
#[command(name = "a6")]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) flags: GlobalFlags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A user's shell: a configuration directory of its own, a server, and whether a person sits before it.
pub(crate) struct Shell {
    folder: TempDir,
    server: String,
    input: RefCell<String>,
    terminal: bool,
    choice: usize,
    offered: RefCell<Vec<String>>,
}

/// What one command left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) succeeded: bool,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Shell {
    /// No server, no terminal, nothing to read.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Shell {
            folder,
            server: String::new(),
            input: RefCell::default(),
            terminal: false,
            choice: 0,
            offered: RefCell::default(),
        }
    }

    /// With `A6_SERVER` pointing to the server.
    pub(crate) fn with_server(server: &ScriptedServer) -> Self {
        Shell { server: server.address.clone(), ..Shell::new() }
    }

    /// What the next command reads.
    pub(crate) fn typing(&self, input: &str) -> &Self {
        input.clone_into(&mut self.input.borrow_mut());
        self
    }

    /// The same shell on a terminal, with this typed.
    pub(crate) fn on_a_terminal(&self, input: &str) -> Shell {
        let folder = tempfile::tempdir().unwrap();
        if let Ok(config) = std::fs::read(self.folder.path().join("config.yaml")) {
            std::fs::write(folder.path().join("config.yaml"), config).unwrap();
        }
        let input = RefCell::new(input.to_owned());
        Shell { folder, server: self.server.clone(), input, terminal: true, ..Shell::new() }
    }

    /// The same shell, where the picker's line at this position is chosen.
    pub(crate) fn choosing(self, position: usize) -> Shell {
        Shell { choice: position, ..self }
    }

    /// The title and the lines that the picker last showed.
    pub(crate) fn offered(&self) -> Vec<String> {
        self.offered.borrow().clone()
    }

    /// Runs `a6` with these arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let parsed = CommandLine::try_parse_from(["a6"].iter().chain(arguments)).unwrap();
        let env = |name: &str| match name {
            "A6_CONFIG_DIR" => Some(self.folder.path().display().to_string()),
            "A6_SERVER" => Some(self.server.clone()),
            "A6_API_KEY" if !self.server.is_empty() => Some("test-key".to_owned()),
            _ => None,
        };
        let pick = |title: &str, lines: Vec<String>| {
            *self.offered.borrow_mut() = [vec![title.to_owned()], lines].concat();
            Ok(self.choice)
        };
        let typed = self.input.take();
        let (mut output, mut errors) = (Vec::<u8>::new(), Vec::<u8>::new());
        let mut input = typed.as_bytes();
        let mut session = Session {
            flags: &parsed.flags,
            env: &env,
            picker: &pick,
            catalogue: &|| Arc::new(Doors::new()),
            input: &mut input,
            output: &mut output,
            errors: &mut errors,
            input_is_terminal: self.terminal,
            output_is_terminal: self.terminal,
        };
        let succeeded = perform(&mut session, parsed.command);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { succeeded, output: text(output), errors: text(errors) }
    }
}

/// The plugins of the tests: key-auth, whose consumers have a `key`, and limit-count with its `count`.
struct Doors(Vec<PluginSpec>);

impl Doors {
    fn new() -> Self {
        let key =
            || json!({"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]});
        let limit = || {
            json!({
                "type": "object",
                "properties": {"count": {"type": "integer", "minimum": 1}, "time_window": {"type": "integer"}},
                "required": ["count", "time_window"],
            })
        };
        let empty = || json!({"type": "object", "properties": {}});
        Doors(vec![
            PluginSpec {
                kind: Some("auth"),
                consumer_schema: Some(Schema::of(key)),
                consumer_key: Some("key"),
                encrypt_fields: &["key"],
                ..PluginSpec::new("key-auth", 2500, "0.1", empty)
            },
            PluginSpec::new("limit-count", 1002, "0.4", limit),
        ])
    }
}

impl Catalogue for Doors {
    fn specs(&self) -> &[PluginSpec] {
        &self.0
    }

    fn check(&self, name: &str, conf: &Value, kind: ConfKind) -> Result<(), String> {
        let spec = self.spec(name).unwrap();
        let schema = match kind {
            ConfKind::Route => Some(&spec.schema),
            ConfKind::Consumer => spec.consumer_schema.as_ref(),
            ConfKind::Metadata => spec.metadata_schema.as_ref(),
        };
        schema.unwrap().check(conf)
    }
}

/// An Admin API that gives these answers in turn, one connection each.
pub(crate) struct ScriptedServer {
    /// Its URL.
    pub(crate) address: String,
    thread: JoinHandle<Vec<Asked>>,
}

/// One request as the server saw it.
#[derive(Debug, PartialEq)]
pub(crate) struct Asked {
    /// Method and target.
    pub(crate) line: String,
    /// The `X-API-KEY` header.
    pub(crate) key: String,
    /// The body.
    pub(crate) body: String,
}

impl ScriptedServer {
    /// Starts it with a status and a body for each request to come.
    pub(crate) fn start(answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let answers: Vec<(u16, String)> =
            answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let thread = thread::spawn(move || {
            let serve = |(status, body): (u16, String)| answer(accept(&listener), status, &body);
            answers.into_iter().map(serve).collect()
        });
        ScriptedServer { address, thread }
    }

    /// All requests, once every answer has been fetched.
    pub(crate) fn asked(self) -> Vec<Asked> {
        self.thread.join().unwrap()
    }
}

/// A request that never comes is a failed test, not one that hangs.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    for _ in 0..1000 {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            return stream;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("no request came within ten seconds");
}

fn answer(stream: TcpStream, status: u16, body: &str) -> Asked {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let (mut length, mut key) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "x-api-key" => value.clone_into(&mut key),
            _ => {}
        }
    }
    let mut asked = vec![0; length];
    reader.read_exact(&mut asked).unwrap();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    reader.get_mut().write_all((head + body).as_bytes()).unwrap();
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    Asked { line, key, body: String::from_utf8(asked).unwrap() }
}
