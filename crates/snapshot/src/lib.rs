//! Resources compiled into one immutable [`Snapshot`], and the traits through which plugins and gateway meet.
//!
//! Compiling:
//! - `compiler.rs`, `compiler/`: [`Compiler`], changes in, snapshots out; what did not change is shared.
//! - `router.rs`, `radix.rs`: which route answers: hosts, then paths, then conditions.
//! - `path.rs`: [`normalise`], the path that routes are matched against.
//! - `route.rs`, `route_facts.rs`: [`CompiledRoute`], a route ready to be matched and run; [`RouteFacts`], what is told of it.
//! - `chain.rs`, `meta.rs`: [`Chain`], the plugins of a request by phase, and what `_meta` says of each.
//! - `directory.rs`, `owners.rs`: who may ask, and which plugins they bring.
//! - `upstream.rs`, `forward.rs`: [`Upstream`], where ordinary requests go.
//! - `health.rs`, `health/`: [`Checks`] and [`Health`], who is to be checked and what was found.
//! - `tls.rs`, `tls/`: [`TlsHosts`], the certificates that clients are shown.
//! - `explain.rs`, `question.rs`: what would become of a request.
//! - `lint.rs`: what is allowed but unwise.
//! - `publish.rs`: [`Publisher`], how the Admin API's writer takes changes into force.
//!
//! Meeting:
//! - `kit.rs`: [`Kit`] and [`Plugin`]: what the gateway knows of plugins.
//! - `exchange.rs`: [`Exchange`], one request and its answer.
//! - `inquiry.rs`: [`Services`], by which a plugin asks a service.
//! - `request.rs`, `body.rs`, `variables.rs`: the client's request and what expressions ask of it.
//! - `stop.rs`: [`Stop`], how a plugin ends a request.
//! - `plan.rs`: [`Plan`], which a plugin leaves for the gateway's attempt stage.
//! - `group.rs`, `trial.rs`: [`Group`], several instances one of which is asked; [`Trial`], a request that one of them has.
//! - `class.rs`, `breaker.rs`: [`Class`], what a failure speaks against; [`Breakers`], who is passed over for a while.
//! - `account.rs`: [`Account`], who asks a provider that wants a signature or a token.
//! - `debug_tokens.rs`: [`DebugTokens`], with which a request may ask how its answer was made.
//! - `record.rs`, `metering.rs`: [`Record`], what is known of a request when it is over; what is asked to be told of it.

mod account;
mod body;
mod breaker;
mod chain;
#[cfg(test)]
mod chain_tests;
mod class;
mod compiler;
mod debug_tokens;
mod directory;
mod exchange;
mod explain;
mod forward;
mod group;
mod health;
mod inquiry;
mod kit;
mod lint;
mod meta;
mod metering;
mod owners;
mod path;
mod plan;
mod publish;
mod question;
mod radix;
mod record;
mod request;
mod route;
mod route_facts;
mod router;
mod stop;
mod tls;
mod trial;
mod upstream;
mod variables;

pub use account::{Account, AwsAccount, GoogleAccount};
pub use body::{BodyError, BodyLimits, BodyPiece, BodySource, ClientBody, RequestBody};
pub use breaker::{Breaker, BreakerLimits, BreakerState, Breakers, moment};
pub use chain::{Chain, ChainEntry, Owner};
pub use class::{Class, Evidence};
pub use compiler::{Compiler, Shared, Snapshot};
pub use debug_tokens::DebugTokens;
pub use directory::{Credential, Directory, Identity};
pub use exchange::{AnswerHeaders, Exchange};
pub use explain::{Explain, Explainer};
pub use forward::{Forward, Timeouts, UpstreamSlot, UpstreamSlots};
pub use group::{Fallback, Group, GroupRegistry, Member, Quotas};
pub use health::*;
pub use inquiry::{Findings, Inquiring, Inquiry, Services};
pub use kit::{Asked, Frame, FrameFlow, Kit, KnownBy, Phases, Plugin, Site};
pub use lint::lint;
pub use meta::Meta;
pub use metering::{Meter, ModelLog, Payload};
pub use owners::{Brought, NoGroup, Owners};
pub use path::normalise;
pub use plan::{Argument, Choice, Instance, Keepalive, Lane, Plan, Target, Way};
pub use publish::{Publisher, Rejection};
pub use question::Question;
pub use record::{Attempt, Outcome, Record};
pub use request::{Client, Credentials, Request};
pub use route::{CompiledRoute, Match, Missing};
pub use route_facts::RouteFacts;
pub use router::Router;
pub use stop::{Reply, Stop};
pub use tls::{TlsHost, TlsHosts, TlsVersions};
pub use trial::Trial;
pub use upstream::*;
pub use variables::AnswerVariables;
