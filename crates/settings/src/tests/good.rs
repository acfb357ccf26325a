//! Settings that can be used.

use super::{options, read};
use crate::{
    AdminTls, DataTls, FileFormat, HostOverride, Loaded, MetricSettings, Options, Role, Source, TlsProtocols,
    load, load_bytes,
};
use ipnet::IpNet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const EVERYTHING: &str = r#"
a6:
  workers: 3
  data_dir: /srv/a6
  drain_timeout: 1m
  memory_budget: 256MiB
  resolve:
    API.openai.com.: 127.0.0.1:8443
    api.anthropic.com: "::1"
  admin_hosts: [A6.internal., gateway]
apisix:
  node_listen:
    - 9081
    - {ip: 127.0.0.1, port: 9082}
  enable_admin: true
  enable_control: true
  control: {ip: 127.0.0.2, port: 9091}
  ssl:
    ssl_trusted_certificate: /etc/ca.pem
    enable: true
    listen: [{ip: 127.0.0.1, port: 9444, enable_http3: false}, 9445]
    ssl_protocols: TLSv1.3
    ssl_session_tickets: false
    fallback_sni: a6.test
  router: {http: radixtree_host_uri, ssl: radixtree_sni}
  enable_http2: True
  data_encryption: {enable_encrypt_fields: false, keyring: [0123456789abcdef, edd1c9f0985e76a2]}
  delete_uri_tail_slash: true
  max_post_args_readable_size: 1
  show_upstream_status_in_response_header: true
  enable_server_tokens: false
nginx_config:
  error_log_level: info
  envs: [HOME]
  http:
    access_log: logs/access.log
    access_log_buffer: 32k
    access_log_format: $status
    access_log_format_escape: default
    enable_access_log: false
    client_header_timeout: 1s
    client_body_timeout: 2s
    keepalive_timeout: 0
    send_timeout: 500ms
    client_max_body_size: 64m
deployment:
  role: traditional
  admin:
    admin_key:
      - {name: boss, key: sesame, role: admin}
      - {name: guest, key: 0123, role: viewer}
    admin_key_required: true
    admin_listen: {ip: "::1", port: 9181}
    allow_admin: [127.0.0.1]
    enable_admin_cors: true
    https_admin: true
    admin_api_mtls: {admin_ssl_cert: /etc/a.pem, admin_ssl_cert_key: /etc/a.key, admin_ssl_ca_cert: ""}
plugin_attr:
  prometheus:
    export_addr: {ip: 0.0.0.0, port: 9100}
    export_uri: /metrics
    metric_prefix: gw_
    refresh_interval: 5
    default_buckets: [0.5, 10, 1000]
    llm_prompt_tokens_buckets: [100]
    metrics:
      http_status:
        expire: 600
        extra_labels: [{team: $http_x_team}, {_b: $host}]
      bandwidth:
"#;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn good(text: &str, env: &[(&str, &str)]) -> Loaded {
    let loaded = read(text, env).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new(), "{text}");
    loaded
}

#[test]
fn defaults() {
    let settings = good("", &[("HOME", "/home/u")]).settings;
    let data = &settings.data;
    assert_eq!(data.listen, [address("0.0.0.0:9080")]);
    let timeouts = [data.header_timeout, data.body_timeout, data.keepalive_timeout, data.send_timeout];
    assert_eq!(timeouts.map(|timeout| timeout.as_secs()), [60, 60, 60, 10]);
    assert_eq!((data.max_body_size, data.max_post_args), (0, 64 << 20));
    assert!(data.server_tokens && !data.show_upstream_status && !data.delete_uri_tail_slash);
    let admin = settings.admin.as_ref().unwrap();
    assert_eq!(admin.listen, address("127.0.0.1:9180"));
    assert_eq!(admin.allow, [net("127.0.0.0/24"), net("::1/128")]);
    assert!(admin.keys.is_empty() && admin.generate && admin.key_required && !admin.cors);
    assert_eq!(settings.control, Some(address("127.0.0.1:9090")));
    assert!(settings.workers >= 1 && settings.resolve.is_empty() && settings.admin_hosts.is_empty());
    assert_eq!(settings.data_dir, Path::new("/home/u/.local/share/a6"));
    assert_eq!(settings.drain_timeout, Duration::from_secs(30));
    assert!(settings.access_log.enabled);
    assert!(settings.access_log.format.starts_with("$remote_addr - $remote_user [$time_local] $http_host"));
    assert!(settings.access_log.format.contains("$status $body_bytes_sent $request_time"));
    assert_eq!(settings.server_version, "3.18.0");
    let tls = DataTls {
        listen: vec![address("0.0.0.0:9443")],
        is_default: true,
        protocols: TlsProtocols { tls12: true, tls13: true },
        fallback_sni: None,
    };
    assert_eq!((data.tls.as_ref(), admin.tls.as_ref()), (Some(&tls), None));
    let metrics = &settings.prometheus;
    assert_eq!((metrics.listen, metrics.is_listen_set), (Some(address("127.0.0.1:9091")), false));
    assert_eq!((metrics.uri.as_str(), metrics.prefix.as_str()), ("/apisix/prometheus/metrics", "apisix_"));
    assert!(metrics.http_latency.is_empty() && metrics.metrics.is_empty());
    let off = good("plugin_attr: {prometheus: {enable_export_server: false}}", &[]).settings;
    assert_eq!(off.prometheus.listen, None);
}

