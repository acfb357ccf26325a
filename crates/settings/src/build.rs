//! Checked values, flags and defaults to [`Settings`].

mod tls;

use crate::check::Values;
use crate::convert::Typed;
use crate::env::lookup;
use crate::error::{Origin, Report};
use crate::load::Options;
use crate::memory;
use crate::settings::{AccessLog, Admin, DataEncryption, DataPlane, MetricSettings, Prometheus, Settings};
use crate::source::source;
use ipnet::{IpNet, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// More threads than any machine has cores for; each opens files and sockets of its own.
const MAX_WORKERS: usize = 1024;
/// The APISIX version whose behaviour a6 follows.
const SERVER_VERSION: &str = "3.18.0";
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const MINUTE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;
/// Share of the memory that bodies may hold, unless set.
const BUDGET_PERCENT: u64 = 25;
/// APISIX's own default line.
const ACCESS_LOG_FORMAT: &str = "$remote_addr - $remote_user [$time_local] $http_host \"$request\" $status \
    $body_bytes_sent $request_time \"$http_referer\" \"$http_user_agent\" $upstream_addr $upstream_status \
    $upstream_response_time \"$upstream_scheme://$upstream_host$upstream_uri\" \"$apisix_request_id\"";

/// Typed access to what was set; None when it was not.
macro_rules! getters {
    ($($name:ident -> $type:ty, $variant:ident;)*) => {
        impl Values {
            $(pub(crate) fn $name(&self, path: &str) -> Option<$type> {
                match self.get(path) {
                    Some(Typed::$variant(value)) => Some(value.to_owned()),
                    _ => None,
                }
            })*
        }
    };
}

getters! {
    flag -> bool, Flag;
    whole -> u64, Whole;
    text -> String, Text;
    span -> Duration, Span;
    bytes -> u64, Bytes;
    ip -> IpAddr, Ip;
    listens -> Vec<SocketAddr>, Listens;
    nets -> Vec<IpNet>, Nets;
    names -> Vec<String>, Names;
    buckets -> Vec<u64>, Buckets;
    metrics -> Vec<MetricSettings>, Metrics;
}

/// Puts the settings together. What flags get wrong goes to the report.
pub(crate) fn build(values: &Values, options: &Options, report: &mut Report) -> Settings {
    let flag = |path, default| values.flag(path).unwrap_or(default);
    let drain_timeout = options.drain_timeout.or(values.span("a6.drain_timeout"));
    let trusted = values.text("apisix.ssl.ssl_trusted_certificate").filter(|path| path != "system");
    let enable_control = flag("apisix.enable_control", true);
    Settings {
        data: data_plane(values),
        admin: if flag("apisix.enable_admin", true) { Some(admin(values, report)) } else { None },
        control: enable_control.then(|| address(values, "apisix.control.ip", "apisix.control.port", 9090)),
        workers: workers(values, options, report),
        data_dir: data_dir(values, options),
        source: source(values, options, report),
        drain_timeout: drain_timeout.unwrap_or(Duration::from_secs(30)),
        memory_budget: memory_budget(values),
        resolve: match values.get("a6.resolve") {
            Some(Typed::Hosts(hosts)) => hosts.clone(),
            _ => Vec::new(),
        },
        admin_hosts: values.names("a6.admin_hosts").unwrap_or_default(),
        ssl_trusted_certificate: trusted.map(PathBuf::from),
        data_encryption: DataEncryption {
            encrypts_fields: flag("apisix.data_encryption.enable_encrypt_fields", true),
            keyring: match values.get("apisix.data_encryption.keyring") {
                Some(Typed::Keyring(keys)) => keys.clone(),
                _ => Vec::new(),
            },
        },
        access_log: AccessLog {
            enabled: flag("nginx_config.http.enable_access_log", true),
            path: values.text("nginx_config.http.access_log").unwrap_or_else(|| "/dev/stdout".into()),
            format: values
                .text("nginx_config.http.access_log_format")
                .unwrap_or_else(|| ACCESS_LOG_FORMAT.into()),
            buffer: values.bytes("nginx_config.http.access_log_buffer").unwrap_or(16_384),
        },
        prometheus: prometheus(values, report),
        error_log_level: values.text("nginx_config.error_log_level").unwrap_or_else(|| "warn".into()),
        server_version: SERVER_VERSION.into(),
    }
}

fn data_plane(values: &Values) -> DataPlane {
    let flag = |path, default| values.flag(path).unwrap_or(default);
    let http = |key: &str, default| values.span(&format!("nginx_config.http.{key}")).unwrap_or(default);
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9080);
    let listen = values.listens("apisix.node_listen").unwrap_or_else(|| vec![any]);
    let max_post_args = values.whole("apisix.max_post_args_readable_size").unwrap_or(64);
    DataPlane {
        tls: tls::data(values, &listen),
        listen,
        header_timeout: http("client_header_timeout", MINUTE),
        body_timeout: http("client_body_timeout", MINUTE),
        keepalive_timeout: http("keepalive_timeout", MINUTE),
        send_timeout: http("send_timeout", Duration::from_secs(10)),
        max_body_size: values.bytes("nginx_config.http.client_max_body_size").unwrap_or(0),
        max_post_args: max_post_args.saturating_mul(MIB),
        delete_uri_tail_slash: flag("apisix.delete_uri_tail_slash", false),
        health_checks: !flag("apisix.disable_upstream_healthcheck", false),
        server_tokens: flag("apisix.enable_server_tokens", true),
        show_upstream_status: flag("apisix.show_upstream_status_in_response_header", false),
    }
}

