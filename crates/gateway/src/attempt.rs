use std::sync::Arc;
use std::time::{Duration, Instant};

use a6_codec::http1::Framing;
use a6_core::{Fault, FaultKind, Retry};
use a6_protocols::Protocol;
use a6_snapshot::{Attempt, Choice, Class, InFlight, Instance, Plan, Plugin, Record, Stop, Trial};
use a6_upstream::{Answer, Call};
use http::StatusCode;

use crate::access::Admitted;
use crate::answer::{UPSTREAM_STATUS, upstream_statuses};
use crate::build::{Built, build};
use crate::converted::{self, Converting, Reading};
use crate::headers::stream_kind;
use crate::settle::{Refused, Settlement};
use crate::{failover, forward, phases};

/// A request whose answer has begun.
pub(crate) struct Answering<P: Plugin> {
    pub(crate) settlement: Box<Settlement<P>>,
    pub(crate) answer: Answer,
    /// When this attempt began.
    pub(crate) started: Instant,
    pub(crate) source: Source,
}

/// Who answers.
pub(crate) enum Source {
    /// A provider.
    Provider {
        instance: Arc<Instance>,
        /// The protocol that it answers in.
        protocol: Protocol,
        reading: Reading,
        /// There where the instance is one of several.
        trial: Option<Box<Trial>>,
    },
    /// A node of an ordinary upstream.
    Node { in_flight: InFlight, read_timeout: Duration },
}

/// Sends the request where its plan says. Every attempt is built anew from the client's own body. Without a plan the
/// request goes to the route's upstream.
pub(crate) async fn attempt<P: Plugin>(admitted: Admitted<P>) -> Result<Answering<P>, Refused<P>> {
    let Admitted(mut settlement) = admitted;
    let Some(plan) = settlement.plan.take() else {
        // Boxed, since every connection keeps a request's future, and this one is larger.
        return Box::pin(forward::forward(settlement)).await;
    };
    settlement.protocol = Some(plan.protocol);
    let instance = match &plan.choice {
        Choice::One(instance) => instance.clone(),
        Choice::Group(group) => {
            let group = group.clone();
            // Boxed for the same reason.
            return Box::pin(failover::attempt(settlement, plan, group)).await;
        }
    };
    if let Err(stop) = phases::before_proxy(&mut settlement).await {
        return Err(settlement.refuse(stop));
    }
    match try_instance(&mut settlement, &plan, &instance).await {
        Ok(sent) => answering(settlement, &plan, instance, sent),
        Err(fault) => Err(refuse(settlement, &plan, fault)),
    }
}

/// Ends a request whose last attempt brought no answer.
pub(crate) fn refuse<P: Plugin>(
    settlement: Box<Settlement<P>>,
    plan: &Plan,
    stop: impl Into<Stop>,
) -> Refused<P> {
    let stop = stop.into();
    settlement.refuse(match &plan.meta {
        Some(meta) => meta.reword(stop),
        None => stop,
    })
}

/// A provider's error in the words that were configured for the plugin that asked it.
fn reworded(plan: &Plan, status: StatusCode) -> Option<Stop> {
    let meta = plan.meta.as_ref().filter(|meta| meta.error_response.is_some())?;
    (status.is_client_error() || status.is_server_error()).then(|| meta.reword(Stop::page(status)))
}

/// An answer to an attempt, and what is known of the attempt.
pub(crate) struct Sent {
    pub(crate) answer: Answer,
    pub(crate) reading: Reading,
    pub(crate) started: Instant,
    /// There where the instance is one of several.
    pub(crate) trial: Option<Box<Trial>>,
}

/// The client gets this answer, or what is configured in its place.
pub(crate) fn answering<P: Plugin>(
    mut settlement: Box<Settlement<P>>,
    plan: &Plan,
    instance: Arc<Instance>,
    sent: Sent,
) -> Result<Answering<P>, Refused<P>> {
    let status = sent.answer.head.status;
    if let Some(stop) = reworded(plan, status) {
        // The body belongs to whoever keeps that connection; it is closed.
        if status.is_server_error() {
            let statuses = upstream_statuses(&settlement.record.attempts, false);
            settlement.answer.set(UPSTREAM_STATUS, statuses);
        }
        return Err(settlement.refuse(stop));
    }
    // Nothing will be sent again from here on; a long stream should not hold its prompt.
    settlement.body.release();
    let protocol = sent.protocol(plan);
    let Sent { answer, reading, started, trial } = sent;
    let source = Source::Provider { instance, protocol, reading, trial };
    Ok(Answering { settlement, answer, started, source })
}

/// A request that is ready to be sent; its attempt stands last in the record.
pub(crate) struct Ready {
    pub(crate) call: Call,
    pub(crate) way_back: WayBack,
}

/// What has to be known of a request for its answer to be read.
pub(crate) struct WayBack {
    pub(crate) started: Instant,
    /// A usage event will come that the client did not ask for.
    hides_usage: bool,
    converting: Option<Box<Converting>>,
}

/// Makes the request for an instance, and enters the attempt.
pub(crate) async fn prepare<P: Plugin>(
    settlement: &mut Settlement<P>,
    plan: &Plan,
    instance: &Arc<Instance>,
) -> Result<Ready, Fault> {
    let started = Instant::now();
    let Built { call, path, hides_usage, converting } = build(settlement, plan, instance).await?;
    enter(&mut settlement.record, instance, path, started);
    let worker = settlement.worker.clone();
    // Leaves the attempt before, if there was one, for this one.
    settlement.active = Some(worker.metrics.enter_model(&settlement.request, &settlement.record));
    Ok(Ready { call, way_back: WayBack { started, hides_usage, converting } })
}

