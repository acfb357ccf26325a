use a6_snapshot::{Breaker, Group, Member, moment};
use http::StatusCode;
use serde_json::{Value, json};

use super::Control;
use crate::answer::Answer;

/// Every AI instance that shares requests with others, as it stands now.
pub(super) fn list(control: &Control) -> Answer {
    let now = moment();
    let groups = control.groups.all();
    let all: Vec<Value> =
        groups.iter().flat_map(|group| group.members.iter().map(|member| told(group, member, now))).collect();
    Answer::json(StatusCode::OK, &all)
}

fn told(group: &Group, member: &Member, now: u64) -> Value {
    let health = member.checked.as_ref().map(|_| member.state.health.tally().verdict().as_str());
    let breakers = group.breaker.is_some().then(|| {
        let all = member.breakers.all();
        all.iter().map(|(model, breaker)| told_breaker(model, breaker, now)).collect::<Vec<_>>()
    });
    json!({
        "resource": format!("/apisix{}", group.owner),
        "instance": *member.instance.name,
        "provider": member.instance.provider.name,
        "address": *member.instance.address,
        "weight": member.weight,
        "priority": member.priority,
        // Nobody knows where nobody checks.
        "health": health,
        // What speaks against it; none where the breaker is switched off, empty where nothing does.
        "breakers": breakers,
        "in_flight": member.state.in_flight(),
        "first_token_ms": (f64::from(member.state.latency()) * 1000.0).round(),
    })
}

/// What speaks against an instance, or one of its models.
fn told_breaker(model: &str, breaker: &Breaker, now: u64) -> Value {
    json!({
        "model": (!model.is_empty()).then_some(model),
        "state": breaker.state(now).as_str(),
        "reason": breaker.class.as_str(),
        "failures": breaker.failures,
        "expires_in_ms": breaker.until.map(|until| until.saturating_sub(now)),
    })
}
