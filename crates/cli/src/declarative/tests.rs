use std::fs;

use serde_json::{Value, json};

use crate::testing::{Asked, Ended, ScriptedServer, Shell};

/// The answer to a list of these objects, by the keys under which they are stored.
fn list(objects: &[(&str, Value)]) -> (u16, String) {
    let items = objects.iter().map(|(key, value)| json!({"key": format!("/apisix/{key}"), "value": value}));
    let items: Vec<Value> = items.collect();
    (200, json!({"total": items.len(), "list": items}).to_string())
}

/// The order in which a gateway is asked, credentials aside.
const ASKED: [&str; 12] = [
    "routes",
    "services",
    "upstreams",
    "consumers",
    "ssls",
    "global_rules",
    "plugin_configs",
    "consumer_groups",
    "stream_routes",
    "protos",
    "secrets",
    "plugin_metadata",
];

/// What a gateway answers that has these objects and nothing else, and then this.
fn gateway(objects: &[(&str, Value)], then: &[(u16, &str)]) -> ScriptedServer {
    let mut answers = Vec::new();
    for collection in ASKED {
        let own: Vec<(&str, Value)> =
            objects.iter().filter(|(key, _)| key.starts_with(&format!("{collection}/"))).cloned().collect();
        answers.push(match collection {
            "stream_routes" => (400, "{\"error_msg\":\"stream mode is disabled\"}".to_owned()),
            _ => list(&own),
        });
    }
    answers.extend(then.iter().map(|(status, body)| (*status, (*body).to_owned())));
    let answers: Vec<(u16, &str)> = answers.iter().map(|(status, body)| (*status, body.as_str())).collect();
    ScriptedServer::start(&answers)
}

/// The writes among what was asked.
fn writes(asked: Vec<Asked>) -> Vec<(String, Value)> {
    let writes = asked.into_iter().filter(|asked| !asked.line.starts_with("GET "));
    let body = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    writes.map(|asked| (asked.line.replace("/apisix/admin/", ""), body(&asked.body))).collect()
}

fn sync(server: &ScriptedServer, file: &str, more: &[&str]) -> Ended {
    let arguments = [&["config", "sync", "-f", "-"][..], more].concat();
    Shell::with_server(server).typing(file).run(&arguments)
}

fn upstream(id: &str) -> (String, Value) {
    (
        format!("upstreams/{id}"),
        json!({"id": id, "nodes": {"127.0.0.1:1": 1}, "create_time": 1, "update_time": 2}),
    )
}

#[test]
fn a_dump_has_everything_and_nothing_of_the_gateways_own() {
    let (key, stored) = upstream("u");
    let objects = [
        (
            "routes/1",
            json!({"id": 1, "uri": "/x", "vars": [["a", "==", "b"]], "hosts": [], "create_time": 1}),
        ),
        (key.as_str(), stored),
        ("plugin_metadata/limit-count", json!({"id": "limit-count", "log_format": {"a": "007"}})),
        ("secrets/vault/1", json!({"id": "1", "uri": "https://v"})),
    ];
    let server = gateway(&objects, &[]);
    let ended = Shell::with_server(&server).run(&["config", "dump"]);
    let expected = "version: \"1\"\nroutes:\n    - id: 1\n      uri: /x\n      hosts: []\n      vars:\n        - - a\n          - ==\n          - b\nupstreams:\n    - id: u\n      nodes:\n        127.0.0.1:1: 1\n";
    assert!(ended.succeeded, "{ended:?}");
    let read = |text: &str| super::Document::parse("dump", text).unwrap();
    let keys = |text: &str| -> Vec<(String, Value)> {
        let items = read(text);
        items.items().map(|(own, item)| (own.name.to_owned(), Value::Object(item.object.clone()))).collect()
    };
    assert_eq!(keys(&ended.output)[..2], keys(expected)[..], "{}", ended.output);
    assert_eq!(
        keys(&ended.output)[2..],
        [
            ("secrets".to_owned(), json!({"id": "vault/1", "uri": "https://v"})),
            ("plugin_metadata".to_owned(), json!({"plugin_name": "limit-count", "log_format": {"a": "007"}})),
        ]
    );
    assert!(!ended.output.contains("create_time"), "{}", ended.output);
    server.asked();
}

#[test]
fn what_is_no_gateway_is_not_dumped_as_an_empty_one() {
    let server = ScriptedServer::start(&[(404, "<html>no such page</html>")]);
    let ended = Shell::with_server(&server).run(&["config", "dump"]);
    assert!(!ended.succeeded && ended.output.is_empty(), "{ended:?}");
    assert!(ended.errors.starts_with("resource not found"), "{ended:?}");
}

