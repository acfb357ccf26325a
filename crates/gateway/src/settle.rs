use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;

use a6_core::{Fault, FaultKind};
use a6_protocols::Protocol;
use a6_snapshot::{Chain, Exchange, Outcome, Owners, Plugin, Stop};
use a6_telemetry::ActiveModel;
use http::StatusCode;

use crate::phases;
use crate::wire::Link;
use crate::worker::Worker;

const CUT: &str = "the gateway stopped before the request was over";

/// Owns a request from the moment its head was read, and settles it exactly once: when it is dropped.
///
/// So there is no path on which a request leaves no record or two. Whoever reaches a terminal state notes it in the
/// record; a request that is dropped without one has lost its client.
pub(crate) struct Settlement<P: Plugin> {
    exchange: Exchange,
    /// The plugins of the global rules.
    pub(crate) global: Option<Arc<Chain<P>>>,
    /// The plugins of the route and of the caller; none before the route is known.
    pub(crate) chain: Option<Arc<Chain<P>>>,
    /// What callers bring; there where a plugin finds out who is asking.
    pub(crate) owners: Option<Arc<Owners<P>>>,
    pub(crate) worker: Rc<Worker<P>>,
    pub(crate) link: Rc<Link>,
    /// The connection cannot be trusted with another request.
    pub(crate) closes: bool,
    /// The client's protocol, once it is known.
    pub(crate) protocol: Option<Protocol>,
    /// A model has it; told until the end of the attempt.
    pub(crate) active: Option<ActiveModel>,
}

/// A request that a stage ended.
pub(crate) struct Refused<P: Plugin> {
    pub(crate) settlement: Box<Settlement<P>>,
    pub(crate) stop: Stop,
}

impl<P: Plugin> Settlement<P> {
    pub(crate) fn new(exchange: Exchange, link: Rc<Link>, worker: Rc<Worker<P>>) -> Box<Self> {
        link.wire.enter();
        Box::new(Self {
            exchange,
            global: None,
            chain: None,
            owners: None,
            worker,
            link,
            protocol: None,
            active: None,
            closes: false,
        })
    }

    pub(crate) fn refuse(self: Box<Self>, stop: impl Into<Stop>) -> Refused<P> {
        Refused { settlement: self, stop: stop.into() }
    }

    /// Ends with a fault after the answer had begun.
    pub(crate) fn fail(&mut self, outcome: Outcome, fault: &Fault) {
        self.record.fail(fault);
        self.record.end(outcome);
    }
}

impl<P: Plugin> Deref for Settlement<P> {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        &self.exchange
    }
}

impl<P: Plugin> DerefMut for Settlement<P> {
    fn deref_mut(&mut self) -> &mut Exchange {
        &mut self.exchange
    }
}

impl<P: Plugin> Drop for Settlement<P> {
    fn drop(&mut self) {
        if self.exchange.record.outcome.is_none() && self.worker.cutting.get() {
            let cut = Fault::gateway(FaultKind::Draining, StatusCode::SERVICE_UNAVAILABLE, CUT);
            self.fail(Outcome::Aborted, &cut);
        } else if self.exchange.record.outcome.is_none() {
            let gone = Fault::client(FaultKind::ClientGone, StatusCode::BAD_REQUEST, "the client went away");
            self.fail(Outcome::ClientGone, &gone);
        }
        self.exchange.record.duration = Some(self.exchange.elapsed());
        let (came, left) = self.link.wire.heads();
        self.exchange.record.request_length = came + self.exchange.body.received();
        self.exchange.record.bytes_sent = left + self.exchange.record.response_bytes;
        phases::log(self);
        if let Some(last) = self.exchange.record.attempts.last_mut() {
            last.duration.get_or_insert_with(|| last.started.elapsed());
        }
        if let Some(log) = &self.worker.config.access_log {
            log.write(&self.exchange.request, &self.exchange.record);
        }
        if let Some(meter) = self.exchange.record.meter {
            self.worker.metrics.settle(meter, &self.exchange.request, &self.exchange.record);
        }
        let mut record = self.exchange.record.take();
        // What was asked and said is remembered nowhere.
        record.model_log = None;
        self.worker.requests.push(record);
        self.link.wire.leave();
    }
}
