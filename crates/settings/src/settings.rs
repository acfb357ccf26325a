//! The types that the rest of a6 reads.

use a6_core::Secret;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything that is decided at start and does not change while the process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The listeners that serve traffic.
    pub data: DataPlane,
    /// The Admin API; None with `apisix.enable_admin: false`.
    pub admin: Option<Admin>,
    /// Address of the Control API; None with `apisix.enable_control: false`.
    pub control: Option<SocketAddr>,
    /// Data-plane threads, at least 1; the default is one per available core.
    pub workers: usize,
    /// Directory of the embedded store and of generated keys; not created here.
    pub data_dir: PathBuf,
    /// Who says what the configuration is.
    pub source: Source,
    /// How long open requests may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// Bytes that request and response bodies may hold in memory together: 25 % of the cgroup's or machine's memory
    /// unless set; None when it is not set and the memory cannot be read.
    pub memory_budget: Option<u64>,
    /// Host names of upstreams that resolve to a fixed address, from `a6.resolve`.
    pub resolve: Vec<HostOverride>,
    /// Host names in lower case by which the Admin and the Control API may be reached besides `localhost` and
    /// addresses (`a6.admin_hosts`).
    pub admin_hosts: Vec<String>,
    /// PEM file of the authorities trusted for upstream TLS; None means the system's.
    pub ssl_trusted_certificate: Option<PathBuf>,
    /// How secrets are kept in the store.
    pub data_encryption: DataEncryption,
    /// One line per request.
    pub access_log: AccessLog,
    /// What is counted and where it is shown (`plugin_attr.prometheus`).
    pub prometheus: Prometheus,
    /// nginx's level name: debug, info, notice, warn, error, crit, alert, emerg or stderr.
    pub error_log_level: String,
    /// The APISIX version that a6 behaves as, for `Server: APISIX/«version»`.
    pub server_version: String,
}

/// Who says what the configuration is, that is, which routes, upstreams and so on there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The embedded store in the data directory, which the Admin API writes.
    Store,
    /// A file (`a6.config_file`).
    File {
        /// Where it is.
        path: PathBuf,
        /// Its language.
        format: FileFormat,
    },
    /// A client of the stand-alone Admin API; nothing is kept.
    Client,
}

/// The language of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// YAML, `#END` at its end.
    Yaml,
    /// JSON.
    Json,
}

/// How the data plane listens and what it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPlane {
    /// Addresses that serve traffic, at least one (`apisix.node_listen`); port 0 takes any free port.
    pub listen: Vec<SocketAddr>,
    /// The listeners that speak TLS; None with `apisix.ssl.enable: false`.
    pub tls: Option<DataTls>,
    /// Time for a client to send a whole request head.
    pub header_timeout: Duration,
    /// Time between two reads of a request body.
    pub body_timeout: Duration,
    /// Time an idle client connection stays open; zero closes it after each answer.
    pub keepalive_timeout: Duration,
    /// Time between two writes to a client.
    pub send_timeout: Duration,
    /// Largest request body in bytes; 0 means no cap.
    pub max_body_size: u64,
    /// Largest request body in bytes that `post_arg` conditions read; 0 means no cap.
    pub max_post_args: u64,
    /// Whether `/a/` is matched as `/a`.
    pub delete_uri_tail_slash: bool,
    /// Whether upstreams' nodes are checked, where an upstream asks for it.
    pub health_checks: bool,
    /// Whether the `Server` header carries the version.
    pub server_tokens: bool,
    /// Whether `X-APISIX-Upstream-Status` is sent always, not only for a 5xx.
    pub show_upstream_status: bool,
}

/// How the data plane speaks TLS. Its certificates are resources, not settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataTls {
    /// Addresses, at least one (`apisix.ssl.listen`); port 0 takes any free port.
    pub listen: Vec<SocketAddr>,
    /// Whether nobody has asked for these addresses: then the gateway may start without them.
    pub is_default: bool,
    /// Which versions are spoken where the certificate's resource does not say.
    pub protocols: TlsProtocols,
    /// The name that a client is taken to mean that names none.
    pub fallback_sni: Option<String>,
}

