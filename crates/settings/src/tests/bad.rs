//! Settings that cannot be used, and what warnings say.

use super::{options, read};
use crate::{Options, load, load_bytes};
use std::path::Path;
use std::time::Duration;

/// Each text with the whole message.
#[test]
fn one_line_per_problem() {
    for (text, expected) in [
        (
            "apisix:\n  node_listen: abc\n",
            "c.yaml:2:16: apisix.node_listen: expected an integer from 0 to 65535, a list of them or a list of {ip, port}, found a string \"abc\"",
        ),
        (
            "apisix:\n  node_listen: [9080, 70000]\n",
            "c.yaml:2:23: apisix.node_listen[1]: expected an integer from 0 to 65535 or {ip, port}, found an integer 70000",
        ),
        (
            "a6: {workers: 0}",
            "c.yaml:1:15: a6.workers: expected an integer from 1 to 1024, found an integer 0",
        ),
        (
            "apisix: {enable_admin: yes}",
            "c.yaml:1:24: apisix.enable_admin: expected true or false, found a string \"yes\"",
        ),
        ("apisix: 5", "c.yaml:1:9: apisix: expected a mapping of keys, found an integer"),
        ("- 5", "c.yaml:1:1: expected a mapping of keys, found a list"),
        (
            "a6:\n  workers: 1\n  workers: 2\n",
            "c.yaml:3:3: a6.workers: duplicate key, first set on line 2; keep one of them",
        ),
        (
            "deployment:\n  role_traditional:\n    config_provider: etcd\n",
            "c.yaml:3:5: deployment.role_traditional.config_provider: not supported yet; remove it to use the embedded store",
        ),
        (
            "deployment: {etcd: {host: ['http://127.0.0.1:2379']}}",
            "c.yaml:1:21: deployment.etcd.host: not supported yet; remove it to use the embedded store",
        ),
        (
            "deployment: {role: control_plane}",
            "c.yaml:1:20: deployment.role: expected one of traditional, data_plane, found a string \"control_plane\"",
        ),
        (
            "deployment: {role: data_plane}",
            "settings: deployment.role_data_plane.config_provider: missing; a data plane of a6 reads a file, so write yaml or json",
        ),
        (
            "deployment: {role: data_plane, role_data_plane: {config_provider: xds}}",
            "c.yaml:1:50: deployment.role_data_plane.config_provider: not supported yet; remove it to use the embedded store",
        ),
        (
            "deployment: {role_traditional: {config_provider: json}}",
            "c.yaml:1:50: deployment.role_traditional.config_provider: expected yaml, the only one that a6 serves so far, found a string \"json\"",
        ),
        (
            "a6:\n  data_dir: ${{NOWHERE}}\n",
            "c.yaml:2:13: a6.data_dir: environment variable NOWHERE is not set; set it or write a default: ${{NOWHERE:=default}}",
        ),
        (
            "a6: {resolve: {api.openai.com: localhost}}",
            "c.yaml:1:32: a6.resolve.api.openai.com: expected \"ip\" or \"ip:port\" such as 127.0.0.1:8443 or \"[::1]:8443\", found a string \"localhost\"",
        ),
    ] {
        assert_eq!(read(text, &[]).unwrap_err().to_string(), expected, "{text}");
    }
}

