use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use a6_core::Clock;
use a6_snapshot::{BodyLimits, DebugTokens, Plugin, Shared};
use a6_telemetry::{AccessLog, Metrics, RequestLog, ThreadMetrics};
use a6_upstream::google::Tokens;
use a6_upstream::{Resolver, TlsRoots, Upstream};
use http::HeaderValue;
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::access::MergedChains;
use crate::handshake::TlsFaults;
use crate::http1::HeadFaults;
use crate::listen::{self, Sockets};
use crate::real_ip::RealIp;

/// How often idle upstream connections are looked through.
const SWEEP: Duration = Duration::from_secs(10);

/// What all data threads share.
pub struct Config<P> {
    /// The configuration in force.
    pub snapshot: Shared<P>,
    /// Names to addresses.
    pub resolver: Arc<Resolver>,
    /// Which upstream certificates are believed.
    pub roots: Arc<TlsRoots>,
    /// Tokens that providers want.
    pub tokens: Arc<Tokens>,
    /// What bounds request bodies.
    pub body_limits: BodyLimits,
    /// Bytes of a body that a route's `vars` may look into.
    pub max_post_args: u64,
    /// A request's head must be here within this time.
    pub header_timeout: Duration,
    /// A connection may wait this long for its next request.
    pub keepalive_timeout: Duration,
    /// A client may take nothing of its answer for this long.
    pub send_timeout: Duration,
    /// Where a line per request goes.
    pub access_log: Option<Arc<AccessLog>>,
    /// `X-APISIX-Upstream-Status` is told always, not only for a 5xx.
    pub show_upstream_status: bool,
    /// A trailing `/` of a path is not there for routing.
    pub delete_uri_tail_slash: bool,
    /// The `Server` header of every answer.
    pub server: HeaderValue,
    /// The last requests.
    pub requests: Arc<RequestLog>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whose word is taken for where a request came from.
    pub real_ip: RealIp,
    /// Who may ask how an answer was made.
    pub debug_tokens: Arc<DebugTokens>,
    /// Time of day.
    pub clock: Clock,
    /// What was refused before it was a request.
    pub head_faults: Arc<HeadFaults>,
    /// Whose handshake failed.
    pub tls_faults: Arc<TlsFaults>,
    /// Whom a client is taken to mean that names nobody in its handshake.
    pub fallback_sni: Option<Box<str>>,
}

/// A data thread and what it owns. Nothing of it is shared with another thread but what [`Config`] names.
pub struct Worker<P> {
    pub(crate) config: Arc<Config<P>>,
    /// Shared with the plugins of requests under way, which may ask services.
    pub(crate) upstream: Rc<Upstream>,
    pub(crate) requests: Arc<RequestLog>,
    pub(crate) metrics: ThreadMetrics,
    request_ids: Cell<u128>,
    pub(crate) merged: MergedChains<P>,
    /// What is still open is being cut by us.
    pub(crate) cutting: Rc<Cell<bool>>,
}

impl<P: Plugin> Worker<P> {
    /// A thread's own part.
    pub fn new(config: Arc<Config<P>>) -> Self {
        let upstream = Rc::new(Upstream::new(config.resolver.clone(), config.roots.clone()));
        let requests = config.requests.clone();
        let metrics = config.metrics.thread();
        Self {
            config,
            upstream,
            requests,
            metrics,
            request_ids: Cell::new(random_start()),
            merged: MergedChains::new(),
            cutting: Rc::default(),
        }
    }

    /// 32 hexadecimal digits that no other request has: a random start per thread, and a step that spreads over all
    /// digits and comes back to where it began only after 2^128 requests.
    pub(crate) fn next_request_id(&self) -> Box<str> {
        const STEP: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        let id = self.request_ids.get().wrapping_add(STEP);
        self.request_ids.set(id);
        format!("{id:032x}").into_boxed_str()
    }
}

/// The standard library seeds its hashers with random bytes of the system.
fn random_start() -> u128 {
    let half = || u128::from(RandomState::new().build_hasher().finish());
    half() << 64 | half()
}

/// Runs a data thread until `draining` turns true and its last connection has ended, or `drain_limit` has passed since.
/// `started` is told once it accepts, or why it cannot; then it ends at once.
pub fn run<P: Plugin>(
    config: Arc<Config<P>>,
    sockets: Sockets,
    draining: watch::Receiver<bool>,
    drain_limit: Duration,
    started: &Sender<io::Result<()>>,
) {
    let prepared = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        let listeners = {
            let _inside = runtime.enter();
            sockets.into_listeners()?
        };
        Ok((runtime, listeners))
    });
    let (runtime, listeners) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            // Where nobody listens, the start was given up for another reason.
            let _ = started.send(Err(error));
            return;
        }
    };
    let _ = started.send(Ok(()));
    let local = LocalSet::new();
    let worker = Rc::new(Worker::new(config));
    let sweeper = worker.clone();
    local.spawn_local(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            sweeper.upstream.sweep();
        }
    });
    local.block_on(&runtime, listen::serve(worker, listeners, draining, drain_limit));
}