#[test]
fn a_dump_in_a_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.json");
    let server = gateway(&[], &[]);
    let ended =
        Shell::with_server(&server).run(&["config", "dump", "-o", "json", "-f", file.to_str().unwrap()]);
    assert_eq!((ended.succeeded, ended.output.as_str()), (true, ""), "{ended:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "{\n  \"version\": \"1\"\n}\n");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    server.asked();
}

#[test]
fn diff_tells_every_section_and_ends_with_one() {
    let file = "version: \"1\"\nupstreams:\n  - {id: a, nodes: {\"127.0.0.1:1\": 1}}\n  - {id: n, nodes: {\"h:1\": 1}}\n";
    let server = gateway(&[("upstreams/a", upstream("a").1), ("upstreams/g", upstream("g").1)], &[]);
    let ended = Shell::with_server(&server).typing(file).run(&["config", "diff", "-f", "-"]);
    assert_eq!((ended.succeeded, ended.errors.as_str()), (false, ""), "{ended:?}");
    let expected = "Differences found:\nupstreams: create=1 update=0 delete=1 unchanged=1\n  CREATE n\n  DELETE g\n\
                    services: create=0 update=0 delete=0 unchanged=0\n";
    assert!(ended.output.starts_with(expected), "{}", ended.output);
    assert_eq!(ended.output.lines().count(), 1 + 12 + 2, "{}", ended.output);
    server.asked();

    let server = gateway(
        &[("upstreams/a", upstream("a").1), ("upstreams/n", json!({"id": "n", "nodes": {"h:1": 2}}))],
        &[],
    );
    let ended = Shell::with_server(&server).typing(file).run(&["config", "diff", "-f", "-", "-o", "json"]);
    let told: Value = serde_json::from_str(&ended.output).unwrap();
    assert!(!ended.succeeded);
    assert_eq!(
        told["upstreams"],
        json!({"update": [{"key": "n", "value": {"id": "n", "nodes": {"h:1": 1}}}], "unchanged": ["a"]})
    );
    assert_eq!((told.as_object().unwrap().len(), &told["routes"]), (12, &json!({})));
    server.asked();
}

const WHOLE: &str = "version: 1
routes:
  - {id: r, uri: /x, upstream_id: u, vars: [[a, ==, 1]]}
upstreams:
  - {id: u, nodes: [{host: h, port: 1, weight: 1}]}
consumers:
  - {username: jack, group_id: g}
consumer_groups:
  - {id: g, plugins: {}}
";

#[test]
fn sync_writes_in_the_order_of_references_and_deletes_the_other_way_round() {
    let stale = [
        ("routes/old", json!({"id": "old", "uri": "/old"})),
        ("upstreams/old", upstream("old").1),
        ("upstreams/u", upstream("u").1),
    ];
    let done = (200, "{}");
    let server = gateway(&stale, &[done, done, done, done, done, done]);
    let ended = sync(&server, WHOLE, &[]);
    assert_eq!((ended.succeeded, ended.errors.as_str()), (true, ""), "{ended:?}");
    assert!(
        ended.output.starts_with("Sync completed:\nupstreams: created=0 updated=1 deleted=1\n"),
        "{}",
        ended.output
    );
    assert!(
        ended.output.ends_with(
            "routes: created=1 updated=0 deleted=1\nstream_routes: created=0 updated=0 deleted=0\n"
        )
    );
    let asked = writes(server.asked());
    let lines: Vec<&str> = asked.iter().map(|(line, _)| line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "PUT consumer_groups/g",
            "PUT consumers",
            "PUT routes/r",
            "PUT upstreams/u",
            "DELETE routes/old",
            "DELETE upstreams/old",
        ]
    );
    assert_eq!(asked[2].1, json!({"id": "r", "uri": "/x", "upstream_id": "u", "vars": [["a", "==", 1]]}));
    assert_eq!(asked[3].1["nodes"], json!([{"host": "h", "port": 1, "weight": 1}]));
}

