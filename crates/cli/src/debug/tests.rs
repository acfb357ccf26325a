use serde_json::{Value, json};

use crate::testing::{Ended, ScriptedServer, Shell};

const ROUTE: &str = r#"{"value":{"id":"r1","uri":"/a/*","methods":["POST","PUT"],"hosts":["a.test"],"upstream_id":"u",
    "plugins":{"limit-count":{},"key-auth":{},"cors":{}}}}"#;
const SCHEMA: &str = r#"{"plugins":{"key-auth":{"priority":2500},"limit-count":{"priority":1002}}}"#;
const EXPLAINED: &str = r#"{"request":{"method":"POST","host":"a.test","path":"/a/*"},"candidates":[],"route":"r1",
    "target":{"kind":"none"}}"#;

/// Runs `debug trace r1` with everything at one scripted address.
fn trace(server: &ScriptedServer, more: &[&str]) -> Ended {
    let places = ["--gateway-url", &server.address, "--control-url", &server.address];
    let arguments = [&["debug", "trace", "r1"][..], &places, more].concat();
    Shell::with_server(server).run(&arguments)
}

#[test]
fn a_trace_asks_in_order_and_keeps_the_key_to_the_admin_api() {
    let server = ScriptedServer::start(&[(200, ROUTE), (200, EXPLAINED), (200, SCHEMA), (418, "no tea")]);
    let address = server.address.clone();
    let ended = trace(
        &server,
        &["--explain", "--consumer", "jack", "--header", "X-A: 1", "--body", "{}", "--path", "/a/b?c=d"],
    );
    assert!(ended.succeeded, "{ended:?}");
    let mut document: Value = serde_json::from_str(&ended.output).unwrap();
    let explained: Value = serde_json::from_str(EXPLAINED).unwrap();
    let route: Value = serde_json::from_str(ROUTE).unwrap();
    assert!(document["response"]["duration_ms"].is_u64(), "{document}");
    document["response"]["duration_ms"] = json!(0);
    assert_eq!(
        document,
        json!({
            "route": {"id": "r1", "uri": "/a/*", "methods": ["POST", "PUT"], "hosts": ["a.test"],
                "upstream": {"upstream_id": "u"}, "plugins": route["value"]["plugins"]},
            "request": {"method": "POST", "url": format!("{address}/a/b?c=d"),
                "headers": {"X-A": "1", "Content-Type": "application/json", "Host": "a.test"}},
            "response": {"status": 418, "status_text": "I'm a teapot", "duration_ms": 0, "error_body": "no tea"},
            "configured_plugins": [{"name": "key-auth", "priority": 2500}, {"name": "limit-count", "priority": 1002},
                {"name": "cors", "priority": 0}],
            "explain": explained,
        })
    );
    let asked = server.asked();
    let lines: Vec<(&str, &str)> =
        asked.iter().map(|asked| (asked.line.as_str(), asked.key.as_str())).collect();
    assert_eq!(
        lines,
        [
            ("GET /apisix/admin/routes/r1", "test-key"),
            ("POST /apisix/admin/debug/explain", "test-key"),
            ("GET /v1/schema", ""),
            ("POST /a/b?c=d", ""),
        ]
    );
    let question: Value = serde_json::from_str(&asked[1].body).unwrap();
    assert_eq!(
        question,
        json!({"method": "POST", "path": "/a/b?c=d", "host": "a.test", "body": "{}", "consumer": "jack",
            "headers": [["X-A", "1"], ["Content-Type", "application/json"]]})
    );
    assert_eq!(asked[3].body, "{}");
}

#[test]
fn a_person_reads_a_table() {
    let server = ScriptedServer::start(&[(200, ROUTE), (200, EXPLAINED), (500, ""), (200, "fine")]);
    let address = server.address.clone();
    let ended = trace(&server, &["-o", "table", "--explain"]);
    assert!(ended.succeeded, "{ended:?}");
    server.asked();
    let is_stable = |line: &&str| !line.starts_with("Duration: ");
    let lines: Vec<&str> = ended.output.lines().filter(is_stable).collect();
    let request = format!("Request:  POST {address}/a/*");
    assert_eq!(
        lines,
        [
            "Route:    /a/* (ID: r1)",
            "Methods:  POST, PUT",
            "Hosts:    a.test",
            "Upstream: {\"upstream_id\":\"u\"}",
            "",
            &request,
            "Status:   200 OK",
            "",
            "Configured Plugins (execution order):",
            "PLUGIN        PRIORITY",
            "cors          0",
            "key-auth      0",
            "limit-count   0",
            "",
            "Executed Plugins:   (see below)",
            "",
            "Explained:",
            "POST a.test/a/*",
            "├── route r1",
            "├── no plugins",
            "└── goes nowhere, unless a plugin answers",
        ]
    );
}

#[test]
fn a_gateway_that_takes_no_token_says_nothing() {
    let token = r#"{"token":"00112233445566778899aabbccddeeff","header":"x-a6-debug-token","expires_in":60}"#;
    let route = r#"{"value":{"id":"r1","uri":"/a"}}"#;
    let server = ScriptedServer::start(&[(200, route), (201, token), (200, "")]);
    let ended = trace(&server, &["--live"]);
    assert!(ended.succeeded, "{ended:?}");
    let document: Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(document["configured_plugins"], Value::Null, "{document}");
    let live = &document["live"];
    assert!(
        live["record_missing"].as_str().is_some_and(|why| why.contains("did not take the token")),
        "{live}"
    );
    assert_eq!((&live["attempts"], &live["request_id"]), (&json!([]), &Value::Null));
    assert!(
        !ended.output.contains("00112233445566778899aabbccddeeff"),
        "the token is printed: {}",
        ended.output
    );
    let lines: Vec<String> = server.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines, ["GET /apisix/admin/routes/r1", "POST /apisix/admin/debug/tokens", "GET /a"]);
}

