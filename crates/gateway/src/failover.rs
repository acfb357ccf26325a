//! One of several instances is asked, and others when it fails.

mod beside;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use a6_core::{Blame, Fault, FaultKind};
use a6_snapshot::{Class, Evidence, Exchange, Fallback, Group, Instance, Plan, Plugin, Trial};
use a6_upstream::balance::choose_member;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use self::beside::{Asked, ask_two};
use crate::attempt::{Answering, Sent, answering, note_fault, note_unsent, refuse, try_instance};
use crate::forward::hash_key;
use crate::headers::stream_kind;
use crate::settle::{Refused, Settlement};
use crate::{phases, stream_start};

/// Of a plain answer that another instance could replace, so much is read ahead at most, and so much at first.
const MOST_AHEAD: u64 = 1 << 20;
const FIRST_AHEAD: u64 = 64 << 10;

/// What is read of an answer that nobody gets, so that its connection can serve on.
const DRAINED: u64 = 64 << 10;
const DRAIN_TIME: Duration = Duration::from_millis(100);

/// Asks the instances of a group one after the other, as far as their fallback rules go.
pub(crate) async fn attempt<P: Plugin>(
    mut settlement: Box<Settlement<P>>,
    plan: Box<Plan>,
    group: Arc<Group>,
) -> Result<Answering<P>, Refused<P>> {
    let mut tried = Vec::new();
    let Some(mut place) = next(&mut settlement, &plan, &group, &tried).await else {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let fault = Fault::policy(FaultKind::LimitExceeded, status, "all servers tried");
        return Err(refuse(settlement, &plan, fault));
    };
    loop {
        if let Err(stop) = phases::before_proxy(&mut settlement).await {
            return Err(settlement.refuse(stop));
        }
        let held = settlement.body.held();
        let Tried { place: answered, beside, result } =
            try_member(&mut settlement, &plan, &group, place, &tried).await;
        place = answered;
        tried.extend(beside);
        tried.push(place);
        let instance = &group.members[place].instance;
        let took = settlement.record.attempts.last().map(|last| last.started.elapsed()).unwrap_or_default();
        let may_fall_back = plan.first.is_none()
            && falls_back(&group.fallback, &result)
            && group.fallback.allows(took, tried.len() - 1);
        if !may_fall_back {
            return match result {
                Ok(sent) => answering(settlement, &plan, instance.clone(), sent),
                Err(fault) => Err(refuse(settlement, &plan, fault)),
            };
        }
        match (next(&mut settlement, &plan, &group, &tried).await, result) {
            (Some(other), result) => {
                tell(&settlement, &group, place, other);
                if let Ok(sent) = result {
                    let_go(&mut settlement, sent).await;
                }
                // Neither what was sent nor what was read ahead is there any more.
                settlement.body.hold_only(held);
                place = other;
            }
            // Nobody else is left: what the last one said, as a bad gateway's.
            (None, Ok(mut sent)) => {
                sent.answer.head.status = StatusCode::BAD_GATEWAY;
                return answering(settlement, &plan, instance.clone(), sent);
            }
            (None, Err(fault)) => {
                let fault = Fault { status: StatusCode::BAD_GATEWAY, ..fault };
                return Err(refuse(settlement, &plan, fault));
            }
        }
    }
}

/// Whose turn it is; none if nobody is left.
async fn next(exchange: &mut Exchange, plan: &Plan, group: &Group, tried: &[usize]) -> Option<usize> {
    if let Some(first) = plan.first {
        return (tried.is_empty() && first < group.members.len()).then_some(first);
    }
    let mut passed_over = tried.to_vec();
    loop {
        let asked = &*exchange;
        let mut key = || hash_key(asked, &group.balancer);
        let model = asked.record.request_model.as_deref();
        let place = choose_member(group, model, &mut key, &passed_over)?;
        let name = &group.members[place].instance.name;
        let is_exhausted = match &plan.quotas {
            Some(quotas) if group.fallback.asks_quota => quotas.is_exhausted(exchange, name).await,
            _ => false,
        };
        if !is_exhausted {
            return Some(place);
        }
        passed_over.push(place);
    }
}

/// What came of a try, and who had it.
struct Tried {
    place: usize,
    /// Who was asked too.
    beside: Option<usize>,
    result: Result<Sent, Fault>,
}

/// Asks one member, after those that were tried before, or another where this one is slow.
async fn try_member<P: Plugin>(
    settlement: &mut Settlement<P>,
    plan: &Plan,
    group: &Arc<Group>,
    place: usize,
    tried: &[usize],
) -> Tried {
    let Asked { place, beside, mut trial, mut result } = ask(settlement, plan, group, place, tried).await;
    let retries = tried.len() + usize::from(beside.is_some());
    let is_last = retries + 1 >= group.members.len() || !group.fallback.allows(Duration::ZERO, retries);
    if let Ok(sent) = &mut result
        && plan.first.is_none()
        && group.fallback.is_any()
        && !is_last
        && let Err(fault) = hold(settlement, plan, group, place, sent).await
    {
        note_fault(&mut settlement.record, &fault, group.members[place].instance.has_credentials);
        result = Err(fault);
    }
    if let Some(trial) = &mut trial {
        judge(trial, settlement, &group.members[place].instance, &result);
    }
    Tried { place, beside, result: result.map(|sent| Sent { trial, ..sent }) }
}