#[test]
fn every_key_arrives() {
    let settings = good(EVERYTHING, &[]).settings;
    assert_eq!(settings.workers, 3);
    assert_eq!(settings.data_dir, Path::new("/srv/a6"));
    assert_eq!(settings.drain_timeout, Duration::from_secs(60));
    assert_eq!(settings.memory_budget, Some(256 << 20));
    let host = |host: &str, ip: &str, port| HostOverride { host: host.into(), ip: ip.parse().unwrap(), port };
    let hosts = [host("api.openai.com", "127.0.0.1", Some(8443)), host("api.anthropic.com", "::1", None)];
    assert_eq!(settings.resolve, hosts);
    assert_eq!(settings.control, Some(address("127.0.0.2:9091")));
    assert_eq!(settings.ssl_trusted_certificate, Some(PathBuf::from("/etc/ca.pem")));
    assert_eq!(settings.error_log_level, "info");
    assert_eq!(settings.admin_hosts, ["a6.internal", "gateway"]);
    let metrics = &settings.prometheus;
    assert_eq!((metrics.listen, metrics.is_listen_set), (Some(address("0.0.0.0:9100")), true));
    assert_eq!((metrics.uri.as_str(), metrics.prefix.as_str()), ("/metrics", "gw_"));
    assert_eq!(metrics.http_latency, [500, 10_000, 1_000_000]);
    assert_eq!((&metrics.prompt_tokens[..], metrics.llm_latency.len()), (&[100_000][..], 0));
    let labels = [("team", "$http_x_team"), ("_b", "$host")].map(|(a, b)| (a.to_string(), b.to_string()));
    let own = |name: &str, expire, labels: &[(String, String)]| MetricSettings {
        name: name.into(),
        expire: Duration::from_secs(expire),
        extra_labels: labels.to_vec(),
    };
    assert_eq!(metrics.metrics, [own("http_status", 600, &labels), own("bandwidth", 0, &[])]);
    let log = &settings.access_log;
    assert_eq!(
        (log.enabled, log.path.as_str(), log.format.as_str(), log.buffer),
        (false, "logs/access.log", "$status", 32_768)
    );

    let encryption = &settings.data_encryption;
    let keys: Vec<_> = encryption.keyring.iter().map(|key| key.expose().as_str()).collect();
    assert_eq!((encryption.encrypts_fields, keys), (false, vec!["0123456789abcdef", "edd1c9f0985e76a2"]));
    assert!(!format!("{encryption:?}").contains("0123456789abcdef"));

    let data = &settings.data;
    assert_eq!(data.listen, [address("0.0.0.0:9081"), address("127.0.0.1:9082")]);
    let timeouts = [data.header_timeout, data.body_timeout, data.keepalive_timeout, data.send_timeout];
    assert_eq!(timeouts.map(|timeout| timeout.as_millis()), [1000, 2000, 0, 500]);
    assert_eq!((data.max_body_size, data.max_post_args), (64 << 20, 1 << 20));
    assert!(data.delete_uri_tail_slash && data.show_upstream_status && !data.server_tokens);
    let tls = DataTls {
        listen: vec![address("127.0.0.1:9444"), address("0.0.0.0:9445")],
        is_default: false,
        protocols: TlsProtocols { tls12: false, tls13: true },
        fallback_sni: Some("a6.test".into()),
    };
    assert_eq!(data.tls, Some(tls));

    let admin = settings.admin.unwrap();
    assert_eq!(admin.listen, address("[::1]:9181"));
    assert_eq!(admin.allow, [net("127.0.0.1/32")]);
    assert!(admin.cors && admin.key_required && !admin.generate);
    let tls = AdminTls { cert: "/etc/a.pem".into(), key: "/etc/a.key".into(), client_ca: None };
    assert_eq!(admin.tls.as_ref(), Some(&tls));
    let keys: Vec<_> =
        admin.keys.iter().map(|k| (k.name.as_str(), k.key.expose().as_str(), k.role)).collect();
    assert_eq!(keys, [("boss", "sesame", Role::Admin), ("guest", "0123", Role::Viewer)]);
    assert!(!format!("{admin:?}").contains("sesame"));
}

