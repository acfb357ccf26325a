//! Chores of the project that are more than a shell line: `cargo xtask «chore»`.
//!
//! - `instructions.rs`: `cargo xtask instructions`: what a request costs, counted, held to `bench/instructions.toml`.
//! - `lanes.rs`: the requests that it counts, and what a right answer to each is.
//! - `scaling.rs`: what a write and a start cost where there are many routes, against few.
//! - `gateway.rs`: a mock provider and `a6 serve` beside it, under a counting tool.
//! - `tool.rs`: callgrind and strace: how they are started and what their reports say.
//! - `client.rs`: one keep-alive connection, one request after the other.
//! - `figures.rs`: the file of kept figures.
//! - `link_order.rs`: `cargo xtask link-order`: which functions run together, for the linker.
//! - `fuzz.rs`: `cargo xtask fuzz`: the fuzz targets of `fuzz/`, each for some minutes.

#![allow(clippy::print_stdout)]

mod client;
mod figures;
mod fuzz;
mod gateway;
mod instructions;
mod lanes;
mod link_order;
mod scaling;
mod tool;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of the a6 project")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Counts instructions and system calls per request and compares them with bench/instructions.toml.
    Instructions(instructions::Arguments),
    /// Finds out which functions run together and writes a6/link-order.txt.
    LinkOrder,
    /// Feeds the parsers with what libFuzzer thinks of; needs nightly and cargo-fuzz, else says that it is skipped.
    Fuzz(fuzz::Arguments),
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().chore {
        Chore::Instructions(arguments) => instructions::run(&arguments),
        Chore::LinkOrder => link_order::run(),
        Chore::Fuzz(arguments) => fuzz::run(&arguments),
    }
}
