//! A gateway process of the test's own.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::eventually;
use super::http::{Answer, Connection, request};

/// The key that the Admin API of a test's gateway takes.
pub const ADMIN_KEY: &str = "test-admin-key-0123456789abcdef";

/// The a6 program with nothing of the developer's environment but PATH: all it may write is under `home`.
pub fn a6(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_a6"));
    command
        .current_dir(home)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home.join("xdg-config"))
        .env("XDG_DATA_HOME", home.join("xdg-data"))
        .env("A6_CONFIG_DIR", home.join("a6"))
        .env("RUST_BACKTRACE", "1");
    command
}

/// How a gateway is started.
pub struct Setup {
    workers: usize,
    resolve: Vec<(String, SocketAddr)>,
    trusted: Option<String>,
    tls: Option<String>,
    admin_lines: String,
    admin_key: Option<String>,
    home: Option<Arc<TempDir>>,
    settings: String,
    flags: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Setup {
    /// One worker, the key [`ADMIN_KEY`], a home of its own, no TLS.
    pub fn new() -> Self {
        let admin_key = Some(ADMIN_KEY.to_string());
        Self {
            workers: 1,
            resolve: Vec::new(),
            trusted: None,
            tls: None,
            admin_lines: String::new(),
            admin_key,
            home: None,
            settings: String::new(),
            flags: Vec::new(),
            variables: Vec::new(),
        }
    }

    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Adds an `a6.resolve` entry.
    pub fn resolve(mut self, host: &str, address: SocketAddr) -> Self {
        self.resolve.push((host.to_string(), address));
        self
    }

    /// Trusts one more authority for upstreams (`apisix.ssl.ssl_trusted_certificate`).
    pub fn trust(mut self, ca_pem: &str) -> Self {
        self.trusted = Some(ca_pem.to_string());
        self
    }

    /// Speaks TLS on [`Gateway::tls`]; `more` are members of `apisix.ssl` (YAML in one line, such as `fallback_sni: a.test`).
    pub fn tls(mut self, more: &str) -> Self {
        self.tls = Some(more.to_string());
        self
    }

    /// Adds members of `deployment.admin` that make it speak TLS (YAML in one line).
    pub fn admin_tls(mut self, yaml: &str) -> Self {
        self.admin_lines = format!("    https_admin: true\n    {yaml}\n");
        self
    }

    /// Leaves `admin_key` out of the configuration.
    pub fn without_admin_key(mut self) -> Self {
        self.admin_key = None;
        self
    }

    /// Adds top-level settings (YAML).
    pub fn settings(mut self, yaml: &str) -> Self {
        self.settings.push_str(yaml);
        self.settings.push('\n');
        self
    }

    /// Adds a flag of `a6 serve` and its value.
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.extend([name.to_string(), value.to_string()]);
        self
    }

    /// Adds an environment variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_string(), value.to_string()));
        self
    }

    /// Starts in a home that exists.
    pub fn home(mut self, home: &Arc<TempDir>) -> Self {
        self.home = Some(Arc::clone(home));
        self
    }

    /// Starts the gateway and waits until it serves.
    pub fn start(self) -> Gateway {
        let mut why = String::new();
        for _ in 0..3 {
            match self.try_start() {
                Ok(gateway) => return gateway,
                // Another process took a port between our look and the gateway's bind.
                Err(text) if text.contains("in use") => why = text,
                Err(text) => panic!("{text}"),
            }
        }
        panic!("{why}");
    }

    fn try_start(&self) -> Result<Gateway, String> {
        let home = self
            .home
            .clone()
            .unwrap_or_else(|| Arc::new(tempfile::tempdir().expect("a temporary directory")));
        let [data, tls, admin, control, exporter] = [(); 5].map(|()| free_address());
        let config = home.path().join("gateway.yaml");
        fs::write(&config, self.config(home.path(), data, tls, admin, control, exporter))
            .expect("the configuration is written");
        let output = |name: &str| File::create(home.path().join(name)).expect("a log file");
        let child = a6(home.path())
            .args(["serve", "--config"])
            .arg(&config)
            .arg("--data-dir")
            .arg(home.path().join("data"))
            .args(["--workers", &self.workers.to_string()])
            .args(&self.flags)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output("stdout.log"))
            .stderr(output("stderr.log"))
            .spawn()
            .expect("the binary starts");
        let key = self.admin_key.clone().unwrap_or_default();
        let admin_is_plain = self.admin_lines.is_empty();
        // The stand-alone Admin API has no routes.
        let is_stand_alone =
            |(name, _): &(String, String)| name == "A6_CONF_DEPLOYMENT__ROLE_TRADITIONAL__CONFIG_PROVIDER";
        let collection = if self.variables.iter().any(is_stand_alone) { "configs" } else { "routes" };
        let mut gateway =
            Gateway { data, tls, admin, control, exporter, key, collection, admin_is_plain, home, child };
        gateway.wait_until_it_serves().map(|()| gateway)
    }

    fn config(
        &self,
        home: &Path,
        data: SocketAddr,
        tls: SocketAddr,
        admin: SocketAddr,
        control: SocketAddr,
        exporter: SocketAddr,
    ) -> String {
        let listen = |address: SocketAddr| format!("{{ip: {}, port: {}}}", address.ip(), address.port());
        let mut text =
            format!("apisix:\n  node_listen:\n    - {}\n  control: {}\n", listen(data), listen(control));
        match &self.tls {
            Some(more) => text.push_str(&format!("  ssl:\n    listen: [{}]\n    {more}\n", listen(tls))),
            None => text.push_str("  ssl:\n    enable: false\n"),
        }
        if let Some(pem) = &self.trusted {
            let file = home.join("trusted.pem");
            fs::write(&file, pem).expect("the authority is written");
            text.push_str(&format!("    ssl_trusted_certificate: {}\n", file.display()));
        }
        text.push_str(&format!("deployment:\n  admin:\n    admin_listen: {}\n", listen(admin)));
        text.push_str(&self.admin_lines);
        if let Some(key) = &self.admin_key {
            text.push_str(&format!(
                "    admin_key:\n      - name: admin\n        key: {key}\n        role: admin\n"
            ));
        }
        if !self.resolve.is_empty() {
            text.push_str("a6:\n  resolve:\n");
            for (host, address) in &self.resolve {
                text.push_str(&format!("    {host}: \"{address}\"\n"));
            }
        }
        if self.settings.contains("plugin_attr:") {
            text.push_str(&self.settings.replace("{{exporter}}", &listen(exporter)));
        } else {
            text.push_str(&format!("plugin_attr: {{prometheus: {{export_addr: {}}}}}\n", listen(exporter)));
            text.push_str(&self.settings);
        }
        text
    }
}

