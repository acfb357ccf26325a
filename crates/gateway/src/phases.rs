//! The plugin phases of a request: in each the plugins of the global rules first, then those of the route and of what
//! authentication brought, by priority.

use std::sync::Arc;

use a6_snapshot::{Chain, Frame, FrameFlow, Plugin, Stop};
use http::response::Parts;

use crate::route;
use crate::settle::Settlement;

/// Runs one async phase over a chain's entries; the first plugin that ends the request ends the phase.
macro_rules! run {
    ($settlement:expr, $chain:expr, $phase:ident, $entries:ident) => {
        if let Some(chain) = taking_part(&$chain, |chain| chain.$entries().next().is_some()) {
            for entry in chain.$entries() {
                if entry.asks_for_body() {
                    // What cannot be read has no members; whoever needs the body says so.
                    let _ = Box::pin(route::read_body($settlement)).await;
                }
                if let Some(stop) = entry.refusal($settlement) {
                    return Err(stop);
                }
                let Some(plugin) = entry.admitted($settlement) else { continue };
                let had_plan = $settlement.plan.is_some();
                if let Err(stop) = plugin.$phase($settlement).await {
                    return Err(entry.reword(stop));
                }
                if let (false, Some(plan)) = (had_plan, &mut $settlement.plan) {
                    plan.meta.clone_from(&entry.meta);
                }
            }
        }
    };
}

/// A chain to walk while the settlement is lent to its plugins; none where nothing would be done.
fn taking_part<P: Plugin>(
    chain: &Option<Arc<Chain<P>>>,
    takes_part: impl Fn(&Chain<P>) -> bool,
) -> Option<Arc<Chain<P>>> {
    chain.as_ref().filter(|chain| takes_part(chain)).cloned()
}

/// The rewrite phase, before it is complete who is asking.
pub(crate) async fn rewrite<P: Plugin>(settlement: &mut Settlement<P>) -> Result<(), Stop> {
    run!(settlement, settlement.global, rewrite, rewrite);
    run!(settlement, settlement.chain, rewrite, rewrite);
    Ok(())
}

/// The rewrite phase of what authentication brought.
pub(crate) async fn late_rewrite<P: Plugin>(settlement: &mut Settlement<P>) -> Result<(), Stop> {
    run!(settlement, settlement.chain, rewrite, late_rewrite);
    Ok(())
}

/// The access phase.
pub(crate) async fn access<P: Plugin>(settlement: &mut Settlement<P>) -> Result<(), Stop> {
    run!(settlement, settlement.global, access, access);
    run!(settlement, settlement.chain, access, access);
    Ok(())
}

/// The before_proxy phase, once per attempt.
pub(crate) async fn before_proxy<P: Plugin>(settlement: &mut Settlement<P>) -> Result<(), Stop> {
    run!(settlement, settlement.global, before_proxy, before_proxy);
    run!(settlement, settlement.chain, before_proxy, before_proxy);
    Ok(())
}

/// What plugins have wished for goes into the answer's head, then those that look at it change it.
pub(crate) fn filter_head<P: Plugin>(settlement: &mut Settlement<P>, head: &mut Parts) {
    settlement.answer.apply(&mut head.headers);
    let filters = |chain: &Chain<P>| chain.header_filter().next().is_some();
    let chains = [&settlement.global, &settlement.chain].map(|chain| taking_part(chain, filters));
    for chain in chains.into_iter().flatten() {
        for entry in chain.header_filter() {
            if let Some(plugin) = entry.admitted(settlement) {
                plugin.header_filter(settlement, head);
            }
        }
    }
}

/// Whether a plugin looks at the answer's body.
pub(crate) fn looks_at_body<P: Plugin>(settlement: &Settlement<P>) -> bool {
    [&settlement.global, &settlement.chain].into_iter().flatten().any(|chain| chain.frame_count() > 0)
}

/// Leads a piece of the answer through the plugins, from a place on, until one does anything but pass it. Gives what
/// came of it and the place behind that plugin.
pub(crate) fn frame<P: Plugin>(
    settlement: &mut Settlement<P>,
    mut frame: Frame,
    from: usize,
) -> (FrameFlow, usize) {
    let (global, chain) = (settlement.global.clone(), settlement.chain.clone());
    let of_global = global.as_ref().map_or(0, |global| global.frame_count());
    let of_chain = from.saturating_sub(of_global);
    let entries = global.iter().flat_map(|chain| chain.frame(from));
    let mut place = from;
    for entry in entries.chain(chain.iter().flat_map(|chain| chain.frame(of_chain))) {
        place += 1;
        let Some(plugin) = entry.admitted(settlement) else { continue };
        match plugin.frame(settlement, frame) {
            FrameFlow::Pass(passed) => frame = passed,
            other => return (other, place),
        }
    }
    (FrameFlow::Pass(frame), place)
}

/// The log phase.
pub(crate) fn log<P: Plugin>(settlement: &mut Settlement<P>) {
    for chain in [settlement.global.take(), settlement.chain.take()].into_iter().flatten() {
        for entry in chain.log() {
            if let Some(plugin) = entry.admitted(settlement) {
                plugin.log(settlement);
            }
        }
    }
}
