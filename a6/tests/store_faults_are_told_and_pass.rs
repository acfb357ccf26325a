//! Promise: a disk that is full, read-only or broken refuses writes with its cause and nothing more; what is stored is
//! served on, and writes work again as soon as the cause is gone. A start that cannot use its file says why and ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "nothing_acknowledged_is_lost/process.rs"]
mod process;
#[path = "nothing_acknowledged_is_lost/strace.rs"]
mod strace;
mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use process::{Ended, Process, Reply, have, not_permitted, permitted};
use serde_json::{Value, json};
use strace::{at, strace};
use support::{ai_route, chat};
use tempfile::TempDir;

const DAMAGED: &str = "the file is damaged; restore it from a backup";

fn home() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().canonicalize().unwrap();
    (home, path)
}

/// A route of a size that its pages of the file cannot be mistaken for another's.
fn route(id: &str) -> Value {
    let options = json!({"options": {"model": "m".repeat(9_000)}});
    ai_route(&format!("/{id}"), "http://127.0.0.1:1980", options)
}

fn put(process: &Process, id: &str) -> Reply {
    process.ask("PUT", &format!("routes/{id}"), Some(&route(id)))
}

/// The ids of the routes that are there.
fn ids(process: &Process) -> BTreeSet<String> {
    let reply = process.ask("GET", "routes", None);
    assert_eq!(reply.status, 200, "{reply:?}");
    let list = reply.body["list"].as_array().unwrap();
    list.iter().map(|entry| entry["value"]["id"].as_str().unwrap().to_string()).collect()
}

/// A refused write: 503, and its text names the file and holds what is expected.
fn assert_refused(reply: &Reply, home: &Path, expected: &str) {
    let text = reply.body["error_msg"].as_str().unwrap_or_default();
    let file = home.join("data/config.db").display().to_string();
    assert!(reply.status == 503 && text.starts_with(&file) && text.contains(expected), "{reply:?}");
}

/// A start that ended with exit code 1 and a message for a person.
fn assert_ended(ended: &Ended, home: &Path, expected: &str) {
    let text = &ended.errors;
    let data = home.join("data").display().to_string();
    assert!(ended.status.code() == Some(1) && !text.contains("panicked"), "{}: {text}", ended.status);
    assert!(text.contains(&data) && text.contains(expected), "expected {expected:?} in {text}");
}

