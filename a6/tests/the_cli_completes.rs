//! Promise: a shell that sourced `a6 completion` completes commands, flags and the ids of a running gateway.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::json;
use support::{ADMIN_KEY, Ran, Setup, a6, ai_route, closed_port, run};

/// What is offered for the last word of the line, as fish asks for it: words, and after a tab what they are.
fn offered(home: &Path, server: &str, line: &str) -> Vec<String> {
    let mut command = a6(home);
    command.env("A6_SERVER", server).env("A6_API_KEY", ADMIN_KEY).env("A6_COMPLETE", "fish");
    let words: Vec<&str> = ["--"].into_iter().chain(line.split(' ')).collect();
    let ran = run(&mut command, &words, "");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{line}: {ran:?}");
    ran.stdout.lines().map(str::to_string).collect()
}

#[test]
fn commands_flags_and_live_ids_are_offered() {
    let gateway = Setup::new().start();
    let mut route = ai_route("/chat", "http://127.0.0.1:1", json!({}));
    route["name"] = json!("the chat");
    gateway.put("routes/chat-1", &route);
    gateway.put("routes/other-1", &ai_route("/other", "http://127.0.0.1:1", json!({})));
    gateway.put("consumers/jack", &json!({"username": "jack"}));
    gateway.put("consumers/jack/credentials/phone", &json!({"plugins": {"key-auth": {"key": "k"}}}));
    let server = format!("http://{}", gateway.admin);
    let home = gateway.home.path();
    let of = |line: &str| offered(home, &server, line);

    // The line, and what must be among the words that are offered for its end.
    let cases = [
        ("a6 rou", "route"),
        ("a6 route ", "update"),
        ("a6 route up", "update"),
        ("a6 route list --pa", "--page"),
        ("a6 route get ", "chat-1\tthe chat"),
        ("a6 route get ch", "chat-1\tthe chat"),
        ("a6 route delete --force ", "other-1"),
        ("a6 consumer get ", "jack"),
        ("a6 credential get --consumer ", "jack"),
        ("a6 credential get --consumer jack ", "phone"),
        ("a6 plugin get key", "key-auth"),
        ("a6 route list -o ", "yaml"),
        ("a6 completion ", "powershell"),
    ];
    for (line, wanted) in cases {
        let found = of(line);
        let is_wanted = |word: &String| word == wanted || word.split('\t').next() == Some(wanted);
        assert!(found.iter().any(is_wanted), "{line:?}: no {wanted:?} in {found:?}");
    }
    assert_eq!(of("a6 route get other"), ["other-1"]);

    let created = run(&mut a6(home), &["context", "create", "staging", "--server", "http://s.test"], "");
    assert_eq!(created.code, Some(0), "{created:?}");
    assert_eq!(of("a6 context use ")[0], "staging\thttp://s.test");

    let nobody = format!("http://{}", closed_port());
    let silent = offered(home, &nobody, "a6 route get ");
    assert!(!silent.iter().any(|word| word.starts_with("chat-1")), "{silent:?}");
}

#[test]
fn bash_completes_with_the_script() {
    let gateway = Setup::new().start();
    gateway.put("routes/chat-1", &ai_route("/chat", "http://127.0.0.1:1", json!({})));
    let folder = Path::new(env!("CARGO_BIN_EXE_a6")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    // What bash does when a person presses the tab key after `a6 route get c`.
    let script = r#"
        source <(a6 completion bash) || exit 3
        COMP_WORDS=(a6 route get c); COMP_CWORD=3; COMP_TYPE=9
        _clap_complete_a6 a6 c get
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash");
    bash.env_clear()
        .env("PATH", path)
        .env("HOME", gateway.home.path())
        .env("A6_SERVER", format!("http://{}", gateway.admin))
        .env("A6_API_KEY", ADMIN_KEY);
    let Ran { code, stdout, stderr } = run(&mut bash, &["--norc", "-c", script], "");
    assert_eq!((code, stdout.trim()), (Some(0), "chat-1"), "{stderr}");
}

#[test]
fn each_shell_has_a_script_and_a_wrong_name_is_told() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let ran = run(&mut a6(home.path()), &["completion", shell], "");
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{shell}");
        assert!(ran.stdout.contains("A6_COMPLETE"), "{shell}: {}", ran.stdout);
    }
    let ran = run(&mut a6(home.path()), &["completion", "tcsh"], "");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.starts_with("invalid argument \"tcsh\" for \"a6 completion\"\n"), "{ran:?}");
    let ran = run(&mut a6(home.path()), &["completion"], "");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), "accepts 1 arg(s), received 0\n"));
}