/// Each text with a part of the message.
#[test]
fn more_that_cannot_be_used() {
    for (text, part) in [
        ("apisix: {node_listen: []}", "expected at least one port"),
        ("apisix: {data_encryption: {keyring: short}}", "keyring: expected a key of 16 or 32 bytes"),
        (
            "apisix: {data_encryption: {keyring: [0123456789abcdef, x]}}",
            "keyring[1]: expected a key of 16 or 32",
        ),
        ("apisix: {node_listen: [1, 1]}", "node_listen[1]: 0.0.0.0:1 stands twice"),
        ("apisix: {node_listen: [{ip: here, port: 1}]}", "node_listen[0].ip: expected an IP address"),
        ("apisix: {node_listen: [{ip: 127.0.0.1}]}", "node_listen[0]: port is missing"),
        ("apisix: {node_listen: 9080.5}", "found a number 9080.5"),
        ("apisix: {node_listen: '9080'}", "found a string \"9080\""),
        ("deployment: {admin: {allow_admin: 10.0.0.0/8}}", "expected a list"),
        (
            "deployment: {admin: {allow_admin: [10.0.0.0/40]}}",
            "allow_admin[0]: expected an IP address or a CIDR",
        ),
        ("plugin_attr: {prometheus: {default_buckets: [5, 1]}}", "each larger than the one before"),
        (
            "plugin_attr: {prometheus: {default_buckets: [-1]}}",
            "default_buckets: expected a list of 1 to 100",
        ),
        (
            "plugin_attr: {prometheus: {export_uri: metrics}}",
            "export_uri: expected a path that begins with /",
        ),
        ("plugin_attr: {prometheus: {metric_prefix: a-b}}", "metric_prefix: expected letters, digits and _"),
        ("plugin_attr: {prometheus: {metrics: 1}}", "metrics: expected a mapping from a metric's name"),
        ("plugin_attr: {prometheus: {metrics: {http_status: {expire: x}}}}", "http_status.expire: expected"),
        (
            "plugin_attr: {prometheus: {metrics: {http_status: {extra_labels: [{le: $host}]}}}}",
            "http_status.extra_labels: expected a list of {label: $variable}",
        ),
        (
            "plugin_attr: {prometheus: {metrics: {http_status: {extra_labels: [{a: host}]}}}}",
            "http_status.extra_labels: expected",
        ),
        // Left out, it would leave an empty list, which lets everybody in.
        ("deployment: {admin: {allow_admin: ['unix:']}}", "found a string \"unix:\""),
        ("apisix: {router: {http: trie}}", "expected one of radixtree_host_uri"),
        ("apisix: {enable_http2: 2}", "expected true or false"),
        ("apisix: {match_uri_encoded_slash: on}", "expected true or false"),
        ("apisix: {trusted_addresses: 10.0.0.0/8}", "expected a list"),
        ("nginx_config: {http: {real_ip_header: []}}", "expected text that is not empty"),
        ("nginx_config: {http: {send_timeout: 0}}", "expected a duration above zero"),
        ("nginx_config: {http: {client_max_body_size: 5 apples}}", "expected a size such as 64m"),
        ("a6: {memory_budget: 0}", "or a share from 1% to 100%"),
        ("a6: {data_dir: ''}", "expected text that is not empty"),
        ("a6: {drain_timeout: [1]}", "found a list"),
        ("a6: {resolve: {'http://x': 1.1.1.1}}", "expected a host name"),
        ("a6: {admin_hosts: gateway}", "expected a list, each item a host name"),
        ("a6: {admin_hosts: ['gateway:9180']}", "admin_hosts[0]: expected a host name"),
        ("a6: {admin_hosts: ['*.internal']}", "found a string \"*.internal\""),
        ("a6: {admin_hosts: [bücher.example]}", "of ASCII letters"),
        ("a6: {admin_hosts: ['.']}", "admin_hosts[0]: expected a host name"),
        ("a6: {resolve: {X: 1.1.1.1, x: 1.1.1.1}}", "x stands twice"),
        ("plugins: [ai-proxy, {}]", "plugins[1]: expected a name, found a mapping"),
        ("etcd: {host: x}", "etcd.host: not supported yet"),
        ("deployment: {admin: {admin_key: [{name: a, key: k}]}}", "role is missing"),
        ("apisix: {ssl: {ssl_protocols: TLSv1.1}}", "expected TLSv1.2, TLSv1.3 or both"),
        ("apisix: {ssl: {ssl_protocols: [TLSv1.2, SSLv3]}}", "expected TLSv1.2, TLSv1.3 or both"),
        ("apisix: {ssl: {listen: [{port: 1, enable_http3: 3}]}}", "listen[0].enable_http3: expected true"),
        (
            "deployment: {admin: {https_admin: true, admin_api_mtls: {admin_ssl_cert: c, admin_ssl_cert_key: ''}}}",
            "deployment.admin.admin_api_mtls.admin_ssl_cert_key: is missing",
        ),
        ("deployment: {admin: {admin_key: [{key: '', role: viewer}]}}", "key is empty"),
        ("a: {b: 1", "c.yaml:1:"),
        ("a: b: c", "not valid YAML"),
        ("a: 1\n---\nb: 2", "a second document"),
        ("a: &x [*x]", "alias"),
        ("x: &x {a: 1}\ny: {<<: *x}", "c.yaml:2:5: merge keys"),
        ("[1, 2]: 3", "a key must be text"),
        ("a6: {data_dir: \"${{A-B}}\"}", "expected ${{NAME}}"),
        ("a6: {drain_timeout: 9999999999999999999999d}", "at most 365d"),
    ] {
        let message = read(text, &[]).unwrap_err().to_string();
        assert!(message.contains(part), "{text}: {message}");
        assert!(!message.contains('\n'), "{text} has one problem: {message}");
    }
}

