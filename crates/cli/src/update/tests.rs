use serde_json::{Value, json};

use super::merge;
use crate::testing::{Asked, ScriptedServer, Shell};

const DONE: &str = r#"{"key":"/apisix/x/1","value":{"id":"1"}}"#;

/// Method, target and body of what was asked.
fn lines(asked: Vec<Asked>) -> Vec<String> {
    asked.into_iter().map(|asked| format!("{} {}", asked.line, asked.body).trim_end().to_owned()).collect()
}

#[test]
fn a_whole_document_replaces_and_a_part_is_merged() {
    let cases: [(&[&str], &str, &str); 12] = [
        (&["route", "update", "1"], "uri: /x\n", r#"PUT /apisix/admin/routes/1 {"uri":"/x"}"#),
        (&["route", "update", "1"], "uris: [/x]\n", r#"PUT /apisix/admin/routes/1 {"uris":["/x"]}"#),
        (&["route", "update", "1"], "upstream_id: 7\n", r#"PATCH /apisix/admin/routes/1 {"upstream_id":7}"#),
        (&["route", "update", "1", "--merge"], "uri: /x\n", r#"PATCH /apisix/admin/routes/1 {"uri":"/x"}"#),
        (&["route", "update", "1", "--replace"], "desc: d\n", r#"PUT /apisix/admin/routes/1 {"desc":"d"}"#),
        (&["service", "update", "1"], "desc: d\n", r#"PUT /apisix/admin/services/1 {"desc":"d"}"#),
        (
            &["ssl", "update", "1"],
            "cert: c\nkey: k\n",
            r#"PATCH /apisix/admin/ssls/1 {"cert":"c","key":"k"}"#,
        ),
        (
            &["ssl", "update", "1"],
            "cert: c\nkey: k\nsni: s\n",
            r#"PUT /apisix/admin/ssls/1 {"cert":"c","key":"k","sni":"s"}"#,
        ),
        (
            &["plugin-config", "update", "1"],
            "plugins: {a: {}}\n",
            r#"PATCH /apisix/admin/plugin_configs/1 {"plugins":{"a":{}}}"#,
        ),
        (
            &["consumer-group", "update", "1", "--replace"],
            "plugins: {a: {}}\n",
            r#"PUT /apisix/admin/consumer_groups/1 {"plugins":{"a":{}}}"#,
        ),
        (
            &["secret", "update", "vault/1"],
            "id: vault/1\ntoken: t\n",
            r#"PATCH /apisix/admin/secrets/vault/1 {"token":"t"}"#,
        ),
        (
            &["consumer", "update", "jack"],
            "username: other\ndesc: d\n",
            r#"PUT /apisix/admin/consumers {"username":"jack","desc":"d"}"#,
        ),
    ];
    for (arguments, typed, expected) in cases {
        let server = ScriptedServer::start(&[(200, DONE)]);
        let ended = Shell::with_server(&server).typing(typed).run(&[arguments, &["-f", "-"]].concat());
        assert_eq!(ended.errors, "", "{arguments:?}");
        assert_eq!(lines(server.asked()), [expected], "{arguments:?}");
    }
}

#[test]
fn nodes_are_one_value_that_a_merge_replaces() {
    let stored = r#"{"value":{"id":"1","checks":{},"nodes":{"a:1":1,"b:1":1}}}"#;
    let inline = r#"{"value":{"id":"1","upstream":{"type":"chash","nodes":{"a:1":1}}}}"#;
    let listed = r#"{"value":{"id":"1","nodes":[{"host":"a","port":1,"weight":1}]}}"#;
    // The command, what is typed, what is stored, the change.
    let cases = [
        ("upstream", r#"{"nodes":{"b:1":3,"c:1":1}}"#, stored, r#"{"nodes":{"b:1":3,"c:1":1,"a:1":null}}"#),
        ("upstream", r#"{"nodes":{"a:1":null}}"#, stored, r#"{"nodes":{"a:1":null}}"#),
        ("upstream", r#"{"nodes":{"b:1":1}}"#, listed, r#"{"nodes":{"b:1":1}}"#),
        (
            "route",
            r#"{"upstream":{"nodes":{"b:1":1}}}"#,
            inline,
            r#"{"upstream":{"nodes":{"b:1":1,"a:1":null}}}"#,
        ),
    ];
    for (kind, typed, stored, change) in cases {
        let server = ScriptedServer::start(&[(200, stored), (200, DONE)]);
        let ended = Shell::with_server(&server).typing(typed).run(&[kind, "update", "1", "-f", "-"]);
        assert_eq!(ended.errors, "", "{kind} {typed}");
        let asked = lines(server.asked());
        assert_eq!(asked[0], format!("GET /apisix/admin/{kind}s/1"));
        assert_eq!(asked[1], format!("PATCH /apisix/admin/{kind}s/1 {change}"), "{typed}");
    }
    let server = ScriptedServer::start(&[(200, DONE)]);
    Shell::with_server(&server)
        .typing("nodes: [{host: a, port: 1, weight: 1}]")
        .run(&["upstream", "update", "1", "-f", "-"]);
    assert_eq!(
        lines(server.asked()),
        [r#"PATCH /apisix/admin/upstreams/1 {"nodes":[{"host":"a","port":1,"weight":1}]}"#]
    );
}

#[test]
fn where_the_server_does_not_merge_the_command_does() {
    let stored = r#"{"value":{"username":"jack","create_time":1,"update_time":2,"extra":[1],"plugins":{"key-auth":{"key":"k"}}},"modifiedIndex":9}"#;
    let server = ScriptedServer::start(&[(200, stored), (200, DONE)]);
    let ended = Shell::with_server(&server)
        .typing("desc: d\nextra: null\nplugins: {cors: {}}\n")
        .run(&["consumer", "update", "jack", "--merge", "-f", "-"]);
    assert_eq!(ended.errors, "");
    assert_eq!(
        lines(server.asked()),
        [
            "GET /apisix/admin/consumers/jack",
            r#"PUT /apisix/admin/consumers/jack {"username":"jack","plugins":{"key-auth":{"key":"k"},"cors":{}},"desc":"d"}"#
        ]
    );
    let stored = r#"{"value":{"id":"http-logger","log_format":{"a":"b"}}}"#;
    let server = ScriptedServer::start(&[(200, stored), (200, DONE)]);
    Shell::with_server(&server).typing("plugin_name: http-logger\nlog_format: {c: d}\n").run(&[
        "plugin-metadata",
        "update",
        "http-logger",
        "--merge",
        "-f",
        "-",
    ]);
    let expected = r#"PUT /apisix/admin/plugin_metadata/http-logger {"log_format":{"a":"b","c":"d"}}"#;
    assert_eq!(lines(server.asked())[1], expected);

    let changed = r#"{"error_msg":"header If-Match: consumer jack: it has modifiedIndex 10 by now, not 9"}"#;
    let server = ScriptedServer::start(&[(200, r#"{"value":{},"modifiedIndex":9}"#), (412, changed)]);
    let ended = Shell::with_server(&server)
        .typing("desc: d\n")
        .run(&["consumer", "update", "jack", "--merge", "-f", "-"]);
    assert!(ended.errors.starts_with("API error (status 412): header If-Match"), "{}", ended.errors);
}

#[test]
fn a_refused_replacement_tells_of_merging() {
    let server = ScriptedServer::start(&[(400, r#"{"error_msg":"invalid configuration"}"#)]);
    let ended = Shell::with_server(&server).typing("uri: /x\n").run(&["route", "update", "1", "-f", "-"]);
    assert_eq!(
        ended.errors,
        "API error (status 400): invalid configuration\n\
         hint: the document replaces all that is there; --merge changes only the members that it has\n"
    );
}

#[test]
fn a_document_of_another_object_is_not_advised_to_be_merged() {
    let server = ScriptedServer::start(&[(400, r#"{"error_msg":"wrong route id"}"#)]);
    let ended =
        Shell::with_server(&server).typing("id: b\nuri: /x\n").run(&["route", "update", "a", "-f", "-"]);
    assert_eq!(ended.errors, "API error (status 400): wrong route id\n");
}

#[test]
fn merging_is_that_of_the_admin_api() {
    let cases = [
        (json!({"a": {"x": 1, "y": 2}}), json!({"a": {"y": 3}}), json!({"a": {"x": 1, "y": 3}})),
        (json!({"a": {"x": 1}}), json!({"a": {}}), json!({"a": {}})),
        (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
        (json!({"a": {"x": 1}}), json!({"a": "text"}), json!({"a": "text"})),
        (json!({"a": 1, "b": 2}), json!({"a": null, "none": null}), json!({"b": 2})),
        (json!({}), json!({"a": {"x": null, "y": {"z": null}}}), json!({"a": {"y": {}}})),
    ];
    for (target, changes, expected) in cases {
        let (Value::Object(mut merged), Value::Object(changes)) = (target.clone(), changes.clone()) else {
            panic!("{target} {changes}");
        };
        merge(&mut merged, changes.clone());
        assert_eq!(Value::Object(merged), expected, "{target} with {changes:?}");
    }
}
