use crate::testing::{Asked, Ended, ScriptedServer, Shell};

fn asked(line: &str, body: &str) -> Asked {
    Asked { line: line.to_owned(), key: "test-key".to_owned(), body: body.to_owned() }
}

fn failed(ended: &Ended, errors: &str) {
    assert!(!ended.succeeded);
    assert_eq!((ended.output.as_str(), ended.errors.as_str()), ("", errors));
}

const ONE: &str = r#"{"key":"/apisix/routes/r1","value":{"uri":"/x","vars":[1],"id":"r1"}}"#;
const TWO: &str = r#"{"total":2,"list":[
    {"key":"/apisix/routes/1","value":{"id":"1","uri":"/a","labels":{"env":"dev"},"upstream_id":"u"}},
    {"key":"/apisix/routes/2","value":{"id":"2","uri":"/b","name":"second","labels":{"env":"prod"}}}]}"#;

#[test]
fn a_document_with_an_id_is_put_and_one_without_is_posted() {
    let document = "id: r1\nuri: /x\nvars: [1]\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, document).unwrap();
    let path = file.path().to_str().unwrap();
    // command, what is typed, what the server sees
    let cases: [(&[&str], &str, Asked); 12] = [
        (
            &["route", "create", "-f", path],
            "",
            asked("PUT /apisix/admin/routes/r1", r#"{"id":"r1","uri":"/x","vars":[1]}"#),
        ),
        (
            &["route", "create", "-f", "-"],
            "{\"uri\":\"/x\"}",
            asked("POST /apisix/admin/routes", r#"{"uri":"/x"}"#),
        ),
        (
            &["service", "create", "-f", "-"],
            "id: 1000000\n",
            asked("PUT /apisix/admin/services/1000000", r#"{"id":1000000}"#),
        ),
        (
            &["upstream", "update", "u 1", "-f", "-"],
            "type: roundrobin\nnodes: [{host: h, port: 1, weight: 1}]\nupdate_time: 7\n",
            asked(
                "PUT /apisix/admin/upstreams/u%201",
                r#"{"type":"roundrobin","nodes":[{"host":"h","port":1,"weight":1}]}"#,
            ),
        ),
        (
            &["consumer", "create", "-f", "-"],
            "username: jack\n",
            asked("PUT /apisix/admin/consumers", r#"{"username":"jack"}"#),
        ),
        (
            &["consumergroup", "create", "-f", "-"],
            "id: 7\nplugins: {}\n",
            asked("PUT /apisix/admin/consumer_groups/7", r#"{"id":7,"plugins":{}}"#),
        ),
        (
            &["credential", "create", "--consumer", "jack", "-f", "-"],
            "id: phone\nplugins: {}\n",
            asked("PUT /apisix/admin/consumers/jack/credentials/phone", r#"{"id":"phone","plugins":{}}"#),
        ),
        (
            &["secret", "create", "vault/1", "-f", "-"],
            "uri: http://v\n",
            asked("PUT /apisix/admin/secrets/vault/1", r#"{"uri":"http://v"}"#),
        ),
        (
            &["secret", "create", "-f", "-"],
            "id: vault/1\nuri: http://v\n",
            asked("PUT /apisix/admin/secrets/vault/1", r#"{"uri":"http://v"}"#),
        ),
        (
            &["plugin-metadata", "create", "-f", "-"],
            "plugin_name: http-logger\nlog_format: {}\n",
            asked("PUT /apisix/admin/plugin_metadata/http-logger", r#"{"log_format":{}}"#),
        ),
        (&["ssls", "get", "r1"], "", asked("GET /apisix/admin/ssls/r1", "")),
        (&["route", "get", "r1"], "", asked("GET /apisix/admin/routes/r1", "")),
    ];
    for (arguments, typed, expected) in cases {
        let server = ScriptedServer::start(&[(201, ONE)]);
        let ended = Shell::with_server(&server).typing(typed).run(arguments);
        assert_eq!(ended.errors, "", "{arguments:?}");
        assert!(ended.output.contains("\"vars\": [\n    1\n  ]"), "{}", ended.output);
        assert_eq!(server.asked(), [expected]);
    }
}

#[test]
fn one_object_is_json_in_a_pipe_and_yaml_on_a_terminal() {
    let json = "{\n  \"id\": \"r1\",\n  \"uri\": \"/x\",\n  \"vars\": [\n    1\n  ]\n}\n";
    let yaml = "id: r1\nuri: /x\nvars:\n    - 1\n";
    let cases: [(&[&str], bool, &str); 4] = [
        (&["route", "get", "r1"], false, json),
        (&["route", "get", "r1"], true, yaml),
        (&["route", "get", "r1", "-o", "yaml"], false, yaml),
        (&["-o", "json", "route", "get", "r1"], true, json),
    ];
    for (arguments, terminal, expected) in cases {
        let server = ScriptedServer::start(&[(200, ONE)]);
        let mut shell = Shell::with_server(&server);
        if terminal {
            shell = shell.on_a_terminal("");
        }
        assert_eq!(shell.run(arguments).output, expected, "{arguments:?} {terminal}");
    }
}

#[test]
fn lists_are_tables_on_a_terminal_and_filter_labels_by_value() {
    let table = concat!(
        "ID   NAME     URI   METHODS   STATUS   UPSTREAM\n",
        "1             /a                       u\n",
        "2    second   /b                       \n",
    );
    let first = "[\n  {\n    \"id\": \"1\",\n    \"uri\": \"/a\",\n    \"upstream_id\": \"u\",\n    \
                 \"labels\": {\n      \"env\": \"dev\"\n    }\n  }\n]\n";
    let cases: [(&[&str], bool, &str, &str, &str); 6] = [
        (&["route", "ls"], true, TWO, table, "?page=1&page_size=20"),
        (&["route", "list", "-o", "table"], false, TWO, table, "?page=1&page_size=20"),
        (&["route", "list", "--label", "env=dev"], false, TWO, first, "?label=env&page=1&page_size=20"),
        (
            &["route", "list", "--uri", "/a?", "--name", "n", "--page", "2", "--page-size", "500"],
            false,
            r#"{"total":0,"list":{}}"#,
            "[]\n",
            "?name=n&page=2&page_size=500&uri=%2Fa%3F",
        ),
        (
            &["route", "list", "-o", "yaml"],
            true,
            r#"{"total":0,"list":null}"#,
            "[]\n",
            "?page=1&page_size=20",
        ),
        (&["route", "list", "-o", "table"], false, r#"{}"#, "No routes found.\n", "?page=1&page_size=20"),
    ];
    for (arguments, terminal, answer, expected, query) in cases {
        let server = ScriptedServer::start(&[(200, answer)]);
        let mut shell = Shell::with_server(&server);
        if terminal {
            shell = shell.on_a_terminal("");
        }
        let ended = shell.run(arguments);
        assert_eq!((ended.output.as_str(), ended.errors.as_str()), (expected, ""), "{arguments:?}");
        assert_eq!(server.asked(), [asked(&format!("GET /apisix/admin/routes{query}"), "")]);
    }
}

#[test]
fn deleting_asks_a_person_and_nobody_else() {
    let deleted = (200, r#"{"deleted":"1"}"#);
    let server = ScriptedServer::start(&[deleted, deleted, deleted]);
    let shell = Shell::with_server(&server);
    let done = "✓ Route 1 deleted.\n";
    assert_eq!(shell.run(&["route", "delete", "1"]).output, done);
    assert_eq!(shell.on_a_terminal("").run(&["--force", "route", "delete", "1"]).output, done);
    let asked_first = shell.on_a_terminal("Y\n").run(&["route", "delete", "1"]);
    assert_eq!((asked_first.output.as_str(), asked_first.errors.as_str()), (done, "Delete route 1? (y/N): "));
    let declined = shell.on_a_terminal("no\n").run(&["route", "delete", "1"]);
    assert!(declined.succeeded);
    assert_eq!(
        (declined.output.as_str(), declined.errors.as_str()),
        ("", "Delete route 1? (y/N): Aborted.\n")
    );
    failed(
        &shell.on_a_terminal("y").run(&["route", "delete", "1"]),
        "Delete route 1? (y/N): failed to read confirmation: EOF\n",
    );
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn bulk_deletion_takes_what_matches_and_says_each() {
    let deleted = (200, r#"{"deleted":"1"}"#);
    let server = ScriptedServer::start(&[(200, TWO), deleted, deleted]);
    let ended = Shell::with_server(&server).run(&["route", "delete", "--all"]);
    assert_eq!(ended.output, "✓ Route 1 deleted.\n✓ Route 2 deleted.\n✓ 2 routes deleted.\n");
    let expected = [
        asked("GET /apisix/admin/routes?page=1&page_size=500", ""),
        asked("DELETE /apisix/admin/routes/1", ""),
        asked("DELETE /apisix/admin/routes/2", ""),
    ];
    assert_eq!(server.asked(), expected);

    let server = ScriptedServer::start(&[(200, TWO), deleted]);
    let ended =
        Shell::with_server(&server).on_a_terminal("y\n").run(&["route", "delete", "--label", "env=prod"]);
    assert_eq!(ended.output, "✓ Route 2 deleted.\n✓ 1 routes deleted.\n");
    assert_eq!(ended.errors, "Delete 1 routes? (y/N): ");
    assert_eq!(server.asked().len(), 2);

    let server = ScriptedServer::start(&[(200, r#"{"total":0,"list":[]}"#)]);
    let ended = Shell::with_server(&server).run(&["route", "delete", "--all"]);
    assert!(ended.succeeded);
    assert_eq!((ended.output.as_str(), ended.errors.as_str()), ("", "No routes found.\n"));
}

#[test]
fn misuse_is_refused_before_any_request() {
    let cases: [(&[&str], &str); 13] = [
        (&["route", "create"], "required flag \"file\" not set\n"),
        (&["route", "update", "1"], "required flag \"file\" not set\n"),
        (
            &["route", "get"],
            "id argument is required (or run interactively in a terminal)\n\
             hint: `a6 route list -o table` shows them\n",
        ),
        (
            &["consumer", "delete"],
            "username argument is required (or run interactively in a terminal)\n\
             hint: `a6 consumer list -o table` shows them\n",
        ),
        (
            &["secret", "get", "vault"],
            "invalid secret id \"vault\": expected manager/id\nhint: write it like vault/main\n",
        ),
        (
            &["route", "update", "1", "-f", "x", "--merge", "--replace"],
            "--merge and --replace are mutually exclusive\n",
        ),
        (&["route", "export", "-o", "xml"], "unsupported output format: xml\n"),
        (&["route", "delete", "1", "--all"], "--all cannot be used with a specific ID\n"),
        (&["route", "delete", "1", "--label", "a"], "--label cannot be used with a specific ID\n"),
        (&["route", "delete", "1", "--label", "a", "--all"], "--all and --label are mutually exclusive\n"),
        (&["route", "get", "1", "-o", "table"], "unsupported output format: table\n"),
        (&["route", "list", "-o", "xml"], "unsupported output format: xml\n"),
        (&["route", "list"], "no API key configured; use 'a6 context create' or set A6_API_KEY\n"),
    ];
    for (arguments, expected) in cases {
        failed(&Shell::new().run(arguments), expected);
    }
}

#[test]
fn refusals_of_the_server_are_shown() {
    let cases = [
        (400, r#"{"error_msg":"wrong route id"}"#, "API error (status 400): wrong route id\n"),
        (
            404,
            r#"{"message":"Key not found"}"#,
            "resource not found\nhint: the server said \"Key not found\"\n",
        ),
        (200, r#"{"value":1}"#, "failed to parse response: it has no object in \"value\"\n"),
    ];
    for (status, body, expected) in cases {
        let server = ScriptedServer::start(&[(status, body)]);
        failed(&Shell::with_server(&server).run(&["route", "get", "1"]), expected);
    }
    let server = ScriptedServer::start(&[(200, "<html>")]);
    let ended = Shell::with_server(&server).run(&["route", "list"]);
    assert!(
        ended.errors.starts_with("failed to parse response: expected value at line 1"),
        "{}",
        ended.errors
    );
    let server = ScriptedServer::start(&[]);
    let (shell, address) = (Shell::with_server(&server), server.address.clone());
    server.asked();
    failed(
        &shell.run(&["route", "list"]),
        &format!(
            "cannot connect to {address}: connection refused; is `a6 serve` running? see `a6 context list`\n"
        ),
    );
}

#[test]
fn an_id_must_be_text_or_a_number() {
    let server = ScriptedServer::start(&[]);
    let ended = Shell::with_server(&server).typing("id: [1]\n").run(&["route", "create", "-f", "-"]);
    failed(
        &ended,
        "\"id\" must be a string or a number, found [1]\nhint: leave it out to let the server choose one\n",
    );
    assert!(server.asked().is_empty());
}

#[test]
fn kinds_that_need_an_id_in_the_document_say_so() {
    let cases: [(&[&str], &str); 5] = [
        (&["global-rule"], "global rule configuration must include an \"id\" field\n"),
        (&["plugin-config"], "plugin config configuration must include an \"id\" field\n"),
        (&["consumer-group"], "consumer group configuration must include an \"id\" field\n"),
        (&["credential", "--consumer", "jack"], "credential configuration must include an \"id\" field\n"),
        (
            &["secret"],
            "secret configuration must include an \"id\" field\nhint: or name it: a6 secret create vault/main -f FILE\n",
        ),
    ];
    for (words, expected) in cases {
        let server = ScriptedServer::start(&[]);
        let (kind, flags) = words.split_first().unwrap();
        let line = [&[*kind, "create", "-f", "-"][..], flags].concat();
        failed(&Shell::with_server(&server).typing("plugins: {}\n").run(&line), expected);
        assert!(server.asked().is_empty());
    }
}

#[test]
fn a_consumer_without_credentials_has_none_and_a_missing_one_is_an_error() {
    let missing = (404, r#"{"message":"Key not found"}"#);
    let consumer = (200, r#"{"key":"/apisix/consumers/jack","value":{"username":"jack"}}"#);
    let server = ScriptedServer::start(&[missing, consumer, missing, missing, (401, "{}")]);
    let shell = Shell::with_server(&server);
    let list = ["credential", "list", "--consumer", "jack"];
    assert_eq!(shell.run(&list).output, "[]\n");
    failed(&shell.run(&list), "resource not found\nhint: there is no consumer \"jack\"\n");
    assert!(shell.run(&list).errors.starts_with("authentication failed"));
    let lines: Vec<String> = server.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines[0], "GET /apisix/admin/consumers/jack/credentials?page=1&page_size=20");
    assert_eq!(lines[1], "GET /apisix/admin/consumers/jack");
}

#[test]
fn credentials_and_metadata_are_deleted_with_their_own_words() {
    let deleted = (200, r#"{"deleted":"1"}"#);
    let server = ScriptedServer::start(&[deleted, deleted]);
    let shell = Shell::with_server(&server);
    let ended = shell.on_a_terminal("y\n").run(&["credential", "delete", "c", "--consumer", "jack"]);
    assert_eq!(ended.output, "✓ Credential c deleted for consumer jack.\n");
    assert_eq!(ended.errors, "Delete credential c for consumer jack? (y/N): ");
    let ended = shell.on_a_terminal("y\n").run(&["plugin-metadata", "delete", "http-logger"]);
    assert_eq!(ended.output, "Deleted plugin metadata for http-logger\n");
    assert_eq!(ended.errors, "Delete plugin metadata for http-logger? (y/N): ");
    let lines: Vec<String> = server.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(
        lines,
        [
            "DELETE /apisix/admin/consumers/jack/credentials/c",
            "DELETE /apisix/admin/plugin_metadata/http-logger"
        ]
    );
}

#[test]
fn bulk_deletion_that_fails_says_what_is_left() {
    let refused = (400, r#"{"error_msg":"route [9] is still using it now"}"#);
    let server = ScriptedServer::start(&[(200, TWO), (200, r#"{"deleted":"1"}"#), refused]);
    let ended = Shell::with_server(&server).run(&["route", "delete", "--all"]);
    assert!(!ended.succeeded);
    assert_eq!(ended.output, "✓ Route 1 deleted.\n");
    assert_eq!(
        ended.errors,
        "API error (status 400): route [9] is still using it now\n\
         hint: route 2 and the rest (1 in all) are not deleted\n"
    );
}

#[test]
fn a_person_picks_where_no_id_is_given() {
    // The command, the list, the title and lines of the picker, the request for what was picked.
    let cases: [(&[&str], &str, &[&str], &str); 4] = [
        (&["route", "get"], TWO, &["Select a route", "1", "second (2)"], "GET /apisix/admin/routes/2"),
        (
            &["secret", "get"],
            r#"{"list":[{"key":"/apisix/secrets/aws/1","value":{}},{"key":"/apisix/secrets/vault/a","value":{"id":"vault/a"}}]}"#,
            &["Select a secret manager configuration", "aws/1", "vault/a"],
            "GET /apisix/admin/secrets/vault/a",
        ),
        (
            &["ssl", "delete", "--force"],
            r#"{"list":[{"value":{"id":"1","sni":"x"}},{"value":{"id":"2","snis":["a","b"]}}]}"#,
            &["Select an SSL certificate", "x (1)", "a,b (2)"],
            "DELETE /apisix/admin/ssls/2",
        ),
        (
            &["proto", "get"],
            r#"{"list":[{"value":{"id":"1","desc":"d"}},{"value":{"id":"2"}}]}"#,
            &["Select a proto definition", "d", "2"],
            "GET /apisix/admin/protos/2",
        ),
    ];
    for (arguments, list, offered, line) in cases {
        let server = ScriptedServer::start(&[(200, list), (200, ONE)]);
        let shell = Shell::with_server(&server).on_a_terminal("").choosing(1);
        let ended = shell.run(arguments);
        assert!(ended.succeeded, "{arguments:?}: {ended:?}");
        assert_eq!(shell.offered(), offered, "{arguments:?}");
        assert_eq!(server.asked()[1].line, line);
    }
    let server = ScriptedServer::start(&[(200, r#"{"list":[]}"#), (401, "{}")]);
    let shell = Shell::with_server(&server).on_a_terminal("");
    failed(&shell.run(&["ssl", "get"]), "no SSL certificates found\n");
    let errors = shell.run(&["upstream", "get"]).errors;
    assert!(
        errors.starts_with("failed to fetch upstreams: authentication failed: check your API key\n"),
        "{errors}"
    );
}
