use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use a6_admin::{Admin, AdminState, Key, View, Writer};
use a6_core::{Budget, Clock, Secret};
use a6_gateway::{HeadFaults, RealIp};
use a6_plugins::Builtins;
use a6_resources::Catalogue;
use a6_settings::Settings;
use a6_snapshot::{BodyLimits, Compiler, Explain, Explainer, Publisher, lint};
use a6_store::{KeyRing, SealedStore, SqliteStore};
use a6_telemetry::{AccessLog, AccessLogOptions, Format, Metrics, RequestLog};
use a6_upstream::{Resolver, TlsRoots};
use anyhow::Context;
use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use serde_json::json;
use tokio::sync::watch;

use crate::{admin_key, metrics};

/// Requests that the Control API remembers.
const REMEMBERED: usize = 1024;
/// Where the machine's memory cannot be read.
const FALLBACK_BUDGET: u64 = 256 << 20;

/// A gateway that runs: its threads and where it is reached.
pub(crate) struct Running {
    /// The data plane's addresses.
    pub(crate) data: Vec<SocketAddr>,
    /// The Admin API's address.
    pub(crate) admin: Option<SocketAddr>,
    /// The Control API's address.
    pub(crate) control: Option<SocketAddr>,
    /// The address at which metrics are served.
    pub(crate) exporter: Option<SocketAddr>,
    /// A key that the Admin API takes, if it has any.
    pub(crate) admin_key: Option<Secret<String>>,
    /// What is allowed but unwise.
    pub(crate) warnings: Vec<String>,
    /// The last requests.
    pub(crate) requests: Arc<RequestLog>,
    access_log: Option<Arc<AccessLog>>,
    draining: watch::Sender<bool>,
    data_threads: Vec<JoinHandle<()>>,
    control_stop: watch::Sender<bool>,
    control_thread: JoinHandle<()>,
    writer_thread: JoinHandle<()>,
}

impl Running {
    /// Starts everything. When it returns, every listener accepts and every stored resource is in force.
    pub(crate) fn start(settings: &Settings) -> anyhow::Result<Self> {
        make_data_dir(&settings.data_dir)?;
        let mut warnings = Vec::new();
        let metrics = metrics::make(settings, &mut warnings);
        let kit = Arc::new(Builtins::counting_in(metrics.clone()));
        let catalogue: Arc<dyn Catalogue> = kit.clone();
        let store = SqliteStore::open(&settings.data_dir)?;
        let key_ring = Arc::new(KeyRing::open(&settings.data_dir.join("keyring"))?);
        let store = SealedStore::new(store, key_ring, catalogue.clone());
        let keys = admin_keys(settings)?;
        let admin_key = keys.first().map(|key| key.key.clone());
        let shares = a6_gateway::bind(&settings.data.listen, settings.workers)?;
        let data = shares.first().map(a6_gateway::Sockets::addresses).unwrap_or_default();
        let admin_socket = settings.admin.as_ref().map(|admin| bind(admin.listen)).transpose()?;
        let control_socket = settings.control.map(bind).transpose()?;
        let exporter_socket = metrics::bind(&settings.prometheus, &mut warnings)?;

        let compiler = Compiler::new(kit);
        let snapshot = compiler.shared();
        let delete_uri_tail_slash = settings.data.delete_uri_tail_slash;
        let explain: Arc<dyn Explain> =
            Arc::new(Explainer { snapshot: snapshot.clone(), delete_uri_tail_slash });
        let publisher: Box<dyn Publisher> = Box::new(compiler);
        let clock = Clock::system();
        let (writer, writer_thread, rejections) =
            Writer::start(Box::new(store), publisher, catalogue.clone(), clock.clone())?;
        warnings.extend(
            rejections.iter().map(|rejection| {
                format!("{} is stored but not in force: {}", rejection.key, rejection.reason)
            }),
        );
        let exposed = data.iter().any(|address| !address.ip().is_loopback());
        warnings.extend(lint(&writer.view().entries(), &*catalogue, exposed));

        let requests = Arc::new(RequestLog::new(REMEMBERED));
        let access_log = open_access_log(settings, &mut warnings)?;
        let told =
            Told { access_log: access_log.clone(), requests: requests.clone(), metrics: metrics.clone() };
        let config = Arc::new(data_config(settings, snapshot, told, clock)?);
        let budget = config.body_limits.budget.clone();
        metrics::add_sources(&metrics, &settings.server_version, writer.view().clone(), budget);
        let (draining, drained) = watch::channel(false);
        let data_threads = start_data(&config, shares, &drained, settings.drain_timeout)?;
        let counters = counters(config.head_faults.clone(), access_log.clone());
        let admin = address(admin_socket.as_ref());
        let control = address(control_socket.as_ref());
        let exporter = address(exporter_socket.as_ref());
        let routers = Control {
            explain,
            admin: admin_socket.zip(settings.admin.as_ref().map(|admin| admin_config(settings, admin, keys))),
            control: control_socket,
            exporter: exporter_socket.map(|socket| (socket, metrics, settings.prometheus.uri.clone())),
            writer,
            catalogue,
            requests: requests.clone(),
            names: settings.admin_hosts.clone(),
            exposed,
            counters,
        };
        let (control_stop, stopped) = watch::channel(false);
        let control_thread = spawn("a6-control", move || routers.run(stopped))?;
        Ok(Self {
            data,
            admin,
            control,
            exporter,
            admin_key,
            warnings,
            requests,
            access_log,
            draining,
            data_threads,
            control_stop,
            control_thread,
            writer_thread,
        })
    }

