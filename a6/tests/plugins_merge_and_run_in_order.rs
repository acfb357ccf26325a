//! Promise: of several copies of a plugin the one that counts is the one that APISIX would have run, whole, and plugins
//! run in APISIX's order, on the gateway's own answers too.
//!
//! - `layers.rs`: consumer over group over route over plugin config over service, and who is who.
//! - `meta.rs`: what `_meta` says of a plugin.
//! - `global.rs`: global rules and plugin metadata.
//! - `written.rs`: what is refused when it is written, and what is missing when it is needed.
//! - `ai.rs`: an AI route of four plugins.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod engine;
mod support;

#[path = "plugins_merge_and_run_in_order/ai.rs"]
mod ai;
#[path = "plugins_merge_and_run_in_order/global.rs"]
mod global;
#[path = "plugins_merge_and_run_in_order/layers.rs"]
mod layers;
#[path = "plugins_merge_and_run_in_order/meta.rs"]
mod meta;
#[path = "plugins_merge_and_run_in_order/written.rs"]
mod written;
