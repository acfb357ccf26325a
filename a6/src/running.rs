use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use a6_admin::{Admin, Key, Tls, TlsFiles, Writer};
use a6_core::{Budget, Clock, Secret};
use a6_gateway::{RealIp, Sockets};
use a6_plugins::Builtins;
use a6_resources::Catalogue;
use a6_secrets::Resolving;
use a6_settings::Settings;
use a6_snapshot::{
    BodyLimits, Compiler, Explain, Explainer, Plugin, Publisher, Rejection, Shared, TlsVersions, lint,
};
use a6_store::Store;
use a6_telemetry::{AccessLog, AccessLogOptions, Format, Metrics, RequestLog};
use a6_upstream::google::{Fetcher, Tokens};
use a6_upstream::{Resolver, TlsRoots};
use anyhow::Context;
use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use serde_json::json;
use tokio::sync::watch;

use crate::control::{Control, ControlThread, Ways};
use crate::source::{Opened, Read};
use crate::{admin_key, metrics};

/// Requests that the Control API remembers.
const REMEMBERED: usize = 1024;
/// Where the machine's memory cannot be read.
const FALLBACK_BUDGET: u64 = 256 << 20;

/// A gateway that runs: its threads and where it is reached.
pub(crate) struct Running {
    /// The data plane's addresses.
    pub(crate) data: Vec<SocketAddr>,
    /// Those of them that speak TLS are apart.
    pub(crate) tls: Vec<SocketAddr>,
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
        let Opened { store, ruler, opener, file } = Opened::open(settings, &catalogue, &mut warnings)?;
        let keys = admin_keys(settings)?;
        let admin_key = keys.first().map(|key| key.key.clone());
        let sockets = Listeners::bind(settings, &mut warnings)?;
        let compiler = compiler(kit, &sockets.tls, settings);
        let snapshot = compiler.shared();
        let (health, groups) = (compiler.health(), compiler.groups());
        let explain = explainer(snapshot.clone(), settings);
        let clock = Clock::system();
        let ways = ways_out(settings);
        // First, so that what is stored is taken into force with its secrets.
        let ControlThread { secrets, hand_over, stop, thread } = ControlThread::start(&clock, &ways)?;
        let publisher: Box<dyn Publisher> = Box::new(Resolving::new(compiler, secrets.clone()));
        let (writer, writer_thread) =
            start_writer(store, file, publisher, &catalogue, &clock, &mut warnings)?;
        warnings.extend(secrets.troubles());
        let exposed = sockets.data.iter().chain(&sockets.tls).any(|address| !address.ip().is_loopback());
        warnings.extend(lint(&writer.view().entries(), &*catalogue, exposed));

