use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use a6_core::{Budget, Fault, FaultKind, Secret};
use a6_protocols::Scheme;
use a6_snapshot::{
    Active, BodyLimits, Checked, CheckedNode, Finding, HealthRegistry, ProbeAuth, ProbeKind, RequestBody,
    Target, Timeouts,
};
use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderName;
use tokio::task::{JoinSet, LocalSet};

use crate::dial::Dial;
use crate::{Call, Feed, Identity, Resolver, Terms, TlsRoots, Upstream};

/// How long an owner that is no longer in force may be asked about, at most.
const LINGER: Duration = Duration::from_secs(1);

/// Asks all nodes of a registry after their health, on this thread, until it is dropped.
pub async fn watch_health(registry: HealthRegistry, resolver: Arc<Resolver>, roots: Arc<TlsRoots>) {
    let prober = Rc::new(Prober { client: Upstream::new(resolver.clone(), roots.clone()), resolver, roots });
    let watch = async move {
        let mut tended: Vec<Weak<Checked>> = Vec::new();
        loop {
            tended.retain(|known| known.strong_count() > 0);
            for checked in registry.all() {
                let checked = Arc::downgrade(&checked);
                if !tended.iter().any(|known| known.ptr_eq(&checked)) {
                    tokio::task::spawn_local(tend(prober.clone(), checked.clone()));
                    tended.push(checked);
                }
            }
            registry.added().await;
        }
    };
    LocalSet::new().run_until(watch).await
}

struct Prober {
    client: Upstream,
    resolver: Arc<Resolver>,
    roots: Arc<TlsRoots>,
}

