//! Promise: what a user types with `a6` is what the gateway then does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use support::{ADMIN_KEY, Setup, a6, ai_route, chat, closed_port};

/// What a command printed and how it ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(command: &mut Command, arguments: &str, stdin: &str) -> Ran {
    let command = command.args(arguments.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    // A command that fails early may not read its input.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_route_lives_from_create_to_delete() {
    let mock = support::mock();
    let gateway = Setup::new().start();
    let server = format!("http://{}", gateway.admin);
    let home = gateway.home.path();
    let a6 = |arguments: &str, stdin: &str| {
        run(a6(home).env("A6_SERVER", &server).env("A6_API_KEY", ADMIN_KEY), arguments, stdin)
    };
    let succeeds = |arguments: &str, stdin: &str| {
        let ran = a6(arguments, stdin);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "a6 {arguments}: {ran:?}");
        ran.stdout
    };

    assert_eq!(succeeds("route list -o table", ""), "No routes found.\n");
    assert_eq!(succeeds("route list", ""), "[]\n");

    let mut route = ai_route("/chat", &mock.url(), json!({}));
    route["id"] = json!("r1");
    route["name"] = json!("first");
    route["methods"] = json!(["POST"]);
    route["status"] = json!(1);
    route["vars"] = json!([["http_x_team", "==", "a"]]);
    let created: Value = serde_json::from_str(&succeeds("route create -f -", &route.to_string())).unwrap();
    assert_eq!((&created["id"], &created["uri"]), (&json!("r1"), &json!("/chat")), "{created}");
    assert_eq!(support::post(gateway.data, "/chat", &[("X-Team", "a")], &chat("hello")).status, 200);
    assert_eq!(support::post(gateway.data, "/chat", &[("X-Team", "b")], &chat("hello")).status, 404);

    let stored = gateway.admin("GET", "routes/r1", None).1["value"].clone();
    let shown: Value = serde_json::from_str(&succeeds("route get r1 -o json", "")).unwrap();
    assert_eq!(shown["vars"], route["vars"], "fields that the tool does not know survive");
    assert_eq!(shown, stored);
    let listed: Value = serde_json::from_str(&succeeds("route list -o json", "")).unwrap();
    assert_eq!(listed, json!([stored]));
    let table =
        "ID   NAME    URI     METHODS   STATUS   UPSTREAM\nr1   first   /chat   POST      1        \n";
    assert_eq!(succeeds("route list -o table", ""), table);
    let yaml = succeeds("route get r1 -o yaml", "");
    assert!(yaml.contains("uri: /chat\n") && yaml.contains("name: first\n"), "{yaml}");

    // What is shown as YAML can be changed and put back, but for the times, which are the server's.
    let times = |line: &&str| !line.starts_with("create_time:") && !line.starts_with("update_time:");
    let changed: Vec<&str> = yaml.lines().filter(times).collect();
    let changed = changed.join("\n").replace("uri: /chat", "uri: /talk") + "\n";
    succeeds("route update r1 -f -", &changed);
    assert_eq!(support::post(gateway.data, "/chat", &[("X-Team", "a")], &chat("hello")).status, 404);
    assert_eq!(support::post(gateway.data, "/talk", &[("X-Team", "a")], &chat("hello")).status, 200);

    let file = home.join("route.yaml");
    let plugin = "plugins:\n  ai-proxy:\n    provider: openai\n    auth: {}\n";
    fs::write(&file, format!("# a comment\nuri: /from-a-file\n{plugin}")).unwrap();
    let created: Value = serde_json::from_str(&succeeds("route create -f route.yaml -o json", "")).unwrap();
    let id = created["id"].as_str().unwrap().to_string();
    assert_eq!(id.len(), 20, "the server made the id: {created}");

    assert_eq!(
        succeeds(&format!("route delete {id} --force"), ""),
        format!("\u{2713} Route {id} deleted.\n")
    );
    assert_eq!(succeeds("route delete r1", ""), "\u{2713} Route r1 deleted.\n");
    assert_eq!(succeeds("route list", ""), "[]\n");
    assert_eq!(gateway.admin("GET", "routes", None).1["total"], 0);
    assert_eq!(support::post(gateway.data, "/talk", &[("X-Team", "a")], &chat("hello")).status, 404);
}

