use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use a6_codec::http1::{ResponseHead, parse_head};
use a6_core::{Fault, FaultKind, Retry};
use a6_snapshot::RequestBody;
use http::StatusCode;

use crate::client::{bound, timeout};
use crate::connection::{Connection, FeedError};
use crate::{Call, Feed, Terms};

/// A reused connection that dies within this time was dead before the request came.
const STALE_WITHIN: Duration = Duration::from_secs(1);

/// More interim answers (1xx) than this are a fault.
const MAX_INTERIM: usize = 16;

/// Why an exchange on a connection failed.
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    /// The upstream had answered nothing: on a reused connection, it had closed before the request came.
    pub(crate) is_stale: bool,
}

/// Writes the request and reads the answer's head.
///
/// Both go on at the same time: an upstream that refuses a large body answers before it has read it.
pub(crate) async fn exchange(
    connection: &mut Connection,
    call: &Call,
    terms: Option<(&Terms, &mut RequestBody)>,
) -> Result<ResponseHead, Failure> {
    let feed = terms.as_ref().map_or(Feed::Nothing, |(terms, _)| terms.feed);
    connection.arm(terms.as_ref().map_or(call.timeout, |(terms, _)| terms.timeouts.send));
    connection.begin(call.head.expose().clone(), &call.body, feed);
    let mut transfer = Transfer { call, terms, write_error: None, interim: 0, started: Instant::now() };
    let result = poll_fn(|cx| transfer.poll(connection, cx)).await;
    transfer.judge(connection, result)
}

struct Transfer<'a> {
    call: &'a Call,
    terms: Option<(&'a Terms, &'a mut RequestBody)>,
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
        if let Err(fault) = self.write(connection, cx) {
            return Poll::Ready(Err(Failure { fault, is_stale: false }));
        }
        loop {
            match parse_head(&mut connection.buffer, &self.call.method, self.call.keep_header) {
                Ok(Some(head)) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                    return self.switched(connection, head);
                }
                Ok(Some(mut head)) if !head.status.is_informational() => {
                    // Where it answers before it has read the request, the rest of the request would be in the way,
                    // unless it takes that, too.
                    head.reusable &=
                        self.write_error.is_none() && (connection.is_sent() || connection.is_fed());
                    self.wait_for_answer(connection);
                    return Poll::Ready(Ok(head));
                }
                Ok(Some(_)) if self.interim < MAX_INTERIM => {
                    self.interim += 1;
                    continue;
                }
                Ok(Some(_)) => return self.fail("it sent too many interim answers"),
                Ok(None) => {}
                Err(error) => return self.fail(&error.to_string()),
            }
            match connection.poll_read(cx) {
                Poll::Ready(Ok(0)) => return self.closed(connection.buffer.is_empty(), None),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return self.closed(connection.buffer.is_empty(), Some(error)),
                Poll::Pending if connection.poll_expired(cx).is_pending() => return Poll::Pending,
                Poll::Pending => return self.expired(connection),
            }
        }
    }

    /// Writes on. The fault is the client's, whose body does not come.
    fn write(&mut self, connection: &mut Connection, cx: &mut Context<'_>) -> Result<(), Fault> {
        if connection.is_sent() {
            return Ok(());
        }
        let sending = match &mut self.terms {
            Some((_, body)) if connection.is_fed() => connection.poll_feed(cx, body),
            _ => connection.poll_send(cx).map_err(FeedError::Upstream),
        };
        match sending {
            Poll::Ready(Ok(())) => self.wait_for_answer(connection),
            Poll::Ready(Err(FeedError::Client(fault))) => return Err(fault),
            Poll::Ready(Err(FeedError::Upstream(error))) => {
                // The answer may be there already: an upstream may refuse a body and close.
                connection.abandon();
                self.write_error = Some(error);
            }
            Poll::Pending => {}
        }
        Ok(())
    }

    /// The request has left, or an answer has come all the same: from now on the upstream's silence counts.
    fn wait_for_answer(&self, connection: &mut Connection) {
        if let Some((terms, _)) = &self.terms {
            connection.arm(terms.timeouts.read);
        }
    }

    /// The upstream leaves HTTP.
    fn switched(
        &mut self,
        connection: &mut Connection,
        head: ResponseHead,
    ) -> Poll<Result<ResponseHead, Failure>> {
        let was_asked = self.terms.as_ref().is_some_and(|(terms, _)| terms.upgrades);
        if !was_asked || !connection.is_sent() {
            return self.fail("it changed the protocol without being asked");
        }
        Poll::Ready(Ok(ResponseHead { reusable: false, ..head }))
    }

    fn fail(&self, cause: &str) -> Poll<Result<ResponseHead, Failure>> {
        let text = format!("{} did not answer in HTTP/1.1: {cause}", self.call.target);
        let fault = Fault::upstream(FaultKind::UpstreamProtocol, text);
        Poll::Ready(Err(Failure { fault, is_stale: false }))
    }

    fn expired(&self, connection: &Connection) -> Poll<Result<ResponseHead, Failure>> {
        let (doing, limit) = match &self.terms {
            None => ("waiting for the answer of", self.call.timeout),
            Some((terms, _)) if connection.is_sent() => ("waiting for the answer of", terms.timeouts.read),
            Some((terms, _)) => ("sending the request to", terms.timeouts.send),
        };
        Poll::Ready(Err(Failure { fault: timeout(&self.call.target, doing, limit), is_stale: false }))
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

    /// What may be sent again, and to whom.
    fn judge(
        self,
        connection: &Connection,
        result: Result<ResponseHead, Failure>,
    ) -> Result<ResponseHead, Failure> {
        let Some((terms, _)) = self.terms else { return result };
        result.map_err(|failure| {
            let fault = bound(failure.fault, connection.has_written(), connection.has_fed(), terms);
            let is_stale = failure.is_stale && fault.retry != Retry::Never;
            Failure { fault, is_stale }
        })
    }
}
