//! Measures a6 against nginx on the same machine, in the same run. Times differ from machine to machine, the
//! ratio of two gateways that did the same work a moment apart hardly does: so ratios are what this prints.
//!
//! - `main.rs`: arguments, the two programs in one binary (the bench and its mock process)
//! - `session.rs`: the order of things: prepare, interleaved runs, start-ups, the verdict
//! - `lanes.rs`: the table of lanes and limits, and the bytes of each request
//! - `load.rs`: the load generator and the CPU-per-request measurement
//! - `slow.rs`: many open slow streams: CPU and memory per stream
//! - `http.rs`: a reply parser that knows where a reply ends, and one blocking call
//! - `answer.rs`: what a reply says, so that a fast wrong answer is an error and not a record
//! - `gateways.rs`: starts nginx and a6, gives a6 its route, stops both
//! - `mock.rs`: the provider in a process of its own
//! - `proc.rs`: CPU time and memory of a process tree, cores, open files
//! - `table.rs`: medians, ratios, verdicts, the table and the JSON
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints its result")]

mod answer;
mod gateways;
mod http;
mod lanes;
mod load;
mod mock;
mod proc;
mod session;
mod slow;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures a6 against nginx: CPU per request, memory, start-up. Needs Linux; see bench/README.md.
#[derive(Parser, Debug)]
#[command(name = "a6-bench")]
struct Args {
    #[command(subcommand)]
    hidden: Option<Hidden>,
    /// Lanes to run, by name or first part of the name (`stream` is every stream lane); default all
    #[arg(long, value_delimiter = ',', value_name = "LANE,…")]
    lanes: Vec<String>,
    /// Interleaved runs; the figures are medians over them
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// One tiny run of every lane that checks the answers and judges no figure
    #[arg(long, conflicts_with = "gate")]
    smoke: bool,
    /// Exit 1 when a limit is passed (needs nginx)
    #[arg(long)]
    gate: bool,
    /// The a6 binary; default: `a6` beside this program
    #[arg(long, value_name = "PATH")]
    a6: Option<PathBuf>,
    /// The nginx binary; default: on PATH or in /usr/sbin
    #[arg(long, value_name = "PATH")]
    nginx: Option<PathBuf>,
    /// Also write every sample, median and verdict to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Hidden {
    /// The mock provider, started by the bench itself so that its CPU time is not the gateway's
    #[command(name = mock::SUBCOMMAND, hide = true)]
    Mock,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.hidden {
        Some(Hidden::Mock) => mock::serve().map(|()| true),
        None => session::run(&args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("a6-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