#[test]
fn what_fails_says_why_and_ends_with_one() {
    let gateway = Setup::new().start();
    let server = format!("http://{}", gateway.admin);
    let nobody = format!("http://{}", closed_port());
    let valid = ai_route("/chat", "http://127.0.0.1:1", json!({})).to_string();
    // Arguments, standard input, key, and what standard error must hold.
    let cases: [(String, &str, &str, &[&str]); 11] = [
        ("route get none".into(), "", ADMIN_KEY, &["not found"]),
        ("route delete none --force".into(), "", ADMIN_KEY, &["not found"]),
        ("route list".into(), "", "wrong-key", &["authentication failed"]),
        ("route list".into(), "", "", &["no API key configured"]),
        ("route create".into(), "", ADMIN_KEY, &["required flag \"file\" not set"]),
        ("route create -f none.yaml".into(), "", ADMIN_KEY, &["none.yaml"]),
        ("route create -f -".into(), "{bad", ADMIN_KEY, &["parse", "JSON"]),
        ("route create -f -".into(), "uri: /a\nuri: /b\n", ADMIN_KEY, &["uri"]),
        (
            "route create -f -".into(),
            "uri: /chat\nplugins: {no-such: {}}\n",
            ADMIN_KEY,
            &["400", "unknown plugin [no-such]"],
        ),
        (
            "route update r1 -f -".into(),
            "uri: /chat\nplugins: {limit-count: {count: 0}}\n",
            ADMIN_KEY,
            &["400", "limit-count"],
        ),
        (format!("route create -f - --server {nobody}"), &valid, ADMIN_KEY, &[&nobody, "refused"]),
    ];
    for (arguments, stdin, key, wanted) in cases {
        let mut command = a6(gateway.home.path());
        let ran = run(command.env("A6_SERVER", &server).env("A6_API_KEY", key), &arguments, stdin);
        assert_eq!(ran.code, Some(1), "a6 {arguments}: {ran:?}");
        assert_eq!(ran.stdout, "", "a6 {arguments}");
        for text in wanted {
            assert!(ran.stderr.contains(text), "a6 {arguments}: no {text:?} in {:?}", ran.stderr);
        }
    }
    assert_eq!(gateway.admin("GET", "routes", None).1["total"], 0);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_context() {
    let gateway = Setup::new().start();
    gateway.put("routes/here", &ai_route("/here", "http://127.0.0.1:1", json!({})));
    let here = format!("http://{}", gateway.admin);
    let nobody = format!("http://{}", closed_port());
    let home = gateway.home.path();
    let created =
        run(&mut a6(home), &format!("context create here --server {here} --api-key {ADMIN_KEY}"), "");
    assert_eq!(created.code, Some(0), "{created:?}");
    assert!(created.stdout.contains("Context \"here\" created and saved."), "{created:?}");
    let created =
        run(&mut a6(home), &format!("context create there --server {nobody} --api-key nothing"), "");
    assert_eq!(created.code, Some(0), "{created:?}");

    let wrong = [("A6_SERVER", nobody.as_str()), ("A6_API_KEY", "wrong")];
    let right = [("A6_SERVER", here.as_str()), ("A6_API_KEY", ADMIN_KEY)];
    let none: [(&str, &str); 0] = [];
    let flags = format!("--server {here} --api-key {ADMIN_KEY}");
    type Environment<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, Environment<'_>, String, bool); 6] = [
        ("the current context", &none, "route list".into(), true),
        ("the environment first", &wrong, "route list".into(), false),
        ("flags before the environment", &wrong, format!("route list {flags}"), true),
        ("flags in front", &wrong, format!("{flags} route list"), true),
        ("another context", &none, "route list --context there".into(), false),
        ("another context before the environment", &right, "route list --context there".into(), false),
    ];
    for (name, environment, arguments, works) in cases {
        let ran = run(a6(home).envs(environment.iter().copied()), &arguments, "");
        assert_eq!(ran.code, Some(i32::from(!works)), "{name}: {ran:?}");
        assert_eq!(ran.stdout.contains("\"/here\""), works, "{name}: {ran:?}");
    }
}

#[test]
fn the_first_start_registers_the_context_local_once() {
    let home = Arc::new(tempfile::tempdir().unwrap());
    let contexts = home.path().join("a6/config.yaml");
    let mut gateway = Setup::new().without_admin_key().home(&home).start();
    // The listeners come first, since the context is of use only with them.
    let text = support::eventually("the context file", || fs::read_to_string(&contexts).ok());
    assert!(text.contains("current-context: local\n") && text.contains("name: local\n"), "{text}");
    assert!(text.contains(&format!("server: http://{}\n", gateway.admin)), "{text}");
    let key = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("api-key: "))
        .unwrap()
        .trim_matches('"')
        .to_string();
    assert!(key.len() >= 32, "a key of {} characters", key.len());
    assert!(!gateway.output().contains(&key), "the key is printed");
    assert_eq!(mode(&contexts), 0o600);
    let holders = files_with(&gateway.data_dir(), &key);
    assert!(!holders.is_empty(), "no file of the data directory keeps the key");
    assert!(holders.iter().all(|file| mode(file) == 0o600), "{holders:?} can be read by others");

    let ran = run(&mut a6(home.path()), "route list", "");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "[]\n"), "{ran:?}");
    gateway.terminate();
    assert!(gateway.wait().success());

    // The same data has the same key, and the contexts of the user stay as they are.
    let gateway = Setup::new().without_admin_key().home(&home).start();
    assert_eq!(fs::read_to_string(&contexts).unwrap(), text);
    let ran = run(&mut a6(home.path()), &format!("route list --server http://{}", gateway.admin), "");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "[]\n"), "{ran:?}");
}

#[test]
fn a_user_with_contexts_gets_no_other() {
    let home = Arc::new(tempfile::tempdir().unwrap());
    let contexts = home.path().join("a6/config.yaml");
    let text = "current-context: prod\ncontexts:\n    - name: prod\n      server: http://192.0.2.1:9180\n";
    fs::create_dir(home.path().join("a6")).unwrap();
    fs::write(&contexts, text).unwrap();
    let _gateway = Setup::new().without_admin_key().home(&home).start();
    assert_eq!(fs::read_to_string(&contexts).unwrap(), text);
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

/// The files below `directory` that hold `text`.
fn files_with(directory: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(text) {
            found.push(path);
        }
    }
    found
}