/// Checks the nodes of one owner, each when it is due, until the owner is gone.
async fn tend(prober: Rc<Prober>, checked: Weak<Checked>) {
    let mut due: Vec<Instant> = Vec::new();
    let mut busy: Vec<bool> = Vec::new();
    let mut probes = JoinSet::new();
    loop {
        let next = {
            let Some(owner) = checked.upgrade() else { return };
            let now = Instant::now();
            due.resize(owner.nodes.len(), now);
            busy.resize(owner.nodes.len(), false);
            for place in 0..owner.nodes.len() {
                if !busy[place] && due[place] <= now && probes.len() < owner.checks.active.concurrency {
                    busy[place] = true;
                    let (prober, owner) = (prober.clone(), owner.clone());
                    probes.spawn_local(async move {
                        let interval = check(&prober, &owner, place).await;
                        (place, now + interval)
                    });
                }
            }
            let waiting = due.iter().zip(&busy).filter(|(_, busy)| !**busy).map(|(due, _)| *due);
            // Who is due already waits for the end of another probe.
            let next = waiting.filter(|due| *due > now).min();
            next.map_or(now + LINGER, |next| next.min(now + LINGER))
        };
        tokio::select! {
            Some(ended) = probes.join_next() => match ended {
                Ok((place, again)) => (busy[place], due[place]) = (false, again),
                Err(error) if error.is_cancelled() => {}
                // Nobody knows whose it was: all are asked anew.
                Err(error) => {
                    tracing::error!(%error, "a health check panicked; this is a bug, please report it");
                    probes.abort_all();
                    busy.fill(false);
                }
            },
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
}

/// Probes one node and counts what was found. Gives the time until it is asked again.
async fn check(prober: &Prober, owner: &Checked, place: usize) -> Duration {
    let (node, active) = (&owner.nodes[place], &owner.checks.active);
    let probe = tokio::time::timeout(active.timeout, prober.probe(owner, node));
    let finding = match probe.await {
        Err(_) => Some(Finding::Timeout),
        Ok(Ok(None)) => Some(Finding::Success),
        Ok(Ok(Some(status))) => active.limits.finding(status),
        Ok(Err(fault)) => Some(found(&fault)),
    };
    let health = &node.state.health;
    match finding.and_then(|finding| health.report(finding, &active.limits)) {
        Some(true) => tracing::info!(owner = &*owner.key, node = %node.target, "healthy again"),
        Some(false) => tracing::warn!(owner = &*owner.key, node = %node.target, ?finding, "unhealthy"),
        None => {}
    }
    if health.is_healthy() { active.healthy_interval } else { active.unhealthy_interval }
}

/// What a failed request tells of a node.
pub fn found(fault: &Fault) -> Finding {
    match fault.kind {
        FaultKind::UpstreamTimeout => Finding::Timeout,
        _ => Finding::TcpFailure,
    }
}

impl Prober {
    /// The status of the answer; none where a connection was all that was asked for.
    async fn probe(&self, owner: &Checked, node: &CheckedNode) -> Result<Option<u16>, Fault> {
        let active = &owner.checks.active;
        let scheme = match active.kind {
            ProbeKind::Http | ProbeKind::Tcp => Scheme::Http,
            ProbeKind::Https => Scheme::Https,
        };
        let target = Target {
            scheme,
            host: node.target.host.clone(),
            port: active.port.unwrap_or(node.target.port),
            verify: active.verify,
        };
        let limit = active.timeout;
        if active.kind == ProbeKind::Tcp {
            let dial = Dial { target: &target, identity: None, is_http2: false, limit };
            return dial.open(&self.resolver, &self.roots).await.map(|_| None);
        }
        let host = active.host.as_deref().unwrap_or(&node.host);
        let server_name = active.host.clone().unwrap_or_else(|| target.host.as_ref().into());
        let identity = Identity { server_name, certificate: owner.certificate.clone() };
        let call = Call {
            target: Arc::new(target),
            keepalive: None,
            timeout: limit,
            method: active.method.clone(),
            keep_header: |_| false,
            head: Secret::new(head(active, owner.auth.expose(), host)),
            body: vec![Bytes::copy_from_slice(active.body.as_bytes())],
        };
        let terms = Terms {
            timeouts: Timeouts { connect: limit, send: limit, read: limit },
            identity: (scheme == Scheme::Https).then(|| Arc::new(identity)),
            max_requests: 1,
            is_repeatable: false,
            upgrades: false,
            feed: Feed::Nothing,
        };
        let limits = BodyLimits { budget: Budget::new(0), timeout: limit, max: 0 };
        let answer = self.client.forward(&call, &terms, &mut RequestBody::of(Bytes::new(), limits)).await?;
        Ok(Some(answer.head.status.as_u16()))
    }
}

/// A probe's head; the checks' own headers win over credentials, and over those that every probe has.
fn head(active: &Active, auth: &ProbeAuth, host: &str) -> Bytes {
    let mut head = BytesMut::with_capacity(256);
    let joint = match (auth.query.is_empty(), active.path.contains('?')) {
        (true, _) => "",
        (false, true) => "&",
        (false, false) => "?",
    };
    let target = [&*active.path, joint, auth.query.as_str()].concat();
    head.put_slice(format!("{} {target} HTTP/1.1\r\n", active.method).as_bytes());
    let mut put = |name: &str, value: &[u8]| {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            head.put_slice(part);
        }
    };
    let is_free = |name: &HeaderName| !active.headers.iter().any(|(given, _)| given == name);
    let credentials = auth.headers.iter().filter(|(name, _)| is_free(name));
    let headers: Vec<_> = active.headers.iter().chain(credentials).collect();
    let length = (!active.body.is_empty()).then(|| active.body.len().to_string());
    for (name, value) in [("host", host), ("connection", "close"), ("user-agent", "a6-health-check")] {
        if !headers.iter().any(|(given, _)| given == name) {
            put(name, value.as_bytes());
        }
    }
    for (name, value) in headers.into_iter().filter(|(name, _)| name != "content-length") {
        put(name.as_str(), value.as_bytes());
    }
    if let Some(length) = length {
        put("content-length", length.as_bytes());
    }
    head.put_slice(b"\r\n");
    head.freeze()
}

#[cfg(test)]
mod tests {
    use a6_snapshot::Checks;
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_probe_shows_credentials_unless_the_checks_say_otherwise() {
        let auth = |headers: &[(&'static str, &'static str)], query: &str| ProbeAuth {
            headers: headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect(),
            query: query.to_string(),
        };
        let cases = [
            (json!({}), auth(&[], ""), "GET / HTTP/1.1", vec![]),
            (
                json!({"http_path": "/up"}),
                auth(&[("x-api-key", "k")], "a=1&b=2"),
                "GET /up?a=1&b=2 HTTP/1.1",
                vec!["x-api-key: k"],
            ),
            (
                json!({"http_path": "/up?x=y", "req_headers": ["X-Api-Key: own"]}),
                auth(&[("x-api-key", "k"), ("user-agent", "u")], "a=1"),
                "GET /up?x=y&a=1 HTTP/1.1",
                vec!["x-api-key: own", "user-agent: u"],
            ),
        ];
        for (active, auth, line, headers) in cases {
            let checks = Checks::parse(&json!({"active": active})).unwrap();
            let head = head(&checks.active, &auth, "up.test");
            let text = std::str::from_utf8(&head).unwrap();
            let lines: Vec<&str> = text.split("\r\n").collect();
            assert_eq!(lines[0], line, "{text}");
            for header in headers {
                assert!(lines.contains(&header), "{header} in {text}");
                let name = header.split(':').next().unwrap();
                assert_eq!(lines.iter().filter(|line| line.starts_with(name)).count(), 1, "{name} in {text}");
            }
        }
    }
}