/// What the gateway must still do while writes fail: the Admin API reads, the data plane serves.
fn assert_reads_go_on(process: &Process, present: &BTreeSet<String>) {
    assert_eq!(&ids(process), present);
    let answer = support::post(process.data, "/chat", &[], &chat("hello"));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn a_failing_disk_refuses_writes_with_its_cause_until_it_works_again() {
    // What fails with which error at which calls of the writer's thread, and what the client is told. SQLite says only
    // "disk I/O error"; the cause is found by writing once more, which takes every second of these calls.
    let cases = [
        ("pwrite64", "ENOSPC", "60..65", "database or disk is full: free disk space"),
        (
            "pwrite64",
            "EROFS",
            "60..65",
            "disk I/O error: the system says: Read-only file system (os error 30)",
        ),
        ("pwrite64", "EDQUOT", "60..65", "(os error 122)"),
        ("fsync", "EIO", "8..13", "(os error 5)"),
    ];
    let mock = support::mock();
    for (call, error, when, expected) in cases {
        let (_keep, home) = home();
        // So that the start under strace has nothing to write.
        let process = Process::start(&home);
        let chat = ai_route("/chat", &mock.url(), json!({}));
        assert_eq!(process.ask("PUT", "routes/chat", Some(&chat)).status, 201);
        process.stop();

        let files = ["config.db-wal", "lock"].map(|name| home.join("data").join(name));
        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        let options = at(&[call], &files, &format!("error={error}"), when);
        let Some(wrapper) = strace(&home.join("strace.log"), &options) else { return };
        let Some(process) = permitted(Process::start_under(&home, &wrapper)) else { return };
        let mut present = BTreeSet::from(["chat".to_string()]);
        let (mut refused, mut since) = (0, 0);
        for number in 0..60 {
            let id = format!("r{number}");
            let reply = put(&process, &id);
            if reply.status == 201 {
                present.insert(id);
                since += usize::from(refused > 0);
            } else {
                assert_refused(&reply, &home, expected);
                assert_eq!(since, 0, "{error}: it works, then fails again");
                refused += 1;
                assert_reads_go_on(&process, &present);
            }
            if since == 3 {
                break;
            }
        }
        assert!(
            refused >= 2 && since == 3,
            "{error}: {refused} writes were refused, {since} taken after that"
        );
        assert_reads_go_on(&process, &present);
        process.kill();
        let process = Process::start(&home);
        assert_eq!(ids(&process), present, "{error}: after a kill");
        process.stop();
    }
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    let (_keep, home) = home();
    let Some(wrapper) = in_own_mounts(&home, "mount -t tmpfs -o size=16m,mode=700 none \"$1\"") else {
        return;
    };
    let mock = support::mock();
    let Some(process) = permitted(Process::start_under(&home, &wrapper)) else { return };
    let chat = ai_route("/chat", &mock.url(), json!({}));
    assert_eq!(process.ask("PUT", "routes/chat", Some(&chat)).status, 201);
    let mut present = BTreeSet::from(["chat".to_string()]);
    for round in 0..2 {
        let filler = format!("/proc/{}/root{}/filler", process.pid(), home.join("data").display());
        let filler = Path::new(&filler);
        fill(filler);
        for number in 0..3 {
            let reply = put(&process, &format!("full-{round}-{number}"));
            assert_refused(&reply, &home, "database or disk is full: free disk space");
            assert_reads_go_on(&process, &present);
        }
        fs::remove_file(filler).unwrap();
        let id = format!("room-{round}");
        assert_eq!(put(&process, &id).status, 201, "round {round}");
        present.insert(id);
        assert_reads_go_on(&process, &present);
    }
    process.kill();
}

#[test]
fn a_start_that_cannot_write_says_why_and_ends() {
    let read_only = "mount --bind \"$P\" \"$P\" && mount -o remount,bind,ro \"$P\"";
    let cases = [
        (
            "a full disk",
            "mount -t tmpfs -o size=64k,mode=700 none \"$1\" && \
             { head -c 1000000 /dev/zero > \"$1/filler\" 2> \"$1/../head.log\" || true; }"
                .to_string(),
            "database or disk is full: free disk space",
        ),
        (
            "a read-only directory",
            format!("P=\"$1\" && {read_only}"),
            "cannot lock it: Read-only file system (os error 30); make it writable",
        ),
        (
            "a read-only file",
            format!("P=\"$1/config.db\" && {read_only}"),
            "config.db: the file is read-only; make it and its directory writable",
        ),
    ];
    let (_keep, home) = home();
    let process = Process::start(&home);
    assert_eq!(put(&process, "kept").status, 201);
    process.stop();
    for (name, mounts, expected) in cases {
        let Some(wrapper) = in_own_mounts(&home, &mounts) else { return };
        match Process::start_under(&home, &wrapper) {
            Ok(_) => panic!("{name}: it serves"),
            Err(ended) if not_permitted(&ended) => return,
            Err(ended) => assert_ended(&ended, &home, expected),
        }
        let process = Process::start(&home);
        assert_eq!(ids(&process), BTreeSet::from(["kept".to_string()]), "after {name}");
        process.stop();
    }
}

#[test]
fn a_damaged_file_is_refused_at_the_start_and_its_backup_is_taken() {
    let (_keep, home) = home();
    let process = Process::start(&home);
    let names: BTreeSet<String> = (0..30).map(|number| format!("r{number}")).collect();
    for name in &names {
        assert_eq!(put(&process, name).status, 201);
    }
    process.stop();
    let file = home.join("data/config.db");
    let backup = fs::read(&file).unwrap();
    let page = |number: usize| {
        let mut bytes = backup.clone();
        bytes[number * 4096..][..4096].fill(0xff);
        bytes
    };
    let pages = backup.len() / 4096;
    assert!(pages > 60, "the file has only {pages} pages");
    let mut text = backup.clone();
    // Every copy: the file also has remains of earlier versions, which nobody reads.
    let long = vec![b'm'; 200];
    while let Some(value) = text.windows(long.len()).position(|window| window == long) {
        text[value..][..long.len()].fill(0xff);
    }
    let mut header = backup.clone();
    header[..100].fill(b'x');
    let cases = [
        ("the first bytes", header),
        ("the first page", page(0)),
        ("a page in the middle", page(pages / 2)),
        ("the last page", page(pages - 1)),
        ("bytes of a value", text),
        ("the second half is missing", backup[..backup.len() / 2].to_vec()),
    ];
    for (name, bytes) in cases {
        fs::write(&file, &bytes).unwrap();
        match Process::start_under(&home, &[]) {
            Ok(_) => panic!("{name}: it serves"),
            Err(ended) => assert_ended(&ended, &home, DAMAGED),
        }
        assert_eq!(fs::read(&file).unwrap(), bytes, "{name}: the file is left as it was");
    }
    fs::write(&file, &backup).unwrap();
    let process = Process::start(&home);
    assert_eq!(ids(&process), names);
    assert_eq!(put(&process, "one-more").status, 201);
    process.stop();
}

#[test]
fn a_second_process_on_a_data_directory_ends_and_names_the_first() {
    let (_keep, home) = home();
    let first = Process::start(&home);
    assert_eq!(put(&first, "a").status, 201);
    let holder = format!("is in use by process {};", first.pid());
    for _ in 0..2 {
        match Process::start_under(&home, &[]) {
            Ok(_) => panic!("two processes have one data directory"),
            Err(ended) => assert_ended(&ended, &home, &holder),
        }
    }
    assert_eq!(put(&first, "b").status, 201, "the first is not disturbed");
    first.kill();
    let next = Process::start(&home);
    assert_eq!(ids(&next), BTreeSet::from(["a".to_string(), "b".to_string()]));
    next.stop();
}

/// A wrapper that runs shell commands in mounts of the gateway's own, `$1` being the data directory, and then the
/// gateway. `None`, and said, where that cannot be.
fn in_own_mounts(home: &Path, commands: &str) -> Option<Vec<String>> {
    if !(have("unshare") && have("mount")) {
        return None;
    }
    let data = home.join("data");
    fs::create_dir_all(&data).unwrap();
    let script = format!("{commands} && shift && exec \"$@\"");
    let data = data.display().to_string();
    let words = ["unshare", "--mount", "--map-root-user", "sh", "-c", &script, "sh", &data];
    Some(words.map(str::to_string).to_vec())
}

/// Takes all room that is left. The file system is a small one of the test's own.
fn fill(file: &Path) {
    let mut filler = File::create(file).unwrap();
    for _ in 0..1_024 {
        if let Err(error) = filler.write_all(&[0; 65_536]) {
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
            return;
        }
    }
    panic!("{} takes 64 MiB, so it is not the small file system that it should be", file.display());
}
