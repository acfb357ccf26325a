use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use a6_core::{Blame, Fault, FaultKind};
use a6_snapshot::{Class, Evidence, Group, Instance, Plan, Plugin, Trial};
use a6_upstream::{Answer, Call};
use http::StatusCode;

use super::{next, pause};
use crate::attempt::{Ready, Sent, WayBack, note_class, note_unsent, prepare, within_limits};
use crate::hedge::{Hedged, Side, hedge, note};
use crate::phases;
use crate::settle::Settlement;
use crate::worker::Worker;

/// What came of asking a member, and maybe another beside it.
pub(super) struct Asked {
    /// Whose result this is.
    pub(super) place: usize,
    /// Who was asked too.
    pub(super) beside: Option<usize>,
    pub(super) trial: Option<Box<Trial>>,
    pub(super) result: Result<Sent, Fault>,
}

/// One of the two.
struct One {
    place: usize,
    trial: Option<Box<Trial>>,
    way_back: WayBack,
}

/// Asks a member, and another where this one has not answered after so long. The first good answer is taken; the other
/// one's connection is closed, and nothing is held against it.
pub(super) async fn ask_two<P: Plugin>(
    settlement: &mut Settlement<P>,
    plan: &Plan,
    group: &Arc<Group>,
    place: usize,
    tried: &[usize],
    after: Duration,
) -> Asked {
    let at = settlement.record.attempts.len();
    let asked = settlement.record.stream;
    let trial = trial(settlement, group, place);
    let instance = &group.members[place].instance;
    let began = Instant::now();
    let Ready { call, way_back } = match prepare(settlement, plan, instance).await {
        Ok(ready) => ready,
        Err(fault) => {
            if fault.blame != Blame::Client {
                note_unsent(&mut settlement.record, instance, began, &fault);
            }
            return Asked { place, beside: None, trial, result: Err(fault) };
        }
    };
    let started = way_back.started;
    let one = One { place, trial, way_back };
    let (model, dropped) = (settlement.record.model.clone(), settlement.record.dropped.clone());
    let worker = settlement.worker.clone();
    let first = send(&worker, call, instance, asked, started);
    let mut other = None;
    let second = async {
        let passed_over = [tried, &[place]].concat();
        let beside = next(settlement, plan, group, &passed_over).await?;
        phases::before_proxy(settlement).await.ok()?;
        let trial = self::trial(settlement, group, beside);
        let instance = &group.members[beside].instance;
        // What cannot even be built is no answer that would be waited for.
        let Ready { call, way_back } = prepare(settlement, plan, instance).await.ok()?;
        let started = way_back.started;
        other = Some(One { place: beside, trial, way_back });
        Some(send(&worker, call, instance, asked, started).await)
    };
    let hedged = hedge(after, first, second, is_good).await;
    note(&mut settlement.record, at, &hedged, is_good);
    let is_seconds = hedged.is_seconds(is_good);
    if !is_seconds {
        // The second one's were noted last, maybe although nothing came of it.
        settlement.record.model = model;
        settlement.record.dropped = dropped;
    }
    if other.is_some() && !is_seconds {
        // So was its place.
        settlement.active = Some(worker.metrics.enter_model(&settlement.request, &settlement.record));
    }
    settle(settlement, group, at, hedged, (one, other, is_seconds)).await
}

/// Takes one of the two, and tells what the other one was.
async fn settle<P: Plugin>(
    settlement: &mut Settlement<P>,
    group: &Group,
    at: usize,
    hedged: Hedged<Result<Answer, Fault>>,
    (one, other, is_seconds): (One, Option<One>, bool),
) -> Asked {
    let (taken, left) = match other {
        Some(other) if is_seconds => ((other, hedged.second), Some((one, hedged.first))),
        Some(other) => ((one, hedged.first), Some((other, hedged.second))),
        None => ((one, hedged.first), None),
    };
    let beside = left.as_ref().map(|(left, _)| left.place);
    if let Some((left, side)) = left {
        let class = let_go(&group.members[left.place].instance, left, side);
        if let Some(attempt) = settlement.record.attempts.get_mut(at) {
            attempt.class = class;
        }
    }
    let (One { place, trial, way_back }, side) = taken;
    let result = match side {
        Side::Done(result, _) => result,
        // The one that is taken has always ended.
        Side::Idle | Side::Lost => {
            let text = "neither of two instances has answered";
            Err(Fault::gateway(FaultKind::Internal, StatusCode::INTERNAL_SERVER_ERROR, text))
        }
    };
    note_class(&mut settlement.record, &group.members[place].instance, &result);
    let result = match result {
        Ok(answer) => way_back.read(settlement, answer).await,
        Err(fault) => Err(fault),
    };
    Asked { place, beside, trial, result }
}

/// What the breaker and the balancer are told of the one that is not taken; gives what speaks against it.
fn let_go(instance: &Instance, left: One, side: Side<Result<Answer, Fault>>) -> Option<Class> {
    let mut trial = left.trial?;
    match side {
        Side::Done(result, _) => {
            let class = class_of(&result, instance);
            let asked = result.ok().and_then(|answer| pause(&answer.head.headers, SystemTime::now()));
            trial.judge(Evidence::of(class, asked));
            class
        }
        // Nobody knows how it would have ended, but that it was slow.
        Side::Lost => {
            trial.observe(left.way_back.started.elapsed());
            None
        }
        Side::Idle => None,
    }
}

fn trial<P: Plugin>(settlement: &Settlement<P>, group: &Arc<Group>, place: usize) -> Option<Box<Trial>> {
    Trial::begin(group, place, settlement.record.request_model.as_deref()).map(Box::new)
}

async fn send<P: Plugin>(
    worker: &Worker<P>,
    call: Call,
    instance: &Instance,
    asked: bool,
    started: Instant,
) -> Result<Answer, Fault> {
    let answer = worker.upstream.send(call).await?;
    match instance.has_limits() {
        true => within_limits(answer, instance, asked, started).await,
        false => Ok(answer),
    }
}

/// Whether nobody needs to be waited for: any other instance would refuse a client's mistake too.
fn is_good(result: &Result<Answer, Fault>) -> bool {
    let class = result.as_ref().map(|answer| Class::of_status(answer.head.status, true));
    matches!(class, Ok(None | Some(Class::RequestFault)))
}

fn class_of(result: &Result<Answer, Fault>, instance: &Instance) -> Option<Class> {
    match result {
        Ok(answer) => Class::of_status(answer.head.status, instance.has_credentials),
        Err(fault) => Some(Class::of_fault(fault, instance.has_credentials)),
    }
}
