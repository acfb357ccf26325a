//! Promise: settings that cannot be used end the start with exit code 2, key, place and what was expected; what is merely
//! not understood is a warning; what the machine refuses is exit code 1 and names itself. Nothing is guessed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use support::{Setup, ai_route, chat, eventually};

/// Every listener on a free port of its own, or off.
const QUIET: &str = "apisix:\n  node_listen: [{ip: 127.0.0.1, port: 0}]\n  enable_admin: false\n  enable_control: false\n  \
                     ssl: {enable: false}\n";

/// A start that ended.
struct Ended {
    code: Option<i32>,
    /// What it said on stderr, with the settings file as `FILE`.
    told: String,
}

/// Runs `a6 serve` with this settings file, flags and variables until it ends; it must end by itself.
fn start(home: &Path, file: &[u8], flags: &[&str], variables: &[(&str, &str)]) -> Ended {
    let config = home.join("settings.yaml");
    fs::write(&config, file).unwrap();
    let config = config.to_str().unwrap();
    let data = home.join("data");
    let usual = ["--config", config, "--data-dir", data.to_str().unwrap(), "--workers", "1"];
    // A flag may stand once: the test's own replace the usual ones.
    let usual = usual.chunks(2).filter(|pair| !flags.contains(&pair[0])).flatten();
    let arguments: Vec<&str> = usual.chain(flags).copied().collect();
    let errors = home.join("stderr.log");
    let mut child = support::a6(home)
        .arg("serve")
        .args(&arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&errors).unwrap())
        .spawn()
        .expect("the binary starts");
    let deadline = Instant::now() + Duration::from_secs(5);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!(
                "it runs with {}: {}",
                String::from_utf8_lossy(file),
                fs::read_to_string(&errors).unwrap()
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let told = fs::read_to_string(&errors).unwrap().replace(config, "FILE");
    assert!(!told.contains("panicked"), "{told}");
    Ended { code: status.code(), told }
}

#[test]
fn a_wrong_type_names_file_line_key_and_what_was_expected() {
    // The file, where it is wrong, the key, what was expected and what was found.
    let cases = [
        (
            "apisix:\n  node_listen: many\n",
            "2:16",
            "apisix.node_listen",
            "an integer from 0 to 65535",
            "\"many\"",
        ),
        (
            "apisix:\n  node_listen: [{port: 1}, {ip: x, port: 2}]\n",
            "2:33",
            "apisix.node_listen[1].ip",
            "an IP address",
            "\"x\"",
        ),
        (
            "apisix:\n  node_listen: 65536\n",
            "2:16",
            "apisix.node_listen",
            "an integer from 0 to 65535",
            "65536",
        ),
        ("apisix:\n  enable_admin: 3\n", "2:17", "apisix.enable_admin", "true or false", "an integer 3"),
        ("apisix: 3\n", "1:9", "apisix", "a mapping of keys", "an integer"),
        ("- a\n", "1:1", "", "a mapping of keys", "a list"),
        ("a6:\n  workers: -1\n", "2:12", "a6.workers", "an integer from 1 to 1024", "-1"),
        ("a6:\n\n\n  memory_budget: [1]\n", "4:18", "a6.memory_budget", "a size above zero", "a list"),
        ("a6:\n  drain_timeout: {}\n", "2:18", "a6.drain_timeout", "a duration", "a mapping"),
        ("a6:\n  resolve: {a: b}\n", "2:16", "a6.resolve.a", "\"ip\" or \"ip:port\"", "\"b\""),
        (
            "nginx_config:\n  http:\n    client_header_timeout: soon\n",
            "3:28",
            "nginx_config.http.client_header_timeout",
            "a duration above zero",
            "\"soon\"",
        ),
        (
            "nginx_config:\n  http:\n    client_body_timeout: 0\n",
            "3:26",
            "nginx_config.http.client_body_timeout",
            "a duration above zero",
            "0",
        ),
        (
            "nginx_config:\n  http:\n    client_max_body_size: 1.5m\n",
            "3:27",
            "nginx_config.http.client_max_body_size",
            "a size",
            "1.5m",
        ),
        (
            "nginx_config:\n  error_log_level: loud\n",
            "2:20",
            "nginx_config.error_log_level",
            "one of debug, info",
            "\"loud\"",
        ),
        (
            "deployment:\n  admin:\n    allow_admin: [10.0.0.0/99]\n",
            "3:19",
            "deployment.admin.allow_admin[0]",
            "a CIDR range",
            "10.0.0.0/99",
        ),
    ];
    let home = tempfile::tempdir().unwrap();
    for (file, place, key, expected, found) in cases {
        let ended = start(home.path(), file.as_bytes(), &[], &[]);
        assert_eq!(ended.code, Some(2), "{file}: {}", ended.told);
        let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
        let begin = format!("FILE:{place}: {key}expected ");
        assert!(ended.told.starts_with(&begin), "{file}: {:?} does not begin with {begin:?}", ended.told);
        let (wanted, had) = ended.told[begin.len()..].split_once(", found ").expect("what was found");
        assert!(wanted.contains(expected) && had.contains(found), "{file}: {}", ended.told);
        assert_eq!(ended.told.lines().count(), 1, "{file}: {}", ended.told);
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let file = "nginx_config:\n  http:\n    send_timeout: []\napisix:\n  enable_control: 7\n  node_listen: []\na6:\n  workers: all\n";
    let home = tempfile::tempdir().unwrap();
    let variables = [("A6_CONF_A6__DRAIN_TIMEOUT", "long")];
    let ended = start(home.path(), file.as_bytes(), &["--workers", "0"], &variables);
    assert_eq!(ended.code, Some(2), "{}", ended.told);
    let begins = [
        "FILE:3:19: nginx_config.http.send_timeout: ",
        "FILE:5:19: apisix.enable_control: ",
        "FILE:6:16: apisix.node_listen: ",
        "FILE:8:12: a6.workers: ",
    ];
    let lines: Vec<&str> = ended.told.lines().collect();
    assert_eq!(lines.len(), begins.len() + 2, "{}", ended.told);
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line} does not begin with {begin}");
    }
    for begin in
        ["A6_CONF_A6__DRAIN_TIMEOUT: a6.drain_timeout: expected ", "--workers: expected at least 1, found 0"]
    {
        assert!(lines[4..].iter().any(|line| line.starts_with(begin)), "no {begin} in {}", ended.told);
    }
}