#[test]
fn what_cannot_be_traced_says_why() {
    let shell = Shell::new();
    let cases: [(&[&str], &str); 3] = [
        (&[], "route-id argument is required (or run interactively in a terminal)"),
        (&["r1", "--header", "x"], "invalid --header value \"x\", expected 'Key: Value'"),
        (&["r1", "-o", "xml"], "unsupported output format: xml"),
    ];
    for (more, expected) in cases {
        let ended = shell.run(&[&["debug", "trace"][..], more].concat());
        assert!(!ended.succeeded && ended.errors.starts_with(expected), "{more:?}: {ended:?}");
    }
    let missing = ScriptedServer::start(&[(404, "")]);
    let ended = trace(&missing, &[]);
    assert!(!ended.succeeded && ended.errors.starts_with("resource not found"), "{ended:?}");
    let server = ScriptedServer::start(&[(200, r#"{"value":{"uri":"/a"}}"#)]);
    let arguments = ["debug", "trace", "r1", "--gateway-url", "http://127.0.0.1:1"];
    let ended = Shell::with_server(&server).run(&arguments);
    let expected = "failed to send test request to gateway: http://127.0.0.1:1: connection refused";
    assert!(!ended.succeeded && ended.errors.starts_with(expected), "{ended:?}");
}

#[test]
fn a_files_last_lines_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    std::fs::write(&file, "GET /a 200\nGET /b 502\nGET /c 200\n").unwrap();
    let file = file.to_str().unwrap();
    let shell = Shell::new();
    let cases: [(&[&str], &str); 4] = [
        (&[], "GET /a 200\nGET /b 502\nGET /c 200\n"),
        (&["-n", "1"], "GET /c 200\n"),
        (&["--tail", "-1"], ""),
        (&["-n1", "--grep", " 502"], "GET /b 502\n"),
    ];
    for (more, expected) in cases {
        let ended = shell.run(&[&["debug", "logs", "--file", file][..], more].concat());
        assert!(ended.succeeded, "{ended:?}");
        assert_eq!(ended.output, expected, "{more:?}");
    }
    let nowhere = format!("{file}.no");
    let here = folder.path().to_str().unwrap();
    for (arguments, expected) in [
        (
            vec!["--file", &nowhere],
            format!("failed to open log file {nowhere:?}: no such file or directory\n"),
        ),
        (vec!["--file", here], format!("failed to read log file {here:?}: is a directory\n")),
        (vec!["--file", file, "--since", "1m"], "--since does not work with --file".to_owned()),
        (vec!["--file", file, "--route", "r"], "--route, --consumer, --status".to_owned()),
    ] {
        let ended = shell.run(&[&["debug", "logs"][..], &arguments].concat());
        assert!(!ended.succeeded && ended.errors.starts_with(&expected), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn records_are_filtered_and_need_no_key() {
    let records = json!([
        {"started_ms": 0, "request_id": "a", "route_id": "r1", "status": 200, "method": "GET", "outcome": "complete", "duration_ms": 1},
        {"started_ms": 0, "request_id": "b", "route_id": "r1", "status": 502, "method": "GET", "outcome": "failed", "duration_ms": 1},
        {"started_ms": 0, "request_id": "c", "route_id": "r2", "status": 504, "method": "GET", "outcome": "failed", "duration_ms": 1},
    ])
    .to_string();
    let cases: [(&[&str], &[&str]); 6] = [
        (&["--type", "requests"], &["a", "b", "c"]),
        (&["--status", "5xx"], &["b", "c"]),
        (&["--status", "5xx", "-n", "1"], &["c"]),
        (&["--outcome", "failed", "--route", "r1"], &["b"]),
        (&["--type", "requests", "--grep", "\"r2\""], &["c"]),
        (&["--consumer", "jack"], &[]),
    ];
    for (more, expected) in cases {
        let server = ScriptedServer::start(&[(200, &records)]);
        let places = ["debug", "logs", "--control-url", &server.address];
        let ended = Shell::new().run(&[&places[..], more].concat());
        assert!(ended.succeeded, "{more:?}: {ended:?}");
        let id = |line: &str| {
            serde_json::from_str::<Value>(line).unwrap()["request_id"].as_str().unwrap().to_owned()
        };
        let ids: Vec<String> = ended.output.lines().map(id).collect();
        assert_eq!(ids, expected, "{more:?}");
        let asked = server.asked();
        assert_eq!((asked[0].line.as_str(), asked[0].key.as_str()), ("GET /v1/requests", ""));
    }
    let server = ScriptedServer::start(&[(200, &records)]);
    let places = ["debug", "logs", "--control-url", &server.address, "--type", "requests", "-o", "table"];
    let ended = Shell::new().run(&places);
    let first = ended.output.lines().next();
    assert_eq!(first, Some("00:00:00.000Z 200 GET complete 1ms route=r1 id=a"), "{ended:?}");
}

#[test]
fn a_control_api_that_is_not_there_is_named() {
    let ended = Shell::new().run(&["debug", "logs", "-t", "requests", "--control-url", "http://127.0.0.1:1"]);
    let expected = "failed to query Control API: http://127.0.0.1:1: connection refused\nhint: ";
    assert!(!ended.succeeded && ended.errors.starts_with(expected), "{ended:?}");
    let server = ScriptedServer::start(&[(500, "broken\n")]);
    let ended = Shell::new().run(&["debug", "logs", "-t", "requests", "--control-url", &server.address]);
    assert_eq!(ended.errors, "Control API request failed with status 500: broken\n");
}
