use serde_json::{Value, json};

use crate::compiler::{Shared, Snapshot};
use crate::{Chain, ChainEntry, CompiledRoute, Exchange, Forward, Match, Missing, Phases, Plugin, Question};

/// Says what the gateway would do with a request, from the configuration in force and nothing else.
pub trait Explain: Send + Sync {
    /// `{candidates, route, missing, plugins, global_plugins, target}`.
    fn explain(&self, question: Question) -> Value;
}

/// [`Explain`] for the snapshot of the data threads.
pub struct Explainer<P>(pub Shared<P>);

impl<P: Plugin> Explain for Explainer<P> {
    fn explain(&self, question: Question) -> Value {
        let snapshot = self.0.load_full();
        let Question { mut exchange, consumer } = question;
        let mut candidates = Vec::new();
        let mut route = None;
        // Refusing each, so that all are offered, in the order in which they would be tried.
        snapshot.router.find(exchange.request.host(), exchange.request.path(), |candidate| {
            let fits = candidate.holds_against(&exchange, true);
            candidates.push(told(candidate, fits.err()));
            if route.is_none() && fits.is_ok() {
                route = Some((candidate.id.clone(), candidate.chain.clone(), candidate.forward.clone()));
                candidates.push(json!({"missing": candidate.missing.map(missing)}));
            }
            Match::No
        });
        let mut absent = Value::Null;
        candidates.retain_mut(|candidate| match candidate.get_mut("missing") {
            Some(found) => {
                absent = found.take();
                false
            }
            None => true,
        });
        let global = snapshot.global.as_deref().map_or_else(Vec::new, |chain| plugins(chain, &mut exchange));
        let Some((id, chain, forward)) = route else {
            return json!({
                "candidates": candidates, "route": null, "missing": null, "plugins": [],
                "global_plugins": global, "target": {"kind": "none"},
            });
        };
        let chain = consumer.and_then(|name| with_consumer(&snapshot, &chain, &name)).unwrap_or(chain);
        json!({
            "candidates": candidates,
            "route": *id,
            "missing": absent,
            "plugins": plugins(&chain, &mut exchange),
            "global_plugins": global,
            "target": target(&chain, &forward),
        })
    }
}

fn told<P>(route: &CompiledRoute<P>, failed: Option<&'static str>) -> Value {
    json!({
        "route_id": *route.id,
        "name": route.name.as_deref(),
        "priority": route.priority,
        "uris": route.patterns,
        "hosts": route.hosts,
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

fn with_consumer<P: Plugin>(
    snapshot: &Snapshot<P>,
    chain: &Chain<P>,
    name: &str,
) -> Option<std::sync::Arc<Chain<P>>> {
    let identity = snapshot.directory.consumer(name)?;
    let brought = snapshot.owners.of(identity).ok()?;
    let owners: Vec<_> =
        [&brought.group, &brought.consumer].into_iter().flatten().map(|owner| &**owner).collect();
    Some(std::sync::Arc::new(chain.with(&owners)))
}

fn plugins<P: Plugin>(chain: &Chain<P>, exchange: &mut Exchange) -> Vec<Value> {
    chain.entries().iter().map(|entry| plugin(entry, exchange)).collect()
}

fn plugin<P: Plugin>(entry: &ChainEntry<P>, exchange: &mut Exchange) -> Value {
    let filter = entry.meta.as_ref().filter(|meta| meta.filter.is_some());
    json!({
        "name": entry.name,
        "priority": entry.priority,
        "source": *entry.owner,
        "disabled": entry.plugin.is_none(),
        "filter": filter.map(|meta| exchange.admits(meta)),
        "phases": entry.plugin.as_ref().map_or_else(Vec::new, |plugin| phases(plugin.phases())),
    })
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

fn target<P: Plugin>(chain: &Chain<P>, forward: &Forward) -> Value {
    let described = chain.entries().iter().filter_map(|entry| entry.plugin.as_ref()?.describe());
    let instances: Vec<Value> = described.collect();
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
            "healthy": node.state.is_healthy()})
    });
    json!({"kind": "upstream", "upstream": *upstream.key, "nodes": nodes.collect::<Vec<_>>()})
}
