use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use a6_codec::http1::{Framing, ResponseHead};
use a6_core::{Fault, FaultKind};
use a6_snapshot::{Keepalive, RequestBody, Target};
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, Request, Response};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::body::broken;
use crate::client::{bound, timeout};
use crate::dial::{Dial, Identity};
use crate::io::Io;
use crate::names::Origin;
use crate::pipe::{Feeder, Pipe, pipe};
use crate::{Answer, IdleTimer, Resolver, Terms, TlsRoots, UpstreamBody};

/// What an answer may bring before the client has taken it; and all answers of one connection together.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// What of a request waits for the upstream to take it.
const SEND_BUFFER: usize = 64 << 10;
const MAX_HEADER_LIST: u32 = 64 << 10;

/// One request to be sent over HTTP/2.
#[derive(Debug)]
pub struct Http2Call {
    /// To whom.
    pub target: Arc<Target>,
    /// Whether the connection is kept afterwards.
    pub keepalive: Option<Keepalive>,
    /// Which headers of the answer are wanted.
    pub keep_header: fn(&HeaderName) -> bool,
    /// The head, with scheme and authority.
    pub request: http::request::Parts,
    /// The body, or its beginning where the rest follows as it comes.
    pub body: Bytes,
}

/// The HTTP/2 connections of one thread: one per target and identity, which all requests share.
#[derive(Debug, Default)]
pub(crate) struct Http2Pool {
    slots: RefCell<HashMap<Arc<Target>, Vec<Rc<Slot>>>>,
}

#[derive(Debug)]
struct Slot {
    identity: Option<Arc<Identity>>,
    /// Locked while it is dialled, so that requests that come at the same time wait for the same connection.
    session: tokio::sync::Mutex<Option<Rc<Session>>>,
}

/// A connection. Whoever has a request on it holds it.
#[derive(Debug)]
struct Session {
    sender: SendRequest<Pipe>,
    origin: Option<Origin>,
    requests: Cell<u64>,
    /// It takes no further requests.
    is_retired: Cell<bool>,
    idle: Duration,
    last: Cell<Instant>,
}

/// Runs hyper's tasks on the thread that the connection belongs to.
#[derive(Clone)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// Why a request has no answer, and the request itself if it did not leave.
struct Unanswered {
    fault: Fault,
    request: Option<Box<Request<Pipe>>>,
}

impl Http2Pool {
    /// Sends a request and waits for the answer's head. A connection that turns out to be closed before the request
    /// could leave is replaced once.
    pub(crate) async fn send(
        &self,
        call: Http2Call,
        terms: &Terms,
        body: &mut RequestBody,
        resolver: &Resolver,
        roots: &Arc<TlsRoots>,
    ) -> Result<Answer, Fault> {
        let Http2Call { target, keepalive, keep_header, request, body: begin } = call;
        let (mut feeder, pipe) = pipe(begin, terms.feed);
        let mut request = Request::from_parts(request, pipe);
        let mut was_closed = false;
        loop {
            let connecting = self.session(&target, keepalive, terms, resolver, roots);
            let (session, connect) = Box::pin(connecting).await?;
            match session.ask(request, &mut feeder, &target, terms, body).await {
                Ok(response) => {
                    let (head, body) = read_head(response, keep_header, target, session, feeder, terms);
                    return Ok(Answer { head, body: UpstreamBody::http2(body), connect });
                }
                Err(Unanswered { request: Some(unsent), .. }) if !was_closed => {
                    session.is_retired.set(true);
                    was_closed = true;
                    request = *unsent;
                }
                Err(Unanswered { fault, request }) => {
                    return Err(bound(fault, request.is_none(), feeder.has_fed(), terms));
                }
            }
        }
    }