/// Versions of TLS, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsProtocols {
    /// TLS 1.2.
    pub tls12: bool,
    /// TLS 1.3.
    pub tls13: bool,
}

/// How the Admin API listens and whom it lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Its address.
    pub listen: SocketAddr,
    /// The certificate that it shows; None speaks plain HTTP.
    pub tls: Option<AdminTls>,
    /// The keys given in the settings; a generated one is not among them.
    pub keys: Vec<AdminKey>,
    /// Whether the caller must make and keep an admin key: an empty key was given, or none although one is required.
    pub generate: bool,
    /// Whether a request needs a key at all.
    pub key_required: bool,
    /// Peers that may connect; an empty list lets everybody in.
    pub allow: Vec<IpNet>,
    /// Whether answers carry CORS headers.
    pub cors: bool,
}

/// PEM files of the Admin API's TLS (`deployment.admin.admin_api_mtls`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTls {
    /// Its certificate and the chain behind it.
    pub cert: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// The authorities of the clients that are let in; None asks no client for a certificate.
    pub client_ca: Option<PathBuf>,
}

/// One entry of `deployment.admin.admin_key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminKey {
    /// Its name, for logs.
    pub name: String,
    /// The token that a client sends.
    pub key: Secret<String>,
    /// What it allows.
    pub role: Role,
}

/// What an Admin API key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Reading.
    Viewer,
}

/// One entry of `a6.resolve`: a host name with a fixed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOverride {
    /// Host name in lower case, without port or trailing dot.
    pub host: String,
    /// Address to connect to.
    pub ip: IpAddr,
    /// Port to connect to; None keeps the port that was asked for.
    pub port: Option<u16>,
}

/// How secrets are kept in the store (`apisix.data_encryption`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataEncryption {
    /// Whether what plugins declare as encrypted is.
    pub encrypts_fields: bool,
    /// Keys of 16 or 32 bytes; the first one encrypts, all decrypt. Without one the data directory has a key ring.
    pub keyring: Vec<Secret<String>>,
}

/// Where the access log goes and what a line looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Whether it is written.
    pub enabled: bool,
    /// A file, `/dev/stdout` (the default) or `/dev/stderr`.
    pub path: String,
    /// What a line looks like, in nginx's `log_format`; not parsed here.
    pub format: String,
    /// Bytes that are collected before a write.
    pub buffer: u64,
}

/// What is counted and where it is shown. An empty list of buckets stands for the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prometheus {
    /// Where the metrics are served; None with `enable_export_server: false`.
    pub listen: Option<SocketAddr>,
    /// Whether that address was asked for: else a gateway may go without it where it is taken.
    pub is_listen_set: bool,
    /// The path at which they are served.
    pub uri: String,
    /// What every name begins with.
    pub prefix: String,
    /// Buckets of `http_latency`, in thousandths of a millisecond, as the next two.
    pub http_latency: Vec<u64>,
    /// Buckets of `llm_latency`.
    pub llm_latency: Vec<u64>,
    /// Buckets of `llm_prompt_tokens_dist`, in thousandths of a token, as the next.
    pub prompt_tokens: Vec<u64>,
    /// Buckets of `llm_completion_tokens_dist`.
    pub completion_tokens: Vec<u64>,
    /// What is said of single metrics.
    pub metrics: Vec<MetricSettings>,
}

/// One entry of `plugin_attr.prometheus.metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricSettings {
    /// The metric, without prefix.
    pub name: String,
    /// A series that nothing was added to for so long is forgotten; zero keeps it.
    pub expire: Duration,
    /// Labels behind the built-in ones, each with its variable, `$` in front.
    pub extra_labels: Vec<(String, String)>,
}
