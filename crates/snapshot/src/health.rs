//! Health checks of those that requests are sent to: what is asked for, and what has been found.
//!
//! - `health/checks.rs`: [`Checks`], a `checks` object as it is used.
//! - `health/tally.rs`: [`Tally`], results in a row, and the verdict that they lead to.
//! - `health/registry.rs`: [`HealthRegistry`], all that is to be checked.

mod checks;
mod registry;
mod tally;
#[cfg(test)]
mod tests;

pub use checks::{Active, Checks, Finding, Limits, Passive, ProbeKind};
pub use registry::{Checked, CheckedNode, HealthRegistry, ProbeAuth};
pub use tally::{Health, Tally, Verdict};