    /// What opens the access log's file anew, after it was renamed.
    pub(crate) fn log_reopener(&self) -> impl Fn() + use<> {
        let log = self.access_log.clone();
        move || {
            if let Some(log) = &log {
                log.reopen();
            }
        }
    }

    /// Stops accepting, waits for what is open, then ends the Admin API and the store.
    pub(crate) fn stop(self) {
        // Receivers that are gone have ended already.
        let _ = self.draining.send(true);
        for thread in self.data_threads {
            let _ = thread.join();
        }
        if let Some(log) = &self.access_log {
            log.stop();
        }
        let _ = self.control_stop.send(true);
        let _ = self.control_thread.join();
        let _ = self.writer_thread.join();
    }
}

/// What runs on the control thread.
struct Control {
    admin: Option<(TcpListener, Admin)>,
    control: Option<TcpListener>,
    /// With the path at which they are served.
    exporter: Option<(TcpListener, Arc<Metrics>, String)>,
    writer: Writer,
    catalogue: Arc<dyn Catalogue>,
    requests: Arc<RequestLog>,
    names: Vec<String>,
    exposed: bool,
    counters: a6_admin::Counters,
    explain: Arc<dyn Explain>,
}

impl Control {
    fn run(self, stopped: watch::Receiver<bool>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "the control thread could not start");
                return;
            }
        };
        runtime.block_on(async {
            let view: Arc<View> = self.writer.view().clone();
            let control = a6_admin::control_router(a6_admin::Control {
                view,
                catalogue: self.catalogue.clone(),
                requests: self.requests,
                names: self.names,
                exposed: self.exposed,
                counters: self.counters,
            });
            let admin = self.admin.map(|(socket, admin)| {
                (
                    socket,
                    a6_admin::router(
                        AdminState::new(admin, self.writer, self.catalogue).explaining(self.explain),
                    ),
                )
            });
            let admin = async {
                if let Some((socket, router)) = admin {
                    serve(socket, router, stopped.clone()).await;
                }
            };
            let control = async {
                if let Some(socket) = self.control {
                    serve(socket, control, stopped.clone()).await;
                }
            };
            let exporter = async {
                if let Some((socket, metrics, path)) = self.exporter {
                    serve(socket, a6_admin::exporter_router(metrics, path), stopped.clone()).await;
                }
            };
            tokio::join!(admin, control, exporter);
        });
    }
}

/// Starts the data plane. When it returns, every thread accepts.
fn start_data<P: a6_snapshot::Plugin>(
    config: &Arc<a6_gateway::Config<P>>,
    shares: Vec<a6_gateway::Sockets>,
    drained: &watch::Receiver<bool>,
    drain_limit: Duration,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    let (started, starts) = std::sync::mpsc::channel();
    for (number, sockets) in shares.into_iter().enumerate() {
        let (config, drained, started) = (config.clone(), drained.clone(), started.clone());
        threads.push(spawn(&format!("a6-data-{number}"), move || {
            a6_gateway::run(config, sockets, drained, drain_limit, &started);
        })?);
    }
    for _ in &threads {
        starts.recv()?.context("a data thread could not start; try fewer by --workers")?;
    }
    Ok(threads)
}

async fn serve(socket: TcpListener, router: a6_admin::Router, mut stopped: watch::Receiver<bool>) {
    let shutdown = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    match tokio::net::TcpListener::from_std(socket) {
        Ok(listener) => a6_admin::serve(listener, router, shutdown).await,
        Err(error) => tracing::error!(%error, "a control listener could not start"),
    }
}

fn make_data_dir(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
        format!("cannot make the data directory {}; choose another by --data-dir", path.display())
    })
}

