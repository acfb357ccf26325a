//! Promise: every request leaves exactly one line in the access log, and what it says is true.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use support::{
    Connection, Gateway, Scripted, Setup, Step, ai_route, chat, chat_stream, closed_port, eventually, post,
    request,
};

/// Settings for a log of this format in the file `access.log` of the gateway's home.
fn into_file(format: &str) -> String {
    format!(
        "nginx_config:\n  http:\n    access_log: access.log\n    access_log_format: '{format}'\n    \
         access_log_buffer: 4k\n"
    )
}

/// The whole lines of `access.log`, or of another file beside it.
fn file_lines(gateway: &Gateway, name: &str) -> Vec<String> {
    let text = fs::read_to_string(gateway.home.path().join(name)).unwrap_or_default();
    text.lines().map(str::to_string).collect()
}

/// The lines of the default format, which stand on stdout among what the program itself says.
fn stdout_lines(gateway: &Gateway) -> Vec<String> {
    let lines = file_lines(gateway, "stdout.log");
    lines.into_iter().filter(|line| line.starts_with("127.0.0.1 - ")).collect()
}

/// Waits for `count` lines and insists that there are no more.
fn exactly(count: usize, read: impl Fn() -> Vec<String>) -> Vec<String> {
    let lines = eventually(&format!("{count} lines"), || Some(read()).filter(|lines| lines.len() >= count));
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

/// The fields of a line: words, `[...]` and `"..."`.
fn fields(line: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let (field, after) = match first {
            '"' => rest[1..].split_once('"').expect("a closing quote"),
            '[' => rest[1..].split_once(']').expect("a closing bracket"),
            _ => rest.split_at(rest.find(' ').unwrap_or(rest.len())),
        };
        fields.push(field);
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    fields
}

fn seconds(record: &Value) -> String {
    let ms = record["duration_ms"].as_u64().expect("a duration");
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn is_hex_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[test]
fn the_default_line_agrees_with_the_record_and_with_the_provider() {
    let mock = support::mock();
    let gateway = Setup::new().start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    let headers = [
        ("User-Agent", "agent \"7\""),
        ("Referer", "https://from.test/"),
        ("Authorization", "Basic YWxpY2U6c2VjcmV0"),
    ];
    let answer = post(gateway.data, "/chat?key=sk-client&a=b", &headers, &chat("hello"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let exchange = support::ledger(&mock, 1).remove(0);
    let line = exactly(1, || stdout_lines(&gateway)).remove(0);
    let record = gateway.exactly(1).remove(0);

    let found = fields(&line);
    let [.., time, _, _, _, _, _, _, _, _, _, response_time, _, id] = found[..] else { panic!("{line}") };
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert!(shape.starts_with("99/") && shape.ends_with("99") && time.len() == 26, "{time}");
    let upstream_seconds: f64 = response_time.parse().expect("seconds");
    let took = seconds(&record);
    assert!(upstream_seconds <= took.parse::<f64>().unwrap(), "{line} {record}");
    assert!(is_hex_id(id), "{line}");
    assert_eq!(record["request_id"], id);
    let address = mock.url().replace("http://", "");
    // `$upstream_host` has no port.
    let url = format!("http://{}{}", mock.addr.ip(), exchange.target);
    let (status, length) = (exchange.status.to_string(), answer.body.len().to_string());
    let expected = [
        "127.0.0.1",
        "-",
        "alice",
        time,
        "a6.test",
        "POST /chat?key=***&a=b HTTP/1.1",
        "200",
        &length,
        &took,
        "https://from.test/",
        "agent \\x227\\x22",
        &address,
        &status,
        response_time,
        &url,
        id,
    ];
    assert_eq!(found, expected);
    let output = gateway.output();
    assert!(!output.contains("sk-client") && !output.contains("c2VjcmV0"), "{output}");

    // A request that reaches no provider.
    let answer = Connection::open(gateway.data).answer(&request("GET", "/nothing", &[], b""));
    assert_eq!(answer.status, 404);
    let line = exactly(2, || stdout_lines(&gateway)).remove(1);
    let found = fields(&line);
    let length = answer.body.len().to_string();
    assert_eq!(found[5..8], ["GET /nothing HTTP/1.1", "404", &length], "{line}");
    assert_eq!(found[9..15], ["-", "-", "-", "-", "-", "http://a6.test"], "{line}");
    assert!(is_hex_id(found[15]) && found[15] != id, "{line}");
}

#[test]
fn a_format_of_ones_own_tells_of_models_and_tokens() {
    let format = "$status|$request_type|$llm_stream|$request_llm_model|$llm_model|$llm_prompt_tokens|\
                  $llm_completion_tokens|$route_id|$route_name|$upstream_status|$a6_outcome|$a6_error|${nonsense ?? no}";
    let mock = support::mock();
    let gateway = Setup::new().settings(&into_file(format)).start();
    eventually("a warning of the unknown name", || {
        let told = gateway.output();
        (told.contains("access_log_format") && told.contains("$nonsense")).then_some(())
    });
    let mut route = ai_route("/chat", &mock.url(), json!({"options": {"model": "gpt-used"}}));
    route["name"] = json!("the chat");
    gateway.put("routes/r", &route);
    let refused = format!("http://{}", closed_port());
    gateway.put("routes/refused", &ai_route("/refused", &refused, json!({})));

    assert_eq!(post(gateway.data, "/chat", &[], &chat("hello")).status, 200);
    assert!(post(gateway.data, "/chat", &[], &chat_stream("hello there")).clean_end);
    let headers = [("x-mock-no-usage", "1")];
    assert_eq!(post(gateway.data, "/chat", &headers, &chat("quiet")).status, 200);
    assert_eq!(post(gateway.data, "/refused", &[], &chat("hello")).status, 502);
    assert_eq!(post(gateway.data, "/nothing", &[], &chat("hello")).status, 404);

    let ledger = support::ledger(&mock, 3);
    let tokens =
        |number: usize| format!("{}|{}", ledger[number].prompt_tokens, ledger[number].completion_tokens);
    let expected = [
        format!("200|ai_chat|false|gpt-test|gpt-used|{}|r|the chat|200|complete|-|no", tokens(0)),
        format!("200|ai_stream|true|gpt-test|gpt-used|{}|r|the chat|200|complete|-|no", tokens(1)),
        "200|ai_chat|false|gpt-test|gpt-used|-|-|r|the chat|200|complete|-|no".to_string(),
        "502|ai_chat|false|gpt-test|gpt-test|0|0|refused|-|502|failed|upstream_connect_error|no".to_string(),
        "404|traditional_http|false|||0|0|-|-|-|failed|route_not_found|no".to_string(),
    ];
    assert_eq!(exactly(5, || file_lines(&gateway, "access.log")), expected);
}

#[test]
fn tools_and_the_end_user_are_told() {
    let format = "$llm_tool_count|$llm_has_tool_calls|$llm_end_user_id";
    let mock = support::mock();
    let gateway = Setup::new().settings(&into_file(format)).start();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    for mut body in [chat("call the tool"), chat_stream("call the tool"), chat("no, thank you")] {
        body["tools"] = json!([tool("one"), tool("two")]);
        body["user"] = json!("user-7");
        assert_eq!(post(gateway.data, "/chat", &[], &body).status, 200);
    }
    post(gateway.data, "/chat", &[], &chat("hello"));
    let expected = ["2|true|user-7", "2|true|user-7", "2|false|user-7", "0|false|"];
    assert_eq!(exactly(4, || file_lines(&gateway, "access.log")), expected);
}

#[test]
fn a_client_that_left_before_the_answer_is_a_499() {
    let quiet = Scripted::start(vec![Step::AwaitHangUp]);
    let format = "$status $a6_outcome $upstream_addr $upstream_status $upstream_response_time";
    let gateway = Setup::new().settings(&into_file(format)).start();
    gateway.put("routes/r", &ai_route("/quiet", &quiet.url(), json!({})));
    let mut client = Connection::open(gateway.data);
    client.write(&request("POST", "/quiet", &[], chat("hello").to_string().as_bytes()));
    eventually("the request at the provider", || (quiet.received().len() == 1).then_some(()));
    drop(client);
    let line = exactly(1, || file_lines(&gateway, "access.log")).remove(0);
    let waited = line.strip_prefix(&format!("499 client_gone {} - ", quiet.address)).expect(&line);
    assert!(waited.parse::<f64>().is_ok(), "{line}");
}

/// Sends `count` requests, one after the other, on one connection; each has a number of its own.
fn numbered(address: SocketAddr, first: usize, count: usize, answered: &AtomicUsize) {
    let mut connection = Connection::open(address);
    for number in first..first + count {
        let answer = connection.answer(&request("GET", &format!("/nothing?n={number}"), &[], b""));
        assert_eq!(answer.status, 404);
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

/// The same from four clients at once.
fn from_four_clients(address: SocketAddr, each: usize, meanwhile: impl FnOnce(&AtomicUsize)) {
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let answered = &answered;
            scope.spawn(move || numbered(address, client * each, each, answered));
        }
        meanwhile(&answered);
    });
}

#[test]
fn a_rotation_under_load_loses_no_line() {
    const EACH: usize = 1_000;
    let mut gateway = Setup::new().workers(2).settings(&into_file("$arg_n")).start();
    let path = gateway.home.path().join("access.log");
    from_four_clients(gateway.data, EACH, |answered| {
        for rotation in 1..=3 {
            eventually("more answers", || {
                (answered.load(Ordering::SeqCst) > rotation * EACH / 2).then_some(())
            });
            fs::rename(&path, path.with_extension(format!("log.{rotation}"))).unwrap();
            gateway.signal("USR1");
            eventually("the new file", || path.exists().then_some(()));
        }
    });
    gateway.terminate();
    assert!(gateway.wait().success(), "{}", gateway.output());
    let mut numbers: Vec<usize> = Vec::new();
    for name in ["access.log.1", "access.log.2", "access.log.3", "access.log"] {
        let lines = file_lines(&gateway, name);
        numbers.extend(lines.iter().map(|line| line.parse::<usize>().expect("one whole number")));
    }
    assert!(!file_lines(&gateway, "access.log.1").is_empty(), "nothing was renamed");
    assert_eq!(numbers.len(), 4 * EACH);
    assert_eq!(numbers.into_iter().collect::<BTreeSet<_>>(), (0..4 * EACH).collect());
}

#[test]
fn when_the_process_ends_every_line_is_there() {
    let mut gateway = Setup::new().workers(2).start();
    from_four_clients(gateway.data, 50, |_| {});
    gateway.terminate();
    assert!(gateway.wait().success(), "{}", gateway.output());
    let lines = stdout_lines(&gateway);
    assert_eq!(lines.len(), 200, "{}", gateway.output());
    let targets: BTreeSet<&str> = lines.iter().map(|line| fields(line)[5]).collect();
    assert_eq!(targets.len(), 200, "{targets:?}");
}

#[test]
fn switched_off_it_writes_nothing() {
    let off = "nginx_config:\n  http:\n    enable_access_log: false\n";
    let mut gateway = Setup::new().settings(off).start();
    numbered(gateway.data, 0, 1, &AtomicUsize::new(0));
    gateway.exactly(1);
    gateway.signal("USR1");
    gateway.terminate();
    assert!(gateway.wait().success(), "{}", gateway.output());
    assert_eq!(stdout_lines(&gateway), Vec::<String>::new());
}

#[test]
fn a_log_that_cannot_be_written_ends_the_start_with_a_reason() {
    for (setting, reason) in [
        ("access_log: missing/access.log", "missing/access.log"),
        ("access_log_format: 'x $ y'", "access_log_format: no name follows the $ at byte 3"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let told = start_that_fails(home.path(), &format!("nginx_config:\n  http:\n    {setting}\n"));
        assert!(told.contains(reason), "{setting}: {told}");
    }
}

/// Starts a gateway that cannot start; returns what it says on stderr.
fn start_that_fails(home: &Path, settings: &str) -> String {
    let listen = "{ip: 127.0.0.1, port: 0}";
    let (config, stderr) = (home.join("gateway.yaml"), home.join("stderr.log"));
    let text = format!(
        "apisix:\n  node_listen:\n    - {listen}\n  enable_control: false\n  enable_admin: false\n{settings}"
    );
    fs::write(&config, text).unwrap();
    let mut child = support::a6(home)
        .args(["serve", "--config"])
        .arg(&config)
        .arg("--data-dir")
        .arg(home.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&stderr).unwrap())
        .spawn()
        .expect("the binary starts");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if std::time::Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    let told = fs::read_to_string(&stderr).unwrap();
    assert!(status.code().is_some_and(|code| code != 0), "{status}: {told}");
    told
}