#[test]
fn a_section_that_the_file_does_not_name_is_emptied_only_on_request() {
    let file = "version: \"1\"\nroutes: []\nconsumers:\n";
    let objects = [
        ("routes/r", json!({"id": "r", "uri": "/"})),
        ("consumers/jack", json!({"username": "jack"})),
        ("upstreams/u", upstream("u").1),
    ];
    let server = gateway(&objects, &[]);
    let ended = sync(&server, file, &[]);
    assert!(!ended.succeeded && ended.output.is_empty(), "{ended:?}");
    let expected = "nothing was changed: standard input has no section for these, so everything in them would be deleted:\n\
                    - upstreams: u\n- consumers: jack\nhint: --delete=true or --force deletes them, --delete=false keeps them";
    assert!(ended.errors.starts_with(expected), "{}", ended.errors);
    assert!(writes(server.asked()).is_empty());

    let done = (200, "{}");
    for (flag, count) in [("--delete=true", 3), ("--delete", 3), ("--force", 3), ("--delete=false", 0)] {
        let server = gateway(&objects, &vec![done; count]);
        let ended = sync(&server, file, &[flag]);
        assert!(ended.succeeded, "{flag}: {ended:?}");
        assert_eq!(writes(server.asked()).len(), count, "{flag}");
    }
    let server = gateway(&objects, &[]);
    let ended = sync(&server, file, &["--dry-run"]);
    assert!(ended.succeeded && ended.output.contains("  DELETE jack\n"), "{ended:?}");
    assert!(writes(server.asked()).is_empty());
}

#[test]
fn on_a_terminal_the_plan_is_shown_and_deleting_is_asked_for() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "version: \"1\"\nupstreams:\n  - {id: n, nodes: {\"h:1\": 1}}\n").unwrap();
    let arguments = ["config", "sync", "-f", file.path().to_str().unwrap()];
    let server = gateway(&[("routes/r", json!({"id": "r", "uri": "/"}))], &[]);
    let ended = Shell::with_server(&server).on_a_terminal("n\n").run(&arguments);
    let plan = "CREATE upstreams/n\nDELETE routes/r\nDelete 1 object that the file does not have? (y/N): ";
    assert_eq!((ended.succeeded, ended.errors), (true, format!("{plan}Aborted.\n")));
    assert!(writes(server.asked()).is_empty());

    let done = (200, "{}");
    let server = gateway(&[("routes/r", json!({"id": "r", "uri": "/"}))], &[done, done]);
    let ended = Shell::with_server(&server).on_a_terminal("y\n").run(&arguments);
    assert!(ended.succeeded, "{ended:?}");
    let steps = "✓ [1/2] created upstreams/n\n✓ [2/2] deleted routes/r\n";
    assert_eq!(ended.errors, format!("{plan}{steps}"));
    assert_eq!(writes(server.asked()).len(), 2);
}

#[test]
fn a_sync_that_breaks_off_says_what_is_done_and_what_is_not() {
    let server = gateway(&[], &[(200, "{}"), (400, "{\"error_msg\":\"no\"}")]);
    let ended = sync(&server, WHOLE, &[]);
    assert!(!ended.succeeded && ended.output.is_empty(), "{ended:?}");
    assert_eq!(
        ended.errors,
        "failed to create consumer_groups/g: API error (status 400): no\napplied before that:\n- created upstreams/u\n\
         not applied:\n- create consumer_groups/g\n- create consumers/jack\n- create routes/r\n\
         hint: put it right and run the same command again; it goes on from here\n"
    );
    assert_eq!(writes(server.asked()).len(), 2);
}

#[test]
fn a_write_without_an_answer_is_not_called_not_applied() {
    // The write arrives, and the connection ends without an answer.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let peer = std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::{BufRead, BufReader, Read, Write};
            let mut reader = BufReader::new(stream.unwrap());
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first).unwrap();
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).unwrap();
                let Some((name, value)) = header.trim_end().split_once(": ") else { break };
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.parse().unwrap();
                }
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            if first.starts_with("PUT") {
                return;
            }
            let body = r#"{"total":0,"list":[]}"#;
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
            write!(reader.get_mut(), "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    let sync = ["--server", &address, "--api-key", "k", "config", "sync", "-f", "-"];
    let ended = Shell::new().typing(WHOLE).run(&sync);
    peer.join().unwrap();
    assert!(
        ended.errors.contains(
            "applied before that: nothing\napplied or not, since no answer came:\n- create upstreams/u\n\
             not applied:\n- create consumer_groups/g\n"
        ),
        "{ended:?}"
    );
}

