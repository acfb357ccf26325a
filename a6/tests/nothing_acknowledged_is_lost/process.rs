//! A gateway that is killed, runs under another program (`strace`, `unshare`), or does not start at all.

// Two tests use this file, each a part of it.
#![allow(dead_code)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{self, ADMIN_KEY, eventually};

/// A debug build under strace on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running gateway with its data in `data` below its home; killed on drop.
pub(crate) struct Process {
    pub(crate) data: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) control: SocketAddr,
    home: PathBuf,
    stderr: PathBuf,
    child: Child,
}

/// A gateway that ended before it served.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// What it printed to stderr.
    pub(crate) errors: String,
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// What is not JSON, or was cut, is a string.
    pub(crate) body: Value,
}

impl Process {
    /// Starts a gateway that must serve.
    pub(crate) fn start(home: &Path) -> Self {
        Self::start_under(home, &[]).unwrap_or_else(|ended| panic!("{}\n{}", ended.status, ended.errors))
    }

    /// Starts a gateway as the last arguments of `wrapper`, and waits until it serves or ends.
    pub(crate) fn start_under(home: &Path, wrapper: &[String]) -> Result<Self, Ended> {
        static STARTS: AtomicUsize = AtomicUsize::new(0);
        let start = STARTS.fetch_add(1, Ordering::Relaxed);
        let config = home.join("gateway.yaml");
        fs::write(&config, configuration()).unwrap();
        let mut command = support::a6(home);
        command.args(["serve", "--workers", "1", "--config"]).arg(&config);
        command.arg("--data-dir").arg(home.join("data"));
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| home.join(format!("{name}-{start}.log")));
        let mut child = wrapped(command, wrapper)
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = child.try_wait().unwrap();
            let printed = fs::read_to_string(&stdout).unwrap();
            let addresses = ["data plane", "Admin API", "Control API"].map(|name| address(&printed, name));
            if let Some(status) = ended {
                return Err(Ended { status, errors: fs::read_to_string(&stderr).unwrap() });
            }
            if let [Some(data), Some(admin), Some(control)] = addresses {
                return Ok(Self { data, admin, control, home: home.to_path_buf(), stderr, child });
            }
            if Instant::now() > deadline {
                kill_group(&mut child);
                panic!("a6 does not serve:\n{printed}\n{}", fs::read_to_string(&stderr).unwrap());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// An Admin API request; `path` follows `/apisix/admin/`.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        ask(self.admin, method, path, body).unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    /// The revision that the Control API tells.
    pub(crate) fn revision(&self) -> u64 {
        let reply = exchange(self.control, "GET", "/v1/config/status", None).expect("an answer");
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body["revision"].as_u64().unwrap()
    }

    /// The number of the gateway's own process, as it wrote it into its lock.
    pub(crate) fn pid(&self) -> u32 {
        let lock = fs::read_to_string(self.home.join("data/lock"));
        lock.ok().and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| self.child.id())
    }

    /// SIGKILL, to the program around the gateway too; returns when the data directory is free.
    pub(crate) fn kill(mut self) {
        kill_group(&mut self.child);
        self.wait_until_free();
    }

    /// SIGTERM to the gateway; returns when it has ended with exit code 0.
    pub(crate) fn stop(mut self) {
        send("TERM", &self.pid().to_string());
        let status = self.wait();
        assert!(status.success(), "{status}");
        self.wait_until_free();
    }

    /// Waits for the end of a gateway that something else ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "a6 did not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A killed strace leaves a gateway that is still dying; its lock goes last.
    pub(crate) fn wait_until_free(&self) {
        let lock = self.home.join("data/lock");
        eventually("the data directory to be free", || match File::open(&lock) {
            Ok(file) => file.try_lock().ok(),
            Err(_) => Some(()),
        });
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended and was waited for has no number any more that is ours to kill.
        if matches!(self.child.try_wait(), Ok(None)) {
            kill_group(&mut self.child);
        }
        if thread::panicking() {
            eprintln!("--- stderr of a6\n{}", fs::read_to_string(&self.stderr).unwrap_or_default());
        }
    }
}

/// An Admin API request on a connection of its own; `None` where the gateway went before its answer's head was whole.
pub(crate) fn ask(admin: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Option<Reply> {
    exchange(admin, method, &format!("/apisix/admin/{path}"), body)
}

/// Any request, with the admin key, on a connection of its own.
pub(crate) fn exchange(
    address: SocketAddr,
    method: &str,
    target: &str,
    body: Option<&Value>,
) -> Option<Reply> {
    let host = address.to_string();
    let headers = [("Host", host.as_str()), ("X-API-KEY", ADMIN_KEY), ("Connection", "close")];
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&support::request(method, target, &headers, body.as_bytes())).ok()?;
    let mut bytes = Vec::new();
    // What came before a reset came.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply {
        status,
        body: serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_string())),
    })
}

/// Whether a program can be run; where not, says that the test is skipped.
pub(crate) fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// Whether it was the program around a6 that could not do its part; says then that the test is skipped.
pub(crate) fn not_permitted(ended: &Ended) -> bool {
    let wrappers = ["strace:", "unshare:", "mount:", "sh:"];
    let why = ended.errors.lines().find(|line| wrappers.iter().any(|wrapper| line.starts_with(wrapper)));
    if let Some(why) = why {
        println!("skipped: {why}");
    }
    why.is_some()
}

/// Unwraps a start under another program; `None`, and said, where that program could not do its part.
pub(crate) fn permitted(started: Result<Process, Ended>) -> Option<Process> {
    match started {
        Ok(process) => Some(process),
        Err(ended) if not_permitted(&ended) => None,
        Err(ended) => panic!("a6 ended: {}\n{}", ended.status, ended.errors),
    }
}

/// Ports of the system's choice; the gateway prints them.
fn configuration() -> String {
    let any = "{ip: 127.0.0.1, port: 0}";
    format!(
        "apisix:\n  node_listen:\n    - {any}\n  control: {any}\n  ssl: {{enable: false}}\ndeployment:\n  admin:\n    admin_listen: {any}\n    \
         admin_key:\n      - name: admin\n        key: {ADMIN_KEY}\n        role: admin\n"
    )
}

/// The address in a whole line that begins with `name`.
fn address(printed: &str, name: &str) -> Option<SocketAddr> {
    let line = printed.split_inclusive('\n').find(|line| line.starts_with(name) && line.ends_with('\n'))?;
    line.split_once("http://")?.1.split(['/', ',', '\n']).next()?.parse().ok()
}

/// In a process group of its own, so that wrapper and gateway can be killed together.
fn wrapped(inner: Command, wrapper: &[String]) -> Command {
    use std::os::unix::process::CommandExt;

    let mut command = match wrapper.split_first() {
        None => inner,
        Some((program, arguments)) => {
            let mut outer = Command::new(program);
            outer.args(arguments).arg(inner.get_program()).args(inner.get_args()).env_clear();
            for (name, value) in inner.get_envs() {
                outer.env(name, value.unwrap_or_default());
            }
            if let Some(folder) = inner.get_current_dir() {
                outer.current_dir(folder);
            }
            outer
        }
    };
    command.process_group(0);
    command
}

fn kill_group(child: &mut Child) {
    send("KILL", &format!("-{}", child.id()));
    child.wait().unwrap();
}

fn send(signal: &str, whom: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{signal} {whom}")]).status().unwrap();
    assert!(status.success(), "kill -{signal} {whom}: {status}");
}
