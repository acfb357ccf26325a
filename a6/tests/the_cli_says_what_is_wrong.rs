//! Promise: whatever goes wrong, `a6` ends with 1 and says on standard error what it is and what to do; nothing of it
//! reaches standard output.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use support::tls::Authority;
use support::{ADMIN_KEY, Gate, Scripted, Setup, Step, a6, closed_port, run};
use tempfile::TempDir;

/// Runs a line that must fail with all of these on standard error.
fn fails(home: &Path, server: &str, line: &str, stdin: &str, wanted: &[&str]) {
    let mut command = a6(home);
    command.env("A6_SERVER", server).env("A6_API_KEY", ADMIN_KEY);
    let ran = run(&mut command, &line.split(' ').collect::<Vec<_>>(), stdin);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "a6 {line}: {ran:?}");
    for text in wanted {
        assert!(ran.stderr.contains(text), "a6 {line}: no {text:?} in {:?}", ran.stderr);
    }
    assert!(!ran.stderr.contains(ADMIN_KEY), "a6 {line} shows the key: {:?}", ran.stderr);
}

#[test]
fn files_that_are_no_documents() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    // Nobody listens there: a file that is wrong is told before anything is sent.
    let nobody = format!("http://{}", closed_port());
    fs::create_dir(home.join("folder")).unwrap();
    fs::write(home.join("binary"), [b'a', 0xff, 0xfe]).unwrap();
    fs::write(home.join("secret.yaml"), "uri: /x\n").unwrap();
    fs::set_permissions(home.join("secret.yaml"), fs::Permissions::from_mode(0o000)).unwrap();
    let files = [
        ("none.yaml", "failed to read file: open none.yaml: no such file or directory"),
        ("folder", "failed to read file: open folder: is a directory"),
        ("binary", "failed to read file: binary is not UTF-8 text"),
    ];
    for (name, wanted) in files {
        fails(home, &nobody, &format!("route create -f {name}"), "", &[wanted]);
    }
    // Root reads every file.
    if fs::read(home.join("secret.yaml")).is_err() {
        let wanted = "failed to read file: open secret.yaml: permission denied";
        fails(home, &nobody, "route create -f secret.yaml", "", &[wanted]);
    }
    let documents: [(&str, &[&str]); 9] = [
        ("", &["failed to parse YAML file", "the document is empty"]),
        ("# nothing\n", &["the document is empty"]),
        ("plugins:\n\tcors: {}\n", &["failed to parse YAML file", "indented with spaces"]),
        ("uri: /a\nuri: /b\n", &["duplicate", "uri", "line 2"]),
        ("{\"uri\": 1, \"uri\": 2}", &["failed to parse JSON file", "duplicate key \"uri\""]),
        ("uri: /a\n---\nuri: /b\n", &["more than one document"]),
        ("[{\"uri\": \"/a\"}]", &["must be a mapping, found a list"]),
        ("{\"uri\": ", &["failed to parse JSON file", "line 1"]),
        ("uri: \"/a\n", &["failed to parse YAML file"]),
    ];
    for (document, wanted) in documents {
        for line in ["route create -f -", "upstream update u -f -", "plugin-metadata create -f -"] {
            fails(home, &nobody, line, document, wanted);
        }
    }
}

#[test]
fn servers_that_are_none() {
    let gateway = Setup::new().start();
    let home = gateway.home.path();
    let admin = format!("http://{}", gateway.admin);
    let page = "HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 31\r\n\r\n<html><h1>500 Oops</h1></html>\n";
    let broken = Scripted::answering(page).url();
    let elsewhere =
        Scripted::answering("HTTP/1.1 301 Moved\r\nLocation: https://gw.test/\r\nContent-Length: 0\r\n\r\n");
    let closing = Scripted::start(vec![Step::Fin]).url();
    let text = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").url();
    let cut = Scripted::start(vec![
        Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"list\"".to_vec()),
        Step::Fin,
    ]);
    let nobody = format!("http://{}", closed_port());
    let data = format!("http://{}", gateway.data);
    let https = admin.replace("http:", "https:");
    let cases: [(&str, &[&str]); 11] = [
        (&nobody, &["cannot connect to", "connection refused", "is `a6 serve` running?"]),
        (&data, &["resource not found", "404 Route Not Found"]),
        (&broken, &["API error (status 500): <html>", "check the server address"]),
        (&elsewhere.url(), &["has moved to https://gw.test/", "--server"]),
        (&closing, &["closed the connection before it answered", "https://"]),
        (&text, &["failed to parse response", "does not answer like an Admin API"]),
        (&cut.url(), &["closed the connection in the middle of its answer", "look before you repeat it"]),
        (&https, &["https://127.0.0.1"]),
        ("gw.example", &["is not the address of a server", "http://127.0.0.1:9180"]),
        ("ftp://gw.example", &["is not the address of a server"]),
        ("http://no-such-host.invalid:9180", &["cannot connect to", "no-such-host.invalid"]),
    ];
    for (server, wanted) in cases {
        fails(home, server, "route list", "", wanted);
    }
    let wrong_key = "the server said \"wrong apikey\"";
    fails(
        home,
        &admin,
        "route list --api-key wrong",
        "",
        &["authentication failed: check your API key\n", wrong_key],
    );
}

