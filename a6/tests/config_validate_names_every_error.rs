//! Promise: `a6 config validate` needs no gateway, knows what a gateway would refuse, and tells all of it at once, each with
//! file, line and column.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::a6;

fn run(home: &Path, arguments: &str) -> (Option<i32>, String, String) {
    let output = a6(home).args(arguments.split_whitespace()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const BAD: &str = "version: \"1\"
routes:
  - id: chat
    uri: /v1/chat/completions
    hosts: [good.test, 5]
    plugins:
      ai-proxy:
        provider: opnai
        auth: {}
      key-auth: {}
      limt-count: {count: 1, time_window: 60}
  - id: other
    uri: /other
    upstream_id: nowhere
    vars: [[arg_a, '~~~', b]]
    plugins: {limit-count: {count: 0, time_window: 60, policy: none}}
upstreams:
  - id: u
    type: chash
    nodes: {\"127.0.0.1:1\": 1}
    retries: many
consumers:
  - username: jack
    plugins: {key-auth: {key: sk-one}}
  - username: jill
    plugins: {key-auth: {key: sk-one}}
";

#[test]
fn every_error_is_told_with_its_place() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("bad.yaml"), BAD).unwrap();
    let (code, output, errors) = run(home.path(), "config validate -f bad.yaml");
    assert_eq!((code, output.as_str()), (Some(1), ""), "{errors}");
    let places = [
        "config validation failed:\n",
        "- bad.yaml:5:24: routes[0].hosts[1]: ",
        "- bad.yaml:8:9: routes[0].plugins.ai-proxy.provider: ",
        "- bad.yaml:11:7: routes[0].plugins.limt-count: unknown plugin [limt-count]",
        "- bad.yaml:14:5: routes[1].upstream_id: failed to fetch upstream info by upstream id [nowhere]",
        "- bad.yaml:15:5: routes[1].vars: ",
        "routes[1].plugins.limit-count.count: ",
        "routes[1].plugins.limit-count.policy: ",
        "- bad.yaml:21:5: upstreams[0].retries: ",
        "- bad.yaml:18:5: upstreams[0]: missing key",
        "consumers[1]",
    ];
    for place in places {
        assert!(errors.contains(place), "{place}\nis not in\n{errors}");
    }
    assert!(!errors.contains("sk-one"), "a key is told: {errors}");
    let lines: Vec<&str> = errors.lines().skip(1).collect();
    let number = |line: &str| -> u32 { line.split(':').nth(1).unwrap().parse().unwrap() };
    assert!(lines.is_sorted_by_key(|line| number(line)), "they come in the order of the file: {errors}");
}

#[test]
fn what_is_right_is_valid_and_files_that_cannot_be_read_are_told() {
    let home = tempfile::tempdir().unwrap();
    let good = "version: \"1\"
routes:
  - {id: chat, uri: /v1/chat/completions, upstream_id: elsewhere, plugins: {key-auth: {}}}
";
    fs::write(home.path().join("good.yaml"), good).unwrap();
    let valid = (Some(0), "Config is valid\n".to_owned(), String::new());
    assert_eq!(run(home.path(), "config validate -f good.yaml"), valid);
    fs::write(home.path().join("tab.yaml"), "version: \"1\"\nroutes:\n\t- id: a\n").unwrap();
    fs::write(home.path().join("two.yaml"), "version: \"1\"\n---\nversion: \"1\"\n").unwrap();
    fs::write(home.path().join("empty.yaml"), "").unwrap();
    for (file, expected) in [
        ("tab.yaml", "tab.yaml:3:2: not valid YAML: tabs"),
        ("two.yaml", "two.yaml:2:1: a second document starts here; keep everything in one"),
        ("empty.yaml", "empty.yaml:1:1: the document is empty\nhint: "),
        ("none.yaml", "failed to read file: open none.yaml: no such file or directory"),
        (".", "failed to read file: open .: is a directory"),
    ] {
        let (code, output, errors) = run(home.path(), &format!("config validate -f {file}"));
        assert_eq!((code, output.as_str()), (Some(1), ""), "{file}: {errors}");
        assert!(errors.contains(expected), "{file}: {errors}");
    }
}

#[test]
fn the_schema_knows_every_section_and_plugin() {
    let home = tempfile::tempdir().unwrap();
    let (code, output, errors) = run(home.path(), "schema declarative");
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let schema: Value = serde_json::from_str(&output).unwrap();
    for section in ["routes", "ssl", "credentials", "secrets", "plugin_metadata"] {
        let target = schema["properties"][section]["items"]["$ref"].as_str().unwrap();
        assert!(schema.pointer(target.trim_start_matches('#')).is_some(), "{target} is not there");
    }
    for plugin in ["ai-proxy", "ai-proxy-multi", "key-auth", "limit-count", "traffic-split"] {
        assert!(schema["definitions"]["plugins"]["properties"][plugin].is_object(), "{plugin}");
    }
}
