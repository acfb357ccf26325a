use std::sync::Arc;

use a6_core::{Fault, FaultKind};
use a6_snapshot::{Brought, Chain, Plugin, Stop};
use http::StatusCode;

use crate::phases;
use crate::route::Matched;
use crate::settle::{Refused, Settlement};

/// A request that every plugin let pass.
pub(crate) struct Admitted<P: Plugin>(pub(crate) Box<Settlement<P>>);

/// Runs the rewrite and access phases. In between, whoever was found to be asking brings plugins of their own.
pub(crate) async fn admit<P: Plugin>(matched: Matched<P>) -> Result<Admitted<P>, Refused<P>> {
    let Matched(mut settlement) = matched;
    match pass(&mut settlement).await {
        Ok(()) => Ok(Admitted(settlement)),
        Err(stop) => Err(settlement.refuse(stop)),
    }
}

/// What every request goes through, also one that has no route.
pub(crate) async fn pass<P: Plugin>(settlement: &mut Settlement<P>) -> Result<(), Stop> {
    phases::rewrite(settlement).await?;
    if settlement.identity.is_some() {
        bring_plugins(settlement)?;
        phases::late_rewrite(settlement).await?;
    }
    phases::access(settlement).await
}

/// Lays what the caller brings over the route's plugins.
fn bring_plugins<P: Plugin>(settlement: &mut Settlement<P>) -> Result<(), Stop> {
    let (Some(identity), Some(owners)) = (&settlement.identity, &settlement.owners) else { return Ok(()) };
    let Ok(brought) = owners.of(identity) else {
        return Err(no_group(identity.group_id.as_deref().unwrap_or_default()));
    };
    if let (Some(chain), false) = (&settlement.chain, brought.is_empty()) {
        settlement.chain = Some(settlement.worker.merged.get(chain, &brought));
    }
    Ok(())
}

fn no_group(id: &str) -> Stop {
    let text = format!("the caller's consumer group {id} does not exist");
    Fault::gateway(FaultKind::Misconfigured, StatusCode::SERVICE_UNAVAILABLE, text).into()
}

/// How many merged chains a thread remembers.
const REMEMBERED: usize = 4096;

/// Chains with what callers bring: made once per thread for each pair of route and caller, the least used forgotten.
pub(crate) struct MergedChains<P>(std::cell::RefCell<lru::LruCache<Key, Arc<Chain<P>>>>);

/// Chain, group and consumer.
type Key = (u64, u64, u64);

impl<P: Plugin> MergedChains<P> {
    /// None yet.
    pub(crate) fn new() -> Self {
        let capacity = std::num::NonZeroUsize::new(REMEMBERED).unwrap_or(std::num::NonZeroUsize::MIN);
        Self(std::cell::RefCell::new(lru::LruCache::new(capacity)))
    }

    fn get(&self, chain: &Arc<Chain<P>>, brought: &Brought<P>) -> Arc<Chain<P>> {
        let owners = [&brought.group, &brought.consumer];
        let [group, consumer] = owners.map(|owner| owner.as_ref().map_or(0, |owner| owner.id));
        let make = || {
            let owners: Vec<_> = owners.into_iter().flatten().map(|owner| &**owner).collect();
            Arc::new(chain.with(&owners))
        };
        self.0.borrow_mut().get_or_insert((chain.id, group, consumer), make).clone()
    }
}