#[test]
fn a_deletion_waits_for_a_gateway_that_has_not_noticed_yet() {
    let used = (400, "{\"error_msg\":\"can not delete this upstream, route [1] is still using it now\"}");
    let server = gateway(
        &[("upstreams/u", upstream("u").1), ("upstreams/v", upstream("v").1)],
        &[used, (200, "{}"), (404, "{}")],
    );
    let ended = sync(&server, "version: \"1\"\nupstreams: []\n", &[]);
    assert!(ended.succeeded, "{ended:?}");
    let lines: Vec<String> = writes(server.asked()).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, ["DELETE upstreams/u", "DELETE upstreams/u", "DELETE upstreams/v"]);
}

#[test]
fn certificates_keep_the_keys_that_no_gateway_shows() {
    let stored = json!({"id": "s", "cert": "c", "snis": ["a.test"], "labels": {"a": "b"}, "create_time": 1});
    let server = gateway(&[("ssls/s", stored.clone())], &[(200, "{}")]);
    let file = "version: \"1\"\nssls:\n  - {id: s, cert: c, snis: [b.test]}\n";
    let ended = sync(&server, file, &[]);
    assert!(ended.succeeded, "{ended:?}");
    let expected = ("PATCH ssls/s".to_owned(), json!({"snis": ["b.test"], "labels": null}));
    assert_eq!(writes(server.asked()), [expected]);

    let server = gateway(&[], &[]);
    let ended = sync(&server, file, &[]);
    assert!(
        ended.errors.contains("standard input:3:5: ssl[0]: the gateway has no certificate \"s\""),
        "{ended:?}"
    );
    assert!(writes(server.asked()).is_empty());
}

#[test]
fn a_mask_is_never_written_over_a_secret() {
    let server = gateway(&[], &[]);
    let file = "version: \"1\"\nconsumers:\n  - username: jack\n    plugins: {key-auth: {key: \"***\"}}\n";
    let ended = sync(&server, file, &[]);
    let place =
        "standard input:4:26: consumers[0].plugins.key-auth.key: *** stands for a secret that was hidden";
    assert!(!ended.succeeded && ended.errors.contains(place), "{ended:?}");
    assert!(writes(server.asked()).is_empty());
}

fn validated(text: &str) -> Ended {
    Shell::new().typing(text).run(&["config", "validate", "-f", "-"])
}

#[test]
fn validate_tells_every_error_with_its_place() {
    assert_eq!(validated(&WHOLE.replace(", vars: [[a, ==, 1]]", "")).output, "Config is valid\n");
    let text = "version: 2
rotes: []
routes:
  - id: a b
    plugins:
      limit-count:
        count: 0
      nope: {}
  - {id: r, uri: /x, upstream_id: u, priority: high}
  - {id: r, uri: /y, plugins: {limit-count: {count: 1, time_window: 1}}}
  - 5
upstreams: []
consumers:
  - plugins: {}
  - {username: jack, plugins: {key-auth: {key: 1}}}
secrets:
  - {id: vault}
plugin_metadata:
  - {}
";
    let ended = validated(text);
    assert_eq!((ended.succeeded, ended.output.as_str()), (false, ""), "{ended:?}");
    let expected = [
        "warning: standard input:2:1: rotes: unknown section, ignored",
        "config validation failed:",
        "- standard input:1:10: version must be \"1\"",
        "- standard input:4:5: routes[0]: either uri or uris is required",
        "- standard input:4:5: routes[0]: invalid id \"a b\"",
        "- standard input:6:7: routes[0].plugins.limit-count: failed to check the configuration of plugin limit-count err: property \"time_window\" is required",
        "- standard input:7:9: routes[0].plugins.limit-count.count: failed to check the configuration of plugin limit-count err: property \"count\" validation failed: ",
        "- standard input:8:7: routes[0].plugins.nope: unknown plugin [nope]",
        "- standard input:9:22: routes[1].upstream_id: failed to fetch upstream info by upstream id [u]",
        "routes[1].priority: ",
        "- standard input:10:6: routes[2]: duplicate id \"r\"",
        "- standard input:11:5: routes[3]: expected a mapping, found an integer",
        "- standard input:14:5: consumers[0]: username is required",
        "consumers[1].plugins.key-auth.key: ",
        "- standard input:17:6: secrets[0]: invalid id \"vault\"",
        "- standard input:19:5: plugin_metadata[0]: plugin_name is required",
    ];
    for line in expected {
        assert!(ended.errors.contains(line), "{line}\nis not in\n{}", ended.errors);
    }
}

