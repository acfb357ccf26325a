use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use a6_core::{Blame, Fault, FaultKind, Retry, Secret};
use a6_protocols::Scheme;
use a6_resources::expr::{Operand, Variable, Variables};
use a6_snapshot::{
    Attempt, Balancer, Exchange, HashOn, InFlight, Node, Outcome, Plugin, Request, RequestBody, Stop,
    Timeouts, Upstream,
};
use a6_upstream::balance::pick;
use a6_upstream::{Answer, Call, Feed, Http2Call, Identity, Terms, found};
use bytes::Bytes;
use http::{Method, StatusCode, Version, uri};

use crate::answer::{UPSTREAM_STATUS, upstream_statuses};
use crate::attempt::{Answering, Source, note_result};
use crate::headers::{asks_for_upgrade, clean_answer, is_of_answer, is_of_upgrade};
use crate::outgoing::{self, Payload};
use crate::phases;
use crate::settle::{Refused, Settlement};

/// Of a body of at most so many announced bytes, what has come before it is sent is kept, so that it can be sent again.
const HELD: u64 = 64 << 10;

/// A limit that is longer is none.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A node's answer.
struct Taken {
    answer: Answer,
    started: Instant,
    in_flight: InFlight,
}

/// Sends a request to a node of the route's upstream; to further nodes as long as that may help.
pub(crate) async fn forward<P: Plugin>(
    mut settlement: Box<Settlement<P>>,
) -> Result<Answering<P>, Refused<P>> {
    match relay(&mut settlement).await {
        Ok((taken, read_timeout)) => {
            let Taken { answer, started, in_flight } = taken;
            if !answer.body.is_fed() {
                // Nothing will be sent again from here on; a long answer should not hold its request.
                settlement.body.release();
            }
            let source = Source::Node { in_flight, read_timeout };
            Ok(Answering { settlement, answer, started, source })
        }
        Err(stop) => Err(settlement.refuse(stop)),
    }
}