#[test]
fn all_problems_are_shown_in_the_order_of_the_file() {
    let text = "plugins: 1\na6:\n  workers: x\n  data_dir: ${{NOWHERE}}\napisix: {enable_admin: 1}\n";
    let error = read(text, &[("A6_CONF_A6__DRAIN_TIMEOUT", "soon")]).unwrap_err();
    let keys: Vec<&str> = error.problems().iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["plugins", "a6.workers", "a6.data_dir", "apisix.enable_admin", "a6.drain_timeout"]);
    assert!(error.to_string().ends_with("found a string \"soon\""));
    assert_eq!(error.problems().last().unwrap().place, "A6_CONF_A6__DRAIN_TIMEOUT");
}

#[test]
fn admin_keys_are_never_shown() {
    for text in [
        "deployment: {admin: {admin_key: sesame}}",
        "deployment: {admin: {admin_key: [sesame]}}",
        "deployment: {admin: {admin_key: {key: sesame}}}",
        "deployment: {admin: {admin_key: [{name: [sesame], key: [sesame], role: sesame}]}}",
        "deployment: {admin: sesame}",
        "apisix: {data_encryption: {keyring: sesame}}",
        "apisix: {data_encryption: {keyring: [[sesame]]}}",
        "apisix: {data_encryption: {keyring: {sesame: sesame}}}",
    ] {
        let error = read(text, &[]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("sesame"), "{text}: {error}");
    }
}

#[test]
fn warnings_name_line_and_nearest_key() {
    for (text, expected) in [
        (
            "apisix:\n  node_listn: 9080\n",
            "c.yaml:2:3: apisix.node_listn: unknown key, ignored; did you mean apisix.node_listen?",
        ),
        (
            "admin_key: []\n",
            "c.yaml:1:1: admin_key: unknown key, ignored; did you mean deployment.admin.admin_key?",
        ),
        ("something: {else: 1}\n", "c.yaml:1:1: something: unknown key, ignored"),
        ("apisix.node_listen: 1\n", "c.yaml:1:1: apisix.node_listen: unknown key, ignored"),
        (
            "apisix: {node_listen: [{port: 1, prot: 2}]}\n",
            "c.yaml:1:34: apisix.node_listen[0].prot: unknown key, ignored; did you mean port?",
        ),
        (
            "apisix: {stream_proxy: {tcp: [9100]}}\n",
            "c.yaml:1:10: apisix.stream_proxy: known to APISIX, ignored: a6 carries HTTP and no TCP or UDP streams: it opens \
             no port for them, and stream_routes are refused",
        ),
        (
            "apisix: {proxy_mode: http&stream}\n",
            "c.yaml:1:10: apisix.proxy_mode: http&stream is known to APISIX, ignored: a6 carries HTTP and no TCP or UDP \
             streams: it opens no port for them, and stream_routes are refused",
        ),
        (
            "nginx_config: {worker_processes: auto}\n",
            "c.yaml:1:16: nginx_config.worker_processes: known to APISIX, not served by a6; ignored, use a6.workers instead",
        ),
    ] {
        assert_eq!(read(text, &[]).unwrap().warnings, [expected], "{text}");
    }
    assert_eq!(read("apisix: {proxy_mode: http}\n", &[]).unwrap().warnings, Vec::<String>::new());
    for (text, part) in [
        ("apisix: {ssl: {ssl_protocols: [TLSv1.1, TLSv1.2]}}", "ssl_protocols: a6 does not speak TLSv1.1"),
        ("apisix: {ssl: {listen: [{port: 1, enable_http3: true}]}}", "listen[0].enable_http3: true is known"),
        (
            "deployment: {admin: {admin_api_mtls: {admin_ssl_ca_cert: ca}}}",
            "nobody is asked for a certificate",
        ),
    ] {
        let warnings = read(text, &[]).unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{text}: {warnings:?}");
        assert!(warnings[0].contains(part), "{text}: {}", warnings[0]);
    }
    let open = "deployment: {admin: {admin_key_required: false, admin_listen: {ip: 0.0.0.0}}}";
    let warnings = read(open, &[]).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("anyone who reaches 0.0.0.0:9180"), "{}", warnings[0]);
}

