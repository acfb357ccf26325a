use a6_snapshot::Plugin;

use crate::route::Matched;
use crate::settle::{Refused, Settlement};

/// A request that every plugin let pass.
pub(crate) struct Admitted<P: Plugin>(pub(crate) Box<Settlement<P>>);

/// Runs the rewrite and access phases.
pub(crate) async fn admit<P: Plugin>(matched: Matched<P>) -> Result<Admitted<P>, Refused<P>> {
    let Matched(mut settlement) = matched;
    let Some(chain) = settlement.chain() else { return Ok(Admitted(settlement)) };
    for plugin in chain.rewrite() {
        if let Err(stop) = plugin.rewrite(&mut settlement).await {
            return Err(settlement.refuse(stop));
        }
    }
    for plugin in chain.access() {
        if let Err(stop) = plugin.access(&mut settlement).await {
            return Err(settlement.refuse(stop));
        }
    }
    Ok(Admitted(settlement))
}

/// Runs the before_proxy phase, once per attempt.
pub(crate) async fn before_proxy<P: Plugin>(settlement: &mut Settlement<P>) -> Result<(), a6_snapshot::Stop> {
    let Some(chain) = settlement.chain() else { return Ok(()) };
    for plugin in chain.before_proxy() {
        plugin.before_proxy(settlement).await?;
    }
    Ok(())
}
