//! `Options`, the running `Mock`, what its connections share, the accept loop.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::answer::Provider;
use crate::aws::AwsKey;
use crate::connection;
use crate::google::TokenEndpoint;
use crate::knobs::{CutWith, Knobs};
use crate::ledger::{Exchange, KEPT, Ledger, Outcome, locked};
use crate::replay::Recordings;
use crate::script::Script;
use crate::tls::TlsIdentity;

/// Connections that may wait to be accepted: a bench opens a thousand at once.
const BACKLOG: u32 = 4096;
/// How long the accept loop rests when the process is out of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(20);

/// How a mock is started.
#[derive(Clone)]
pub struct Options {
    /// Host name or address to listen on.
    pub host: String,
    /// Port to listen on; 0 takes any free one.
    pub port: u16,
    /// The key that requests have to carry in `authorization: Bearer`, `x-api-key` or `api-key`; else they get 401.
    pub api_key: Option<String>,
    /// The faults and shapes of every reply, unless the request asks for others.
    pub knobs: Knobs,
    /// Serve TLS with this identity.
    pub tls: Option<TlsIdentity>,
    /// Keep a ledger. Without one, a request with the same bytes as the one before gets the same bytes again,
    /// which is what a bench wants.
    pub ledger: bool,
    /// How many exchanges the ledger keeps; past it the oldest are forgotten.
    pub kept: usize,
    /// Answer from the recorded exchanges in this folder (go-vcr YAML) and from nothing else.
    pub replay: Option<PathBuf>,
    /// The key that requests below `/model/` have to be signed with; else they get 403.
    pub aws_key: Option<AwsKey>,
    /// A service account of Google's, in JSON: `POST …/token` gives it tokens, and requests with `/projects/` in their path have to
    /// carry one; else they get 401.
    pub google_account: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 0,
            api_key: None,
            knobs: Knobs::default(),
            tls: None,
            ledger: true,
            kept: KEPT,
            replay: None,
            aws_key: None,
            google_account: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the keys.
        out.debug_struct("Options")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("knobs", &self.knobs)
            .field("ledger", &self.ledger)
            .field("replay", &self.replay)
            .finish_non_exhaustive()
    }
}

/// A mock provider on a thread of its own. It stops, with all its connections, when it is dropped.
pub struct Mock {
    /// Where it listens.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Mock {
    /// Starts a mock and returns once it listens.
    ///
    /// # Errors
    /// When the address cannot be listened on or the recordings cannot be read.
    pub fn start(options: Options) -> io::Result<Self> {
        let shared = Arc::new(Shared::of(&options)?);
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::Builder::new().name("a6-mock".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || run_thread(&options, shared, &tell, stopped)
        })?;
        let addr =
            told.recv().map_err(|_| io::Error::other("the mock's thread ended before it listened"))??;
        Ok(Self { addr, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// The exchanges in the ledger, oldest first, those still running included. Empty when no ledger is kept.
    #[must_use]
    pub fn ledger(&self) -> Vec<Exchange> {
        self.shared.ledger.as_ref().map(Ledger::all).unwrap_or_default()
    }

    /// The ledger once it has at least `count` exchanges and none of them is open, or as it is after 10 seconds.
    /// A client can have a reply's last byte a moment before the ledger says that the reply is complete.
    #[must_use]
    pub fn settled(&self, count: usize) -> Vec<Exchange> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let all = self.ledger();
            let settled = all.len() >= count && all.iter().all(|exchange| exchange.outcome != Outcome::Open);
            if settled || Instant::now() >= deadline {
                return all;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Clears the ledger.
    pub fn clear(&self) {
        if let Some(ledger) = &self.shared.ledger {
            ledger.clear();
        }
    }

    /// Scheme, host and port, such as `http://127.0.0.1:4010`.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Changes the knobs for all requests from now on.
    pub fn set_knobs(&self, knobs: Knobs) {
        let mut current = locked(&self.shared.knobs);
        *current = (current.0 + 1, Arc::new(knobs));
    }

    /// Stops it, with all its connections, and gives the ledger as it is then.
    #[must_use]
    pub fn stop(mut self) -> Vec<Exchange> {
        self.end();
        self.ledger()
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that the thread has ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Mock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Mock").field("addr", &self.addr).finish_non_exhaustive()
    }
}

fn run_thread(
    options: &Options,
    shared: Arc<Shared>,
    tell: &mpsc::Sender<io::Result<SocketAddr>>,
    stopped: oneshot::Receiver<()>,
) {
    // Where telling fails, nobody waits for the mock any more.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = tell.send(Err(error));
            return;
        }
    };
    runtime.block_on(async move {
        let listener = match listen(options) {
            Ok(listener) => listener,
            Err(error) => {
                let _ = tell.send(Err(error));
                return;
            }
        };
        let _ = tell.send(listener.local_addr());
        tokio::select! {
            () = accept(listener, shared) => {}
            _ = stopped => {}
        }
    });
}

/// Listens where the options say. Has to be called inside a runtime.
pub(crate) fn listen(options: &Options) -> io::Result<TcpListener> {
    let wanted = format!("{}:{}", options.host, options.port);
    let about =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {wanted}: {error}"));
    let mut addresses = (options.host.as_str(), options.port).to_socket_addrs().map_err(about)?;
    let address = addresses
        .next()
        .ok_or_else(|| about(io::Error::new(io::ErrorKind::NotFound, "the host has no address")))?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(about)?;
    socket.set_reuseaddr(true).map_err(about)?;
    socket.bind(address).map_err(about)?;
    socket.listen(BACKLOG).map_err(about)
}

/// Accepts connections for ever, each served by a task of its own.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_REST).await;
            continue;
        };
        let id = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let (_, knobs) = shared.knobs();
        if knobs.refuse {
            if knobs.cut_with == Some(CutWith::Rst) {
                // A socket that is already broken needs no reset.
                let _ = stream.set_zero_linger();
            }
            continue;
        }
        tokio::spawn(connection::serve(stream, id, Arc::clone(&shared)));
    }
}