fn admin(values: &Values, report: &mut Report) -> Admin {
    let listen =
        address(values, "deployment.admin.admin_listen.ip", "deployment.admin.admin_listen.port", 9180);
    let key_required = values.flag("deployment.admin.admin_key_required").unwrap_or(true);
    let (keys, asked) = match values.get("deployment.admin.admin_key") {
        Some(Typed::AdminKeys { keys, generate }) => (keys.clone(), *generate),
        _ => (Vec::new(), false),
    };
    if !key_required && !listen.ip().is_loopback() {
        let message = format!("anyone who reaches {listen} can change this gateway; require a key");
        report.warn(&Origin::Named("Admin API".into()), "deployment.admin.admin_key_required", message);
    }
    Admin {
        listen,
        tls: tls::admin(values, report),
        generate: asked || (key_required && keys.is_empty()),
        keys,
        key_required,
        allow: values.nets("deployment.admin.allow_admin").unwrap_or_else(local_nets),
        cors: values.flag("deployment.admin.enable_admin_cors").unwrap_or(false),
    }
}

/// APISIX's default, and the IPv6 loopback, which it forgets.
fn local_nets() -> Vec<IpNet> {
    let ipv4 = ipnet::Ipv4Net::new(Ipv4Addr::new(127, 0, 0, 0), 24).map(IpNet::from);
    ipv4.into_iter().chain([IpNet::from(Ipv6Net::from(Ipv6Addr::LOCALHOST))]).collect()
}

fn address(values: &Values, ip: &str, port: &str, default: u16) -> SocketAddr {
    let port = values.whole(port).and_then(|port| u16::try_from(port).ok());
    SocketAddr::new(values.ip(ip).unwrap_or(LOOPBACK), port.unwrap_or(default))
}

fn prometheus(values: &Values, report: &mut Report) -> Prometheus {
    let path = |key: &str| format!("plugin_attr.prometheus.{key}");
    let (ip, port) = (path("export_addr.ip"), path("export_addr.port"));
    let is_served = values.flag(&path("enable_export_server")).unwrap_or(true);
    let text = |key: &str, default: &str| values.text(&path(key)).unwrap_or_else(|| default.into());
    let buckets = |key: &str| values.buckets(&path(key)).unwrap_or_default();
    let (uri, prefix) = (text("export_uri", "/apisix/prometheus/metrics"), text("metric_prefix", "apisix_"));
    if !uri.starts_with('/') {
        let message = format!("expected a path that begins with /, found \"{uri}\"");
        report.error(&Origin::Named(path("export_uri")), "", message);
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    if prefix.starts_with(|first: char| first.is_ascii_digit()) || !prefix.bytes().all(is_name) {
        let message = format!("expected letters, digits and _, no digit first, found \"{prefix}\"");
        report.error(&Origin::Named(path("metric_prefix")), "", message);
    }
    Prometheus {
        listen: is_served.then(|| address(values, &ip, &port, 9091)),
        is_listen_set: values.get(&ip).is_some() || values.get(&port).is_some(),
        uri,
        prefix,
        http_latency: buckets("default_buckets"),
        llm_latency: buckets("llm_latency_buckets"),
        prompt_tokens: buckets("llm_prompt_tokens_buckets"),
        completion_tokens: buckets("llm_completion_tokens_buckets"),
        metrics: values.metrics(&path("metrics")).unwrap_or_default(),
    }
}

fn workers(values: &Values, options: &Options, report: &mut Report) -> usize {
    match options.workers {
        Some(0) => report.error(&Origin::Named("--workers".into()), "", "expected at least 1, found 0"),
        Some(count) if count > MAX_WORKERS => {
            let message = format!("expected at most {MAX_WORKERS}, found {count}");
            report.error(&Origin::Named("--workers".into()), "", &message);
        }
        _ => {}
    }
    let set = values.whole("a6.workers").and_then(|count| usize::try_from(count).ok());
    options.workers.or(set).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get))
}

fn memory_budget(values: &Values) -> Option<u64> {
    let percent = match values.get("a6.memory_budget") {
        Some(Typed::Bytes(size)) => return Some(*size),
        Some(Typed::Percent(percent)) => *percent,
        _ => BUDGET_PERCENT,
    };
    memory::available().map(|memory| memory / 100 * percent)
}

/// The flag, the file, `$A6_DATA_DIR`, then the user's data folder as the XDG base directory specification has it.
fn data_dir(values: &Values, options: &Options) -> PathBuf {
    let set = options.data_dir.clone().or_else(|| values.text("a6.data_dir").map(PathBuf::from));
    let variable = |name| lookup(&options.env, name).filter(|value| !value.is_empty()).map(Path::new);
    set.or_else(|| variable("A6_DATA_DIR").map(Path::to_owned))
        // The specification has relative paths ignored.
        .or_else(|| variable("XDG_DATA_HOME").filter(|path| path.is_absolute()).map(|path| path.join("a6")))
        .or_else(|| variable("HOME").map(|home| home.join(".local/share/a6")))
        .unwrap_or_else(|| PathBuf::from("./a6-data"))
}
