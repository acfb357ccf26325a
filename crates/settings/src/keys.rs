//! The table of every key that APISIX or a6 knows. APISIX's are those of its `config.yaml` (3.18.0).

/// What a key holds, or why its value is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// true or false.
    Flag,
    /// An integer in this range, ends included.
    Whole(u64, u64),
    /// Text that is not empty.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A duration longer than zero.
    Span,
    /// A duration that may be zero.
    SpanOrZero,
    /// A size in bytes.
    Bytes,
    /// A size above zero, or a share of the memory.
    Budget,
    /// An IP address.
    Ip,
    /// A port, a list of ports or a list of `{ip, port}`.
    Listens,
    /// The same for TLS, where APISIX also has a flag for HTTP/3.
    TlsListens,
    /// Versions of TLS, in a list or with spaces in between.
    TlsProtocols,
    /// Text; an empty one counts as not set.
    TextOrNone,
    /// A list of IP addresses and CIDR ranges.
    Nets,
    /// A list of names.
    Names,
    /// A list of host names.
    HostNames,
    /// A list of `{name, key, role}`.
    AdminKeys,
    /// A text or a list of texts, each a key of AES's.
    Keyring,
    /// A mapping from host name to `ip` or `ip:port`.
    Hosts,
    /// The upper bounds of a histogram's buckets.
    Buckets,
    /// A mapping from a metric's name to `{expire, extra_labels}`.
    Metrics,
    /// APISIX knows it, a6 does not serve it yet. Covers everything below the key.
    Known,
    /// As `Known`, but a value that is not of this kind is an error already.
    Later(&'static Kind),
    /// Of this kind, but a6 always does what the value named here says; any other is ignored with a warning.
    Always(&'static Kind, &'static str),
    /// As `Known`; the text says what the gateway does not do.
    Never(&'static str),
    /// Of this kind, but a6 does only what the value named here says; the text says what it does not do of any other.
    Only(&'static Kind, &'static str, &'static str),
    /// Where resources come from: one of these words. What else APISIX has here is refused, for a gateway with other data
    /// than the file asks for is none.
    Provider(&'static [&'static str]),
    /// APISIX knows it; this key of a6 does the job.
    Instead(&'static str),
    /// Ignoring it would give a gateway with other data than the file asks for.
    OtherStore,
}

/// A key by its path, and what it holds.
pub(crate) struct Row {
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
}

use Kind::{
    AdminKeys, Always, Buckets, Budget, Bytes, Choice, Flag, HostNames, Hosts, Instead, Ip, Keyring, Known,
    Later, Listens, Metrics, Names, Nets, Never, Only, OtherStore, Provider, Span, SpanOrZero, Text,
    TextOrNone, TlsListens, TlsProtocols, Whole,
};

const fn row(path: &'static str, kind: Kind) -> Row {
    Row { path, kind }
}

const PORT: Kind = Whole(0, 65_535);
const ROUTERS: Kind = Choice(&["radixtree_host_uri", "radixtree_uri", "radixtree_uri_with_parameter"]);
const SNI_ROUTERS: Kind = Choice(&["radixtree_sni"]);
const LEVELS: Kind =
    Choice(&["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg", "stderr"]);
const PROXY_MODES: Kind = Choice(&["http", "stream", "http&stream"]);
const NO_STREAMS: &str =
    "a6 carries HTTP and no TCP or UDP streams: it opens no port for them, and stream_routes are refused";
const ESCAPES: Kind = Choice(&["default", "json", "none"]);

/// Sections are not rows: a path is a section when a row lies below it.
#[rustfmt::skip]
pub(crate) const TABLE: &[Row] = &[
    row("a6.workers", Whole(1, 1024)),
    row("a6.data_dir", Text),
    row("a6.config_file", Text),
    row("a6.drain_timeout", SpanOrZero),
    row("a6.memory_budget", Budget),
    row("a6.resolve", Hosts),
    row("a6.admin_hosts", HostNames),

    row("apisix.node_listen", Listens),
    row("apisix.enable_admin", Flag),
    row("apisix.enable_control", Flag),
    row("apisix.control.ip", Ip),
    row("apisix.control.port", PORT),
    row("apisix.ssl.ssl_trusted_certificate", Text),
    row("apisix.router.http", Always(&ROUTERS, "radixtree_host_uri")),
    row("apisix.delete_uri_tail_slash", Flag),
    row("apisix.match_uri_encoded_slash", Later(&Flag)),
    row("apisix.normalize_uri_like_servlet", Later(&Flag)),
    row("apisix.max_post_args_readable_size", Whole(0, 1 << 20)),
    row("apisix.show_upstream_status_in_response_header", Flag),
    row("apisix.enable_server_tokens", Flag),
    row("apisix.trusted_addresses", Later(&Names)),
    row("apisix.config_center", OtherStore),
    row("apisix.data_encryption.enable_encrypt_fields", Flag),
    row("apisix.data_encryption.keyring", Keyring),
    row("apisix.disable_sync_configuration_during_start", Known),
    row("apisix.disable_upstream_healthcheck", Flag),
    row("apisix.dns_resolver", Known),
    row("apisix.dns_resolver_valid", Known),
    row("apisix.enable_dev_mode", Known),
    row("apisix.enable_http2", Always(&Flag, "true")),
    row("apisix.enable_ipv6", Known),
    row("apisix.enable_resolv_search_opt", Known),
    row("apisix.enable_reuseport", Known),
    row("apisix.events", Known),
    row("apisix.extra_lua_cpath", Known),
    row("apisix.extra_lua_path", Known),
    row("apisix.id", Known),
    row("apisix.lru", Known),
    row("apisix.lua_module_hook", Known),
    row("apisix.proxy_cache", Known),
    row("apisix.proxy_mode", Only(&PROXY_MODES, "http", NO_STREAMS)),
    row("apisix.proxy_protocol", Known),
    row("apisix.resolver_timeout", Known),
    row("apisix.router.ssl", Always(&SNI_ROUTERS, "radixtree_sni")),
    row("apisix.ssl.enable", Flag),
    row("apisix.ssl.fallback_sni", TextOrNone),
    row("apisix.ssl.listen", TlsListens),
    row("apisix.ssl.ssl_ciphers", Known),
    row("apisix.ssl.ssl_protocols", TlsProtocols),
    row("apisix.ssl.ssl_session_tickets", Always(&Flag, "false")),
    row("apisix.status", Known),
    row("apisix.stream_proxy", Never(NO_STREAMS)),
    row("apisix.tracing", Known),
    row("apisix.worker_startup_time_threshold", Known),

    row("nginx_config.error_log_level", LEVELS),
    // Every variable is visible to a6, so there is nothing to do.
    row("nginx_config.envs", Names),
    row("nginx_config.enable_cpu_affinity", Known),
    row("nginx_config.error_log", Known),
    row("nginx_config.event", Known),
    row("nginx_config.http_admin_configuration_snippet", Known),
    row("nginx_config.http_configuration_snippet", Known),
    row("nginx_config.http_end_configuration_snippet", Known),
    row("nginx_config.http_server_configuration_snippet", Known),
    row("nginx_config.http_server_location_configuration_snippet", Known),
    row("nginx_config.main_configuration_snippet", Known),
    row("nginx_config.max_pending_timers", Known),
    row("nginx_config.max_running_timers", Known),
    row("nginx_config.meta", Known),
    row("nginx_config.stream", Known),
    row("nginx_config.stream_configuration_snippet", Known),
    row("nginx_config.user", Known),
    row("nginx_config.worker_processes", Instead("a6.workers")),
    row("nginx_config.worker_rlimit_nofile", Known),
    row("nginx_config.worker_shutdown_timeout", Instead("a6.drain_timeout")),

    row("nginx_config.http.access_log", Text),
    row("nginx_config.http.access_log_buffer", Bytes),
    row("nginx_config.http.access_log_format", Text),
    row("nginx_config.http.client_body_timeout", Span),
    row("nginx_config.http.client_header_timeout", Span),
    row("nginx_config.http.client_max_body_size", Bytes),
    row("nginx_config.http.enable_access_log", Flag),
    row("nginx_config.http.keepalive_timeout", SpanOrZero),
    // nginx also takes host names and `unix:` here.
    row("nginx_config.http.real_ip_from", Later(&Names)),
    row("nginx_config.http.real_ip_header", Later(&Text)),
    row("nginx_config.http.send_timeout", Span),
    row("nginx_config.http.access_log_format_escape", Always(&ESCAPES, "default")),
    row("nginx_config.http.charset", Known),
    row("nginx_config.http.custom_lua_shared_dict", Known),
    row("nginx_config.http.lua_shared_dict", Known),
    row("nginx_config.http.proxy_ssl_server_name", Known),
    row("nginx_config.http.real_ip_recursive", Known),
    row("nginx_config.http.underscores_in_headers", Known),
    row("nginx_config.http.upstream", Known),
    row("nginx_config.http.variables_hash_max_size", Known),

    row("deployment.role", Choice(&["traditional", "data_plane"])),
    row("deployment.role_traditional.config_provider", Provider(&["yaml"])),
    row("deployment.role_control_plane.config_provider", OtherStore),
    row("deployment.role_data_plane.config_provider", Provider(&["yaml", "json"])),
    row("deployment.admin.admin_key", AdminKeys),
    row("deployment.admin.admin_key_required", Flag),
    row("deployment.admin.admin_listen.ip", Ip),
    row("deployment.admin.admin_listen.port", PORT),
    row("deployment.admin.allow_admin", Nets),
    row("deployment.admin.enable_admin_cors", Flag),
    row("deployment.admin.admin_api_mtls.admin_ssl_ca_cert", TextOrNone),
    row("deployment.admin.admin_api_mtls.admin_ssl_cert", TextOrNone),
    row("deployment.admin.admin_api_mtls.admin_ssl_cert_key", TextOrNone),
    row("deployment.admin.admin_api_version", Known),
    row("deployment.admin.enable_admin_ui", Known),
    row("deployment.admin.https_admin", Flag),
    row("deployment.certs", Known),
    row("deployment.etcd.host", OtherStore),
    row("deployment.etcd.password", Known),
    row("deployment.etcd.prefix", Known),
    row("deployment.etcd.startup_retry", Known),
    row("deployment.etcd.timeout", Known),
    row("deployment.etcd.tls", Known),
    row("deployment.etcd.user", Known),
    row("deployment.etcd.watch_timeout", Known),

    // Before APISIX 3 the store stood at the top.
    row("etcd.host", OtherStore),
    row("etcd.password", Known),
    row("etcd.prefix", Known),
    row("etcd.timeout", Known),
    row("etcd.tls", Known),
    row("etcd.user", Known),

    row("plugins", Later(&Names)),
    row("stream_plugins", Later(&Names)),
    row("plugin_attr.prometheus.enable_export_server", Flag),
    row("plugin_attr.prometheus.export_addr.ip", Ip),
    row("plugin_attr.prometheus.export_addr.port", PORT),
    row("plugin_attr.prometheus.export_uri", Text),
    row("plugin_attr.prometheus.metric_prefix", Text),
    row("plugin_attr.prometheus.metrics", Metrics),
    row("plugin_attr.prometheus.default_buckets", Buckets),
    row("plugin_attr.prometheus.llm_latency_buckets", Buckets),
    row("plugin_attr.prometheus.llm_prompt_tokens_buckets", Buckets),
    row("plugin_attr.prometheus.llm_completion_tokens_buckets", Buckets),
    row("plugin_attr.prometheus.ai_cache_embedding_latency_buckets", Later(&Buckets)),
    // The text is made when it is asked for, so that nothing lags behind.
    row("plugin_attr.prometheus.refresh_interval", Span),
    row("plugin_attr.ai-proxy", Known),
    row("plugin_attr.dubbo-proxy", Known),
    row("plugin_attr.inspect", Known),
    row("plugin_attr.log-rotate", Known),
    row("plugin_attr.opentelemetry", Known),
    row("plugin_attr.proxy-mirror", Known),
    row("plugin_attr.redirect", Known),
    row("plugin_attr.server-info", Known),
    row("plugin_attr.skywalking", Known),
    row("plugin_attr.zipkin", Known),
    row("discovery", Known),
    row("ext-plugin", Known),
    row("graphql", Known),
    row("wasm", Known),
    row("xrpc", Known),
];

/// The row of a path.
pub(crate) fn find(path: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.path == path)
}

/// Whether rows lie below this path.
pub(crate) fn is_section(path: &str) -> bool {
    TABLE.iter().any(|row| below(row.path, path).is_some())
}

/// What follows `path` and its dot in `longer`.
fn below<'r>(longer: &'r str, path: &str) -> Option<&'r str> {
    if path.is_empty() { Some(longer) } else { longer.strip_prefix(path)?.strip_prefix('.') }
}