/// What the connections of a mock share.
pub(crate) struct Shared {
    pub(crate) provider: Provider,
    pub(crate) ledger: Option<Ledger>,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) connections: AtomicU64,
    /// The knobs in force and how often they were changed.
    knobs: Mutex<(u64, Arc<Knobs>)>,
    /// The latest request and its reply, while no ledger is kept.
    remembered: Mutex<Option<Arc<Remembered>>>,
}

/// A request's bytes and the reply they got.
pub(crate) struct Remembered {
    pub(crate) generation: u64,
    pub(crate) raw: Bytes,
    pub(crate) knobs: Arc<Knobs>,
    pub(crate) script: Script,
}

impl Shared {
    pub(crate) fn of(options: &Options) -> io::Result<Self> {
        let recordings = options.replay.as_deref().map(Recordings::read).transpose()?;
        Ok(Self {
            provider: Provider {
                api_key: options.api_key.clone(),
                recordings,
                aws: options.aws_key.clone(),
                google: options.google_account.as_deref().map(TokenEndpoint::of).transpose()?,
            },
            ledger: options.ledger.then(|| Ledger::of(options.kept)),
            tls: options.tls.as_ref().map(|identity| TlsAcceptor::from(Arc::clone(&identity.config))),
            connections: AtomicU64::new(0),
            knobs: Mutex::new((0, Arc::new(options.knobs.clone()))),
            remembered: Mutex::new(None),
        })
    }

    /// The knobs in force and how often they were changed.
    pub(crate) fn knobs(&self) -> (u64, Arc<Knobs>) {
        let current = locked(&self.knobs);
        (current.0, Arc::clone(&current.1))
    }

    /// The remembered reply, where the buffer begins with the remembered request and the knobs are still the same.
    pub(crate) fn same(&self, buffer: &[u8]) -> Option<Arc<Remembered>> {
        if self.ledger.is_some() || buffer.is_empty() {
            return None;
        }
        let remembered = locked(&self.remembered).clone()?;
        let unchanged = remembered.generation == locked(&self.knobs).0;
        (unchanged && buffer.starts_with(&remembered.raw)).then_some(remembered)
    }

    /// Keeps a reply for the next request of the same bytes, unless there is a ledger.
    pub(crate) fn remember(&self, answered: Remembered) -> Arc<Remembered> {
        let answered = Arc::new(answered);
        if self.ledger.is_none() {
            *locked(&self.remembered) = Some(Arc::clone(&answered));
        }
        answered
    }
}
