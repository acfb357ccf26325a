//! What every room may use and nothing that does I/O.
//!
//! - `fault.rs`: [`Fault`], the one error a request can end with: who is to blame, whether to retry, what to tell.
//! - `secret.rs`: [`Secret`], a value that never prints.
//! - `clock.rs`: [`Clock`], time that tests can move.
//! - `budget.rs`: [`Budget`], the byte budget that admits bodies.

mod budget;
mod clock;
mod fault;
mod secret;

pub use budget::{Budget, Reservation};
pub use clock::Clock;
pub use fault::{Blame, Fault, FaultKind, Retry, Wording};
pub use secret::Secret;
