use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{self, Connection};
use crate::lanes::{CALLER_KEY, Setup};
use crate::tool::Tool;

/// The key of the Admin API.
pub(crate) const ADMIN_KEY: &str = "xtask-admin-key";
/// How long a process may take to start or to stop; valgrind makes it slow.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// A mock provider and a gateway that sends everything to it, the gateway under a counting tool.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// The data plane's port.
    pub(crate) port: u16,
    /// The Admin API's port.
    pub(crate) admin: u16,
    tool: Tool,
    report: PathBuf,
    serve: Process,
    /// Held for its end: dropped, it ends the mock.
    _mock: Process,
    /// Held for its end, after the processes that write into it.
    _folder: TempDir,
}

impl Gateway {
    /// Starts both and waits until the route is in force.
    pub(crate) fn start(a6: &Path, tool: Tool, setup: Setup) -> Result<Self> {
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let [port, admin, control, metrics, provider] = free_ports()?;
        let config = folder.path().join("config.yaml");
        std::fs::write(&config, configuration([port, admin, control, metrics], folder.path()))
            .with_context(|| format!("writing {}", config.display()))?;

        let mut command = Command::new(a6);
        command.args(["mock", "--host", "127.0.0.1", "--port", &provider.to_string()]);
        let mut mock = Process::start(command, folder.path(), "mock")?;
        mock.connection(provider)?;

        let serve = |mut command: Command| {
            command.args(["serve", "--workers", "1", "--config"]).arg(&config);
            command.arg("--data-dir").arg(folder.path().join("data"));
            Process::start(command, folder.path(), "serve")
        };
        // The writes are made before the tool looks on: they are many, and not what is counted.
        let mut writer = serve(Command::new(a6))?;
        let mut connection = writer.connection(admin)?;
        for (path, document) in writes(setup, provider) {
            let headers = [("x-api-key", ADMIN_KEY), ("content-type", "application/json")];
            let request = client::request("PUT", &path, &headers, &document.to_string());
            let answer = connection.exchange(&request)?;
            ensure!(
                answer.status == 201,
                "the Admin API answered {} to {path}: {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            );
        }
        drop(connection);
        writer.terminate()?;

        let report = folder.path().join("report");
        let mut serve = serve(tool.command(a6, &report))?;
        // A port may be probed before it is listened on for good; what answers on the Admin API runs as a whole.
        let headers = [("x-api-key", ADMIN_KEY)];
        let ask = client::request("GET", "/apisix/admin/routes/1", &headers, "");
        let answer = serve.connection(admin)?.exchange(&ask)?;
        ensure!(answer.status == 200, "the Admin API answered {} to a read", answer.status);
        Ok(Self { port, admin, tool, report, serve, _mock: mock, _folder: folder })
    }

    /// Stops the gateway and gives what the tool reports of it.
    pub(crate) fn report(mut self) -> Result<String> {
        self.serve.terminate()?;
        std::fs::read_to_string(&self.report).context("reading the tool's report")
    }

    /// Stops the gateway and gives what the tool counted.
    pub(crate) fn stop(mut self) -> Result<u64> {
        self.serve.terminate()?;
        let deadline = Instant::now() + PATIENCE;
        // strace writes its report after its tracee has ended.
        loop {
            let report = std::fs::read_to_string(&self.report).unwrap_or_default();
            if let Some(total) = self.tool.total(&report)? {
                return Ok(total);
            }
            ensure!(Instant::now() < deadline, "{:?} left no total in its report: {report:?}", self.tool);
            std::thread::sleep(PAUSE);
        }
    }
}

#[derive(Debug)]
struct Process {
    child: Child,
    name: &'static str,
    log: PathBuf,
}

impl Process {
    fn start(mut command: Command, folder: &Path, name: &'static str) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let errors = output.try_clone().context("sharing a log file")?;
        // Nothing of the caller's a6 contexts is read or changed.
        command.env("HOME", folder).env("XDG_CONFIG_HOME", folder).env("A6_CONFIG_DIR", folder);
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("starting {:?}", command.get_program()))?;
        Ok(Self { child, name, log })
    }

