//! The control thread: Admin API, Control API and metrics are served on it, and secrets, tokens and health are looked after.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use a6_admin::{Admin, AdminState, Counters, Ruler, Tls, View, Writer};
use a6_core::Clock;
use a6_resources::Catalogue;
use a6_secrets::Secrets;
use a6_snapshot::{DebugTokens, Explain, GroupRegistry, HealthRegistry};
use a6_store::Opener;
use a6_telemetry::{Metrics, RequestLog};
use a6_upstream::google::Fetcher;
use a6_upstream::{Resolver, TlsRoots, Upstream};
use tokio::sync::{oneshot, watch};

use crate::running::spawn;
use crate::secrets::Fetching;

/// How upstreams, and managers of secrets, are found and believed.
pub(crate) type Ways = (Arc<Resolver>, Arc<TlsRoots>);

/// What runs on the control thread.
pub(crate) struct Control {
    pub(crate) admin: Option<(TcpListener, Admin)>,
    pub(crate) admin_tls: Option<Tls>,
    pub(crate) control: Option<TcpListener>,
    /// With the path at which they are served.
    pub(crate) exporter: Option<(TcpListener, Arc<Metrics>, String)>,
    pub(crate) writer: Writer,
    pub(crate) catalogue: Arc<dyn Catalogue>,
    pub(crate) requests: Arc<RequestLog>,
    pub(crate) names: Vec<String>,
    pub(crate) exposed: bool,
    pub(crate) counters: Counters,
    pub(crate) explain: Arc<dyn Explain>,
    pub(crate) debug_tokens: Arc<DebugTokens>,
    pub(crate) ruler: Ruler,
    /// Opens what APISIX has encrypted in configurations that come at once.
    pub(crate) opener: Opener,
    /// Fetches tokens.
    pub(crate) fetcher: Fetcher,
    pub(crate) health: HealthRegistry,
    pub(crate) groups: GroupRegistry,
    /// Whether nodes are probed.
    pub(crate) probes: bool,
    pub(crate) ways: Ways,
    pub(crate) secrets: Arc<Secrets>,
}

/// The control thread before there is anything to serve.
pub(crate) struct ControlThread {
    pub(crate) secrets: Arc<Secrets>,
    /// Takes what it is to serve.
    pub(crate) hand_over: oneshot::Sender<Control>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) thread: JoinHandle<()>,
}

impl ControlThread {
    /// Starts it: secrets are fetched from now on.
    pub(crate) fn start(clock: &Clock, (resolver, roots): &Ways) -> anyhow::Result<Self> {
        let secrets = Arc::new(Secrets::new(clock.clone()));
        let fetching =
            Fetching { secrets: secrets.clone(), resolver: resolver.clone(), roots: roots.clone() };
        secrets.await_keeper();
        let (hand_over, handed) = oneshot::channel();
        let (stop, stopped) = watch::channel(false);
        let thread = spawn("a6-control", move || run_control(fetching, handed, stopped))?;
        Ok(Self { secrets, hand_over, stop, thread })
    }
}

/// The control thread: it fetches secrets from the first moment on, and serves once the rest runs.
fn run_control(fetching: Fetching, handed: oneshot::Receiver<Control>, stopped: watch::Receiver<bool>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the control thread could not start");
            return;
        }
    };
    let serving = async {
        // Nothing comes where the start has failed.
        if let Ok(control) = handed.await {
            control.serve(stopped).await;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            () = fetching.run() => {}
            () = serving => {}
        }
    });
}

impl Control {
    async fn serve(self, stopped: watch::Receiver<bool>) {
        let view: Arc<View> = self.writer.view().clone();
        let known = self.secrets.clone();
        let control = a6_admin::control_router(a6_admin::Control {
            view,
            catalogue: self.catalogue.clone(),
            requests: self.requests,
            names: self.names,
            exposed: self.exposed,
            counters: self.counters,
            health: self.health.clone(),
            groups: self.groups,
            troubles: Box::new(move || known.troubles()),
        });
        let (writer, secrets) = (self.writer.clone(), self.secrets);
        let refreshing = async move {
            loop {
                secrets.changed().await;
                writer.refresh().await;
            }
        };
        let admin = self.admin.map(|(socket, admin)| {
            let state = AdminState::new(admin, self.writer, self.catalogue)
                .explaining(self.explain)
                .debugging(self.debug_tokens)
                .opening(self.opener)
                .ruled_by(self.ruler);
            (socket, a6_admin::router(state))
        });
        let admin = async {
            if let Some((socket, router)) = admin {
                serve(socket, self.admin_tls, router, stopped.clone()).await;
            }
        };
        let control = async {
            if let Some(socket) = self.control {
                serve(socket, None, control, stopped.clone()).await;
            }
        };
        let exporter = async {
            if let Some((socket, metrics, path)) = self.exporter {
                serve(socket, None, a6_admin::exporter_router(metrics, path), stopped.clone()).await;
            }
        };
        let mut told = stopped.clone();
        // Secrets are fetched also where nothing is served here.
        let told = async {
            let _ = told.wait_for(|stopped| *stopped).await;
        };
        let health = self.health;
        let (resolver, roots) = self.ways;
        let (probed_by, believed_by) = (resolver.clone(), roots.clone());
        let prober = async {
            if self.probes {
                a6_upstream::watch_health(health, probed_by, believed_by).await;
            }
            std::future::pending::<()>().await;
        };
        let tokens = async {
            self.fetcher.run(Upstream::new(resolver, roots)).await;
            // It ends with the data plane; the Admin API serves on.
            std::future::pending::<()>().await;
        };
        let serving = async { tokio::join!(admin, control, exporter, told) };
        tokio::select! {
            ((), (), (), ()) = serving => {}
            () = refreshing => {}
            () = prober => {}
            () = tokens => {}
        }
    }
}

async fn serve(
    socket: TcpListener,
    tls: Option<Tls>,
    router: a6_admin::Router,
    mut stopped: watch::Receiver<bool>,
) {
    let shutdown = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    match tokio::net::TcpListener::from_std(socket) {
        Ok(listener) => a6_admin::serve(listener, tls, router, shutdown).await,
        Err(error) => tracing::error!(%error, "a control listener could not start"),
    }
}