        let requests = Arc::new(RequestLog::new(REMEMBERED));
        let access_log = open_access_log(settings, &mut warnings)?;
        let told =
            Told { access_log: access_log.clone(), requests: requests.clone(), metrics: metrics.clone() };
        let (config, fetcher) = data_config(settings, snapshot, told, clock, ways.clone())?;
        let (view, budget) = (writer.view().clone(), config.body_limits.budget.clone());
        metrics::add_sources(&metrics, &settings.server_version, view, budget);
        let (draining, drained) = watch::channel(false);
        let data_threads = start_data(&config, sockets.shares, &drained, settings.drain_timeout)?;
        let (admin, control) = (address(sockets.admin.as_ref()), address(sockets.control.as_ref()));
        let exporter = address(sockets.exporter.as_ref());
        let routers = Control {
            explain,
            debug_tokens: config.debug_tokens.clone(),
            ruler,
            opener,
            admin: sockets
                .admin
                .zip(settings.admin.as_ref().map(|admin| admin_config(settings, admin, keys))),
            admin_tls: sockets.admin_tls,
            control: sockets.control,
            exporter: sockets.exporter.map(|socket| (socket, metrics, settings.prometheus.uri.clone())),
            writer,
            catalogue,
            requests: requests.clone(),
            names: settings.admin_hosts.clone(),
            exposed,
            counters: counters(&config, access_log.clone()),
            fetcher,
            health,
            groups,
            probes: settings.data.health_checks,
            ways,
            secrets,
        };
        if hand_over.send(routers).is_err() {
            anyhow::bail!("the control thread could not start");
        }
        Ok(Self {
            data: sockets.data,
            tls: sockets.tls,
            admin,
            control,
            exporter,
            admin_key,
            warnings,
            requests,
            access_log,
            draining,
            data_threads,
            control_stop: stop,
            control_thread: thread,
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

/// What compiles resources for these listeners.
fn compiler(kit: Arc<Builtins>, tls: &[SocketAddr], settings: &Settings) -> Compiler<Builtins> {
    if let Some(address) = tls.first() {
        kit.listening_tls(address.port());
    }
    Compiler::new(kit).speaking(tls_versions(settings))
}

/// Takes what is stored, or what a file says, into force, and starts the thread that changes it.
fn start_writer(
    store: Box<dyn Store>,
    file: Option<Read>,
    publisher: Box<dyn Publisher>,
    catalogue: &Arc<dyn Catalogue>,
    clock: &Clock,
    warnings: &mut Vec<String>,
) -> anyhow::Result<(Writer, JoinHandle<()>)> {
    let (writer, thread, rejections) = Writer::start(store, publisher, catalogue.clone(), clock.clone())?;
    warnings.extend(rejections.iter().map(not_in_force));
    if let Some(file) = file {
        warnings.extend(file.follow(&rejections, &writer, clock.clone())?);
    }
    Ok((writer, thread))
}

/// What tells what would become of a request.
fn explainer(snapshot: Shared<a6_plugins::Plugin>, settings: &Settings) -> Arc<dyn Explain> {
    let delete_uri_tail_slash = settings.data.delete_uri_tail_slash;
    Arc::new(Explainer { snapshot, delete_uri_tail_slash })
}

/// Sockets that are bound, and nobody accepts on yet.
struct Listeners {
    /// A share for each data thread.
    shares: Vec<Sockets>,
    data: Vec<SocketAddr>,
    tls: Vec<SocketAddr>,
    admin: Option<TcpListener>,
    /// What the Admin API's listener speaks, if not plain HTTP.
    admin_tls: Option<Tls>,
    control: Option<TcpListener>,
    exporter: Option<TcpListener>,
}

impl Listeners {
    fn bind(settings: &Settings, warnings: &mut Vec<String>) -> anyhow::Result<Self> {
        let shares = bind_data(settings, warnings)?;
        Ok(Self {
            data: shares.first().map(Sockets::addresses).unwrap_or_default(),
            tls: shares.first().map(Sockets::tls_addresses).unwrap_or_default(),
            shares,
            admin: settings.admin.as_ref().map(|admin| bind(admin.listen)).transpose()?,
            control: settings.control.map(bind).transpose()?,
            exporter: metrics::bind(&settings.prometheus, warnings)?,
            admin_tls: admin_tls(settings)?,
        })
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

/// The data plane's listeners. Those for TLS that nobody has asked for must not keep the gateway down.
fn bind_data(settings: &Settings, warnings: &mut Vec<String>) -> anyhow::Result<Vec<Sockets>> {
    let mut shares = a6_gateway::bind(&settings.data.listen, settings.workers)?;
    let Some(tls) = &settings.data.tls else { return Ok(shares) };
    match a6_gateway::bind_tls(&mut shares, &tls.listen) {
        Err(error) if tls.is_default => {
            let way = "set apisix.ssl.listen, or apisix.ssl.enable to false";
            warnings.push(format!("the data plane does not speak TLS: {error}; {way}"));
        }
        bound => bound?,
    }
    Ok(shares)
}

fn not_in_force(rejection: &Rejection) -> String {
    format!("{} is stored but not in force: {}", rejection.key, rejection.reason)
}

fn tls_versions(settings: &Settings) -> TlsVersions {
    let protocols = settings.data.tls.as_ref().map(|tls| tls.protocols);
    protocols.map(|on| TlsVersions { tls12: on.tls12, tls13: on.tls13 }).unwrap_or_default()
}

fn admin_tls(settings: &Settings) -> anyhow::Result<Option<Tls>> {
    let Some(tls) = settings.admin.as_ref().and_then(|admin| admin.tls.as_ref()) else { return Ok(None) };
    let files = TlsFiles { cert: tls.cert.clone(), key: tls.key.clone(), client_ca: tls.client_ca.clone() };
    Tls::read(&files).map(Some).map_err(anyhow::Error::msg)
}

fn address(socket: Option<&TcpListener>) -> Option<SocketAddr> {
    socket.and_then(|socket| socket.local_addr().ok())
}

/// Starts a thread of that name.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
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

fn ways_out(settings: &Settings) -> Ways {
    let overrides = settings.resolve.iter().map(|entry| (entry.host.clone(), entry.ip, entry.port));
    (Arc::new(Resolver::new(overrides)), Arc::new(TlsRoots::new(settings.ssl_trusted_certificate.clone())))
}

fn start_data<P: Plugin>(
    config: &Arc<a6_gateway::Config<P>>,
    shares: Vec<a6_gateway::Sockets>,
    drained: &watch::Receiver<bool>,
    limit: Duration,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    let (started, starts) = std::sync::mpsc::channel();
    for (number, sockets) in shares.into_iter().enumerate() {
        let (config, drained, started) = (config.clone(), drained.clone(), started.clone());
        threads.push(spawn(&format!("a6-data-{number}"), move || {
            a6_gateway::run(config, sockets, drained, limit, &started);
        })?);
    }
    for _ in &threads {
        starts.recv()?.context("a data thread could not start; try fewer by --workers")?;
    }
    Ok(threads)
}

fn at_least_1_ms(duration: Duration) -> Duration {
    duration.max(Duration::from_millis(1))
}

/// What the data plane counts, for the Control API.
fn counters<P>(config: &a6_gateway::Config<P>, log: Option<Arc<AccessLog>>) -> a6_admin::Counters {
    let (heads, handshakes) = (config.head_faults.clone(), config.tls_faults.clone());
    let object = |counts: &[(&str, u64)]| {
        let members = counts.iter().map(|(reason, count)| ((*reason).to_string(), (*count).into()));
        members.collect::<serde_json::Map<_, _>>()
    };
    Box::new(move || {
        json!({
            "head_faults": object(&heads.snapshot()),
            "tls_faults": object(&handshakes.snapshot()),
            "access_log_dropped": log.as_ref().map(|log| log.dropped()),
        })
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
    snapshot: Shared<P>,
    told: Told,
    clock: Clock,
    (resolver, roots): Ways,
) -> anyhow::Result<(Arc<a6_gateway::Config<P>>, Fetcher)> {
    let Told { access_log, requests, metrics } = told;
    let no_cap = |bytes: u64| if bytes == 0 { u64::MAX } else { bytes };
    let data = &settings.data;
    let server =
        if data.server_tokens { format!("APISIX/{}", settings.server_version) } else { "APISIX".into() };
    let (tokens, fetcher) = Tokens::with_fetcher(clock.clone());
    let config = a6_gateway::Config {
        snapshot,
        resolver,
        roots,
        tokens,
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
        debug_tokens: Arc::default(),
        head_faults: Arc::default(),
        tls_faults: Arc::default(),
        fallback_sni: data.tls.as_ref().and_then(|tls| tls.fallback_sni.as_deref().map(Box::from)),
        // A proxy on this machine speaks for its clients, as in APISIX's settings.
        real_ip: RealIp {
            header: HeaderName::from_static("x-real-ip"),
            from: vec![IpNet::from(IpAddr::from([127, 0, 0, 1]))],
        },
    };
    Ok((Arc::new(config), fetcher))
}