    /// A connection to the port, once the process listens there.
    fn connection(&mut self, port: u16) -> Result<Connection> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(connection) = Connection::open(port) {
                return Ok(connection);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("`a6 {}` ended with {status} before it listened:\n{}", self.name, self.output());
            }
            ensure!(
                Instant::now() < deadline,
                "`a6 {}` does not listen on port {port}:\n{}",
                self.name,
                self.output()
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// Asks the process to end and waits until it has.
    fn terminate(&mut self) -> Result<()> {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).context("sending SIGTERM")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "`a6 {}` ended with {status}:\n{}", self.name, self.output());
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "`a6 {}` does not end:\n{}", self.name, self.output());
            std::thread::sleep(PAUSE);
        }
    }

    fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended already cannot be killed, which is all right.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports that nobody listens on; all are held until all are known, so that they differ.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

fn configuration([port, admin, control, metrics]: [u16; 4], folder: &Path) -> String {
    // JSON is YAML too.
    json!({
        "apisix": {
            "node_listen": [{"ip": "127.0.0.1", "port": port}],
            "control": {"ip": "127.0.0.1", "port": control},
            "ssl": {"enable": false},
        },
        "deployment": {"admin": {
            "admin_listen": {"ip": "127.0.0.1", "port": admin},
            "admin_key": [{"name": "admin", "key": ADMIN_KEY, "role": "admin"}],
        }},
        "plugin_attr": {"prometheus": {"export_addr": {"ip": "127.0.0.1", "port": metrics}}},
        "nginx_config": {"http": {"access_log": folder.join("access.log").display().to_string()}},
    })
    .to_string()
}

/// What is written into the gateway before its requests are counted. `model` is overridden, so that the body is edited
/// as in real life.
fn writes(setup: Setup, provider: u16) -> Vec<(String, Value)> {
    let ai_proxy = json!({
        "provider": "openai-compatible",
        "auth": {"header": {"Authorization": "Bearer provider"}},
        "options": {"model": "gpt-4o-mini"},
        "override": {"endpoint": format!("http://127.0.0.1:{provider}/v1/chat/completions")},
    });
    let mut writes = Vec::new();
    let mut route = json!({"uri": "/*", "plugins": {"ai-proxy": ai_proxy}});
    match setup {
        Setup::Alone => {}
        Setup::Counted => route["plugins"]["prometheus"] = json!({}),
        Setup::Keyed => {
            let consumer = json!({"username": "caller", "plugins": {"key-auth": {"key": CALLER_KEY}}});
            writes.push(("consumers/caller".to_owned(), consumer));
            route["plugins"]["key-auth"] = json!({});
            route["plugins"]["request-id"] = json!({});
            route["plugins"]["limit-count"] =
                json!({"count": 1_000_000, "time_window": 3600, "key": "consumer_name"});
        }
        Setup::Among(count) => {
            for number in 0..count {
                let uri = format!("/v1/service-{}/resource-{number}/*", number % 97);
                let other = json!({"uri": uri, "plugins": {"ai-proxy": ai_proxy}});
                writes.push((format!("routes/other-{number}"), other));
            }
        }
        Setup::Sharing(count) => {
            let instance = |number: u32| {
                let mut instance = ai_proxy.clone();
                instance["name"] = json!(format!("instance-{number}"));
                instance["weight"] = json!(1);
                instance
            };
            let instances: Vec<Value> = (0..count).map(instance).collect();
            route["plugins"] = json!({"ai-proxy-multi": {"instances": instances}});
        }
        Setup::Ordinary => {
            let node = format!("127.0.0.1:{provider}");
            route = json!({"uri": "/*", "upstream": {"nodes": {node: 1}}});
        }
    }
    writes.push(("routes/1".to_owned(), route));
    writes.into_iter().map(|(path, document)| (format!("/apisix/admin/{path}"), document)).collect()
}
