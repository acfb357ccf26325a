//! Starts and stops the two gateways: the same core, the same mock behind them, one worker each.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::json;

use crate::http;
use crate::lanes::{ORDINARY, ROUTE_MODEL};
use crate::proc::{self, Cores};

/// A start that takes longer than this has failed.
const START_LIMIT: Duration = Duration::from_secs(15);
/// How long a stop may take before it is a kill.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Between two tries while a gateway starts: small against the limit of the start-up lane.
const POLL: Duration = Duration::from_micros(200);
/// A single try.
const TRY_LIMIT: Duration = Duration::from_secs(5);

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The measure.
    Nginx,
    /// What is measured.
    A6,
}

impl Kind {
    /// The name for messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Nginx => "nginx",
            Kind::A6 => "a6",
        }
    }
}

/// What it takes to start either gateway.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The a6 binary.
    pub(crate) a6: PathBuf,
    /// The nginx binary, if there is one.
    pub(crate) nginx: Option<PathBuf>,
    /// Where the mock listens.
    pub(crate) mock: SocketAddr,
    /// A directory for configurations, data and logs.
    pub(crate) dir: PathBuf,
    /// The cores, if there are enough to divide.
    pub(crate) cores: Option<Cores>,
    /// A request that a gateway answers with 200 once it is ready.
    pub(crate) probe: Vec<u8>,
}

/// A running gateway; it is stopped with this value.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    log: PathBuf,
    /// Where it takes requests.
    pub(crate) addr: SocketAddr,
    /// From exec to the first request answered with 200.
    pub(crate) ready_after: Duration,
}

