//! Promise: the published recipes work as their scenario tables say.
//!
//! Each row of the tables is a test named `row_«section»_«number»_«few words»`; `recipes/rows.rs` finds rows without one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "recipes/mod.rs"]
mod parts;
mod support;
