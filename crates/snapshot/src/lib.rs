//! Resources compiled into one immutable [`Snapshot`], and the traits through which plugins and gateway meet.
//!
//! Compiling:
//! - `compiler.rs`: [`Compiler`], changes in, snapshots out; what did not change is shared.
//! - `router.rs`, `radix.rs`: which route answers: hosts, then paths, then conditions.
//! - `path.rs`: [`normalise`], the path that routes are matched against.
//! - `route.rs`: [`CompiledRoute`], a route ready to be matched and run.
//! - `chain.rs`: [`Chain`], the plugins of a route by phase.
//! - `lint.rs`: what is allowed but unwise.
//! - `publish.rs`: [`Publisher`], how the Admin API's writer takes changes into force.
//!
//! Meeting:
//! - `kit.rs`: [`Kit`] and [`Plugin`]: what the gateway knows of plugins.
//! - `exchange.rs`: [`Exchange`], one request and its answer.
//! - `request.rs`, `body.rs`, `variables.rs`: the client's request and what expressions ask of it.
//! - `plan.rs`: [`Plan`], which a plugin leaves for the gateway's attempt stage.
//! - `record.rs`: [`Record`], what is known of a request when it is over.

mod body;
mod chain;
mod compiler;
mod exchange;
mod kit;
mod lint;
mod path;
mod plan;
mod publish;
mod radix;
mod record;
mod request;
mod route;
mod router;
mod variables;

pub use body::{BodyLimits, RequestBody};
pub use chain::{Chain, ChainEntry};
pub use compiler::{Compiler, Shared, Snapshot};
pub use exchange::{Exchange, Reply, Stop};
pub use kit::{Asked, Frame, FrameFlow, Kit, Phases, Plugin};
pub use lint::lint;
pub use path::normalise;
pub use plan::{Instance, Keepalive, Plan, Target};
pub use publish::{Publisher, Rejection};
pub use record::{Attempt, Outcome, Record};
pub use request::{Client, Request};
pub use route::{CompiledRoute, Match};
pub use router::Router;