impl Setup {
    /// The gateways there are, nginx first.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        if self.nginx.is_some() { vec![Kind::Nginx, Kind::A6] } else { vec![Kind::A6] }
    }

    /// Starts a6 for the first time and gives it the routes that all later starts find in the data directory.
    pub(crate) fn create_routes(&self) -> Result<()> {
        let (mut gateway, admin) = self.spawn_a6()?;
        let started = Instant::now();
        let to_provider = json!({
            "uri": "/*",
            "plugins": { "ai-proxy": {
                "provider": "openai-compatible",
                "auth": { "header": { "Authorization": "Bearer provider-key" } },
                "options": { "model": ROUTE_MODEL },
                "override": { "endpoint": format!("http://{}/v1/chat/completions", self.mock) },
                "timeout": 60_000,
                "keepalive_pool": 1024,
                "keepalive_timeout": 600_000,
            } },
        });
        let ordinary = json!({
            "uri": ORDINARY,
            "upstream": {
                "nodes": { self.mock.to_string(): 1 },
                "keepalive_pool": { "size": 1024, "idle_timeout": 600, "requests": 1_000_000_000 },
            },
        });
        for (id, route) in [("bench", to_provider), ("ordinary", ordinary)] {
            self.create_route(&mut gateway, admin, started, id, &route.to_string())?;
        }
        gateway.wait_ready(&self.probe, started)
    }

    fn create_route(
        &self,
        gateway: &mut Gateway,
        admin: SocketAddr,
        started: Instant,
        id: &str,
        route: &str,
    ) -> Result<()> {
        let key_file = self.a6_data().join("admin.key");
        let reply = loop {
            let key = fs::read_to_string(&key_file).unwrap_or_default();
            let request = format!(
                "PUT /apisix/admin/routes/{id} HTTP/1.1\r\nHost: {admin}\r\nX-API-KEY: {}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{route}",
                key.trim(),
                route.len()
            );
            match http::call(admin, request.as_bytes(), TRY_LIMIT) {
                Ok(reply) if !key.trim().is_empty() => break reply,
                Ok(_) => {
                    gateway.still_starting(started, "there is no key in admin.key of its data directory")?
                }
                Err(error) => gateway.still_starting(started, &format!("Admin API: {error:#}"))?,
            }
        };
        if !matches!(reply.status, 200 | 201) {
            let body = reply.body.unwrap_or_default();
            bail!("a6 refused the route: {} {}", reply.status, String::from_utf8_lossy(&body));
        }
        Ok(())
    }

    /// Starts a gateway and waits until it answers.
    pub(crate) fn start(&self, kind: Kind) -> Result<Gateway> {
        let started = Instant::now();
        let mut gateway = match kind {
            Kind::Nginx => self.spawn_nginx()?,
            Kind::A6 => self.spawn_a6()?.0,
        };
        gateway.wait_ready(&self.probe, started)?;
        Ok(gateway)
    }

    fn a6_data(&self) -> PathBuf {
        self.dir.join("a6-data")
    }

    fn spawn_a6(&self) -> Result<(Gateway, SocketAddr)> {
        let [data, admin, control] = free_ports::<3>()?;
        let config = self.dir.join("a6.yaml");
        let access_log = self.dir.join("a6-access.log");
        let text = format!(
            r"apisix:
  node_listen:
    - ip: 127.0.0.1
      port: {}
  ssl:
    enable: false
  enable_control: true
  control:
    ip: 127.0.0.1
    port: {}
deployment:
  admin:
    admin_listen:
      ip: 127.0.0.1
      port: {}
nginx_config:
  http:
    enable_access_log: true
    access_log: {}
",
            data.port(),
            control.port(),
            admin.port(),
            serde_json::to_string(&access_log)?,
        );
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = Command::new(&self.a6);
        command.args(["serve", "--workers", "1", "--drain-timeout", "1", "--config"]).arg(&config);
        command.arg("--data-dir").arg(self.a6_data());
        Ok((self.spawn(&mut command, "a6.log", data)?, admin))
    }

    fn spawn_nginx(&self) -> Result<Gateway> {
        let Some(nginx) = &self.nginx else { bail!("nginx is not installed") };
        let [data] = free_ports::<1>()?;
        let config = self.dir.join("nginx.conf");
        fs::write(&config, self.nginx_config(data))
            .with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = Command::new(nginx);
        command.arg("-p").arg(&self.dir).arg("-e").arg(self.dir.join("nginx.log")).arg("-c").arg(&config);
        self.spawn(&mut command, "nginx.log", data)
    }

    fn nginx_config(&self, data: SocketAddr) -> String {
        // As root nginx would let its worker be nobody, who may not enter this directory.
        let user = if geteuid().is_root() { "user root;" } else { "" };
        let (dir, mock) = (self.dir.display(), self.mock);
        format!(
            r#"{user}
daemon off;
worker_processes 1;
pid "{dir}/nginx.pid";
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path "{dir}/nginx-body";
    proxy_temp_path "{dir}/nginx-proxy";
    fastcgi_temp_path "{dir}/nginx-fastcgi";
    uwsgi_temp_path "{dir}/nginx-uwsgi";
    scgi_temp_path "{dir}/nginx-scgi";
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_max_body_size 0;
    client_body_buffer_size 1m;
    upstream mock {{
        server {mock};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_buffering off;
    server {{
        listen {data} backlog=4096;
        location / {{ proxy_pass http://mock; }}
        location /large/ {{ client_body_buffer_size 4m; proxy_pass http://mock; }}
    }}
}}
"#
        )
    }

    /// Starts `command` with an environment of its own: nothing of the user's reaches it, nor it the user's.
    fn spawn(&self, command: &mut Command, log: &str, addr: SocketAddr) -> Result<Gateway> {
        let log = self.dir.join(log);
        let out = File::options().create(true).append(true).open(&log);
        let out = out.with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        command.env_clear().env("HOME", &self.dir).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        let program = command.get_program().to_string_lossy().into_owned();
        let child = match &self.cores {
            Some(cores) => cores.spawn(command),
            None => command.spawn().map_err(anyhow::Error::from),
        };
        let child = child.with_context(|| format!("cannot start {program}"))?;
        Ok(Gateway { child, log, addr, ready_after: Duration::ZERO })
    }
}

impl Gateway {
    /// CPU time so far of all its processes, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> Result<u64> {
        proc::cpu_ns(self.child.id())
    }

    /// Memory of all its processes, in KiB.
    pub(crate) fn pss_kib(&self) -> Result<u64> {
        proc::pss_kib(self.child.id())
    }

    fn wait_ready(&mut self, probe: &[u8], started: Instant) -> Result<()> {
        loop {
            let found = match http::call(self.addr, probe, TRY_LIMIT) {
                Ok(reply) if reply.status == 200 => break,
                Ok(reply) => {
                    let body = reply.body.unwrap_or_default();
                    format!("answers {} {}", reply.status, String::from_utf8_lossy(&body))
                }
                Err(error) => format!("{error:#}"),
            };
            self.still_starting(started, &found)?;
        }
        self.ready_after = started.elapsed();
        Ok(())
    }

    /// Waits a moment, or fails if there is nothing to wait for any more.
    fn still_starting(&mut self, started: Instant, found: &str) -> Result<()> {
        let log = || {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(12).collect();
            lines.into_iter().rev().collect::<Vec<_>>().join("\n  ")
        };
        if let Some(status) = self.child.try_wait()? {
            bail!("the gateway ended at its start ({status}); its log:\n  {}", log());
        }
        if started.elapsed() > START_LIMIT {
            bail!("the gateway is not ready after {START_LIMIT:?}: {found}; its log:\n  {}", log());
        }
        sleep(POLL);
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // A killed nginx master would leave its worker behind: know the tree before.
        let tree = proc::tree(self.child.id()).unwrap_or_default();
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < STOP_LIMIT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(2));
        }
        for pid in tree {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }
}

/// Finds nginx: as given, on PATH, or where Debian puts it.
pub(crate) fn find_nginx(given: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(given) = given {
        if !given.is_file() {
            bail!("--nginx {}: there is no such file", given.display());
        }
        return Ok(Some(given.to_owned()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    Ok(places.into_iter().map(|place| place.join("nginx")).find(|file| file.is_file()))
}

/// Finds a6: as given, or beside this program.
pub(crate) fn find_a6(given: Option<&Path>) -> Result<PathBuf> {
    let path = match given {
        Some(given) => given.to_owned(),
        None => std::env::current_exe().context("cannot find the bench's own binary")?.with_file_name("a6"),
    };
    if !path.is_file() {
        bail!("no a6 binary at {}: build it (cargo build --release) or give --a6 PATH", path.display());
    }
    path.canonicalize().with_context(|| format!("cannot resolve {}", path.display()))
}

/// Different free addresses on loopback. Nothing keeps them free; a gateway that loses one says so at its start.
fn free_ports<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut held = Vec::new();
    let mut addrs = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for addr in &mut addrs {
        let listener = TcpListener::bind(*addr).context("no free port on 127.0.0.1")?;
        *addr = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addrs)
}