/// What has no effect is told, whether the file or a variable has it; what a6 does anyway is not.
#[test]
fn a_key_that_is_not_served_is_one_warning() {
    let ignored = "known to APISIX, not served by a6 yet; ignored";
    for (path, value, before, after) in [
        ("apisix.match_uri_encoded_slash", "false", "", ""),
        ("apisix.normalize_uri_like_servlet", "true", "", ""),
        ("apisix.trusted_addresses", "[10.0.0.0/8, '::1']", "", ""),
        ("nginx_config.http.real_ip_header", "X-Client", "", ""),
        ("nginx_config.http.real_ip_from", "[192.0.2.1, 'unix:']", "", ""),
        ("plugins", "[ai-proxy, key-auth]", "", ""),
        ("stream_plugins", "[]", "", ""),
        ("apisix.router.http", "radixtree_uri", "radixtree_uri is ", ", radixtree_host_uri stays in force"),
        ("apisix.enable_http2", "false", "false is ", ", true stays in force"),
        ("apisix.ssl.ssl_session_tickets", "true", "true is ", ", false stays in force"),
        ("apisix.ssl.ssl_ciphers", "x", "", ""),
        ("nginx_config.http.access_log_format_escape", "json", "json is ", ", default stays in force"),
    ] {
        let expected = format!("{path}: {before}{ignored}{after}");
        let text = format!("{}: {value}{}", path.replace('.', ": {"), "}".repeat(path.matches('.').count()));
        let warnings = read(&text, &[]).unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{text}: {warnings:?}");
        assert!(warnings[0].starts_with("c.yaml:1:") && warnings[0].ends_with(&expected), "{warnings:?}");

        let variable = format!("A6_CONF_{}", path.to_uppercase().replace('.', "__"));
        let warnings = read("", &[(variable.as_str(), value)]).unwrap().warnings;
        assert_eq!(warnings, [format!("{variable}: {expected}")]);
    }
    for text in ["plugins:", "apisix: {router: {http: radixtree_host_uri}, enable_http2: true}"] {
        assert_eq!(read(text, &[]).unwrap().warnings, Vec::<String>::new(), "{text}");
    }
}

#[test]
fn variables_are_checked_like_the_file() {
    for (name, value, part) in [
        ("A6_CONF_A6__WORKERS", "many", "A6_CONF_A6__WORKERS: a6.workers: expected an integer"),
        ("A6_CONF_A6__WORKERS", "[", "A6_CONF_A6__WORKERS: not valid YAML"),
        ("A6_CONF_A6__WORKERS__X", "1", "a6.workers is no mapping"),
        (
            "A6_CONF_DEPLOYMENT__ETCD__HOST",
            "x",
            "A6_CONF_DEPLOYMENT__ETCD__HOST: deployment.etcd.host: not supported",
        ),
        ("A6_CONF_A6", "{workers: 1, workers: 2}", "first set in A6_CONF_A6"),
    ] {
        let message = read("a6: {workers: 1}", &[(name, value)]).unwrap_err().to_string();
        assert!(message.contains(part), "{name}={value}: {message}");
    }
    for (name, part) in [
        (
            "A6_CONF_A6__WOKERS",
            "A6_CONF_A6__WOKERS: a6.wokers: unknown key, ignored; did you mean a6.workers?",
        ),
        ("A6_CONF_", "names no key"),
        ("A6_CONF_A6____WORKERS", "names no key"),
        ("APISIX_DEPLOYMENT_ETCD_HOST", "etcd is not supported yet"),
    ] {
        let warnings = read("", &[(name, "1")]).unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{name}");
        assert!(warnings[0].contains(part), "{name}: {}", warnings[0]);
    }
}

#[test]
fn files_that_are_no_settings() {
    let missing = Options { file: Some("no/such/file.yaml".into()), ..Options::default() };
    let message = load(&missing).unwrap_err().to_string();
    assert!(message.starts_with("no/such/file.yaml: cannot read the settings: "), "{message}");

    let source = Some(Path::new("c.yaml"));
    let message = load_bytes(b"a6: {}\nb: \xff", source, &Options::default()).unwrap_err().to_string();
    assert_eq!(message, "c.yaml:2:4: not UTF-8; save the file as UTF-8");
    let big = vec![b'#'; (1 << 20) + 1];
    let message = load_bytes(&big, source, &Options::default()).unwrap_err().to_string();
    assert!(message.starts_with("c.yaml: larger than 1 MiB"), "{message}");

    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let item = format!("*a{}, ", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", item.repeat(10)));
    }
    assert!(read(&bomb, &[]).unwrap_err().to_string().contains("too large, with aliases expanded"));
    let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
    assert!(read(&deep, &[]).unwrap_err().to_string().contains("nested too deeply"));
}

#[test]
fn flags_are_checked() {
    let mut options = options(&[]);
    options.workers = Some(0);
    options.drain_timeout = Some(Duration::ZERO);
    let message = load_bytes(b"", None, &options).unwrap_err().to_string();
    assert_eq!(message, "--workers: expected at least 1, found 0");
}
