use std::sync::Arc;
use std::time::{Duration, Instant};

use a6_codec::http1::Framing;
use a6_core::{Fault, FaultKind, Retry};
use a6_protocols::Protocol;
use a6_snapshot::{Attempt, InFlight, Instance, Plan, Plugin, Record, Stop};
use a6_upstream::Answer;
use http::StatusCode;

use crate::access::Admitted;
use crate::answer::{UPSTREAM_STATUS, upstream_statuses};
use crate::build::{Built, build};
use crate::converted::{self, Reading};
use crate::forward;
use crate::headers::stream_kind;
use crate::phases;
use crate::settle::{Refused, Settlement};

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
    },
    /// A node of an ordinary upstream.
    Node { in_flight: InFlight, read_timeout: Duration },
}

/// Tries the plan's candidates in order until one answers. Every attempt is built anew from the client's own body. Without
/// a plan the request goes to the route's upstream.
pub(crate) async fn attempt<P: Plugin>(admitted: Admitted<P>) -> Result<Answering<P>, Refused<P>> {
    let Admitted(mut settlement) = admitted;
    let Some(plan) = settlement.plan.take() else {
        // Boxed, since every connection keeps a request's future, and this one is larger.
        return Box::pin(forward::forward(settlement)).await;
    };
    settlement.protocol = Some(plan.protocol);
    let mut last = no_candidates();
    for instance in &plan.candidates {
        if let Err(stop) = phases::before_proxy(&mut settlement).await {
            return Err(settlement.refuse(stop));
        }
        match try_instance(&mut settlement, &plan, instance).await {
            Ok(sent) => match reworded(&plan, sent.answer.head.status) {
                // The body belongs to whoever keeps that connection; it is closed.
                Some(stop) => {
                    if sent.answer.head.status.is_server_error() {
                        let statuses = upstream_statuses(&settlement.record.attempts, false);
                        settlement.answer.set(UPSTREAM_STATUS, statuses);
                    }
                    return Err(settlement.refuse(stop));
                }
                None => return Ok(answering(settlement, &plan, instance.clone(), sent)),
            },
            Err(fault) => {
                let is_final = fault.retry != Retry::OtherTarget;
                last = fault.into();
                if is_final {
                    break;
                }
            }
        }
    }
    Err(settlement.refuse(plan.meta.as_ref().map_or_else(|| last.clone(), |meta| meta.reword(last.clone()))))
}

/// A provider's error in the words that were configured for the plugin that asked it.
fn reworded(plan: &Plan, status: StatusCode) -> Option<Stop> {
    let meta = plan.meta.as_ref().filter(|meta| meta.error_response.is_some())?;
    (status.is_client_error() || status.is_server_error()).then(|| meta.reword(Stop::page(status)))
}

struct Sent {
    answer: Answer,
    reading: Reading,
    started: Instant,
}

fn answering<P: Plugin>(
    mut settlement: Box<Settlement<P>>,
    plan: &Plan,
    instance: Arc<Instance>,
    sent: Sent,
) -> Answering<P> {
    // Nothing will be sent again from here on; a long stream should not hold its prompt.
    settlement.body.release();
    let Sent { answer, reading, started } = sent;
    let protocol = match &reading {
        Reading::Stream(converting) => converting.target(),
        Reading::AsItIs { .. } | Reading::Told(_) => plan.protocol,
    };
    let source = Source::Provider { instance, protocol, reading };
    Answering { settlement, answer, started, source }
}

async fn try_instance<P: Plugin>(
    settlement: &mut Settlement<P>,
    plan: &Plan,
    instance: &Arc<Instance>,
) -> Result<Sent, Fault> {
    let started = Instant::now();
    let Built { call, path, hides_usage, converting } = build(settlement, plan, instance).await?;
    settlement.record.attempts.reserve_exact(1);
    settlement.record.attempts.push(Attempt {
        address: instance.address.clone(),
        instance: instance.name.clone(),
        status: None,
        fault: None,
        started,
        duration: None,
        scheme: instance.target.scheme.as_str(),
        path,
        connect: None,
        header: None,
        response_bytes: 0,
    });
    let worker = settlement.worker.clone();
    // Leaves the attempt before, if there was one, for this one.
    settlement.active = Some(worker.metrics.enter_model(&settlement.request, &settlement.record));
    let result = match worker.upstream.send(call).await {
        // Boxed, since few have limits and every connection keeps a request's future.
        Ok(answer) if instance.has_limits() => {
            let asked = settlement.record.stream;
            Box::pin(within_limits(answer, instance, asked, started)).await
        }
        result => result,
    };
    note_result(&mut settlement.record, &result);
    let mut answer = result?;
    let reading = match converting {
        None => Reading::AsItIs { hides_usage },
        Some(converting) => match Box::pin(converted::reply(settlement, converting, &mut answer)).await {
            Ok(reading) => reading,
            Err(fault) => {
                note_fault(&mut settlement.record, &fault);
                return Err(fault);
            }
        },
    };
    Ok(Sent { answer, reading, started })
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
        Err(fault) => note_fault(record, fault),
    }
}

fn note_fault(record: &mut Record, fault: &Fault) {
    if let Some(attempt) = record.attempts.last_mut() {
        attempt.fault = Some(fault.kind);
        attempt.duration = Some(attempt.started.elapsed());
    }
}

/// Holds an answer against its limits while the client can still be told so by a status. Without limits nothing is read.
async fn within_limits(
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

fn no_candidates() -> Stop {
    let text = "the route's AI plugin has no instance that could be asked";
    Fault::gateway(FaultKind::Misconfigured, StatusCode::SERVICE_UNAVAILABLE, text).into()
}
