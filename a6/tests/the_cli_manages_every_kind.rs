//! Promise: each kind of resource is created, shown, changed, exported and deleted by `a6`, the help's examples work as
//! they stand, and nothing that was written gets lost on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::tls::Authority;
use support::{ADMIN_KEY, Gateway, Ran, Setup, a6, run};

/// A kind's command word and the id of its example; those whose example can be written as it stands, owners first.
const KINDS: [(&str, &str); 11] = [
    ("route", "hello"),
    ("service", "shop"),
    ("upstream", "backend"),
    ("consumer", "jack"),
    ("credential", "phone"),
    ("global-rule", "metrics"),
    ("plugin-config", "limits"),
    ("consumer-group", "gold"),
    ("proto", "greeter"),
    ("secret", "vault/main"),
    ("plugin-metadata", "limit-count"),
];

struct Cli<'a> {
    gateway: &'a Gateway,
}

impl Cli<'_> {
    fn ran(&self, arguments: &[&str], stdin: &str) -> Ran {
        let mut command = a6(self.gateway.home.path());
        self.point(&mut command);
        run(&mut command, arguments, stdin)
    }

    /// Runs a line that must succeed, and gives what it prints.
    fn prints(&self, line: &str, stdin: &str) -> String {
        let ran = self.ran(&line.split(' ').collect::<Vec<_>>(), stdin);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "a6 {line}: {ran:?}");
        ran.stdout
    }

    /// The same, for what is printed as JSON.
    fn json(&self, line: &str, stdin: &str) -> Value {
        serde_json::from_str(&self.prints(line, stdin)).unwrap()
    }

    /// Runs a line that must fail, and gives what it says.
    fn fails(&self, line: &str, stdin: &str) -> String {
        let ran = self.ran(&line.split(' ').collect::<Vec<_>>(), stdin);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "a6 {line}: {ran:?}");
        ran.stderr
    }

    fn point(&self, command: &mut Command) {
        command.env("A6_SERVER", format!("http://{}", self.gateway.admin)).env("A6_API_KEY", ADMIN_KEY);
    }

    /// Runs the here-document of a command's help in a shell.
    fn run_example(&self, kind: &str) -> Ran {
        let help = self.prints(&format!("{kind} create --help"), "");
        let example = help.find(&format!("a6 {kind} create")).and_then(|_| {
            let start = help.lines().position(|line| line.ends_with("<<'EOF'"))?;
            let lines: Vec<&str> = help.lines().skip(start).collect();
            let end = lines.iter().position(|line| *line == "EOF")?;
            Some(lines[..=end].join("\n") + "\n")
        });
        let example = example.unwrap_or_else(|| panic!("no here-document in the help of {kind}:\n{help}"));
        let folder = Path::new(env!("CARGO_BIN_EXE_a6")).parent().unwrap().display();
        let mut shell = Command::new("sh");
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
        shell.env_clear().env("PATH", path).env("HOME", self.gateway.home.path());
        self.point(&mut shell);
        run(&mut shell, &["-c", &example], "")
    }
}

/// The flag that says whose objects they are.
fn owner(kind: &str) -> &'static str {
    if kind == "credential" { " --consumer jack" } else { "" }
}

fn without_times(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.remove("update_time");
        object.remove("create_time");
    }
    value
}

#[test]
fn every_kind_lives_from_create_to_delete() {
    let gateway = Setup::new().start();
    let cli = Cli { gateway: &gateway };
    for (kind, id) in KINDS {
        let owner = owner(kind);
        let created = cli.run_example(kind);
        assert_eq!((created.code, created.stderr.as_str()), (Some(0), ""), "{kind}: {created:?}");
        let shown = cli.json(&format!("{kind} get {id}{owner}"), "");
        // What is shown can be written back as it is, and changes nothing.
        for format in ["json", "yaml"] {
            let text = cli.prints(&format!("{kind} get {id}{owner} -o {format}"), "");
            cli.prints(&format!("{kind} update {id}{owner} --replace -f -"), &text);
            let again = cli.json(&format!("{kind} get {id}{owner}"), "");
            assert_eq!(without_times(again), without_times(shown.clone()), "{kind} as {format}");
        }
        if kind != "plugin-metadata" {
            let listed = cli.json(&format!("{kind} list{owner}"), "");
            assert_eq!(without_times(listed[0].clone()), without_times(shown.clone()), "{kind}");
            let table = cli.prints(&format!("{kind} ls{owner} -o table"), "");
            let name = if kind == "consumer" { "USERNAME" } else { "ID" };
            assert!(table.starts_with(name) && table.contains(&format!("\n{id} ")), "{kind}: {table}");
        }
        if !matches!(kind, "credential" | "secret" | "plugin-metadata") {
            let exported = cli.json(&format!("{kind} export -o json"), "");
            assert_eq!(exported, json!([without_times(shown)]), "{kind}");
        }
    }
    for (kind, id) in KINDS.iter().rev() {
        let owner = owner(kind);
        let deleted = cli.prints(&format!("{kind} delete {id}{owner} --force"), "");
        assert!(deleted.contains(id), "{kind}: {deleted}");
        let missing = cli.fails(&format!("{kind} get {id}{owner}"), "");
        assert!(missing.starts_with("resource not found\n"), "{kind}: {missing}");
        assert!(cli.fails(&format!("{kind} delete {id}{owner}"), "").starts_with("resource not found\n"));
    }
    for (kind, _) in KINDS {
        if !matches!(kind, "credential" | "plugin-metadata") {
            assert_eq!(cli.prints(&format!("{kind} list"), ""), "[]\n", "{kind}");
        }
    }
    // This gateway has no stream mode; the server's word for that reaches the user.
    assert!(
        cli.run_example("stream-route").stderr.contains("stream"),
        "{:?}",
        cli.run_example("stream-route")
    );
}