async fn ask<P: Plugin>(
    settlement: &mut Settlement<P>,
    plan: &Plan,
    group: &Arc<Group>,
    place: usize,
    tried: &[usize],
) -> Asked {
    let may_hedge = plan.first.is_none()
        && tried.len() + 1 < group.members.len()
        && group.fallback.allows(Duration::ZERO, tried.len());
    if let Some(after) = group.fallback.hedge_after.filter(|_| may_hedge) {
        // Boxed, since it is two requests in one future.
        return Box::pin(ask_two(settlement, plan, group, place, tried, after)).await;
    }
    let trial = Trial::begin(group, place, settlement.record.request_model.as_deref()).map(Box::new);
    let instance = &group.members[place].instance;
    let (entered, began) = (settlement.record.attempts.len(), Instant::now());
    let result = try_instance(settlement, plan, instance).await;
    if let Err(fault) = &result
        && fault.blame != Blame::Client
        && settlement.record.attempts.len() == entered
    {
        note_unsent(&mut settlement.record, instance, began, fault);
    }
    Asked { place, beside: None, trial, result }
}

/// Waits for more of a good answer than its head: while nothing has left for the client, another instance can take the
/// place of one that breaks off. Of a stream it is the first word, of a plain answer as much as there is room for.
async fn hold<P: Plugin>(
    settlement: &mut Settlement<P>,
    plan: &Plan,
    group: &Group,
    place: usize,
    sent: &mut Sent,
) -> Result<(), Fault> {
    let fallback = &group.fallback;
    let (head, asked) = (&sent.answer.head, settlement.record.stream);
    if !head.status.is_success() {
        return Ok(());
    }
    if stream_kind(&head.headers, head.status, asked).is_some() {
        let (protocol, instance) = (sent.protocol(plan), &group.members[place].instance);
        return match stream_start::hold(&mut sent.answer, protocol, asked, &instance.address).await {
            Err(fault) if fallback.covers(fault.status) => Err(fault),
            // An error that is nobody else's business passes as the provider has told it. Whom it speaks against is known.
            Err(fault) => {
                if let Some(attempt) = settlement.record.attempts.last_mut() {
                    attempt.class = Some(Class::of_fault(&fault, instance.has_credentials));
                }
                Ok(())
            }
            Ok(()) => Ok(()),
        };
    }
    if !fallback.covers(StatusCode::BAD_GATEWAY) {
        return Ok(());
    }
    let (mut held, mut limit) = (0, FIRST_AHEAD);
    while limit <= MOST_AHEAD && settlement.body.hold(limit - held).is_ok() {
        if !sent.answer.body.read_ahead(limit).await? {
            break;
        }
        (held, limit) = (limit, limit * 2);
    }
    Ok(())
}

/// What the breaker and the balancer are told. How a good answer ends is told at its end.
fn judge<P: Plugin>(
    trial: &mut Trial,
    settlement: &Settlement<P>,
    instance: &Instance,
    result: &Result<Sent, Fault>,
) {
    match result {
        Ok(sent) => {
            let class = settlement.record.attempts.last().and_then(|attempt| attempt.class);
            if class.is_some() {
                trial.judge(Evidence::of(class, pause(&sent.answer.head.headers, SystemTime::now())));
            }
        }
        Err(fault) => {
            trial.judge(Evidence::of(Some(Class::of_fault(fault, instance.has_credentials)), None));
            // One that hangs is slow; one that refuses at once is not fast.
            if let (FaultKind::UpstreamTimeout, Some(attempt)) =
                (fault.kind, settlement.record.attempts.last())
            {
                trial.observe(attempt.started.elapsed());
            }
        }
    }
}

/// Whether another instance may do better. A mistake of the client's or a shortage of ours is the same everywhere.
fn falls_back(fallback: &Fallback, result: &Result<Sent, Fault>) -> bool {
    match result {
        Ok(sent) => fallback.covers(sent.answer.head.status),
        Err(fault) => {
            let is_theirs = fault.blame == Blame::Upstream
                || matches!(fault.kind, FaultKind::LimitExceeded | FaultKind::Misconfigured);
            is_theirs && fallback.covers(fault.status)
        }
    }
}

/// The body of a failed answer is not told: providers repeat keys and prompts in it.
fn tell<P: Plugin>(settlement: &Settlement<P>, group: &Group, place: usize, other: usize) {
    let last = settlement.record.attempts.last();
    tracing::warn!(
        request = &*settlement.record.request_id,
        instance = &*group.members[place].instance.name,
        status = last.and_then(|attempt| attempt.status).map(|status| status.as_u16()),
        fault = last.and_then(|attempt| attempt.fault).map(FaultKind::as_str),
        next = &*group.members[other].instance.name,
        "falling back"
    );
}

/// Lets go of an answer that nobody gets. Where it is short, its connection serves on.
async fn let_go<P: Plugin>(settlement: &mut Settlement<P>, mut sent: Sent) {
    if let Some(attempt) = settlement.record.attempts.last_mut() {
        attempt.duration = Some(attempt.started.elapsed());
    }
    // Whatever comes of it, the body is dropped.
    let _ = tokio::time::timeout(DRAIN_TIME, sent.answer.body.read_ahead(DRAINED)).await;
}

/// How long an answer asks to be left alone. One that may be asked again at once has asked for nothing.
fn pause(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    told_pause(headers, now).filter(|pause| !pause.is_zero())
}

/// `retry-after-ms`, else `retry-after` in seconds or as a date.
fn told_pause(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(millis));
    }
    let text = text(RETRY_AFTER.as_str())?;
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => {
            let until = httpdate::parse_http_date(text).ok()?;
            Some(until.duration_since(now).unwrap_or_default())
        }
    }
}
