use std::sync::Arc;

use a6_core::{Fault, FaultKind, Wording};
use a6_snapshot::{CompiledRoute, Exchange, Match, Missing, Plugin, Snapshot};
use http::StatusCode;

use crate::access;
use crate::read::Received;
use crate::settle::{Refused, Settlement};

/// A request that has a route.
pub(crate) struct Matched<P: Plugin>(pub(crate) Box<Settlement<P>>);

/// Finds the route in the snapshot in force. The body is read only if a condition asks for it. A request without a route
/// goes through the global rules all the same.
pub(crate) async fn find<P: Plugin>(received: Received<P>) -> Result<Matched<P>, Refused<P>> {
    let Received(mut settlement) = received;
    let mut found = look_up(&mut settlement, false);
    if let Some((_, Match::NeedsBody)) = found {
        if let Err(fault) = read_body(&mut settlement).await {
            return Err(settlement.refuse(fault));
        }
        found = look_up(&mut settlement, true);
    }
    let Some((route, _)) = found else {
        if settlement.global.is_some()
            && let Err(stop) = Box::pin(access::pass(&mut settlement)).await
        {
            return Err(settlement.refuse(stop));
        }
        return Err(settlement.refuse(not_found()));
    };
    settlement.record.route = Some(route.facts.clone());
    if let Some(missing) = route.missing {
        return Err(settlement.refuse(incomplete(&route.facts.id, missing)));
    }
    settlement.chain = Some(route.chain.clone());
    settlement.forward = route.forward.clone();
    Ok(Matched(settlement))
}

/// The request keeps the route's own parts, not the snapshot: an old configuration must not live as long as its
/// longest stream.
fn look_up<P: Plugin>(
    settlement: &mut Settlement<P>,
    has_body: bool,
) -> Option<(Arc<CompiledRoute<P>>, Match)> {
    let worker = settlement.worker.clone();
    let snapshot: &Snapshot<P> = &worker.config.snapshot.load();
    let exchange: &Exchange = settlement;
    let request = &exchange.request;
    let path = match request.path() {
        path if worker.config.delete_uri_tail_slash && path.len() > 1 => {
            path.strip_suffix('/').unwrap_or(path)
        }
        path => path,
    };
    let found = snapshot.router.find(request.host(), path, |route| route.fits(exchange, has_body));
    settlement.global.clone_from(&snapshot.global);
    let chains = [settlement.global.as_ref(), found.as_ref().map(|(route, _)| &route.chain)];
    let asking = chains.into_iter().flatten().filter(|chain| chain.authenticates()).cloned();
    for chain in asking.collect::<Vec<_>>() {
        settlement.directory = Some(snapshot.directory.clone());
        settlement.owners = Some(snapshot.owners.clone());
        chain.mark_credentials(&mut settlement.request);
    }
    found
}

/// A body that is too large to be looked into counts as one without members.
pub(crate) async fn read_body<P: Plugin>(settlement: &mut Settlement<P>) -> Result<(), Fault> {
    let max = settlement.worker.config.max_post_args;
    if settlement.body.announced().is_some_and(|length| length > max) {
        return Ok(());
    }
    if settlement.body.read(u64::MAX).await?.len() as u64 > max {
        return Ok(());
    }
    // Text that is not JSON has no members either; whoever needs JSON reports it.
    let _ = settlement.body.document().await;
    Ok(())
}

fn incomplete(route_id: &str, missing: Missing) -> Fault {
    let (what, status) = match missing {
        Missing::Service => ("service", StatusCode::NOT_FOUND),
        Missing::PluginConfig => ("plugin config", StatusCode::SERVICE_UNAVAILABLE),
    };
    let text = format!("the {what} of route {route_id} does not exist");
    Fault::gateway(FaultKind::Misconfigured, status, text).worded(Wording::ErrorMsg)
}

fn not_found() -> Fault {
    let text = "{\"error_msg\":\"404 Route Not Found\"}\n";
    Fault::client(FaultKind::NoRoute, StatusCode::NOT_FOUND, text)
}