/// A running gateway; killed on drop, its output shown where the test failed.
pub struct Gateway {
    pub data: SocketAddr,
    /// Where the data plane speaks TLS; nobody listens there unless [`Setup::tls`] was asked for.
    pub tls: SocketAddr,
    pub admin: SocketAddr,
    pub control: SocketAddr,
    /// Where the metrics are served; with `plugin_attr` in the settings only where they name `{{exporter}}`.
    pub exporter: SocketAddr,
    pub home: Arc<TempDir>,
    key: String,
    /// What the Admin API surely has.
    collection: &'static str,
    admin_is_plain: bool,
    child: Child,
}

impl Gateway {
    /// An Admin API request; `path` follows `/apisix/admin/`. A body that is not JSON is given as a string.
    pub fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut connection = Connection::open(self.admin);
        let answer = self.admin_on(&mut connection, method, path, body);
        let text = answer.text();
        (answer.status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The same on a connection that is kept.
    pub fn admin_on(
        &self,
        connection: &mut Connection,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let host = self.admin.to_string();
        let headers = [("Host", host.as_str()), ("X-API-KEY", self.key.as_str())];
        let body = body.map(Value::to_string).unwrap_or_default();
        connection.answer(&request(method, &format!("/apisix/admin/{path}"), &headers, body.as_bytes()))
    }

    /// Writes an object and insists that it is taken.
    pub fn put(&self, path: &str, body: &Value) -> u16 {
        let (status, answer) = self.admin("PUT", path, Some(body));
        assert!(matches!(status, 200 | 201), "PUT {path} {body}: {status} {answer}");
        status
    }

    /// Deletes an object and insists that it was there.
    pub fn delete(&self, path: &str) {
        let (status, answer) = self.admin("DELETE", path, None);
        assert_eq!(status, 200, "DELETE {path}: {answer}");
    }

    /// The records of finished requests, oldest first.
    pub fn records(&self) -> Vec<Value> {
        self.control_json("/v1/requests").as_array().cloned().unwrap_or_default()
    }

    /// What the Control API answers at a path; insists that it is there.
    pub fn control_json(&self, path: &str) -> Value {
        let host = self.control.to_string();
        let answer =
            Connection::open(self.control).answer(&request("GET", path, &[("Host", host.as_str())], b""));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// What is counted since the start, of that kind.
    pub fn counters(&self, kind: &str) -> Value {
        let host = self.control.to_string();
        let asked = request("GET", "/v1/counters", &[("Host", host.as_str())], b"");
        Connection::open(self.control).answer(&asked).json()[kind].clone()
    }

    /// Waits for `count` records and insists that there are no more.
    pub fn exactly(&self, count: usize) -> Vec<Value> {
        let records = eventually(&format!("{count} records"), || {
            Some(self.records()).filter(|records| records.len() >= count)
        });
        assert_eq!(records.len(), count, "{records:#?}");
        records
    }

    /// Asks the process to end (SIGTERM).
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh runs").success(), "{kill}");
    }

    /// A line of `/proc/PID/status` that tells of memory, in bytes: `VmRSS` is what the process holds, `VmHWM` the most that
    /// it ever held.
    pub fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kibibytes.unwrap_or_else(|| panic!("no {name} in {path}:\n{text}")) * 1024
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the gateway's end", || self.child.try_wait().expect("the child can be waited for"))
    }

    /// Everything that the process printed so far.
    pub fn output(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.home.path().join(name)).unwrap_or_default();
        format!("--- stdout of a6\n{}--- stderr of a6\n{}", read("stdout.log"), read("stderr.log"))
    }

    /// Where the gateway keeps its data.
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn wait_until_it_serves(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(15);
        let answers = |address: SocketAddr| TcpStream::connect(address).is_ok();
        while !(answers(self.data) && answers(self.control) && answers(self.admin)) {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return Err(format!("a6 ended at once, {status}\n{}", self.output()));
            }
            if Instant::now() > deadline {
                return Err(format!("a6 does not serve after 15 seconds\n{}", self.output()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if !self.admin_is_plain {
            return Ok(());
        }
        let (status, answer) = self.admin("GET", self.collection, None);
        match (self.key.is_empty(), status) {
            (false, 200) | (true, 401) => Ok(()),
            _ => Err(format!("the Admin API answers {status} {answer}\n{}", self.output())),
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.output());
        }
    }
}

/// A free address below the range from which the kernel gives outgoing connections their ports, and in a stretch that no
/// test process running beside this one uses: with SO_REUSEPORT two gateways could share a port without noticing.
fn free_address() -> SocketAddr {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let offset = (std::process::id() * 32 + TAKEN.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let port = 11_000 + u16::try_from(offset).expect("below 20,000");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
