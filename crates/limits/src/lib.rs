//! Limits: how often, how fast and how many at a time. Arithmetic and the counters it needs; no I/O and no clock.
//!
//! Time comes in as milliseconds that never run backwards, counted from any point; windows that are aligned need a point
//! that has a meaning, such as the Unix epoch. A time that is older than one seen before counts as that one, so that a
//! late request never opens a limit. All operations on one key are atomic: of requests on all threads not one too many
//! passes.
//!
//! - `key.rs`: [`Key`], the name of a counter, hashed.
//! - `table.rs`: state by key that expires, sharded, and bounded however many keys are asked for.
//! - `windows.rs`: [`Windows`], so many in a window of time, fixed or sliding.
//! - `leaky.rs`: [`Leaky`], buckets that leak at a rate.
//! - `connections.rs`: [`Connections`], so many at a time.

mod connections;
mod key;
mod leaky;
mod table;
mod windows;

pub use connections::{Connections, Open};
pub use key::Key;
pub use leaky::Leaky;
pub use windows::{Decision, Windows};
