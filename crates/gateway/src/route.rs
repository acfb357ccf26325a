use std::sync::Arc;

use a6_core::{Fault, FaultKind, Wording};
use a6_snapshot::{CompiledRoute, Exchange, Match, Plugin, Snapshot};
use http::StatusCode;

use crate::read::Received;
use crate::settle::{Refused, Settlement};

/// A request that has a route.
pub(crate) struct Matched<P: Plugin>(pub(crate) Box<Settlement<P>>);

/// Finds the route in the snapshot in force. The body is read only if a condition asks for it.
pub(crate) async fn find<P: Plugin>(received: Received<P>) -> Result<Matched<P>, Refused<P>> {
    let Received(mut settlement) = received;
    let mut found = look_up(&settlement, false);
    if let Some((_, Match::NeedsBody)) = found {
        if let Err(fault) = read_body(&mut settlement).await {
            return Err(settlement.refuse(fault));
        }
        found = look_up(&settlement, true);
    }
    let Some((route, _)) = found else {
        return Err(settlement.refuse(not_found()));
    };
    if route.is_broken {
        return Err(settlement.refuse(no_service(&route.id)));
    }
    settlement.record.route_name = route.name.clone();
    settlement.record.service_name = route.service_name.clone();
    settlement.record.route_id = Some(route.id.clone());
    settlement.record.service_id = route.service_id.clone();
    settlement.chain = Some(route.chain.clone());
    Ok(Matched(settlement))
}

/// The request keeps the route's own parts, not the snapshot: an old configuration must not live as long as its
/// longest stream.
fn look_up<P: Plugin>(settlement: &Settlement<P>, has_body: bool) -> Option<(Arc<CompiledRoute<P>>, Match)> {
    let exchange: &Exchange = settlement;
    let snapshot: &Snapshot<P> = &settlement.worker.config.snapshot.load();
    let request = &exchange.request;
    let path = match request.path() {
        path if settlement.worker.config.delete_uri_tail_slash && path.len() > 1 => {
            path.strip_suffix('/').unwrap_or(path)
        }
        path => path,
    };
    snapshot.router.find(request.host(), path, |route| route.fits(request, &exchange.body, has_body))
}

/// A body that is too large to be looked into counts as one without members.
async fn read_body<P: Plugin>(settlement: &mut Settlement<P>) -> Result<(), Fault> {
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

fn no_service(route_id: &str) -> Fault {
    let text = format!("the service of route {route_id} does not exist");
    Fault::gateway(FaultKind::Misconfigured, StatusCode::NOT_FOUND, text).worded(Wording::ErrorMsg)
}

fn not_found() -> Fault {
    let text = "{\"error_msg\":\"404 Route Not Found\"}\n";
    Fault::client(FaultKind::NoRoute, StatusCode::NOT_FOUND, text)
}
