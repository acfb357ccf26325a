use std::sync::Arc;
use std::time::Instant;

use a6_codec::http1::Framing;
use a6_core::{Fault, FaultKind, Retry, Secret};
use a6_protocols::Protocol;
use a6_snapshot::{Attempt, Instance, Plan, Plugin, Stop};
use a6_upstream::{Answer, Call};
use bytes::Bytes;
use http::{Method, StatusCode};

use crate::access::{Admitted, before_proxy};
use crate::headers::{is_event_stream, reaches_client, write_client_headers};
use crate::settle::{Refused, Settlement};

/// A request whose answer has begun.
pub(crate) struct Answering<P: Plugin> {
    pub(crate) settlement: Box<Settlement<P>>,
    pub(crate) instance: Arc<Instance>,
    pub(crate) protocol: Protocol,
    pub(crate) answer: Answer,
    /// A usage event will come that the client did not ask for.
    pub(crate) hides_usage: bool,
    /// When this attempt began.
    pub(crate) started: Instant,
}

/// Tries the plan's candidates in order until one answers. Every attempt is built anew from the client's own body.
pub(crate) async fn attempt<P: Plugin>(admitted: Admitted<P>) -> Result<Answering<P>, Refused<P>> {
    let Admitted(mut settlement) = admitted;
    let Some(plan) = settlement.plan.take() else {
        return Err(settlement.refuse(nothing_to_do()));
    };
    settlement.protocol = Some(plan.protocol);
    let mut last = nothing_to_do();
    for instance in &plan.candidates {
        if let Err(stop) = before_proxy(&mut settlement).await {
            return Err(settlement.refuse(stop));
        }
        match try_instance(&mut settlement, &plan, instance).await {
            Ok(sent) => return Ok(answering(settlement, &plan, instance.clone(), sent)),
            Err(fault) => {
                let is_final = fault.retry != Retry::OtherTarget;
                last = fault.into();
                if is_final {
                    break;
                }
            }
        }
    }
    Err(settlement.refuse(last))
}

struct Sent {
    answer: Answer,
    hides_usage: bool,
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
    let Sent { answer, hides_usage, started } = sent;
    Answering { settlement, instance, protocol: plan.protocol, answer, hides_usage, started }
}

async fn try_instance<P: Plugin>(
    settlement: &mut Settlement<P>,
    plan: &Plan,
    instance: &Arc<Instance>,
) -> Result<Sent, Fault> {
    let started = Instant::now();
    let (call, hides_usage) = build(settlement, plan, instance).await?;
    settlement.record.attempts.reserve_exact(1);
    settlement.record.attempts.push(Attempt {
        address: instance.address.clone(),
        instance: instance.name.clone(),
        status: None,
        fault: None,
        started,
        duration: None,
        scheme: instance.target.scheme.as_str(),
        path: instance.path(plan.protocol),
        connect: None,
        header: None,
        response_bytes: 0,
    });
    let worker = settlement.worker.clone();
    let result = match worker.upstream.send(call).await {
        // Boxed, since few have limits and every connection keeps a request's future.
        Ok(answer) if instance.has_limits() => {
            let asked = settlement.record.stream;
            Box::pin(within_limits(answer, instance, asked, started)).await
        }
        result => result,
    };
    if let Some(attempt) = settlement.record.attempts.last_mut() {
        match &result {
            Ok(answer) => {
                attempt.status = Some(answer.head.status);
                attempt.connect = Some(answer.connect);
                attempt.header = Some(started.elapsed());
            }
            Err(fault) => {
                attempt.fault = Some(fault.kind);
                attempt.duration = Some(started.elapsed());
            }
        }
    }
    Ok(Sent { answer: result?, hides_usage, started })
}

/// The bytes for one target.
async fn build<P: Plugin>(
    settlement: &mut Settlement<P>,
    plan: &Plan,
    instance: &Arc<Instance>,
) -> Result<(Call, bool), Fault> {
    let Some(head) = instance.head(plan.protocol) else { return Err(not_spoken(plan.protocol, instance)) };
    let (text, document) =
        settlement.body.document().await.map_err(|error| {
            Fault::client(FaultKind::BadRequest, StatusCode::BAD_REQUEST, error.to_string())
        })?;
    let shaped = instance.shaping.apply(plan.protocol, document, &text);
    let described = plan.protocol.describe(document, &text);
    let body = match shaped.body {
        None => vec![text],
        Some(parts) => {
            // At most; long stretches are shared with the original.
            settlement.body.hold(parts.iter().map(|part| part.len() as u64).sum())?;
            parts
        }
    };
    let length: usize = body.iter().map(Bytes::len).sum();
    settlement.record.tool_count = described.tool_count;
    settlement.record.set_end_user(described.end_user.as_deref());
    settlement.record.set_model(shaped.model.as_deref());
    let mut bytes = Vec::with_capacity(head.expose().len() + 512);
    bytes.extend_from_slice(head.expose());
    write_client_headers(&mut bytes, &settlement.request, instance);
    bytes.extend_from_slice(format!("content-length: {length}\r\n\r\n").as_bytes());
    let call = Call {
        target: instance.target.clone(),
        keepalive: instance.keepalive,
        timeout: instance.timeout,
        method: Method::POST,
        keep_header: reaches_client,
        head: Secret::new(bytes.into()),
        body,
    };
    Ok((call, shaped.hides_usage))
}

/// Holds an answer against its limits while the client can still be told so by a status. Without limits nothing is read.
async fn within_limits(
    mut answer: Answer,
    instance: &Instance,
    asked: bool,
    started: Instant,
) -> Result<Answer, Fault> {
    let is_stream = is_event_stream(&answer.head, asked);
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

fn not_spoken(protocol: Protocol, instance: &Instance) -> Fault {
    let supported: Vec<_> = instance.provider.paths.iter().map(|(spoken, _)| spoken.name()).collect();
    let text = format!(
        "provider {} does not support {} protocol (supported: {})",
        instance.provider.name,
        protocol.name(),
        supported.join(", ")
    );
    Fault::client(FaultKind::BadRequest, StatusCode::BAD_REQUEST, text)
}

fn nothing_to_do() -> Stop {
    let text = "the route has no plugin that answers; a6 does not proxy to ordinary upstreams yet";
    Fault::gateway(FaultKind::Misconfigured, StatusCode::SERVICE_UNAVAILABLE, text).into()
}