#[test]
fn certificates_are_shown_without_their_keys_and_renewed_in_part() {
    let gateway = Setup::new().start();
    let cli = Cli { gateway: &gateway };
    let authority = Authority::root("servers");
    let ssl = |names: &[&str]| {
        let identity = authority.server(names);
        json!({"id": "site", "cert": identity.cert, "key": identity.key, "snis": names, "labels": {"env": "prod"}})
    };
    cli.prints("ssls create -f -", &ssl(&["a.test"]).to_string());
    let shown = cli.json("ssl get site", "");
    assert_eq!((&shown["snis"], shown.get("key")), (&json!(["a.test"]), None));
    let table = cli.prints("ssl list -o table", "");
    assert!(table.starts_with("ID     SNI      STATUS    TYPE     VALIDITY     CREATED\n"), "{table}");
    assert!(table.contains("\nsite   a.test   enabled   server   "), "{table}");
    assert!(!table.contains("   -   "), "the end of the certificate is not read: {table}");

    // A renewed certificate and its key alone: names and labels stay.
    let mut renewed = ssl(&["a.test"]);
    renewed.as_object_mut().unwrap().retain(|name, _| matches!(name.as_str(), "cert" | "key"));
    cli.prints("ssl update site -f -", &renewed.to_string());
    let after = cli.json("ssl get site", "");
    assert_eq!((&after["snis"], &after["labels"]), (&json!(["a.test"]), &json!({"env": "prod"})));
    assert_eq!(after["cert"], renewed["cert"]);
}

