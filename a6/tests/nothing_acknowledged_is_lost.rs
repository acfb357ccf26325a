//! Promise: what the Admin API has acknowledged is there after a kill at any moment, and nothing else is.
//!
//! - `nothing_acknowledged_is_lost/process.rs`: a gateway that can be killed.
//! - `nothing_acknowledged_is_lost/writes.rs`: clients that remember what was acknowledged.
//! - `nothing_acknowledged_is_lost/strace.rs`: the gateway under strace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "nothing_acknowledged_is_lost/process.rs"]
mod process;
#[path = "nothing_acknowledged_is_lost/strace.rs"]
mod strace;
mod support;
#[path = "nothing_acknowledged_is_lost/writes.rs"]
mod writes;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use process::{Process, not_permitted, permitted};
use serde_json::json;
use strace::{at, strace};
use support::Random;
use tempfile::TempDir;
use writes::{Client, compare, everything};

const WRITES: u64 = 1_000;
const KILLS: u64 = 30;
const CLIENTS: usize = 4;

/// A home whose path is the one that strace sees: without symbolic links.
fn home() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().canonicalize().unwrap();
    (home, path)
}

#[test]
fn thirty_kills_over_a_thousand_writes_lose_nothing() {
    let (_keep, home) = home();
    let mut random = Random::seeded();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|n| Client::new(n, random.fork(), 6)).collect();
    let (mut revision, mut started) = (0, 0);
    for kill in 0..KILLS {
        let moment = (kill * WRITES + random.below(WRITES)) / KILLS;
        let process = Process::start(&home);
        compare(&process, &mut clients, &mut revision, &format!("before kill {kill}"));
        started = write_until_killed(process, &mut clients, started, moment, random.below(3_000));
    }
    let process = Process::start(&home);
    compare(&process, &mut clients, &mut revision, "after the last kill");
    assert!(started >= WRITES * (KILLS - 1) / KILLS, "only {started} writes were made");
    while started < WRITES {
        for client in &mut clients {
            assert!(client.write(process.admin), "nobody killed the gateway");
            started += 1;
        }
    }
    process.kill();
    let process = Process::start(&home);
    compare(&process, &mut clients, &mut revision, "after a kill with nothing open");
    process.stop();
    let process = Process::start(&home);
    compare(&process, &mut clients, &mut revision, "after an orderly end");
    println!("{started} writes, revision {revision}");
}