#[test]
fn a_file_that_cannot_be_taken_is_refused_with_the_reason() {
    let embedded = "not supported yet; remove it to use the embedded store";
    let large = vec![b'#'; (1 << 20) + 1];
    let cases: [(&[u8], &[&str]); 14] = [
        (b"a6: {workers: 1}\na6: {workers: 2}\n", &["FILE:2:1: a6: duplicate key, first set on line 1"]),
        (b"apisix:\n  node_listen: [1\n a: b\n", &["FILE:3:", "not valid YAML"]),
        (b"apisix:\n\tnode_listen: 1\n", &["FILE:2:", "not valid YAML", "tab"]),
        (b"a6:\n  data_dir: \xff\n", &["FILE:2:13: not UTF-8"]),
        (&large, &["FILE: larger than 1 MiB"]),
        (
            b"a6:\n  data_dir: ${{A6_TEST_NOWHERE}}\n",
            &["FILE:2:13: a6.data_dir: ", "A6_TEST_NOWHERE is not set"],
        ),
        (
            b"deployment:\n  role_traditional:\n    config_provider: etcd\n",
            &["FILE:3:5: deployment.role_traditional.config_provider: ", embedded],
        ),
        (b"deployment:\n  role_control_plane: {config_provider: yaml}\n", &["config_provider: ", embedded]),
        (
            b"deployment:\n  etcd:\n    host: [\"http://127.0.0.1:2379\"]\n",
            &["FILE:3:5: deployment.etcd.host: ", embedded],
        ),
        (b"etcd:\n  host: [\"http://127.0.0.1:2379\"]\n", &["FILE:2:3: etcd.host: ", embedded]),
        (b"apisix:\n  config_center: etcd\n", &["FILE:2:3: apisix.config_center: ", embedded]),
        (
            b"deployment:\n  role: data_plane\n",
            &["deployment.role_data_plane.config_provider: missing", "write yaml or json"],
        ),
        (
            b"deployment: {admin: {admin_key: [{name: a, key: sk-secret, role: boss}]}}\n",
            &["admin_key[0].role: expected admin or viewer"],
        ),
        (b"deployment: {admin: {admin_key: sk-secret}}\n", &["deployment.admin.admin_key: expected a list"]),
    ];
    let home = tempfile::tempdir().unwrap();
    for (file, parts) in cases {
        let shown = String::from_utf8_lossy(&file[..file.len().min(200)]);
        let ended = start(home.path(), file, &[], &[]);
        assert_eq!(ended.code, Some(2), "{shown}: {}", ended.told);
        for part in parts {
            assert!(ended.told.contains(part), "{shown}: no {part:?} in {}", ended.told);
        }
        assert!(!ended.told.contains("sk-secret"), "a key was shown: {}", ended.told);
        assert!(!home.path().join("data").exists(), "{shown}: something was stored");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("missing.yaml");
    for (file, reason) in [(missing.as_path(), "No such file"), (home.path(), "Is a directory")] {
        let file = file.to_str().unwrap();
        let ended = start(home.path(), b"", &["--config", file], &[]);
        assert_eq!(ended.code, Some(2), "{file}: {}", ended.told);
        let begin = format!("{file}: cannot read the settings: {reason}");
        assert!(ended.told.starts_with(&begin), "{:?} does not begin with {begin:?}", ended.told);
    }
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let cases = [
        (["--workers", "0"], "--workers: expected at least 1, found 0"),
        (["--workers", "many"], "\"many\" for \"--workers\""),
        (["--drain-timeout", "soon"], "\"soon\" for \"--drain-timeout\""),
        (["--workers", "5000"], "--workers: "),
    ];
    for (flags, expected) in cases {
        let ended = start(home.path(), QUIET.as_bytes(), &flags, &[]);
        assert!(ended.code.is_some_and(|code| code == 1 || code == 2), "{flags:?}: {}", ended.told);
        assert!(ended.told.contains(expected), "{flags:?}: {}", ended.told);
    }
}

#[test]
fn what_is_not_understood_is_one_warning_each_and_the_gateway_serves() {
    let settings = "nginx_config:\n  worker_processes: 3\n  http:\n    keepalive_timout: 3s\n    charset: utf-8\n\
                    plugin_attr: {log-rotate: {a: 1, b: 2}, prometheus: {export_addr: {{exporter}}}}\ndiscovery: {dns: {servers: [a, b]}}\nnonsense: 1\n\
                    a6:\n  wokers: 3\n";
    let mock = support::mock();
    let gateway = Setup::new()
        .settings(settings)
        .variable("A6_CONF_A6__DRAIN_TIMOUT", "3s")
        .variable("A6_CONF_EXT_PLUGIN__CMD", "[a]")
        .variable("APISIX_DEPLOYMENT_ETCD_HOST", "[\"http://127.0.0.1:2379\"]")
        .start();
    let output = gateway.output();
    let warnings: Vec<&str> = output.lines().filter_map(|line| line.strip_prefix("warning: ")).collect();
    let unserved = "known to APISIX, not served by a6";
    // The key, and what is said of it.
    let expected = [
        ("nginx_config.worker_processes: ", "use a6.workers instead"),
        ("nginx_config.http.keepalive_timout: ", "did you mean nginx_config.http.keepalive_timeout?"),
        ("nginx_config.http.charset: ", unserved),
        ("plugin_attr.log-rotate: ", unserved),
        ("discovery: ", unserved),
        ("nonsense: ", "unknown key, ignored"),
        ("a6.wokers: ", "did you mean a6.workers?"),
        ("A6_CONF_A6__DRAIN_TIMOUT: a6.drain_timout: ", "did you mean a6.drain_timeout?"),
        ("A6_CONF_EXT_PLUGIN__CMD: ", "did you mean ext-plugin?"),
        ("APISIX_DEPLOYMENT_ETCD_HOST: ", "the embedded store is used"),
    ];
    for (key, said) in expected {
        let found: Vec<&&str> = warnings.iter().filter(|warning| warning.contains(key)).collect();
        assert_eq!(found.len(), 1, "{key} in {warnings:#?}");
        assert!(found[0].contains(said), "{key}: {}", found[0]);
        assert!(key.starts_with("A") || found[0].contains("gateway.yaml:"), "no line: {}", found[0]);
    }
    assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    assert_eq!(support::post(gateway.data, "/chat", &[], &chat("hello")).status, 200);
}

#[test]
fn a_variable_wins_over_the_file_and_a_flag_over_the_variable() {
    let home = Arc::new(tempfile::tempdir().unwrap());
    let elsewhere = home.path().join("elsewhere");
    let gateway = Setup::new()
        .home(&home)
        .settings("nginx_config:\n  http:\n    client_max_body_size: 1g\n    send_timeout: 7s\n")
        .variable("A6_CONF_NGINX_CONFIG__HTTP__CLIENT_MAX_BODY_SIZE", "20")
        .variable("a6_conf_apisix__enable_server_tokens", "false")
        .variable("A6_CONF_A6__DATA_DIR", elsewhere.to_str().unwrap())
        .start();
    let mock = support::mock();
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    let answer = support::post(gateway.data, "/chat", &[], &chat("hello"));
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(answer.text().contains("the maximum size 20 allowed"), "{}", answer.text());
    assert_eq!(answer.header("server"), Some("APISIX"));
    assert!(gateway.data_dir().join("config.db").exists() && !elsewhere.exists(), "{}", gateway.output());
    drop(gateway);

    // An empty one brings the default back; a whole section may be given as YAML.
    let gateway = Setup::new()
        .home(&home)
        .settings("nginx_config:\n  http:\n    client_max_body_size: 20\n")
        .variable("A6_CONF_NGINX_CONFIG__HTTP__CLIENT_MAX_BODY_SIZE", "")
        .variable("A6_CONF_A6", "{drain_timeout: 1s}")
        .start();
    let answer = support::post(gateway.data, "/chat", &[], &chat("hello"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!gateway.output().contains("warning: "), "{}", gateway.output());
    drop(gateway);

    for (name, value, told) in [
        (
            "A6_CONF_A6__WORKERS",
            "zero",
            "A6_CONF_A6__WORKERS: a6.workers: expected an integer from 1 to 1024, found ",
        ),
        (
            "A6_CONF_APISIX__NODE_LISTEN",
            "[1, x]",
            "A6_CONF_APISIX__NODE_LISTEN: apisix.node_listen[1]: expected ",
        ),
        (
            "A6_CONF_DEPLOYMENT__ETCD__HOST",
            "[x]",
            "A6_CONF_DEPLOYMENT__ETCD__HOST: deployment.etcd.host: not supported yet",
        ),
    ] {
        let fresh = tempfile::tempdir().unwrap();
        let ended = start(fresh.path(), QUIET.as_bytes(), &[], &[(name, value)]);
        assert_eq!(ended.code, Some(2), "{name}: {}", ended.told);
        assert!(ended.told.starts_with(told), "{name}: {}", ended.told);
    }
}

#[test]
fn a_port_in_use_is_named_whosever_it_is() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port();
    let listen = |data: u16| format!("apisix:\n  node_listen: [{{ip: 127.0.0.1, port: {data}}}]\n");
    let cases = [
        ("data plane", format!("{}  enable_admin: false\n  enable_control: false\n", listen(port))),
        (
            "Admin API",
            format!(
                "{}  enable_control: false\ndeployment: {{admin: {{admin_listen: {{port: {port}}}}}}}\n",
                listen(0)
            ),
        ),
        ("Control API", format!("{}  enable_admin: false\n  control: {{port: {port}}}\n", listen(0))),
        (
            "data plane in TLS",
            format!(
                "{}  enable_admin: false\n  enable_control: false\n  ssl: {{listen: [{{ip: 127.0.0.1, port: {port}}}]}}\n",
                listen(0)
            ),
        ),
    ];
    let home = tempfile::tempdir().unwrap();
    for (name, file) in cases {
        let ended = start(home.path(), file.as_bytes(), &[], &[]);
        assert_eq!(ended.code, Some(1), "{name}: {}", ended.told);
        let expected = format!("cannot listen on {address}: Address already in use");
        assert!(ended.told.contains(&expected), "{name}: {}", ended.told);
    }
    // The listener that was there is none the worse.
    assert!(std::net::TcpStream::connect(address).is_ok());
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a-file");
    fs::write(&file, "in the way").unwrap();
    let below = file.join("data");
    let (file, below) = (file.to_str().unwrap(), below.to_str().unwrap());
    // What is below /proc cannot be made, whoever asks.
    for path in [file, below, "/proc/a6-test"] {
        let ended = start(home.path(), QUIET.as_bytes(), &["--data-dir", path], &[]);
        assert_eq!(ended.code, Some(1), "{path}: {}", ended.told);
        assert!(ended.told.contains(path) && ended.told.contains("--data-dir"), "{path}: {}", ended.told);
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "in the way");
}

#[test]
fn two_processes_never_share_a_data_directory() {
    let mock = support::mock();
    let gateway = Setup::new().start();
    let home = Arc::clone(&gateway.home);
    gateway.put("routes/r", &ai_route("/chat", &mock.url(), json!({})));
    let data = gateway.data_dir();
    let elsewhere = tempfile::tempdir().unwrap();
    let flags = ["--data-dir", data.to_str().unwrap()];
    let ended = start(elsewhere.path(), QUIET.as_bytes(), &flags, &[]);
    assert_eq!(ended.code, Some(1), "{}", ended.told);
    let expected = format!("is in use by process {}", gateway.pid());
    assert!(ended.told.contains(&expected) && ended.told.contains(flags[1]), "{}", ended.told);
    // The one that was there serves on, and writes.
    assert_eq!(support::post(gateway.data, "/chat", &[], &chat("hello")).status, 200);
    gateway.put("routes/two", &ai_route("/two", &mock.url(), json!({})));

    // A process that was killed leaves nothing behind that would lock the next one out.
    gateway.signal("KILL");
    drop(gateway);
    let gateway = Setup::new().home(&home).start();
    let listed = eventually("both routes", || {
        let (status, answer) = gateway.admin("GET", "routes", None);
        (status == 200).then(|| answer["total"].clone())
    });
    assert_eq!(listed, json!(2));
}
