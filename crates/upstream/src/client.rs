use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use a6_codec::http1::ResponseHead;
use a6_core::{Fault, FaultKind, Retry, Secret};
use a6_snapshot::{Keepalive, RequestBody, Target, Timeouts};
use bytes::Bytes;
use http::{HeaderName, Method};

use crate::connection::Connection;
use crate::dial::{Dial, Identity};
use crate::exchange::exchange;
use crate::http1::Http1Body;
use crate::http2::{Http2Call, Http2Pool};
use crate::pool::Pool;
use crate::{Resolver, TlsRoots, UpstreamBody};

/// The way out for one data thread: connections never change threads.
#[derive(Debug)]
pub struct Upstream {
    pool: Rc<Pool>,
    http2: Http2Pool,
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

/// What a request of an ordinary route has besides a [`Call`].
#[derive(Debug)]
pub struct Terms {
    /// Instead of [`Call::timeout`].
    pub timeouts: Timeouts,
    /// For whom a TLS connection is dialled.
    pub identity: Option<Arc<Identity>>,
    /// Requests that one connection may carry.
    pub max_requests: u64,
    /// It may be sent again where the upstream may have read it already (RFC 9110 §9.2.2).
    pub is_repeatable: bool,
    /// The request asks for another protocol: an answer of status 101 ends HTTP on the connection.
    pub upgrades: bool,
    /// How the client's body follows the call's.
    pub feed: Feed,
}

/// How a client's body is passed on while it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// There is none, or it stands in the call.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// In chunks, since nobody knows how many bytes it has.
    Chunked,
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

impl Upstream {
    /// A thread's way out.
    pub fn new(resolver: Arc<Resolver>, roots: Arc<TlsRoots>) -> Self {
        Self { pool: Rc::new(Pool::default()), http2: Http2Pool::default(), resolver, roots }
    }

    /// Sends a request and waits for the answer's head.
    ///
    /// A reused connection that died before any byte of an answer is replaced once by a new one; nothing else is
    /// retried here.
    ///
    /// # Errors
    /// No connection, no answer, or one that is not HTTP/1.1; the fault names the host and the cause.
    pub async fn send(&self, call: Call) -> Result<Answer, Fault> {
        self.converse(&call, None).await
    }

    /// Sends a request of an ordinary route. The client's body follows as it comes, as far as the terms say, also behind
    /// this call: see [`UpstreamBody::poll_feed`].
    ///
    /// # Errors
    /// As for [`Upstream::send`], or the client's body broke. [`Fault::retry`] says whether another node may be tried:
    /// not once the upstream may have acted on a request that must not be repeated, nor once bytes of the client's body
    /// are gone.
    pub async fn forward(&self, call: &Call, terms: &Terms, body: &mut RequestBody) -> Result<Answer, Fault> {
        self.converse(call, Some((terms, body))).await
    }

    /// The same over HTTP/2, as gRPC needs it.
    ///
    /// # Errors
    /// As for [`Upstream::forward`].
    pub async fn forward_http2(
        &self,
        call: Http2Call,
        terms: &Terms,
        body: &mut RequestBody,
    ) -> Result<Answer, Fault> {
        self.http2.send(call, terms, body, &self.resolver, &self.roots).await
    }

    async fn converse(
        &self,
        call: &Call,
        mut terms: Option<(&Terms, &mut RequestBody)>,
    ) -> Result<Answer, Fault> {
        let identity = terms.as_ref().and_then(|(terms, _)| terms.identity.as_ref());
        if let Some(mut connection) = self.pool.take(&call.target, identity.map(|identity| &**identity)) {
            match exchange(&mut connection, call, reborrow(&mut terms)).await {
                Ok(head) => return Ok(self.answer(connection, head, call, &terms, Duration::ZERO)),
                Err(failure) if failure.is_stale => {}
                Err(failure) => return Err(failure.fault),
            }
        }
        // Boxed, since it is rare and every request's future would have to hold it.
        Box::pin(self.converse_anew(call, terms)).await
    }

    /// As [`Upstream::converse`], over a connection of its own.
    async fn converse_anew(
        &self,
        call: &Call,
        mut terms: Option<(&Terms, &mut RequestBody)>,
    ) -> Result<Answer, Fault> {
        let identity = terms.as_ref().and_then(|(terms, _)| terms.identity.clone());
        let started = Instant::now();
        let dial = Dial {
            target: &call.target,
            identity: identity.as_deref(),
            is_http2: false,
            limit: terms.as_ref().map_or(call.timeout, |(terms, _)| terms.timeouts.connect),
        };
        let (io, origin) = dial.open(&self.resolver, &self.roots).await?;
        let connect = started.elapsed();
        let mut connection = Box::new(Connection::new(io, origin, identity));
        match exchange(&mut connection, call, reborrow(&mut terms)).await {
            Ok(head) => Ok(self.answer(connection, head, call, &terms, connect)),
            Err(failure) => Err(failure.fault),
        }
    }

    fn answer(
        &self,
        connection: Box<Connection>,
        head: ResponseHead,
        call: &Call,
        terms: &Option<(&Terms, &mut RequestBody)>,
        connect: Duration,
    ) -> Answer {
        let max_requests = terms.as_ref().map_or(u64::MAX, |(terms, _)| terms.max_requests);
        let keepalive = call.keepalive.filter(|_| head.reusable && connection.requests < max_requests);
        let body = Http1Body::new(connection, &head, keepalive, call.target.clone(), self.pool.clone());
        Answer { head, body: UpstreamBody::http1(body), connect }
    }

    /// Closes idle connections that are too old; to be called every few seconds.
    pub fn sweep(&self) {
        self.pool.sweep();
        self.http2.sweep();
    }
}

/// Lends the terms for one of several exchanges.
fn reborrow<'a>(
    terms: &'a mut Option<(&Terms, &mut RequestBody)>,
) -> Option<(&'a Terms, &'a mut RequestBody)> {
    terms.as_mut().map(|(terms, body)| (&**terms, &mut **body))
}

/// Whether another node may get the request: not where this one may have acted on one that must not be repeated, nor
/// where a piece of the client's body was taken.
pub(crate) fn bound(fault: Fault, has_left: bool, has_fed: bool, terms: &Terms) -> Fault {
    if has_fed || (has_left && !terms.is_repeatable) {
        return Fault { retry: Retry::Never, ..fault };
    }
    fault
}

pub(crate) fn timeout(target: &Target, doing: &str, limit: Duration) -> Fault {
    let text = format!("{doing} {target} took longer than {} ms", limit.as_millis());
    Fault::upstream(FaultKind::UpstreamTimeout, text)
}