#[test]
fn a_server_that_stalls_is_given_up() {
    let home = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{".to_vec();
    for script in [vec![Step::Await(gate.clone(), 1)], vec![Step::Send(head), Step::Await(gate.clone(), 1)]] {
        let server = Scripted::start(script).url();
        let wanted = ["did not answer in time (1 s)", "look before you repeat it", "--timeout"];
        fails(home.path(), &server, "route create -f - --timeout 1", "{\"uri\": \"/x\"}", &wanted);
    }
    gate.open_to(1);
    fails(home.path(), "http://127.0.0.1:1", "route list --timeout 0", "", &["--timeout"]);
}

#[test]
fn a_certificate_that_nobody_vouches_for() {
    let home = Arc::new(TempDir::new().unwrap());
    let servers = Authority::root("servers");
    let identity = servers.server(&["localhost"]);
    let (cert, key) = (home.path().join("admin.pem"), home.path().join("admin.key"));
    fs::write(&cert, &identity.cert).unwrap();
    fs::write(&key, &identity.key).unwrap();
    let (cert, key) = (cert.display(), key.display());
    let yaml = format!(
        "admin_api_mtls: {{admin_ssl_cert: {cert}, admin_ssl_cert_key: {key}, admin_ssl_ca_cert: \"\"}}"
    );
    let gateway = Setup::new().home(&home).admin_tls(&yaml).start();
    let server = format!("https://localhost:{}", gateway.admin.port());
    fails(home.path(), &server, "route list", "", &["certificate", "hint: "]);
    let plain = format!("http://{}", gateway.admin);
    fails(home.path(), &plain, "route list", "", &["https://"]);
}

#[test]
fn command_lines_that_are_none() {
    let home = tempfile::tempdir().unwrap();
    let nobody = format!("http://{}", closed_port());
    let cases: [(&str, &[&str]); 14] = [
        ("rout list", &["unknown command \"rout\" for \"a6\"\n\nDid you mean this?\n\troute\n"]),
        ("route list --nothing", &["unknown flag: --nothing"]),
        ("route list -x", &["unknown shorthand flag: 'x' in -x"]),
        ("route list --page two", &["invalid argument \"two\" for \"--page\" flag"]),
        ("route create", &["required flag \"file\" not set"]),
        ("route create -f", &["flag needs an argument: --file"]),
        ("route get", &["id argument is required (or run interactively in a terminal)"]),
        ("consumer get", &["username argument is required (or run interactively in a terminal)"]),
        ("credential list", &["required flag(s) \"consumer\" not set"]),
        ("plugin get", &["accepts 1 arg(s), received 0"]),
        ("route delete r --all", &["--all cannot be used with a specific ID"]),
        ("route update r -f - --merge --replace", &["--merge and --replace are mutually exclusive"]),
        ("route list -o xml", &["unsupported output format: xml"]),
        ("secret get vault", &["expected manager/id"]),
    ];
    for (line, wanted) in cases {
        fails(home.path(), &nobody, line, "", wanted);
    }
}

#[test]
fn what_the_gateway_refuses_is_shown_with_its_reason() {
    let gateway = Setup::new().start();
    let admin = format!("http://{}", gateway.admin);
    gateway.put("upstreams/u", &json!({"type": "roundrobin", "nodes": {"127.0.0.1:1": 1}}));
    gateway.put("routes/r", &json!({"uri": "/r", "upstream_id": "u"}));
    let cases: [(&str, &str, &[&str]); 6] = [
        ("upstream delete u", "", &["can not delete this upstream, route [r] is still using it now"]),
        (
            "route create -f -",
            "uri: /x\nplugins: {no-such: {}}\n",
            &["status 400", "unknown plugin [no-such]"],
        ),
        ("route update r -f -", "id: other\nuri: /x\nupstream_id: u\n", &["wrong route id"]),
        ("route get none", "", &["resource not found\n"]),
        ("route update none -f -", "desc: d\n", &["resource not found\n"]),
        ("consumer update jack --merge -f -", "desc: d\n", &["resource not found\n"]),
    ];
    for (line, stdin, wanted) in cases {
        fails(gateway.home.path(), &admin, line, stdin, wanted);
    }
}
