use std::sync::Arc;

use serde_json::{Value, json};

use crate::compiler::{Shared, Snapshot};
use crate::{Chain, ChainEntry, CompiledRoute, Exchange, Forward, Match, Missing, Phases, Plugin, Question};

/// Says what the gateway would do with a request, from the configuration in force and nothing else.
pub trait Explain: Send + Sync {
    /// `{request, candidates, route, missing, consumer, plugins, global_plugins, target}`.
    fn explain(&self, question: Question) -> Value;
}

/// [`Explain`] for the snapshot of the data threads.
pub struct Explainer<P> {
    /// The configuration in force.
    pub snapshot: Shared<P>,
    /// Whether routes are matched without the slash at the end of a path (`apisix.delete_uri_tail_slash`).
    pub delete_uri_tail_slash: bool,
}

impl<P: Plugin> Explain for Explainer<P> {
    fn explain(&self, question: Question) -> Value {
        let snapshot = self.snapshot.load_full();
        let Question { mut exchange, consumer } = question;
        let (host, path) = (exchange.request.host().to_string(), self.path(&exchange).to_string());
        let candidates = candidates(&snapshot, &exchange, &host, &path);
        let found = snapshot.router.find(&host, &path, |route| route.fits(&exchange, true));
        let route = found.map(|(route, _)| route);
        if let Some(route) = &route {
            exchange.record.route = Some(route.facts.clone());
        }
        let global = snapshot.global.as_deref();
        let mut chain = route.as_ref().map(|route| route.chain.clone());
        let caller = consumer.map(|name| identify(&snapshot, &mut chain, &mut exchange, &name));
        let forward = route.as_ref().map(|route| route.forward.clone()).unwrap_or_default();
        json!({
            "request": {"method": exchange.request.method.as_str(), "host": host, "path": path},
            "candidates": candidates,
            "route": route.as_ref().map(|route| &*route.facts.id),
            "missing": route.as_ref().and_then(|route| route.missing).map(missing),
            "consumer": caller,
            "plugins": chain.as_deref().map_or_else(Vec::new, |chain| plugins(chain, &mut exchange)),
            "global_plugins": global.map_or_else(Vec::new, |chain| plugins(chain, &mut exchange)),
            "target": target([global, chain.as_deref()], &mut exchange, &forward),
        })
    }
}

impl<P> Explainer<P> {
    /// The path that routes are held against.
    fn path<'e>(&self, exchange: &'e Exchange) -> &'e str {
        match exchange.request.path() {
            path if self.delete_uri_tail_slash && path.len() > 1 => path.strip_suffix('/').unwrap_or(path),
            path => path,
        }
    }
}

/// Every route that host and path lead to, in the order in which they are tried. One with several patterns may be there
/// several times, and is told once.
fn candidates<P>(snapshot: &Snapshot<P>, exchange: &Exchange, host: &str, path: &str) -> Vec<Value> {
    let mut ids: Vec<Box<str>> = Vec::new();
    let mut candidates = Vec::new();
    snapshot.router.find(host, path, |candidate| {
        if !ids.contains(&candidate.facts.id) {
            ids.push(candidate.facts.id.clone());
            candidates.push(told(candidate, candidate.holds_against(exchange, true).err()));
        }
        Match::No
    });
    candidates
}

/// Lets the request be a consumer's, and its chain have what the consumer brings: as in the gateway, only where an auth
/// plugin finds out who is asking.
fn identify<P: Plugin>(
    snapshot: &Snapshot<P>,
    chain: &mut Option<Arc<Chain<P>>>,
    exchange: &mut Exchange,
    name: &str,
) -> Value {
    let mut known_by = None;
    // Filters before it are evaluated while nobody is known.
    for entry in [snapshot.global.as_deref(), chain.as_deref()].into_iter().flatten().flat_map(Chain::rewrite)
    {
        if entry.admitted(exchange).is_some_and(|plugin| plugin.phases().authenticates) {
            known_by = Some(entry.name);
            break;
        }
    }
    let identity = snapshot.directory.consumer(name);
    let brought = identity.map(|identity| snapshot.owners.of(identity));
    if let (Some(_), Some(identity)) = (known_by, identity) {
        exchange.attach(identity.clone());
        if let (Some(route), Some(Ok(brought))) = (chain.as_mut(), &brought) {
            let owners: Vec<_> =
                [&brought.group, &brought.consumer].into_iter().flatten().map(|owner| &**owner).collect();
            *route = Arc::new(route.with(&owners));
        }
    }
    json!({
        "name": name,
        "exists": identity.is_some(),
        "known_by": known_by,
        "group_is_missing": matches!(brought, Some(Err(_))),
    })
}

fn told<P>(route: &CompiledRoute<P>, failed: Option<&'static str>) -> Value {
    json!({
        "route_id": *route.facts.id,
        "name": route.facts.name.as_deref(),
        "priority": route.priority,
        "uris": route.facts.patterns,
        "hosts": route.facts.hosts,
        "matched": failed.is_none(),
        "failed": failed,
    })
}

fn missing(part: Missing) -> &'static str {
    match part {
        Missing::Service => "its service does not exist",
        Missing::PluginConfig => "its plugin config does not exist",
    }
}

fn plugins<P: Plugin>(chain: &Chain<P>, exchange: &mut Exchange) -> Vec<Value> {
    chain.entries().iter().map(|entry| plugin(entry, exchange)).collect()
}

fn plugin<P: Plugin>(entry: &ChainEntry<P>, exchange: &mut Exchange) -> Value {
    let filter = entry.meta.as_ref().filter(|meta| meta.filter.is_some());
    let mut told = json!({
        "name": entry.name,
        "priority": entry.priority,
        "source": *entry.owner,
        "disabled": entry.plugin.is_none() && entry.unresolved.is_none(),
        "filter": filter.map(|meta| exchange.admits(meta)),
        "phases": entry.plugin.as_ref().map_or_else(Vec::new, |plugin| phases(plugin.phases())),
    });
    if let (Some(reference), Value::Object(members)) = (&entry.unresolved, &mut told) {
        members.insert("unresolved_secret".to_string(), Value::from(&**reference));
    }
    told
}

fn phases(phases: Phases) -> Vec<&'static str> {
    let all = [
        (phases.rewrite, "rewrite"),
        (phases.access, "access"),
        (phases.before_proxy, "before_proxy"),
        (phases.header_filter, "header_filter"),
        (phases.frame, "body_filter"),
        (phases.log, "log"),
    ];
    all.into_iter().filter(|(takes_part, _)| *takes_part).map(|(_, name)| name).collect()
}

fn target<P: Plugin>(chains: [Option<&Chain<P>>; 2], exchange: &mut Exchange, forward: &Forward) -> Value {
    let entries = chains.into_iter().flatten().flat_map(Chain::access);
    let instances: Vec<Value> = entries.filter_map(|entry| entry.admitted(exchange)?.describe()).collect();
    if !instances.is_empty() {
        return json!({"kind": "ai", "instances": instances});
    }
    let Some(slot) = &forward.upstream else { return json!({"kind": "none"}) };
    let upstream = slot.get();
    let Some(upstream) = &*upstream else {
        return json!({"kind": "none", "why": "the upstream that the route names does not exist"});
    };
    let nodes = upstream.nodes.iter().map(|node| {
        json!({"address": *node.address, "weight": node.weight, "priority": node.priority,
            "healthy": node.state.health.is_healthy()})
    });
    json!({"kind": "upstream", "upstream": *upstream.key, "nodes": nodes.collect::<Vec<_>>()})
}