    /// The connection that takes the next request, and how long it took to open it.
    async fn session(
        &self,
        target: &Arc<Target>,
        keepalive: Option<Keepalive>,
        terms: &Terms,
        resolver: &Resolver,
        roots: &Arc<TlsRoots>,
    ) -> Result<(Rc<Session>, Duration), Fault> {
        let slot = self.slot(target, terms.identity.as_ref());
        let limit = terms.timeouts.connect;
        let connecting = async {
            let mut current = slot.session.lock().await;
            if let Some(session) = current.as_ref().filter(|session| session.is_usable(terms.max_requests)) {
                return Ok((session.clone(), Duration::ZERO));
            }
            let started = Instant::now();
            let dial = Dial { target, identity: terms.identity.as_deref(), is_http2: true, limit };
            let (io, origin) = dial.open(resolver, roots).await?;
            let session = Rc::new(Session::begin(io, origin, target, keepalive).await?);
            *current = keepalive.map(|_| session.clone());
            Ok::<_, Fault>((session, started.elapsed()))
        };
        let connected = tokio::time::timeout(limit, connecting).await;
        connected.unwrap_or_else(|_| Err(timeout(target, "connecting to", limit)))
    }

    fn slot(&self, target: &Arc<Target>, identity: Option<&Arc<Identity>>) -> Rc<Slot> {
        let mut slots = self.slots.borrow_mut();
        let list = slots.entry(target.clone()).or_default();
        if let Some(slot) = list.iter().find(|slot| slot.identity.as_ref() == identity) {
            return slot.clone();
        }
        let slot = Rc::new(Slot { identity: identity.cloned(), session: tokio::sync::Mutex::default() });
        list.push(slot.clone());
        slot
    }

    /// Closes connections that nobody has used for too long.
    pub(crate) fn sweep(&self) {
        self.slots.borrow_mut().retain(|_, list| {
            list.retain(|slot| {
                // One that is locked is being dialled.
                let Ok(mut current) = slot.session.try_lock() else { return true };
                if current.as_ref().is_some_and(Session::is_over) {
                    *current = None;
                }
                current.is_some() || Rc::strong_count(slot) > 1
            });
            !list.is_empty()
        });
    }
}

impl Session {
    async fn begin(
        io: Io,
        origin: Option<Origin>,
        target: &Target,
        keepalive: Option<Keepalive>,
    ) -> Result<Self, Fault> {
        let mut builder = http2::Builder::new(LocalExecutor);
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(MAX_HEADER_LIST);
        let (sender, connection) =
            builder.handshake(TokioIo::new(io)).await.map_err(|error| unanswered(target, &error))?;
        let named = target.to_string();
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(upstream = %named, %error, "an HTTP/2 connection ended early");
            }
        });
        Ok(Self {
            sender,
            origin,
            requests: Cell::new(0),
            is_retired: Cell::new(false),
            idle: keepalive.map_or(Duration::ZERO, |keepalive| keepalive.idle),
            last: Cell::new(Instant::now()),
        })
    }

    fn is_usable(&self, max_requests: u64) -> bool {
        !self.is_retired.get()
            && !self.sender.is_closed()
            && self.requests.get() < max_requests
            && self.origin.as_ref().is_none_or(Origin::is_current)
    }

    /// Whether it can go: nobody has a request on it, and it was idle for too long or is of no more use.
    fn is_over(self: &Rc<Self>) -> bool {
        Rc::strong_count(self) == 1 && (!self.is_usable(u64::MAX) || self.last.get().elapsed() >= self.idle)
    }

    async fn ask(
        &self,
        request: Request<Pipe>,
        feeder: &mut Feeder,
        target: &Target,
        terms: &Terms,
        body: &mut RequestBody,
    ) -> Result<Response<Incoming>, Unanswered> {
        self.requests.set(self.requests.get() + 1);
        self.last.set(Instant::now());
        let mut sending = Box::pin(self.sender.clone().try_send_request(request));
        let limit = terms.timeouts.read;
        let mut timer = IdleTimer::new();
        timer.arm(limit);
        poll_fn(|cx| {
            match feeder.poll(cx, body) {
                Ok(true) => timer.progress(),
                Ok(false) => {}
                Err(fault) => return Poll::Ready(Err(Unanswered { fault, request: None })),
            }
            if let Poll::Ready(result) = sending.as_mut().poll(cx) {
                return Poll::Ready(result.map_err(|mut error| {
                    let request = error.take_message().map(Box::new);
                    Unanswered { fault: unanswered(target, error.error()), request }
                }));
            }
            if feeder.waits_for_client() {
                return Poll::Pending;
            }
            ready!(timer.poll_expired(cx));
            // Where the whole connection hangs, the next request should not hang on it, too.
            self.is_retired.set(true);
            let fault = timeout(target, "waiting for the answer of", limit);
            Poll::Ready(Err(Unanswered { fault, request: None }))
        })
        .await
    }
}