#[test]
fn one_key_needs_no_list() {
    let one = good("apisix: {data_encryption: {keyring: qeddd145sfvddff3}}", &[]).settings.data_encryption;
    assert_eq!((one.encrypts_fields, one.keyring.len()), (true, 1));
    assert!(good("", &[]).settings.data_encryption.keyring.is_empty());
}

#[test]
fn listeners_can_be_off() {
    let settings = good("apisix: {enable_admin: false, enable_control: false}", &[]).settings;
    assert_eq!((settings.admin, settings.control), (None, None));
    assert_eq!(good("apisix: {ssl: {enable: false, listen: 1}}", &[]).settings.data.tls, None);
}

#[test]
fn tls_listens_beside_the_plain_listeners_unless_told_where() {
    let text =
        "apisix: {node_listen: [{ip: 127.0.0.1, port: 1}, {ip: 127.0.0.1, port: 2}, {ip: '::1', port: 1}]}";
    let tls = good(text, &[]).settings.data.tls.unwrap();
    assert_eq!(tls.listen, [address("127.0.0.1:9443"), address("[::1]:9443")]);
    for protocols in ["TLSv1.2 TLSv1.3", "[TLSv1.3, TLSv1.2]"] {
        let text = format!("apisix: {{ssl: {{ssl_protocols: {protocols}, fallback_sni: ''}}}}");
        let tls = good(&text, &[]).settings.data.tls.unwrap();
        assert_eq!(
            (tls.protocols, tls.fallback_sni),
            (TlsProtocols { tls12: true, tls13: true }, None),
            "{text}"
        );
    }
}

#[test]
fn an_empty_admin_key_asks_for_a_generated_one() {
    for (keys, count, generate) in [
        ("admin_key: [{name: a, key: '', role: admin}]", 0, true),
        ("admin_key: [{name: a, role: admin}, {name: v, key: k, role: viewer}]", 1, true),
        ("admin_key: [{name: a, key: k, role: admin}]", 1, false),
        ("admin_key: []", 0, true),
        ("admin_key: [], admin_key_required: false", 0, false),
    ] {
        let text = format!("deployment: {{admin: {{{keys}}}}}");
        let admin = read(&text, &[]).unwrap().settings.admin.unwrap();
        assert_eq!((admin.keys.len(), admin.generate), (count, generate), "{text}");
    }
}

#[test]
fn variables_are_substituted() {
    let text = "
# ${{IN_A_COMMENT}} needs no value
apisix:
  node_listen: [{ip: ${{IP:=127.0.0.1}}, port: ${{PORT}}}]
  enable_admin: \"${{ADMIN}}\"
a6: {data_dir: ${{DIR}}/a6}
";
    let settings = good(text, &[("PORT", "9081"), ("ADMIN", "false"), ("DIR", "/a #b: c")]).settings;
    assert_eq!(settings.data.listen, [address("127.0.0.1:9081")]);
    assert_eq!(settings.admin, None);
    assert_eq!(settings.data_dir, Path::new("/a #b: c/a6"));
}

