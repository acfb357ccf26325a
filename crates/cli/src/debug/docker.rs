//! The log of a container, as docker keeps it.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::logs::Args;
use super::stop::Stop;
use crate::errors::{Failure, Result, system_text};

/// How often it is looked whether to stop.
const PAUSE: Duration = Duration::from_millis(100);
/// Lines that have come and are not shown yet.
const WAITING: usize = 1024;

/// A line, and whether it came from the container's stderr.
type Line = (bool, Vec<u8>);

/// Gives the container's lines.
pub(super) fn show(
    container: Option<&str>,
    path: Option<&str>,
    args: &Args,
    stop: &Stop,
    give: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let container = match container {
        Some(name) => name.to_owned(),
        None => find(path)?,
    };
    let mut command = docker(path);
    command.arg("logs");
    if args.follow {
        command.arg("--follow");
    }
    if args.tail > 0 {
        command.args(["--tail", &args.tail.to_string()]);
    }
    if let Some(since) = args.since.as_deref().filter(|since| !since.is_empty()) {
        command.args(["--since", since]);
    }
    command.arg(&container).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| unstartable(&error))?;
    let lines = lines(&mut child);
    let passed = pass(&lines, args, stop, give);
    // Whoever reads no more needs no more.
    drop(lines);
    if stop.is_told() || passed.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
    }
    let ended = child.wait().map_err(|error| unstartable(&error))?;
    let last_words = passed?;
    if stop.is_told() || ended.success() {
        return Ok(());
    }
    Err(Failure::new(format!("docker logs {container}: {ended}: {last_words}")))
}

/// The one container that looks like a gateway.
fn find(path: Option<&str>) -> Result<String> {
    let listed = docker(path)
        .args(["ps", "--filter", "name=apisix", "--format", "{{.Names}}"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| unstartable(&error))?;
    if !listed.status.success() {
        let why = String::from_utf8_lossy(&listed.stderr).trim().to_owned();
        return Err(Failure::new(format!("docker ps: {}: {why}", listed.status)).with_hint(ELSEWHERE));
    }
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    let names: Vec<&str> = names.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
    match names.as_slice() {
        [] => Err(Failure::new(
            "no APISIX container found. Use --container to specify or --file to tail a log file directly",
        )
        .with_hint(ELSEWHERE)),
        [name] => Ok((*name).to_owned()),
        _ => Err(Failure::new(format!(
            "multiple APISIX containers found: {}. Use --container to specify one",
            names.join(", ")
        ))),
    }
}

/// Where a gateway without a container tells of its requests.
const ELSEWHERE: &str = "`a6 debug logs --type requests` shows the last requests of a running gateway";

fn docker(path: Option<&str>) -> Command {
    let mut command = Command::new("docker");
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command
}

fn unstartable(error: &io::Error) -> Failure {
    if error.kind() == ErrorKind::NotFound {
        return Failure::new("docker binary not found in PATH").with_hint(ELSEWHERE);
    }
    Failure::new(format!("docker cannot be run: {}", system_text(error)))
}

/// The lines of both of its streams, as they come; the end when both have ended.
fn lines(child: &mut Child) -> Receiver<Line> {
    let (give, lines) = sync_channel(WAITING);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    if let Some(stdout) = stdout {
        read(stdout, false, give.clone());
    }
    if let Some(stderr) = stderr {
        read(stderr, true, give);
    }
    lines
}

fn read(stream: impl Read + Send + 'static, is_error: bool, give: SyncSender<Line>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            // A stream that cannot be read has ended, and so has one that nobody reads any more.
            let Ok(line) = line else { return };
            if give.send((is_error, line)).is_err() {
                return;
            }
        }
    });
}

/// Gives the lines of the type that is wanted, and returns the last one of stderr.
fn pass(
    lines: &Receiver<Line>,
    args: &Args,
    stop: &Stop,
    give: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<String> {
    let mut last_words = String::new();
    while !stop.is_told() {
        match lines.recv_timeout(PAUSE) {
            Ok((is_error, line)) => {
                if is_error {
                    last_words = String::from_utf8_lossy(&line).into_owned();
                }
                let is_wanted = match args.kind.as_str() {
                    "access" => !is_error,
                    "error" => is_error,
                    _ => true,
                };
                if is_wanted {
                    give(&line)?;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(last_words)
}