async fn relay<P: Plugin>(settlement: &mut Settlement<P>) -> Result<(Taken, Duration), Stop> {
    let upstream = upstream(settlement)?;
    let payload = payload(settlement).await?;
    let timeouts = bounded(settlement.forward.timeouts.unwrap_or(upstream.timeouts));
    let retries = usize::try_from(upstream.retries).unwrap_or(usize::MAX);
    let started = Instant::now();
    let mut tried = Vec::new();
    let mut last = None;
    loop {
        let mut key = || hash_key(settlement, &upstream.balancer);
        let place = match (pick(&upstream, &mut key, &tried), last) {
            (Ok(place), _) => place,
            (Err(_), Some(fault)) => return Err(failed(settlement, fault)),
            (Err(error), None) => {
                let fault = misconfigured(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
                return Err(page(settlement, &fault));
            }
        };
        phases::before_proxy(settlement).await?;
        let fault = match try_node(settlement, &upstream, &upstream.nodes[place], &payload, timeouts).await {
            Ok(taken) => return Ok((taken, timeouts.read)),
            Err(fault) => fault,
        };
        tried.push(place);
        if !may_help_elsewhere(&fault) || tried.len() > retries {
            return Err(failed(settlement, fault));
        }
        if upstream.retry_timeout.is_some_and(|limit| started.elapsed() >= limit) {
            return Err(failed(settlement, Fault { status: StatusCode::BAD_GATEWAY, ..fault }));
        }
        last = Some(fault);
    }
}

/// The upstream that the request goes to, if it can go there.
fn upstream<P: Plugin>(settlement: &mut Settlement<P>) -> Result<Arc<Upstream>, Stop> {
    let method = settlement.request.method();
    if [Method::CONNECT, Method::TRACE].contains(method) {
        let text = format!("{method} is not passed on");
        let refused = Fault::client(FaultKind::BadRequest, StatusCode::METHOD_NOT_ALLOWED, text);
        return Err(page(settlement, &refused));
    }
    let Some(slot) = settlement.forward.upstream.clone() else {
        let text = "the route has neither an upstream nor a plugin that answers";
        return Err(page(settlement, &misconfigured(StatusCode::SERVICE_UNAVAILABLE, text)));
    };
    let Some(upstream) = Option::clone(&slot.get()) else {
        let text = "the route's upstream does not exist";
        return Err(page(settlement, &misconfigured(StatusCode::BAD_GATEWAY, text)));
    };
    if let Some(reference) = &upstream.unresolved {
        let text = format!("the secret {reference} of {} cannot be resolved", upstream.key);
        return Err(misconfigured(StatusCode::SERVICE_UNAVAILABLE, text).into());
    }
    let fault = match &upstream.balancer {
        _ if upstream.lacks_certificate => {
            let text = format!("{} names a client certificate that does not exist", upstream.key);
            misconfigured(StatusCode::BAD_GATEWAY, text)
        }
        _ if upstream.nodes.is_empty() => {
            misconfigured(StatusCode::SERVICE_UNAVAILABLE, format!("{} has no nodes", upstream.key))
        }
        Balancer::Unknown(name) if upstream.nodes.len() > 1 => {
            let text = format!("{} has several nodes and the unknown type {name:?}", upstream.key);
            misconfigured(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
        _ => return Ok(upstream),
    };
    Err(page(settlement, &fault))
}

fn misconfigured(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Fault {
    Fault::gateway(FaultKind::Misconfigured, status, text)
}

/// A page for the client, and the cause for whoever reads the log.
fn page<P: Plugin>(settlement: &mut Settlement<P>, fault: &Fault) -> Stop {
    settlement.fail(Outcome::Failed, fault);
    Stop::page(fault.status)
}

/// How the client's body gets to a node. What a plugin has read is here; so is what is small and has come.
async fn payload<P: Plugin>(settlement: &mut Settlement<P>) -> Result<Payload, Fault> {
    let max = settlement.worker.config.body_limits.max;
    let body = &mut settlement.body;
    if let Some(bytes) = body.bytes() {
        return Ok(Payload::whole(bytes.clone()));
    }
    match body.announced() {
        Some(0) => Ok(Payload::whole(Bytes::new())),
        Some(length) if length <= HELD.min(max) => begin(body, length).await,
        Some(length) if length <= max => Ok(Payload { here: Vec::new(), feed: Feed::Length(length) }),
        None if body.is_unread() => Ok(Payload { here: Vec::new(), feed: Feed::Chunked }),
        // One that is too large is refused by this, and so is one that somebody has read in part.
        _ => body.read(u64::MAX).await.map(Payload::whole),
    }
}

/// What has come of a body; mostly it is all of it. Nobody is waited for.
async fn begin(body: &mut RequestBody, length: u64) -> Result<Payload, Fault> {
    let (mut here, mut left) = (Vec::new(), length);
    poll_fn(|cx| {
        while left > 0 {
            match body.poll_chunk(cx) {
                Poll::Ready(Some(Ok(piece))) => {
                    left = left.saturating_sub(piece.len() as u64);
                    here.push(piece);
                }
                Poll::Ready(Some(Err(fault))) => return Poll::Ready(Err(fault)),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await?;
    body.hold(length - left)?;
    Ok(Payload { here, feed: if left == 0 { Feed::Nothing } else { Feed::Length(left) } })
}

async fn try_node<P: Plugin>(
    settlement: &mut Settlement<P>,
    upstream: &Upstream,
    node: &Node,
    payload: &Payload,
    timeouts: Timeouts,
) -> Result<Taken, Fault> {
    let in_flight = node.state.enter();
    let started = Instant::now();
    let attempt = describe(&settlement.request, upstream, node, started);
    settlement.record.attempts.push(attempt);
    let mut result = send(settlement, upstream, node, payload, timeouts).await;
    note_result(&mut settlement.record, &result);
    note_health(upstream, node, &result);
    match &mut result {
        Ok(answer) => {
            clean_answer(&mut answer.head);
            node.state.observe(started.elapsed());
        }
        // One that hangs is slow; one that refuses at once is not fast.
        Err(fault) if fault.kind == FaultKind::UpstreamTimeout => node.state.observe(started.elapsed()),
        Err(_) => {}
    }
    Ok(Taken { answer: result?, started, in_flight })
}

/// Passive health checks: what a client's request tells of the node.
fn note_health(upstream: &Upstream, node: &Node, result: &Result<Answer, Fault>) {
    let Some(passive) = upstream.checked.as_ref().and_then(|checked| checked.checks.passive.as_ref()) else {
        return;
    };
    let finding = match result {
        Ok(answer) => passive.limits.finding(answer.head.status.as_u16()),
        Err(fault) if fault.blame == Blame::Upstream => Some(found(fault)),
        Err(_) => None,
    };
    if let Some(finding) = finding {
        node.state.health.report(finding, &passive.limits);
    }
}

fn describe(request: &Request, upstream: &Upstream, node: &Node, started: Instant) -> Attempt {
    let path = request.target().split('?').next().unwrap_or_default();
    Attempt {
        address: node.address.clone(),
        instance: upstream.name.clone().unwrap_or_else(|| upstream.key.clone()),
        status: None,
        fault: None,
        class: None,
        started,
        duration: None,
        scheme: match (upstream.scheme.is_grpc(), node.target.scheme) {
            (true, Scheme::Http) => "grpc",
            (true, Scheme::Https) => "grpcs",
            (false, scheme) => scheme.as_str(),
        },
        path: path.into(),
        connect: None,
        header: None,
        response_bytes: 0,
    }
}

async fn send<P: Plugin>(
    settlement: &mut Settlement<P>,
    upstream: &Upstream,
    node: &Node,
    payload: &Payload,
    timeouts: Timeouts,
) -> Result<Answer, Fault> {
    let worker = settlement.worker.clone();
    let exchange: &mut Exchange = settlement;
    let Exchange { request, body, forward, .. } = exchange;
    let host = outgoing::host(upstream, request, &node.host_header);
    let is_secure = node.target.scheme == Scheme::Https;
    let terms = Terms {
        timeouts,
        identity: is_secure.then(|| identity(upstream, host)),
        max_requests: upstream.keepalive_requests,
        is_repeatable: is_repeatable(request.method()),
        upgrades: forward.allows_upgrade
            && payload.is_empty()
            && request.version == Version::HTTP_11
            && asks_for_upgrade(&request.headers),
        feed: payload.feed,
    };
    let (target, keepalive) = (node.target.clone(), upstream.keepalive);
    if upstream.scheme.is_grpc() {
        let scheme = if is_secure { uri::Scheme::HTTPS } else { uri::Scheme::HTTP };
        let head = outgoing::http2_head(request, host, scheme, payload)?;
        let body_begins = payload.here.concat().into();
        let call =
            Http2Call { target, keepalive, keep_header: is_of_answer, request: head, body: body_begins };
        return worker.upstream.forward_http2(call, &terms, body).await;
    }
    let call = Call {
        target,
        keepalive,
        timeout: timeouts.read,
        method: request.method().clone(),
        keep_header: if terms.upgrades { is_of_upgrade } else { is_of_answer },
        head: Secret::new(outgoing::http1_head(request, host, payload, terms.upgrades)),
        body: payload.here.clone(),
    };
    worker.upstream.forward(&call, &terms, body).await
}

/// A server is asked for by the name that the request is for.
fn identity(upstream: &Upstream, host: &str) -> Arc<Identity> {
    let server_name = outgoing::server_name(host).into();
    Arc::new(Identity { server_name, certificate: upstream.client_certificate.clone() })
}

/// What a consistent hash is made of; the client's address where that is nothing.
pub(crate) fn hash_key(exchange: &Exchange, balancer: &Balancer) -> Option<String> {
    let Balancer::ConsistentHash(hash_on) = balancer else { return None };
    let value = |variable: &Variable| exchange.value(variable).map(Operand::into_text);
    let text = match hash_on {
        HashOn::Variable(variable) => value(variable),
        HashOn::Cookie(name) => value(&Variable::Cookie(name.clone())),
        HashOn::Header(name) => exchange.request.header(name.as_str()).map(str::to_string),
        HashOn::Consumer => exchange.identity.as_ref().map(|identity| identity.name.to_string()),
        HashOn::Combination(template) => {
            let rendered = template.render(exchange);
            (rendered.resolved > 0).then_some(rendered.text)
        }
    };
    let address = || exchange.request.client.peer.ip().to_canonical().to_string();
    Some(text.filter(|text| !text.is_empty()).unwrap_or_else(address))
}

/// Whether a request may reach an upstream twice without harm (RFC 9110 §9.2.2).
fn is_repeatable(method: &Method) -> bool {
    *method != Method::POST && *method != Method::PATCH && method.as_str() != "LOCK"
}

/// An upstream that has answered nonsense has acted; one that could not be reached, or gave no answer, may be replaced.
fn may_help_elsewhere(fault: &Fault) -> bool {
    let kinds = [
        FaultKind::UpstreamDns,
        FaultKind::UpstreamConnect,
        FaultKind::UpstreamTls,
        FaultKind::UpstreamTimeout,
    ];
    fault.retry == Retry::OtherTarget && kinds.contains(&fault.kind)
}

/// The end of the last try.
fn failed<P: Plugin>(settlement: &mut Settlement<P>, fault: Fault) -> Stop {
    if fault.blame == Blame::Upstream {
        let statuses = upstream_statuses(&settlement.record.attempts, true);
        settlement.answer.set(UPSTREAM_STATUS, statuses);
    }
    fault.into()
}

fn bounded(timeouts: Timeouts) -> Timeouts {
    let Timeouts { connect, send, read } = timeouts;
    Timeouts { connect: connect.min(LONGEST), send: send.min(LONGEST), read: read.min(LONGEST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_did_not_reach_the_upstream_goes_elsewhere() {
        let cases = [
            (FaultKind::UpstreamConnect, true),
            (FaultKind::UpstreamDns, true),
            (FaultKind::UpstreamTls, true),
            (FaultKind::UpstreamTimeout, true),
            (FaultKind::UpstreamProtocol, false),
            (FaultKind::UpstreamTruncated, false),
        ];
        for (kind, expected) in cases {
            let fault = Fault::upstream(kind, "x");
            assert_eq!(may_help_elsewhere(&fault), expected, "{kind:?}");
            assert!(!may_help_elsewhere(&Fault { retry: Retry::Never, ..fault }), "{kind:?}");
        }
    }

    #[test]
    fn methods_that_change_something_are_sent_once() {
        let cases = [("GET", true), ("PUT", true), ("DELETE", true), ("POST", false), ("PATCH", false)];
        for (method, expected) in cases.into_iter().chain([("LOCK", false), ("PURGE", true)]) {
            assert_eq!(is_repeatable(&method.parse().unwrap()), expected, "{method}");
        }
    }

    #[test]
    fn no_limit_is_longer_than_a_clock_can_tell() {
        let endless = Duration::MAX;
        let found = bounded(Timeouts { connect: endless, send: Duration::from_secs(3), read: endless });
        assert_eq!(found, Timeouts { connect: LONGEST, send: Duration::from_secs(3), read: LONGEST });
        assert!(Instant::now().checked_add(found.connect).is_some());
    }
}
