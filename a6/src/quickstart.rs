//! `a6 quickstart`: a newcomer with nothing sees one request go through a gateway of its own.
//!
//! - `provider.rs`: whom to ask: the provider whose key is in the environment, else the mock.
//! - `request.rs`: the request, its answer as it comes, and how long it took.
//! - `show.rs`: the table and the commands that do the same.

mod provider;
mod request;
mod show;

use std::fs::Permissions;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use a6_settings::{Options, Settings};
use anyhow::{Context, bail};
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;

use crate::running::Running;
use crate::serve::{Signals, environment, log_to_stderr, say};
use provider::Choice;

/// The flags of `a6 quickstart`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// End after the request instead of serving on
    #[arg(long)]
    once: bool,
    /// Ask the built-in mock, even if a provider's key is in the environment
    #[arg(long)]
    mock: bool,
    /// Ask this model
    #[arg(long, value_name = "M")]
    model: Option<String>,
}

/// The route's id.
const ROUTE: &str = "quickstart";
/// How often ports are looked for anew.
const ATTEMPTS: u16 = 20;

/// Starts a gateway on loopback with a temporary data directory, sends one streamed request through it, and shows
/// what happened. The user's own contexts and data are never touched, and the directory goes whatever ends it.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    log_to_stderr(LevelFilter::ERROR);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = runtime.block_on(async { Signals::catch() })?;
    let choice = Choice::make(&environment(), args.mock, args.model.as_deref())?;
    let data_dir = tempfile::Builder::new()
        .prefix("a6-quickstart-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()?;
    let running = Arc::new(start(data_dir.path())?);
    let demonstration = {
        let (running, path) = (running.clone(), data_dir.path().to_path_buf());
        runtime.spawn_blocking(move || demonstrate(&running, &choice, &path).map(|()| choice))
    };
    let result = runtime.block_on(async {
        tokio::select! {
            done = demonstration => done?.map(Some),
            // The request may hang at its provider; nobody waits for it any more.
            () = signals.until_told_to_stop(|| ()) => Ok(None),
        }
    });
    if matches!(result, Ok(Some(_))) && !args.once {
        say("\nServing on; Ctrl-C ends it.");
        runtime.block_on(signals.until_told_to_stop(|| ()));
    }
    runtime.shutdown_background();
    if let Ok(running) = Arc::try_unwrap(running) {
        running.stop();
    }
    match result? {
        Some(_mock) => Ok(()),
        None => bail!("stopped before the answer was there"),
    }
}

/// On the first free ports from the usual ones up. Another process may take one between the look and the start.
fn start(data_dir: &Path) -> anyhow::Result<Running> {
    let mut last = None;
    for attempt in 0..ATTEMPTS {
        match Running::start(&settings(data_dir, attempt)?) {
            Ok(running) => return Ok(running),
            Err(error) if is_in_use(&error) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.context("no port is free")?)
}

fn is_in_use(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.into_iter().any(|kind| kind == io::ErrorKind::AddrInUse)
}

fn demonstrate(running: &Running, choice: &Choice, data_dir: &Path) -> anyhow::Result<()> {
    let admin = running.admin.context("the Admin API does not listen")?;
    let data = *running.data.first().context("the data plane does not listen")?;
    let key = running.admin_key.as_ref().context("there is no admin key")?;
    let route = json!({"uri": "/v1/chat/completions", "plugins": {"ai-proxy": choice.plugin()}});
    request::put_route(admin, key, ROUTE, &route)?;
    say(&choice.announcement());
    let body = json!({
        "model": choice.model,
        "messages": [{"role": "user", "content": "Say in one sentence what an AI gateway does."}],
        "max_tokens": 64,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    let answer = request::ask(data, &body)?;
    choice.verify(&answer.text)?;
    let record = running.requests.last().context("the request left no record")?;
    show::table(&record, &answer, choice, ROUTE);
    show::commands(data, admin, data_dir, choice, &body);
    Ok(())
}

/// The defaults, on loopback and on the first free ports from the usual ones up. No file and no variable is read.
fn settings(data_dir: &Path, attempt: u16) -> anyhow::Result<Settings> {
    let options = Options { data_dir: Some(data_dir.to_path_buf()), workers: Some(1), ..Options::default() };
    let loaded =
        a6_settings::load_bytes(b"", None, &options).context("the default settings are not valid")?;
    let mut settings = loaded.settings;
    settings.data.listen = vec![free_port(9080 + attempt)?];
    settings.data.tls = None;
    let admin = settings.admin.as_mut().context("the default settings have no Admin API")?;
    admin.listen = free_port(9180 + attempt)?;
    settings.control = None;
    settings.prometheus.listen = None;
    settings.access_log.enabled = false;
    Ok(settings)
}

fn free_port(from: u16) -> anyhow::Result<SocketAddr> {
    for port in from..from.saturating_add(100) {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("none of the ports {from} to {} is free", from.saturating_add(99))
}