fn unanswered(target: &Target, error: &hyper::Error) -> Fault {
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    let text = format!("{target} gave no answer over HTTP/2: {error}{cause}");
    Fault::upstream(FaultKind::UpstreamConnect, text)
}

fn read_head(
    response: Response<Incoming>,
    keep_header: fn(&HeaderName) -> bool,
    target: Arc<Target>,
    session: Rc<Session>,
    feeder: Feeder,
    terms: &Terms,
) -> (ResponseHead, Http2Body) {
    let (parts, incoming) = response.into_parts();
    let is_done = incoming.is_end_stream();
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let framing = match length {
        _ if is_done => Framing::Empty,
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    };
    let mut headers = HeaderMap::with_capacity(parts.headers.len());
    for (name, value) in parts.headers.iter().filter(|(name, _)| keep_header(name)) {
        headers.append(name, value.clone());
    }
    let head = ResponseHead { status: parts.status, reason: None, headers, framing, reusable: true };
    let mut timer = IdleTimer::new();
    timer.arm(terms.timeouts.read);
    let body = Http2Body {
        incoming,
        is_done,
        left: length,
        trailers: None,
        feeder,
        timer,
        target,
        _session: session,
    };
    (head, body)
}

/// An answer's body as a stream of a shared connection. Dropping it resets the stream.
#[derive(Debug)]
pub(crate) struct Http2Body {
    incoming: Incoming,
    is_done: bool,
    /// Bytes that were announced and have not come.
    left: Option<u64>,
    trailers: Option<HeaderMap>,
    feeder: Feeder,
    timer: IdleTimer,
    target: Arc<Target>,
    /// The connection stays open as long as somebody holds it.
    _session: Rc<Session>,
}

impl Http2Body {
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    pub(crate) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    pub(crate) fn is_fed(&self) -> bool {
        !self.is_done && self.feeder.is_fed()
    }

    pub(crate) fn poll_feed(&mut self, cx: &mut Context<'_>, body: &mut RequestBody) -> Result<(), Fault> {
        if self.feeder.poll(cx, body)? {
            self.timer.progress();
        }
        Ok(())
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        while !self.is_done {
            let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending if self.feeder.waits_for_client() => return Poll::Pending,
                Poll::Pending => {
                    ready!(self.timer.poll_expired(cx));
                    return self.broken(FaultKind::UpstreamTimeout, "no byte came within the timeout");
                }
            };
            self.timer.progress();
            match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
                Some(Ok(Ok(data))) => {
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    self.is_done = self.incoming.is_end_stream();
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Ok(Err(other))) => {
                    self.trailers = other.into_trailers().ok();
                    self.is_done = true;
                }
                Some(Err(error)) => return self.broken(FaultKind::UpstreamTruncated, &error.to_string()),
                // hyper takes a stream that was reset without an error for one that has ended.
                None if self.left.is_some_and(|left| left > 0) => {
                    return self.broken(FaultKind::UpstreamTruncated, "the stream ended before its length");
                }
                None => self.is_done = true,
            }
        }
        Poll::Ready(None)
    }

    fn broken(&mut self, kind: FaultKind, cause: &str) -> Poll<Option<Result<Bytes, Fault>>> {
        self.is_done = true;
        Poll::Ready(Some(Err(broken(&self.target, kind, cause))))
    }
}