#[test]
fn variables_override_the_file_and_flags_override_variables() {
    let text = "apisix: {node_listen: 9081}\na6: {workers: 1, drain_timeout: 5}";
    let mut options = options(&[
        ("A6_CONF_APISIX__NODE_LISTEN", "[9082, 9083]"),
        ("A6_CONF_a6__Workers", "2"),
        ("A6_CONF_A6__DRAIN_TIMEOUT", ""),
        ("A6_CONF_A6__RESOLVE", "{api.openai.com: 127.0.0.1:1}"),
        ("A6_CONF_DEPLOYMENT__ADMIN__ADMIN_LISTEN__PORT", "9999"),
        ("A6_DATA_DIR", "/from/variable"),
        ("XDG_DATA_HOME", "/xdg"),
        ("UNRELATED", "[not yaml"),
    ]);
    let loaded = load_bytes(text.as_bytes(), None, &options).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let settings = loaded.settings;
    let ports: Vec<u16> = settings.data.listen.iter().map(|address| address.port()).collect();
    assert_eq!((ports, settings.workers), (vec![9082, 9083], 2));
    assert_eq!(settings.drain_timeout, Duration::from_secs(30), "an empty value brings the default back");
    assert_eq!(settings.resolve.len(), 1);
    assert_eq!(settings.admin.unwrap().listen.port(), 9999);
    assert_eq!(settings.data_dir, Path::new("/from/variable"));

    options.workers = Some(4);
    options.drain_timeout = Some(Duration::from_secs(7));
    options.data_dir = Some("/from/flag".into());
    let settings = load_bytes(text.as_bytes(), None, &options).unwrap().settings;
    assert_eq!((settings.workers, settings.drain_timeout.as_secs()), (4, 7));
    assert_eq!(settings.data_dir, Path::new("/from/flag"));
}

#[test]
fn the_data_directory_has_a_default() {
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("A6_DATA_DIR", "/a"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")], "/a"),
        (&[("A6_DATA_DIR", ""), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")], "/x/a6"),
        (&[("XDG_DATA_HOME", "relative"), ("HOME", "/h")], "/h/.local/share/a6"),
        (&[], "./a6-data"),
    ];
    for (env, expected) in cases {
        assert_eq!(good("", env).settings.data_dir, Path::new(expected));
    }
}

#[test]
fn anchors_are_values() {
    let settings = good("a6: {data_dir: &d /srv/a6}\nnginx_config: {http: {access_log: *d}}", &[]).settings;
    assert_eq!(settings.access_log.path, "/srv/a6");
}

#[test]
fn shares_of_the_memory() {
    let budget = |text| good(text, &[]).settings.memory_budget;
    let (half, default) = (budget("a6: {memory_budget: 50%}"), budget(""));
    // Where the memory cannot be read there is no budget; elsewhere half is twice the default quarter.
    assert_eq!(half.is_some(), default.is_some());
    assert!(half.unwrap_or(2).abs_diff(default.unwrap_or(1) * 2) < 100);
}

#[test]
fn a_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    fs::write(&file, "a6: {workers: 5}").unwrap();
    let loaded = load(&Options { file: Some(file.clone()), ..Options::default() }).unwrap();
    assert_eq!((loaded.settings.workers, loaded.source), (5, Some(file)));
}

#[test]
fn roles_and_providers_say_who_rules() {
    let plane = |provider: &str, more: &str| {
        format!("deployment: {{role: data_plane, role_data_plane: {{config_provider: {provider}}}}}\n{more}")
    };
    let file = |path: &str, format| Source::File { path: PathBuf::from(path), format };
    let traditional = "deployment: {role_traditional: {config_provider: yaml}}";
    let cases = [
        (String::new(), Source::Store, 0),
        (traditional.to_owned(), Source::Client, 0),
        (
            format!("{traditional}\napisix: {{enable_admin: false}}"),
            file("conf/apisix.yaml", FileFormat::Yaml),
            0,
        ),
        (plane("yaml", ""), file("conf/apisix.yaml", FileFormat::Yaml), 0),
        (plane("json", ""), file("conf/apisix.json", FileFormat::Json), 0),
        (plane("yaml", "a6: {config_file: /etc/a6.yaml}"), file("/etc/a6.yaml", FileFormat::Yaml), 0),
        ("a6: {config_file: /etc/a6.yaml}".to_owned(), Source::Store, 1),
        ("deployment: {role_data_plane: {config_provider: yaml}}".to_owned(), Source::Store, 1),
    ];
    for (text, expected, warnings) in cases {
        let Loaded { settings, warnings: told, .. } = read(&text, &[]).unwrap();
        assert_eq!((settings.source, told.len()), (expected, warnings), "{text}: {told:?}");
    }
    let beside = Options { file: Some(PathBuf::from("/etc/a6/settings.yaml")), ..Options::default() };
    let loaded = load_bytes(plane("yaml", "").as_bytes(), None, &beside).unwrap();
    assert_eq!(loaded.settings.source, file("/etc/a6/apisix.yaml", FileFormat::Yaml), "beside the settings");
}