/// Enters an attempt that nothing could be sent for, such as without a token: who reads the log looks for the instance.
pub(crate) fn note_unsent(record: &mut Record, instance: &Instance, started: Instant, fault: &Fault) {
    enter(record, instance, "".into(), started);
    note_fault(record, fault, instance.has_credentials);
}

fn enter(record: &mut Record, instance: &Instance, path: Arc<str>, started: Instant) {
    record.attempts.reserve_exact(1);
    record.attempts.push(Attempt {
        address: instance.address.clone(),
        instance: instance.name.clone(),
        status: None,
        fault: None,
        class: None,
        started,
        duration: None,
        scheme: instance.target.scheme.as_str(),
        path,
        connect: None,
        header: None,
        response_bytes: 0,
    });
}

/// Sends the request to an instance and waits for the answer's head.
pub(crate) async fn try_instance<P: Plugin>(
    settlement: &mut Settlement<P>,
    plan: &Plan,
    instance: &Arc<Instance>,
) -> Result<Sent, Fault> {
    let Ready { call, way_back } = prepare(settlement, plan, instance).await?;
    let (worker, started) = (settlement.worker.clone(), way_back.started);
    let result = match worker.upstream.send(call).await {
        // Boxed, since few have limits and every connection keeps a request's future.
        Ok(answer) if instance.has_limits() => {
            let asked = settlement.record.stream;
            Box::pin(within_limits(answer, instance, asked, started)).await
        }
        result => result,
    };
    note_result(&mut settlement.record, &result);
    note_class(&mut settlement.record, instance, &result);
    let answer = result?;
    match &way_back.converting {
        None => Ok(way_back.sent(answer)),
        // Boxed, since few are converted.
        Some(_) => Box::pin(way_back.read(settlement, answer)).await,
    }
}

impl WayBack {
    /// An answer that is read as it comes.
    fn sent(self, answer: Answer) -> Sent {
        let reading = Reading::AsItIs { hides_usage: self.hides_usage };
        Sent { answer, reading, started: self.started, trial: None }
    }

    /// How the answer of the last attempt is read; one that is to be converted as a whole is.
    pub(crate) async fn read<P: Plugin>(
        mut self,
        settlement: &mut Settlement<P>,
        mut answer: Answer,
    ) -> Result<Sent, Fault> {
        let Some(converting) = self.converting.take() else { return Ok(self.sent(answer)) };
        let reading = converted::reply(settlement, converting, &mut answer).await;
        if let Err(fault) = &reading {
            note_fault(&mut settlement.record, fault, true);
        }
        Ok(Sent { answer, reading: reading?, started: self.started, trial: None })
    }
}

impl Sent {
    /// The protocol that the answer is in.
    pub(crate) fn protocol(&self, plan: &Plan) -> Protocol {
        match &self.reading {
            Reading::Stream(converting) => converting.target(),
            Reading::AsItIs { .. } | Reading::Told(_) => plan.protocol,
        }
    }
}

/// What became of the last attempt, as far as it is known now.
pub(crate) fn note_result(record: &mut Record, result: &Result<Answer, Fault>) {
    let Some(attempt) = record.attempts.last_mut() else { return };
    let elapsed = attempt.started.elapsed();
    match result {
        Ok(answer) => {
            attempt.status = Some(answer.head.status);
            attempt.connect = Some(answer.connect);
            attempt.header = Some(elapsed);
        }
        Err(fault) => note_fault(record, fault, true),
    }
}

/// Who is to blame for what came of the last attempt.
pub(crate) fn note_class(record: &mut Record, instance: &Instance, result: &Result<Answer, Fault>) {
    if let Some(attempt) = record.attempts.last_mut() {
        attempt.class = match result {
            Ok(answer) => Class::of_status(answer.head.status, instance.has_credentials),
            Err(fault) => Some(Class::of_fault(fault, instance.has_credentials)),
        };
    }
}

pub(crate) fn note_fault(record: &mut Record, fault: &Fault, has_credentials: bool) {
    if let Some(attempt) = record.attempts.last_mut() {
        attempt.fault = Some(fault.kind);
        attempt.class = Some(Class::of_fault(fault, has_credentials));
        attempt.duration = Some(attempt.started.elapsed());
    }
}

/// Holds an answer against its limits while the client can still be told so by a status. Without limits nothing is read.
pub(crate) async fn within_limits(
    mut answer: Answer,
    instance: &Instance,
    asked: bool,
    started: Instant,
) -> Result<Answer, Fault> {
    let is_stream = stream_kind(&answer.head.headers, answer.head.status, asked).is_some();
    match (answer.head.framing, instance.max_response_bytes) {
        (Framing::Length(length), Some(limit)) if length > limit => return Err(too_long()),
        (Framing::Chunked | Framing::Close, Some(limit))
            if !is_stream && answer.body.read_ahead(limit).await? =>
        {
            return Err(too_long());
        }
        _ => {}
    }
    if let Some(limit) = instance.max_stream_duration.filter(|_| is_stream) {
        let first = tokio::time::timeout_at((started + limit).into(), answer.body.read_ahead(0));
        first.await.unwrap_or_else(|_| Err(too_slow()))?;
    }
    Ok(answer)
}

fn too_long() -> Fault {
    let fault =
        Fault::policy(FaultKind::LimitExceeded, StatusCode::BAD_GATEWAY, "max_response_bytes exceeded");
    Fault { retry: Retry::Never, ..fault }
}

fn too_slow() -> Fault {
    let text = "max_stream_duration_ms exceeded";
    Fault {
        retry: Retry::Never,
        ..Fault::policy(FaultKind::LimitExceeded, StatusCode::GATEWAY_TIMEOUT, text)
    }
}