/// The key that was probably meant by an unknown `name` in the section `path`: the nearest one beside it, else one of
/// the same name in another section. The answer is a whole path.
pub(crate) fn suggest(path: &str, name: &str) -> Option<String> {
    let beside = TABLE.iter().filter_map(|row| below(row.path, path)?.split('.').next());
    if let Some(key) = nearest(name, beside) {
        return Some(crate::tree::join(path, key));
    }
    let elsewhere = TABLE.iter().find(|row| row.path.rsplit('.').next() == Some(name));
    elsewhere.map(|row| row.path.to_owned())
}

/// The one of `known` that differs from `name` by a typing error or two.
pub(crate) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_lowercase().replace('-', "_");
    let allowed = (name.chars().count() / 3).max(1);
    known
        .map(|key| (strsim::damerau_levenshtein(&name, key), key))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::{TABLE, find, is_section, suggest};
    use std::collections::HashSet;

    #[test]
    fn paths_are_unique_and_no_row_is_a_section() {
        let mut seen = HashSet::new();
        for row in TABLE {
            assert!(seen.insert(row.path), "{} stands twice", row.path);
            assert!(!is_section(row.path), "{} is both a key and a section", row.path);
            assert!(find(row.path).is_some_and(|found| found.kind == row.kind), "{}", row.path);
        }
    }

    #[test]
    fn suggestions() {
        for (path, name, expected) in [
            ("apisix", "node_listn", Some("apisix.node_listen")),
            ("apisix", "Node-Listen", Some("apisix.node_listen")),
            ("apisix", "admin_key", Some("deployment.admin.admin_key")),
            ("", "node_listen", Some("apisix.node_listen")),
            ("", "apisx", Some("apisix")),
            ("a6", "wokers", Some("a6.workers")),
            ("deployment.admin", "something_else", None),
            ("a6", "x", None),
        ] {
            assert_eq!(suggest(path, name).as_deref(), expected, "{path} {name}");
        }
    }
}
