use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use a6_settings::{Loaded, Options, Settings, Source};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use crate::admin_key;
use crate::running::Running;
use crate::source::is_bad_file;

/// The flags of `a6 serve`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Settings file; without it ./conf/config.yaml if it is there, else the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the embedded store and of the generated admin key
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Threads that serve traffic; one per core by default
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Seconds that open requests may go on after SIGTERM
    #[arg(long, value_name = "S")]
    drain_timeout: Option<u64>,
}

/// Exit code for settings, or a configuration file, that cannot be used.
const BAD_SETTINGS: u8 = 2;

/// Runs the gateway until SIGTERM or Ctrl-C.
pub(crate) fn run(args: &Args) -> ExitCode {
    let options = Options {
        file: args.config.clone(),
        env: environment(),
        workers: args.workers,
        data_dir: args.data_dir.clone(),
        drain_timeout: args.drain_timeout.map(Duration::from_secs),
    };
    let Loaded { settings, warnings, .. } = match a6_settings::load(&options) {
        Ok(loaded) => loaded,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(BAD_SETTINGS);
        }
    };
    log_to_stderr(level(&settings.error_log_level));
    for warning in &warnings {
        complain(&format!("warning: {warning}"));
    }
    match serve(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            if is_bad_file(&error) { ExitCode::from(BAD_SETTINGS) } else { ExitCode::FAILURE }
        }
    }
}

fn serve(settings: &Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anything listens, so that an early signal is not lost.
    let mut signals = runtime.block_on(async { Signals::catch() })?;
    let running = Running::start(settings)?;
    announce(settings, &running);
    runtime.block_on(signals.until_told_to_stop(running.log_reopener()));
    say("draining: no new connections; open requests go on; a second signal ends at once");
    let reopener = running.log_reopener();
    let (stopped, all_stopped) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        running.stop();
        // Nobody waits any more where a second signal came first.
        let _ = stopped.send(());
    });
    let in_time = runtime.block_on(async {
        tokio::select! {
            _ = all_stopped => true,
            () = signals.until_told_to_stop(reopener) => false,
        }
    });
    say(if in_time { "stopped" } else { "stopped before everything had ended" });
    Ok(())
}

/// The signals that mean something to a gateway.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reopen: Signal,
}

impl Signals {
    /// Catches them from now on.
    pub(crate) fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }

    /// SIGTERM or Ctrl-C; each SIGUSR1 before that asks for `reopen`.
    pub(crate) async fn until_told_to_stop(&mut self, reopen: impl Fn()) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.reopen.recv() => reopen(),
            }
        }
    }
}

fn announce(settings: &Settings, running: &Running) {
    let list = |scheme: &str, addresses: &[SocketAddr]| {
        addresses.iter().map(|address| format!("{scheme}://{address}")).collect::<Vec<_>>().join(", ")
    };
    say(&format!("data plane   {}", list("http", &running.data)));
    if !running.tls.is_empty() {
        say(&format!("with TLS     {}", list("https", &running.tls)));
    }
    let speaks_tls = settings.admin.as_ref().is_some_and(|admin| admin.tls.is_some());
    let scheme = if speaks_tls { "https" } else { "http" };
    if let Some(admin) = running.admin {
        say(&format!("Admin API    {scheme}://{admin}/apisix/admin"));
    }
    if let Some(control) = running.control {
        say(&format!("Control API  http://{control}/v1/config/status"));
    }
    if let Some(exporter) = running.exporter {
        say(&format!("metrics      http://{exporter}{}", settings.prometheus.uri));
    }
    say(&format!("data         {}", settings.data_dir.display()));
    if let Source::File { path, .. } = &settings.source {
        say(&format!("config file  {}", path.display()));
    }
    let generated = settings.admin.as_ref().is_some_and(|admin| admin.generate);
    if let Some((admin, key)) = running.admin.zip(running.admin_key.as_ref()).filter(|_| generated) {
        say(&format!("admin key    {}", admin_key::path(&settings.data_dir).display()));
        match a6_cli::contexts::register_if_none("local", &format!("{scheme}://{admin}"), key.expose()) {
            Ok(true) => say("The command line now knows this gateway as context \"local\"."),
            Ok(false) => {}
            Err(error) => complain(&format!("warning: the context \"local\" could not be saved: {error}")),
        }
    }
    for warning in &running.warnings {
        complain(&format!("warning: {warning}"));
    }
    if running.admin.is_some() && settings.source == Source::Store {
        say("Next: a6 route list, or a6 route create -f route.json; stop with Ctrl-C.");
    }
}

/// The environment without names or values that are not UTF-8: no setting of ours is.
pub(crate) fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Logs go to stderr, one line each.
pub(crate) fn log_to_stderr(level: LevelFilter) {
    // A second call, as from a test, changes nothing.
    let _ = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).try_init();
}

fn level(nginx: &str) -> LevelFilter {
    match nginx {
        "debug" => LevelFilter::DEBUG,
        "info" | "notice" => LevelFilter::INFO,
        "warn" => LevelFilter::WARN,
        _ => LevelFilter::ERROR,
    }
}

/// A plain line for the person who started it. Nobody has to be listening.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A plain line about something wrong.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
