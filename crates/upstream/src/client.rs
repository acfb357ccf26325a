use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use a6_codec::http1::{ResponseHead, parse_head};
use a6_core::{Fault, FaultKind, Secret};
use a6_snapshot::{Keepalive, Target};
use bytes::Bytes;
use http::{HeaderName, Method};

use crate::connection::Connection;
use crate::dial::dial;
use crate::pool::Pool;
use crate::{Resolver, TlsRoots, UpstreamBody};

/// A reused connection that dies within this time was dead before the request came.
const STALE_WITHIN: Duration = Duration::from_secs(1);

/// More interim answers (1xx) than this are a fault.
const MAX_INTERIM: usize = 16;

/// The way out for one data thread: connections never change threads.
#[derive(Debug)]
pub struct Upstream {
    pool: Rc<Pool>,
    resolver: Arc<Resolver>,
    roots: Arc<TlsRoots>,
}

/// One request to be sent.
#[derive(Debug)]
pub struct Call {
    /// To whom.
    pub target: Arc<Target>,
    /// Whether the connection is kept afterwards.
    pub keepalive: Option<Keepalive>,
    /// To connect, for each write and for each read.
    pub timeout: Duration,
    /// The method, which decides whether the answer has a body.
    pub method: Method,
    /// Which headers of the answer are wanted.
    pub keep_header: fn(&HeaderName) -> bool,
    /// The request's head as bytes. It holds the provider's key.
    pub head: Secret<Bytes>,
    /// Its body, in parts.
    pub body: Vec<Bytes>,
}

/// An answer whose head has come.
#[derive(Debug)]
pub struct Answer {
    /// The head.
    pub head: ResponseHead,
    /// The body, not read yet.
    pub body: UpstreamBody,
    /// How long connecting took; 0 where a connection was reused.
    pub connect: Duration,
}

/// Why an exchange on a connection failed.
struct Failure {
    fault: Fault,
    /// The upstream had answered nothing: on a reused connection, it had closed before the request came.
    is_stale: bool,
}

impl Upstream {
    /// A thread's way out.
    pub fn new(resolver: Arc<Resolver>, roots: Arc<TlsRoots>) -> Self {
        Self { pool: Rc::new(Pool::default()), resolver, roots }
    }

    /// Sends a request and waits for the answer's head.
    ///
    /// A reused connection that died before any byte of an answer is replaced once by a new one; nothing else is
    /// retried here.
    ///
    /// # Errors
    /// No connection, no answer, or one that is not HTTP/1.1; the fault names the host and the cause.
    pub async fn send(&self, call: Call) -> Result<Answer, Fault> {
        if let Some(mut connection) = self.pool.take(&call.target) {
            match exchange(&mut connection, &call).await {
                Ok(head) => return Ok(self.answer(connection, head, &call, Duration::ZERO)),
                Err(failure) if failure.is_stale => {}
                Err(failure) => return Err(failure.fault),
            }
        }
        let started = Instant::now();
        let io = match tokio::time::timeout(
            call.timeout,
            Box::pin(dial(&call.target, call.timeout, &self.resolver, &self.roots)),
        )
        .await
        {
            Ok(dialled) => dialled?,
            Err(_) => return Err(timeout(&call, "connecting to")),
        };
        let connect = started.elapsed();
        let mut connection = Connection::new(io);
        let head = exchange(&mut connection, &call).await.map_err(|failure| failure.fault)?;
        Ok(self.answer(connection, head, &call, connect))
    }

    fn answer(&self, connection: Connection, head: ResponseHead, call: &Call, connect: Duration) -> Answer {
        let body = UpstreamBody::new(
            connection,
            head.framing,
            head.reusable,
            call.keepalive,
            call.target.clone(),
            self.pool.clone(),
        );
        Answer { head, body, connect }
    }

    /// Closes idle connections that are too old; to be called every few seconds.
    pub fn sweep(&self) {
        self.pool.sweep();
    }
}

/// Writes the request and reads the answer's head.
///
/// Both go on at the same time: an upstream that refuses a large body answers before it has read it.
async fn exchange(connection: &mut Connection, call: &Call) -> Result<ResponseHead, Failure> {
    connection.arm(call.timeout);
    connection.begin(call.head.expose().clone(), &call.body);
    let mut transfer = Transfer { call, write_error: None, interim: 0, started: Instant::now() };
    poll_fn(|cx| transfer.poll(connection, cx)).await
}

struct Transfer<'a> {
    call: &'a Call,
    write_error: Option<io::Error>,
    interim: usize,
    started: Instant,
}

impl Transfer<'_> {
    fn poll(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, Failure>> {
        if !connection.is_sent()
            && let Poll::Ready(Err(error)) = connection.poll_send(cx)
        {
            // The answer may be there already: an upstream may refuse a body and close.
            connection.abandon();
            self.write_error = Some(error);
        }
        loop {
            match parse_head(&mut connection.buffer, &self.call.method, self.call.keep_header) {
                Ok(Some(mut head)) if !head.status.is_informational() => {
                    // Where it answers before it has read the request, the rest of the request would be in the way.
                    head.reusable &= connection.is_sent() && self.write_error.is_none();
                    return Poll::Ready(Ok(head));
                }
                Ok(Some(_)) if self.interim < MAX_INTERIM => {
                    self.interim += 1;
                    continue;
                }
                Ok(Some(_)) => {
                    return self.fail(FaultKind::UpstreamProtocol, "it sent too many interim answers");
                }
                Ok(None) => {}
                Err(error) => return self.fail(FaultKind::UpstreamProtocol, &error.to_string()),
            }
            match connection.poll_read(cx) {
                Poll::Ready(Ok(0)) => return self.closed(connection.buffer.is_empty(), None),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return self.closed(connection.buffer.is_empty(), Some(error)),
                Poll::Pending => {
                    if connection.poll_expired(cx).is_pending() {
                        return Poll::Pending;
                    }
                    let fault = timeout(self.call, "waiting for the answer of");
                    return Poll::Ready(Err(Failure { fault, is_stale: false }));
                }
            }
        }
    }

    fn fail(&self, kind: FaultKind, cause: &str) -> Poll<Result<ResponseHead, Failure>> {
        let text = format!("{} did not answer in HTTP/1.1: {cause}", self.call.target);
        Poll::Ready(Err(Failure { fault: Fault::upstream(kind, text), is_stale: false }))
    }

    fn closed(
        &mut self,
        nothing_came: bool,
        error: Option<io::Error>,
    ) -> Poll<Result<ResponseHead, Failure>> {
        let could_not_write = self.write_error.is_some();
        let cause = match error.or(self.write_error.take()) {
            Some(error) => error.to_string(),
            None => "it closed the connection".to_string(),
        };
        let text = format!("{} gave no answer: {cause}", self.call.target);
        let fault = Fault::upstream(FaultKind::UpstreamConnect, text);
        // An upstream that closes idle connections does so at once. One that closes later has read the request, and
        // may have acted on it.
        let at_once = could_not_write || self.started.elapsed() < STALE_WITHIN;
        Poll::Ready(Err(Failure { fault, is_stale: nothing_came && self.interim == 0 && at_once }))
    }
}

fn timeout(call: &Call, doing: &str) -> Fault {
    let text = format!("{doing} {} took longer than {} ms", call.target, call.timeout.as_millis());
    Fault::upstream(FaultKind::UpstreamTimeout, text)
}
