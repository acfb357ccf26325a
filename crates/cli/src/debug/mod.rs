//! `a6 debug`: what became of a request.
//!
//! - `trace.rs`: `debug trace`, step by step.
//! - `request.rs`: the request that it sends, made of the route and the flags.
//! - `web.rs`: where gateway and Control API are, and HTTP to them, without the key.
//! - `live.rs`: the token for one request, and what the gateway tells whoever brings it.
//! - `explained.rs`, `tree.rs`: the explain endpoint's answer, as a tree.
//! - `show.rs`: what a trace prints.
//! - `logs.rs`: `debug logs`; `lines.rs`, `docker.rs`, `records.rs`: a file's lines, a container's, and the records of the Control
//!   API; `stop.rs`: Ctrl-C.

mod docker;
mod explained;
mod lines;
mod live;
mod logs;
mod records;
mod request;
mod show;
mod stop;
#[cfg(test)]
mod tests;
mod trace;
mod tree;
mod web;

use clap::Subcommand;

use crate::errors::Result;
use crate::session::Session;

/// Find out what became of a request
// clap shows that sentence as the help of `a6 debug`.
#[derive(Debug, Subcommand)]
pub(crate) enum DebugVerb {
    /// Send a request along a route and show what happened: a6 debug trace r1 --live --explain
    Trace(trace::Args),
    /// Show and follow what the gateway logs: a6 debug logs --file access.log -f, or --type requests --status 5xx
    Logs(logs::Args),
}

/// Carries out one of them.
pub(crate) fn run(session: &mut Session<'_>, verb: &DebugVerb) -> Result<()> {
    match verb {
        DebugVerb::Trace(args) => trace::run(session, args),
        DebugVerb::Logs(args) => logs::run(session, args),
    }
}