#[test]
fn bad_files_are_told_as_what_they_are() {
    let cases = [
        (
            "",
            "failed to parse YAML file: standard input:1:1: the document is empty\nhint: it needs version: \"1\"",
        ),
        ("- a\n", "the document must be a mapping, found a list"),
        ("[]", "failed to parse JSON file: standard input:1:1: the document must be a mapping, found a list"),
        ("version: \"1\"\n---\nversion: \"1\"\n", "standard input:2:1: a second document starts here"),
        ("version: \"1\"\nroutes:\n\t- id: a\n", "hint: YAML is indented with spaces, never with tabs"),
        (
            "{\"version\": \"1\",\n \"routes\": }",
            "failed to parse JSON file: standard input:2:12: not valid JSON: ",
        ),
        (
            "version: \"1\"\nroutes: []\nroutes: []\n",
            "standard input:3:1: routes: duplicate key, first set on line 2",
        ),
        ("version: \"1\"\nssl: []\nssls: []\n", "ssls: ssl and ssls are the same section; keep one of them"),
        ("routes: []\n", "- standard input:1:1: version is required"),
        ("version: \"1\"\nroutes: {id: a}\n", "routes: expected a list, found a mapping"),
    ];
    for (text, expected) in cases {
        let ended = validated(text);
        assert!(!ended.succeeded && ended.errors.contains(expected), "{text:?}: {ended:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let ended = Shell::new().run(&["config", "validate", "-f", path]);
    assert_eq!(ended.errors, format!("failed to read file: open {path}: is a directory\n"));
    for verb in ["validate", "diff", "sync"] {
        assert_eq!(Shell::new().run(&["config", verb]).errors, "required flag \"file\" not set\n");
    }
}

#[test]
fn diff_and_sync_need_names() {
    let server = ScriptedServer::start(&[]);
    let ended = sync(&server, "version: \"1\"\nroutes:\n  - {uri: /x}\n", &[]);
    assert!(ended.errors.contains("standard input:3:5: routes[0]: missing \"id\" field"), "{ended:?}");
    server.asked();
}

#[test]
fn credentials_are_left_alone_by_a_file_that_does_not_speak_of_them() {
    let jack = ("consumers/jack", json!({"username": "jack"}));
    let file = "version: \"1\"\nconsumers:\n  - {username: jack}\n";
    let server = gateway(std::slice::from_ref(&jack), &[]);
    let ended = sync(&server, file, &[]);
    assert!(ended.succeeded && !ended.output.contains("credentials"), "{ended:?}");
    assert_eq!(server.asked().len(), ASKED.len());

    let phone = ("consumers/jack/credentials/phone", json!({"id": "phone", "plugins": {}}));
    let mut answers: Vec<(u16, String)> =
        vec![list(&[]), list(&[]), list(&[]), list(&[jack]), list(&[phone])];
    answers.extend(ASKED[4..].iter().map(|_| list(&[])));
    answers.extend([(200, "{}".to_owned()), (200, "{}".to_owned())]);
    let answers: Vec<(u16, &str)> = answers.iter().map(|(status, body)| (*status, body.as_str())).collect();
    let server = ScriptedServer::start(&answers);
    let file =
        format!("{file}credentials:\n  - {{consumer: jack, id: desk, plugins: {{key-auth: {{key: k}}}}}}\n");
    let ended = sync(&server, &file, &[]);
    assert!(ended.output.contains("credentials: created=1 updated=0 deleted=1\n"), "{ended:?}");
    let asked = writes(server.asked());
    assert_eq!(asked[0].0, "PUT consumers/jack/credentials/desk");
    assert_eq!(asked[0].1, json!({"id": "desk", "plugins": {"key-auth": {"key": "k"}}}));
    assert_eq!(asked[1].0, "DELETE consumers/jack/credentials/phone");
}

#[test]
fn the_schema_is_one_for_editors() {
    let ended = Shell::new().run(&["schema", "declarative"]);
    let schema: Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(schema["required"], json!(["version"]));
    assert_eq!(schema["properties"]["ssl"], schema["properties"]["ssls"]);
    let plugins = &schema["definitions"]["plugins"]["properties"];
    assert_eq!(plugins["limit-count"]["properties"]["count"]["minimum"], 1);
    assert!(plugins["limit-count"]["properties"]["_meta"].is_object(), "{plugins}");
    let own = &schema["definitions"]["consumer_plugins"]["properties"]["key-auth"];
    assert_eq!(own["required"], json!(["key"]));
    // A text with rules may be a reference to a secret.
    let key = &schema["definitions"]["ssl"]["allOf"][0]["properties"]["key"]["anyOf"];
    assert_eq!((&key[0]["minLength"], key[1]["pattern"].is_string()), (&json!(64), true), "{key}");
}