#[test]
fn parts_change_parts_and_whole_documents_replace() {
    let gateway = Setup::new().start();
    let cli = Cli { gateway: &gateway };
    let upstream =
        json!({"id": "u", "type": "chash", "key": "uri", "nodes": {"127.0.0.1:1": 90, "127.0.0.1:2": 10}});
    cli.prints("upstream create -f -", &upstream.to_string());
    // Nodes alone, as a canary changes its weights: the old ones go, all else stays.
    cli.prints("upstream update u -f -", r#"{"nodes": {"127.0.0.1:2": 50, "127.0.0.1:3": 50}}"#);
    let shown = cli.json("upstream get u", "");
    assert_eq!(shown["nodes"], json!({"127.0.0.1:2": 50, "127.0.0.1:3": 50}));
    assert_eq!((&shown["type"], &shown["key"]), (&json!("chash"), &json!("uri")));

    let route = json!({"id": "r", "uri": "/r", "upstream_id": "u", "plugins": {"cors": {}}, "desc": "d"});
    cli.prints("route create -f -", &route.to_string());
    cli.prints("route update r -f -", r#"{"plugins": {"key-auth": {}}}"#);
    let shown = without_times(cli.json("route get r", ""));
    let mut expected = route.clone();
    expected["plugins"] = json!({"cors": {}, "key-auth": {}});
    assert_eq!(shown, expected);
    cli.prints("route update r --merge -f -", "uri: /s\ndesc: null\n");
    expected["uri"] = json!("/s");
    expected.as_object_mut().unwrap().remove("desc");
    assert_eq!(without_times(cli.json("route get r", "")), expected);
    cli.prints("route update r -f -", "uri: /t\nupstream_id: u\n");
    assert_eq!(
        without_times(cli.json("route get r", "")),
        json!({"id": "r", "uri": "/t", "upstream_id": "u"})
    );
    let refused = cli.fails("route update r --replace -f -", "desc: alone\n");
    assert!(refused.starts_with("API error (status 400): ") && refused.contains("--merge"), "{refused}");

    // Consumers have no merge on the server; a consumer's other plugins stay all the same.
    cli.prints("consumer create -f -", "username: jack\nplugins: {key-auth: {key: one}}\n");
    cli.prints("consumer update jack --merge -f -", "desc: a person\n");
    let jack = cli.json("consumer get jack", "");
    assert_eq!((&jack["desc"], &jack["plugins"]), (&json!("a person"), &json!({"key-auth": {"key": "one"}})));
}

#[test]
fn unknown_fields_arrays_of_nodes_and_numeric_ids_survive() {
    let gateway = Setup::new().start();
    let cli = Cli { gateway: &gateway };
    let nodes = json!([{"host": "127.0.0.1", "port": 1, "weight": 1, "priority": -1}]);
    let upstream = json!({"type": "roundrobin", "nodes": nodes, "retries": 0});
    gateway.put("upstreams", &json!({"id": 7, "type": "roundrobin", "nodes": nodes}));
    let route = json!({
        "id": "r", "uri": "/r", "upstream_id": 7, "vars": [["arg_a", "==", "1000000"]], "labels": {"v": "1e6"},
    });
    gateway.put("routes/r", &route);
    gateway.put("routes/inline", &json!({"uri": "/inline", "upstream": upstream}));
    assert_eq!(cli.json("upstream get 7", "")["id"], json!(7));
    assert_eq!(cli.json("upstream list", "")[0]["nodes"], nodes);
    for line in ["route get r", "route get inline"] {
        for format in ["json", "yaml"] {
            let before = cli.json(line, "");
            let text = cli.prints(&format!("{line} -o {format}"), "");
            cli.prints(&format!("{} -f -", line.replace(" get ", " update ")), &text);
            assert_eq!(without_times(cli.json(line, "")), without_times(before), "{line} as {format}");
        }
    }
    assert_eq!(cli.json("route get r", "")["upstream_id"], json!(7));
    assert_eq!(cli.json("route get r", "")["vars"], route["vars"]);
    assert_eq!(cli.json("route get inline", "")["upstream"], upstream);
    let table = cli.prints("route list -o table", "");
    assert!(table.contains("127.0.0.1:1\n") && table.contains("   7\n"), "{table}");
}

#[test]
fn many_are_deleted_and_exported_by_label() {
    let gateway = Setup::new().start();
    let cli = Cli { gateway: &gateway };
    for (id, env) in [("a", "dev"), ("b", "prod"), ("c", "dev")] {
        let service = json!({"id": id, "labels": {"env": env}});
        cli.prints("service create -f -", &service.to_string());
    }
    cli.prints("route create -f -", "id: r\nuri: /r\nservice_id: c\n");
    let file = gateway.home.path().join("out.yaml");
    assert_eq!(cli.prints("service export --label env=prod -f out.yaml", ""), "");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "- id: b\n  labels:\n    env: prod\n");

    // One of them is in use: what went before it is gone and said, the rest is named.
    let ran = cli.ran(&["service", "delete", "--label", "env=dev"], "");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "\u{2713} Service a deleted.\n"), "{ran:?}");
    let used =
        "API error (status 400): can not delete this service directly, route [r] is still using it now\n";
    assert!(ran.stderr.starts_with(used) && ran.stderr.contains("service c and the rest"), "{ran:?}");
    cli.prints("route delete --all", "");
    let line = "\u{2713} Service c deleted.\n\u{2713} 1 services deleted.\n";
    assert_eq!(cli.prints("service delete --label env=dev", ""), line);
    let ran = cli.ran(&["service", "delete", "--label", "env=dev"], "");
    let none = (Some(0), "", "No services found.\n");
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), none);
    assert_eq!(cli.json("service list", "")[0]["id"], "b");
}

#[test]
fn plugins_health_and_credentials_that_are_not_there() {
    let gateway = Setup::new().start();
    let cli = Cli { gateway: &gateway };
    let names = cli.json("plugin list -o json", "");
    assert_eq!(names, gateway.admin("GET", "plugins/list", None).1, "the order is the server's");
    assert!(cli.json("plugin get limit-count", "")["properties"]["count"].is_object());
    assert!(cli.fails("plugin get none", "").contains("`a6 plugin list` shows the names"));

    cli.prints("upstream create -f -", "id: u\ntype: roundrobin\nnodes: {\"127.0.0.1:1\": 1}\n");
    let control = format!("upstream health u --control-url http://{}", gateway.control);
    let nothing = cli.fails(&control, "");
    assert!(nothing.starts_with("No health check data available for upstream u. "), "{nothing}");

    cli.prints("consumer create -f -", "username: jack\n");
    assert_eq!(cli.prints("credential list --consumer jack", ""), "[]\n");
    let nobody = cli.fails("credential list --consumer jill", "");
    assert_eq!(nobody, "resource not found\nhint: there is no consumer \"jill\"\n");
    let missing = cli.fails("credential create --consumer jack -f -", "plugins: {}\n");
    assert_eq!(missing, "credential configuration must include an \"id\" field\n");
}