/// Lets all clients write, and kills the gateway `delay` microseconds after write number `moment` has begun. Gives the
/// number of writes that have begun.
fn write_until_killed(process: Process, clients: &mut [Client], begun: u64, moment: u64, delay: u64) -> u64 {
    let (admin, begun) = (process.admin, AtomicU64::new(begun));
    thread::scope(|scope| {
        let begun = &begun;
        for client in clients {
            scope.spawn(move || {
                while client.write(admin) {
                    begun.fetch_add(1, Ordering::Relaxed);
                }
                begun.fetch_add(1, Ordering::Relaxed);
            });
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        // Clients that found a wrong answer have ended; the scope tells it.
        while begun.load(Ordering::Relaxed) < moment && Instant::now() < deadline {
            thread::sleep(Duration::from_micros(100));
        }
        thread::sleep(Duration::from_micros(delay));
        process.kill();
    });
    begun.into_inner()
}

#[test]
fn a_kill_at_any_step_of_the_first_start_leaves_a_directory_that_starts() {
    // Each call that changes what is in the directory is a kill of its own: the lock, the file, the schema in it, its log.
    const CALLS: [&str; 4] = ["openat", "pwrite64", "ftruncate", "unlink"];
    const NAMES: [&str; 4] = ["lock", "config.db", "config.db-journal", "config.db-wal"];
    let mut kills = 0;
    for call in CALLS {
        for number in 1.. {
            assert!(number < 100, "{call}: a start with so many calls is not what this test is about");
            let (_keep, home) = home();
            let data = home.join("data");
            let files = NAMES.map(|name| data.join(name));
            let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
            let options = at(&[call], &files, "signal=KILL", &number.to_string());
            let Some(wrapper) = strace(&home.join("strace.log"), &options) else { return };
            match Process::start_under(&home, &wrapper) {
                // It served before it came to that many calls.
                Ok(process) => {
                    process.kill();
                    break;
                }
                Err(ended) if not_permitted(&ended) => return,
                Err(ended) => assert!(ended.status.code().is_none(), "{call} {number}: {}", ended.errors),
            }
            kills += 1;
            let process = Process::start(&home);
            assert_eq!((process.revision(), everything(&process).len()), (0, 0), "{call} {number}");
            assert_eq!(process.ask("PUT", "upstreams/u", Some(&upstream("first"))).status, 201);
            process.kill();
        }
    }
    assert!(kills > 5, "only {kills} calls were found that make a store");
}

#[test]
fn a_kill_inside_a_checkpoint_loses_nothing() {
    // In the log's mode, SQLite writes to the file itself only in a checkpoint: pages first, then the sync.
    for (call, number) in [("pwrite64", 1), ("pwrite64", 2), ("pwrite64", 60), ("fsync", 1)] {
        let (_keep, home) = home();
        let mut clients = [Client::new(0, Random::seeded(), 1)];
        let mut revision = 0;
        let process = Process::start(&home);
        assert!(clients[0].write(process.admin));
        process.stop();

        let (file, log) = (home.join("data/config.db"), home.join("strace.log"));
        let Some(wrapper) = strace(&log, &at(&[call], &[file.as_path()], "signal=KILL", &number.to_string()))
        else {
            return;
        };
        let Some(mut process) = permitted(Process::start_under(&home, &wrapper)) else { return };
        let written = (0..1_000).take_while(|_| clients[0].write(process.admin)).count();
        assert!(written < 1_000, "{call} {number}: no checkpoint came");
        process.wait();
        process.wait_until_free();
        let log = fs::read_to_string(log).unwrap();
        assert!(log.contains(&format!("{call}(")) && log.contains("killed by SIGKILL"), "{log}");

        let process = Process::start(&home);
        let when = format!("killed at {call} {number} after {written} writes");
        compare(&process, &mut clients, &mut revision, &when);
        assert!(clients[0].write(process.admin), "{when}: it goes on");
    }
}

#[test]
fn an_answer_is_sent_after_the_log_is_synced() {
    let (_keep, home) = home();
    let log = home.join("strace.log");
    let calls = "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,fsync,fdatasync,pwrite64";
    let options = ["-ttt", "-s", "64", "-e", calls].map(str::to_string);
    let Some(wrapper) = strace(&log, &options) else { return };
    let Some(process) = permitted(Process::start_under(&home, &wrapper)) else { return };
    let mut answered = 0;
    for round in 0..5 {
        let put = upstream(&format!("round {round}"));
        let patch = json!({"desc": "patched"});
        for (method, body) in
            [("PUT", Some(&put)), ("PATCH", Some(&patch)), ("PUT", Some(&put)), ("DELETE", None)]
        {
            let reply = process.ask(method, "upstreams/proof", body);
            assert!(matches!(reply.status, 200 | 201), "{method}: {reply:?}");
            answered += 1;
        }
    }
    process.stop();
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(proven(&log).unwrap_or_else(|why| panic!("{why}\n{log}")), answered);
}

/// Follows strace's log, and gives how many writes were read, written to the log, synced and answered, in this order.
///
/// A call that others interrupt is two lines, `NAME(... <unfinished ...>` and `<... NAME resumed>...`. What was read
/// stands at a call's end; what is written, at its beginning; and a sync counts when it has ended.
fn proven(log: &str) -> Result<usize, String> {
    let mut unfinished: HashMap<&str, &str> = HashMap::new();
    let mut open: Option<Progress> = None;
    let mut count = 0;
    for line in log.lines() {
        let (thread, rest) = line.split_once(' ').unwrap_or_default();
        let Some((_time, call)) = rest.trim_start().split_once(' ') else { continue };
        let resumed = call.starts_with("<... ");
        let begin = if resumed { unfinished.remove(thread).unwrap_or_default() } else { call };
        if call.ends_with("<unfinished ...>") {
            unfinished.insert(thread, call);
        }
        let name = begin.split('(').next().unwrap_or_default();
        match name {
            // The server looks at the first 24 bytes alone, to tell HTTP/2 from HTTP/1.1.
            "read" | "readv" | "recvfrom" | "recvmsg"
                if call.contains(" /apisix/admin/ups") && open.replace(Progress::Read).is_some() =>
            {
                return Err(format!("read before the last one was answered: {line}"));
            }
            "pwrite64" if !resumed && is_log(begin) => {
                open = open.map(|_| Progress::Written);
            }
            "fsync" | "fdatasync" if is_log(begin) && call.ends_with("= 0") => {
                if matches!(open, Some(Progress::Written)) {
                    open = Some(Progress::Synced);
                }
            }
            "write" | "writev" | "sendto" | "sendmsg" if !resumed && call.contains("\"HTTP/1.1 20") => {
                match open.take() {
                    Some(Progress::Synced) => count += 1,
                    progress => return Err(format!("answered at {progress:?}: {line}")),
                }
            }
            _ => {}
        }
    }
    Ok(count)
}

/// How far a write has come.
#[derive(Debug)]
enum Progress {
    Read,
    /// In the log, not synced.
    Written,
    Synced,
}

fn is_log(call: &str) -> bool {
    call.contains("/data/config.db-wal>")
}

#[test]
fn the_reader_of_straces_log_sees_a_missing_sync() {
    let read = "7 1.0 recvfrom(9<s>, \"PUT /apisix/admin/upstreams/proof HTTP/1.1\\r\\nHo\"..., 8192, 0, NULL, NULL) = 90";
    let write = "8  1.1 pwrite64(4</h/data/config.db-wal>, \"..\"..., 4096, 56) = 4096";
    let sync = "8 1.2 fsync(4</h/data/config.db-wal>) = 0";
    let begun = "8 1.2 fsync(4</h/data/config.db-wal> <unfinished ...>";
    let ended = "8 1.4 <... fsync resumed>)         = 0";
    let failed = "8 1.2 fsync(4</h/data/config.db-wal>) = -1 EIO (Input/output error)";
    let other = "8 1.2 fsync(3</h/data/config.db>) = 0";
    let answer = "7 1.3 writev(9<s>, [{iov_base=\"HTTP/1.1 201 Created\\r\\n\", iov_len=99}], 1) = 99";
    let cases: [(&[&str], Option<usize>); 9] = [
        (&[read, write, sync, answer], Some(1)),
        (&[read, write, begun, ended, answer], Some(1)),
        (&[read, write, sync, answer, read, write, sync, answer], Some(2)),
        (&[read, write, begun, answer, ended], None),
        (&[read, write, failed, answer], None),
        (&[read, write, other, answer], None),
        (&[read, write, sync, write, answer], None),
        (&[read, sync, answer], None),
        (&[read, answer], None),
    ];
    for (lines, expected) in cases {
        let log = lines.join("\n");
        assert_eq!(proven(&log).ok(), expected, "{log}");
    }
}

fn upstream(desc: &str) -> serde_json::Value {
    json!({"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}, "desc": desc})
}