/// Binds a listener of the control thread.
pub(crate) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn address(socket: Option<&TcpListener>) -> Option<SocketAddr> {
    socket.and_then(|socket| socket.local_addr().ok())
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_string()).spawn(run).context("a thread could not be started")
}

fn admin_keys(settings: &Settings) -> anyhow::Result<Vec<Key>> {
    let Some(admin) = &settings.admin else { return Ok(Vec::new()) };
    let role = |role| match role {
        a6_settings::Role::Admin => a6_admin::Role::Admin,
        a6_settings::Role::Viewer => a6_admin::Role::Viewer,
    };
    let mut keys: Vec<Key> =
        admin.keys.iter().map(|key| Key { key: key.key.clone(), role: role(key.role) }).collect();
    if admin.generate {
        keys.insert(
            0,
            Key { key: admin_key::load_or_make(&settings.data_dir)?, role: a6_admin::Role::Admin },
        );
    }
    Ok(keys)
}

fn admin_config(settings: &Settings, admin: &a6_settings::Admin, keys: Vec<Key>) -> Admin {
    Admin {
        keys,
        key_required: admin.key_required,
        allow: admin.allow.clone(),
        cors: admin.cors,
        server_tokens: settings.data.server_tokens,
        names: settings.admin_hosts.clone(),
    }
}

fn open_access_log(
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Option<Arc<AccessLog>>> {
    let log = &settings.access_log;
    if !log.enabled {
        return Ok(None);
    }
    let format = Format::parse(&log.format).context("nginx_config.http.access_log_format")?;
    warnings.extend(format.unknown().iter().map(|name| {
        format!("nginx_config.http.access_log_format: ${name} is no variable of a6; it prints as -")
    }));
    let buffer = usize::try_from(log.buffer).unwrap_or(usize::MAX);
    let options = AccessLogOptions { path: log.path.clone().into(), format, buffer };
    Ok(Some(Arc::new(AccessLog::open(options).context("nginx_config.http.access_log")?)))
}

fn at_least_1_ms(duration: Duration) -> Duration {
    duration.max(Duration::from_millis(1))
}

/// What the data plane counts, for the Control API.
fn counters(faults: Arc<HeadFaults>, log: Option<Arc<AccessLog>>) -> a6_admin::Counters {
    Box::new(move || {
        let faults: serde_json::Map<_, _> =
            faults.snapshot().into_iter().map(|(reason, count)| (reason.to_string(), count.into())).collect();
        json!({"head_faults": faults, "access_log_dropped": log.as_ref().map(|log| log.dropped())})
    })
}

/// Where the data plane tells of its requests.
struct Told {
    access_log: Option<Arc<AccessLog>>,
    requests: Arc<RequestLog>,
    metrics: Arc<Metrics>,
}

fn data_config<P>(
    settings: &Settings,
    snapshot: a6_snapshot::Shared<P>,
    told: Told,
    clock: Clock,
) -> anyhow::Result<a6_gateway::Config<P>> {
    let Told { access_log, requests, metrics } = told;
    let no_cap = |bytes: u64| if bytes == 0 { u64::MAX } else { bytes };
    let data = &settings.data;
    let server =
        if data.server_tokens { format!("APISIX/{}", settings.server_version) } else { "APISIX".into() };
    let overrides = settings.resolve.iter().map(|entry| (entry.host.clone(), entry.ip, entry.port));
    Ok(a6_gateway::Config {
        snapshot,
        resolver: Arc::new(Resolver::new(overrides)),
        roots: Arc::new(TlsRoots::new(settings.ssl_trusted_certificate.clone())),
        body_limits: BodyLimits {
            budget: Budget::new(settings.memory_budget.unwrap_or(FALLBACK_BUDGET)),
            timeout: data.body_timeout,
            max: no_cap(data.max_body_size),
        },
        max_post_args: no_cap(data.max_post_args),
        header_timeout: at_least_1_ms(data.header_timeout),
        keepalive_timeout: data.keepalive_timeout,
        send_timeout: at_least_1_ms(data.send_timeout),
        access_log,
        show_upstream_status: data.show_upstream_status,
        delete_uri_tail_slash: data.delete_uri_tail_slash,
        server: HeaderValue::from_str(&server)?,
        requests,
        metrics,
        clock,
        head_faults: Arc::default(),
        // A proxy on this machine speaks for its clients, as in APISIX's settings.
        real_ip: RealIp {
            header: HeaderName::from_static("x-real-ip"),
            from: vec![IpNet::from(IpAddr::from([127, 0, 0, 1]))],
        },
    })
}
