//! Promise: `a6 debug trace` shows the road that a request takes through the gateway: the gateway's own explanation, and with a
//! token for one request its attempts and timings. Without a good token the gateway tells nobody, and no upstream and no log ever
//! sees one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod engine;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use engine::{Stage, key, tag};
use serde_json::{Value, json};
use support::{
    ADMIN_KEY, Answer, Manner, Setup, a6, ai_route, chat, closed_port, eventually, ledger, sent_once,
};

const HEADER: &str = "X-A6-Debug-Token";

/// An `a6` command for the stage's gateway.
fn command(stage: &Stage) -> Command {
    let mut command = a6(stage.gateway.home.path());
    command
        .env("A6_SERVER", format!("http://{}", stage.gateway.admin))
        .env("A6_API_KEY", ADMIN_KEY)
        .env("APISIX_GATEWAY_URL", format!("http://{}", stage.gateway.data));
    command
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// Traces a route and insists that the command succeeds.
fn trace(stage: &Stage, arguments: &[&str]) -> String {
    let control = format!("http://{}", stage.gateway.control);
    let mut command = command(stage);
    let ran = output(command.args(["debug", "trace", "--control-url", &control]).args(arguments));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert!(ran.status.success(), "{arguments:?}: {}", text(&ran.stderr));
    assert_eq!(text(&ran.stderr), "", "{arguments:?}");
    text(&ran.stdout)
}

fn trace_json(stage: &Stage, arguments: &[&str]) -> Value {
    let text = trace(stage, arguments);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A token of the Admin API.
fn token(stage: &Stage) -> String {
    let (status, issued) = stage.gateway.admin("POST", "debug/tokens", None);
    assert_eq!(status, 201, "{issued}");
    assert_eq!((&issued["header"], &issued["expires_in"]), (&json!(HEADER.to_lowercase()), &json!(60)));
    issued["token"].as_str().unwrap().to_string()
}

/// What an answer tells of how it was made.
fn told(answer: &Answer) -> (Option<&str>, Option<Value>) {
    let attempts = answer.header("x-a6-attempts").map(|text| serde_json::from_str(text).unwrap());
    (answer.header("x-a6-request-id"), attempts)
}

#[test]
fn only_a_good_token_is_told_and_only_once() {
    let stage = Stage::new();
    stage.route("r", json!({}));
    let token = token(&stage);
    let other = self::token(&stage);
    assert_ne!(token, other);
    assert_eq!(told(&stage.get("/r", &[])), (None, None));
    for wrong in ["nonsense", &"0".repeat(32), &token[1..], &format!("{token}0")] {
        assert_eq!(told(&stage.get("/r", &[(HEADER, wrong)])), (None, None), "{wrong}");
    }
    let answer = stage.get("/r", &[(HEADER, &token)]);
    let (id, attempts) = told(&answer);
    let attempts = attempts.unwrap();
    let attempt = &attempts[0];
    assert_eq!(attempts.as_array().unwrap().len(), 1, "{attempts}");
    assert_eq!(attempt["address"], json!(stage.echo.address.to_string()), "{attempt}");
    assert_eq!((&attempt["status"], &attempt["error"]), (&json!(200), &Value::Null), "{attempt}");
    assert!(attempt["connect_ms"].is_u64() && attempt["header_ms"].is_u64(), "{attempt}");
    assert_eq!(told(&stage.get("/r", &[(HEADER, &token)])), (None, None), "a token is good once");
    // Also where the gateway answers by itself.
    let nowhere = stage.get("/nowhere", &[(HEADER, &other)]);
    let (other_id, attempts) = told(&nowhere);
    assert_eq!(attempts, Some(json!([])));
    let records = stage.gateway.exactly(8);
    assert_eq!(records[5]["request_id"].as_str(), id, "{records:#?}");
    assert_eq!(records[7]["request_id"].as_str(), other_id, "{records:#?}");
    assert!(stage.echo.requests().iter().all(|seen| seen.header("x-a6-debug-token").is_none()));
}

#[test]
fn no_plugin_no_upstream_and_no_log_sees_a_token() {
    let log = "nginx_config:\n  http:\n    access_log: access.log\n    access_log_format: 'token=$http_x_a6_debug_token'";
    let stage = Stage::on(Setup::new().settings(log));
    let mock = support::mock();
    stage.route("r", tag("X-Seen", "[$http_x_a6_debug_token]"));
    stage.put("routes/ai", ai_route("/ai", &mock.url(), json!({})));
    let tokens = [token(&stage), token(&stage), "made-up".to_string()];
    for token in &tokens[1..] {
        let answer = stage.get("/r", &[(HEADER, token)]);
        assert_eq!(answer.header("x-seen"), Some("[]"), "{token}");
    }
    support::post(stage.gateway.data, "/ai", &[(HEADER, &tokens[0])], &chat("hello"));
    for exchange in ledger(&mock, 1) {
        assert_eq!(sent_once(&exchange, "x-a6-debug-token"), None);
    }
    assert!(stage.echo.requests().iter().all(|seen| seen.header("x-a6-debug-token").is_none()));
    let file = stage.gateway.home.path().join("access.log");
    let text =
        eventually("three lines", || fs::read_to_string(&file).ok().filter(|text| text.lines().count() >= 3));
    assert_eq!(text, "token=-\n".repeat(3));
    let everything = format!("{}{:?}", stage.gateway.output(), stage.gateway.records());
    for token in &tokens {
        assert!(!everything.contains(token), "{token} is in {everything}");
    }
}

#[test]
fn only_an_admin_gets_tokens() {
    let stage = Stage::new();
    let host = stage.gateway.admin.to_string();
    for key in ["", "wrong"] {
        let headers = [("Host", host.as_str()), ("X-API-KEY", key)];
        let asked = support::request("POST", "/apisix/admin/debug/tokens", &headers, b"");
        assert_eq!(support::Connection::open(stage.gateway.admin).answer(&asked).status, 401);
    }
    assert_eq!(stage.gateway.admin("GET", "debug/tokens", None).0, 404);
}

#[test]
fn a_live_trace_shows_every_attempt() {
    let stage = Stage::new();
    let nobody = closed_port();
    let nodes = json!([
        {"host": nobody.ip().to_string(), "port": nobody.port(), "weight": 1, "priority": 1},
        {"host": stage.echo.address.ip().to_string(), "port": stage.echo.address.port(), "weight": 1, "priority": 0},
    ]);
    stage.put("routes/two", json!({"uri": "/two", "upstream": {"type": "roundrobin", "nodes": nodes}}));
    let document = trace_json(&stage, &["two", "--live", "--path", "/two?a=b"]);
    assert_eq!(document["response"]["status"], 200, "{document}");
    let attempts = document["live"]["attempts"].as_array().unwrap();
    let shown: Vec<_> = attempts.iter().map(|it| (&it["address"], &it["status"], &it["error"])).collect();
    let (first, second) = (json!(nobody.to_string()), json!(stage.echo.address.to_string()));
    let (refused, fine) = (json!("upstream_connect_error"), json!(200));
    assert_eq!(shown, [(&first, &Value::Null, &refused), (&second, &fine, &Value::Null)], "{document}");
    assert!(attempts.iter().all(|attempt| attempt["duration_ms"].is_u64()), "{document}");
    let record = &document["live"]["record"];
    assert_eq!((&record["route_id"], &record["outcome"]), (&json!("two"), &json!("complete")), "{document}");
    assert_eq!(record["request_id"], document["live"]["request_id"], "{document}");
    assert_eq!(stage.echo.last().target, "/two?a=b");

    let text = trace(&stage, &["two", "--live", "-o", "table"]);
    for part in
        ["Status:   200 OK\n", "Told by the gateway:\n", "Outcome:     complete\n", "upstream_connect_error"]
    {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert_eq!(stage.gateway.exactly(2).len(), 2, "one request each");
}

#[test]
fn a_live_trace_of_a_model_shows_its_tokens() {
    let stage = Stage::new();
    let mock = support::mock();
    stage.put("routes/ai", ai_route("/v1/chat/completions", &mock.url(), json!({})));
    let document = trace_json(&stage, &["ai", "--live", "--body", &chat("hello").to_string()]);
    let record = &document["live"]["record"];
    assert_eq!(document["response"]["status"], 200, "{document}");
    assert_eq!(record["prompt_tokens"], json!(ledger(&mock, 1)[0].prompt_tokens), "{document}");
    assert_eq!(document["configured_plugins"], json!([{"name": "ai-proxy", "priority": 1040}]), "{document}");
}

#[test]
fn an_explained_trace_tells_what_runs_and_why() {
    let stage = Stage::new();
    stage.route("r", json!({"key-auth": {}}));
    stage.consumer("jack", tag("X-Tag", "jack"), json!({}));
    let apikey = format!("apikey: {}", key("jack"));
    let text = trace(&stage, &["r", "-o", "table", "--explain", "--consumer", "jack", "--header", &apikey]);
    for part in [
        "Status:   200 OK\n",
        "├── route r\n│   └── ✓ r /r\n",
        "├── consumer jack, known by key-auth\n",
        " 2500 key-auth from /routes/r, rewrite\n",
        "  899 response-rewrite from /consumers/jack, header_filter\n",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let text = trace(&stage, &["r", "-o", "table"]);
    for part in ["Status:   401 Unauthorized\n", "Answer:   {\"message\":\"Missing API key in request\"}\n"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn a_redirect_is_shown_and_not_followed() {
    let stage = Stage::new();
    stage.route("r", json!({"redirect": {"uri": "/elsewhere", "ret_code": 302}}));
    let document = trace_json(&stage, &["r"]);
    assert_eq!(document["response"]["status"], 302, "{document}");
    assert!(document["response"]["location"].as_str().unwrap().contains("/elsewhere"), "{document}");
    assert_eq!(stage.gateway.exactly(1).len(), 1);
}

#[test]
fn an_answer_that_breaks_off_is_no_failure_of_the_trace() {
    let stage = Stage::new();
    stage.route("r", json!({}));
    stage.echo.answer(Manner::HangUp, Duration::ZERO);
    let document = trace_json(&stage, &["r", "--live"]);
    assert_eq!(document["response"]["status"], 502, "{document}");
    assert_eq!(document["live"]["record"]["error"], "upstream_connect_error", "{document}");
}

/// A command that goes on; killed on drop.
struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Following {
    /// Starts it; what it prints goes to a file.
    fn start(stage: &Stage, name: &str, arguments: &[&str]) -> (Self, std::path::PathBuf) {
        let file = stage.gateway.home.path().join(name);
        let out = fs::File::create(&file).unwrap();
        let mut command = command(stage);
        let child = command.args(arguments).stdin(Stdio::null()).stdout(out).spawn().unwrap();
        (Self(child), file)
    }

    /// Ends it as Ctrl-C does, and gives its exit code.
    fn interrupt(mut self) -> Option<i32> {
        let kill = format!("kill -INT {}", self.0.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        eventually("its end", || self.0.try_wait().unwrap()).code()
    }
}

#[test]
fn logs_are_followed_until_ctrl_c() {
    let log =
        "nginx_config:\n  http:\n    access_log: access.log\n    access_log_format: '$request_uri $status'";
    let stage = Stage::on(Setup::new().settings(log));
    stage.route("r", json!({}));
    stage.get("/r?first", &[]);
    let access = stage.gateway.home.path().join("access.log");
    eventually("the first line", || fs::read_to_string(&access).ok().filter(|text| !text.is_empty()));
    let (lines, shown) =
        Following::start(&stage, "lines", &["debug", "logs", "-f", "--file", "access.log", "--grep", " 200"]);
    let control = format!("http://{}", stage.gateway.control);
    let (records, recorded) = Following::start(
        &stage,
        "records",
        &["debug", "logs", "-f", "--status", "404", "--control-url", &control],
    );
    let text = |file: &std::path::Path| fs::read_to_string(file).unwrap();
    eventually("what was there", || (text(&shown) == "/r?first 200\n").then_some(()));
    stage.get("/nowhere", &[]);
    stage.get("/r?second", &[]);
    eventually("what is new", || (text(&shown) == "/r?first 200\n/r?second 200\n").then_some(()));
    let line = eventually("a record", || Some(text(&recorded)).filter(|text| text.ends_with('\n')));
    let record: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(record["error"], "route_not_found", "{record}");
    assert_eq!((lines.interrupt(), records.interrupt()), (Some(0), Some(0)));
}

#[test]
fn a_containers_log_is_shown_by_docker() {
    let stage = Stage::new();
    let folder = stage.gateway.home.path().join("bin");
    fs::create_dir(&folder).unwrap();
    let docker = |script: &str| {
        let file = folder.join("docker");
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let logs = |arguments: &[&str]| {
        let ran = output(command(&stage).env("PATH", &path).args(["debug", "logs"]).args(arguments));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (ran.status.code(), text(ran.stdout), text(ran.stderr))
    };
    let lists = |names: &str| {
        format!("if [ \"$1\" = ps ]; then printf '{names}'; exit; fi; echo \"$@\"; echo oops >&2")
    };
    docker(&lists("my-apisix\\n"));
    let (code, stdout, stderr) = logs(&["-n", "5", "--since", "1m", "--type", "access"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "logs --tail 5 --since 1m my-apisix\n"), "{stderr}");
    assert_eq!(logs(&["--type", "error", "-n", "0"]), (Some(0), "oops\n".to_string(), String::new()));
    assert_eq!(logs(&["-c", "other", "--grep", "other"]).1, "logs --tail 100 other\n");
    docker(&lists("a\\nb\\n"));
    assert!(
        logs(&[]).2.starts_with("multiple APISIX containers found: a, b. Use --container"),
        "{:?}",
        logs(&[])
    );
    docker(&lists(""));
    assert!(logs(&[]).2.starts_with("no APISIX container found. Use --container"), "{:?}", logs(&[]));
    docker("echo no such container >&2; exit 1");
    let (code, _, stderr) = logs(&["-c", "none"]);
    assert!(code == Some(1) && stderr.contains("no such container"), "{stderr}");
    let empty = stage.gateway.home.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let ran = output(command(&stage).env("PATH", &empty).args(["debug", "logs"]));
    assert!(String::from_utf8_lossy(&ran.stderr).starts_with("docker binary not found in PATH\n"), "{ran:?}");
}
