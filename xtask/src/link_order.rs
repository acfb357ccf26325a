use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::client::Connection;
use crate::gateway::Gateway;
use crate::lanes::{LANES, Lane, Setup};
use crate::tool::Tool;

/// The file that `a6/build.rs` gives the linker, from the project's root.
const FILE: &str = "a6/link-order.txt";

const HEADER: &str = "\
# Functions that `a6 serve` runs, those of requests first, in the order in which the linker puts them: what runs together
# stands together, so that fewer pages of code are in memory and in the caches. A name that is not there any more does no
# harm; new functions come behind. Written by `cargo xtask link-order`.
";

/// Requests of each lane that are looked at.
const REQUESTS: u32 = 5;

/// Finds out which functions run, and writes the file.
pub(crate) fn run() -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let a6 = build(&root)?;
    let mut known = HashSet::new();
    let mut at_start = Vec::new();
    functions(&report(&a6, None)?, &mut known, &mut at_start);
    let (mut known, mut order) = (HashSet::new(), Vec::new());
    let idle: HashSet<&str> = at_start.iter().map(String::as_str).collect();
    for lane in LANES.iter().filter(|lane| !matches!(lane.setup, Setup::Among(_))) {
        let mut ran = Vec::new();
        functions(&report(&a6, Some(lane))?, &mut known, &mut ran);
        order.extend(ran.into_iter().filter(|name| !idle.contains(name.as_str())));
    }
    let requests = order.len();
    order.extend(at_start);
    std::fs::write(root.join(FILE), format!("{HEADER}{}\n", order.join("\n")))
        .with_context(|| format!("writing {FILE}"))?;
    println!("{FILE}: {requests} functions of requests, {} of the start", order.len() - requests);
    Ok(ExitCode::SUCCESS)
}

/// A binary with its symbols, built as `./test` does, since another selection of packages has other features, and with them
/// other names of functions.
fn build(root: &Path) -> Result<PathBuf> {
    let status = Command::new("cargo")
        .args(["build", "--locked", "--release", "-p", "a6", "-p", "a6-bench", "-p", "xtask"])
        .env("A6_SYMBOLS", "keep")
        .current_dir(root)
        .status()
        .context("starting cargo")?;
    ensure!(status.success(), "cargo build ended with {status}");
    Ok(root.join("target/release/a6"))
}

/// What callgrind reports of a whole life of the gateway, without requests or with some of a lane.
fn report(a6: &Path, lane: Option<&Lane>) -> Result<String> {
    let gateway = Gateway::start(a6, Tool::Callgrind, lane.map_or(Setup::Alone, |lane| lane.setup))?;
    if let Some(lane) = lane {
        let mut connection = Connection::open(gateway.port).context("connecting to the data plane")?;
        for _ in 0..REQUESTS {
            lane.check(&connection.exchange(&lane.request())?)?;
        }
    }
    gateway.report()
}

/// The names of functions in a report of callgrind, in the order in which it names them first: `fn=(12) name`, and for those
/// that were called `cfn=(13) name`.
fn functions(report: &str, known: &mut HashSet<String>, order: &mut Vec<String>) {
    for line in report.lines() {
        let Some(rest) = line.strip_prefix("fn=(").or_else(|| line.strip_prefix("cfn=(")) else { continue };
        let Some((_, name)) = rest.split_once(") ") else { continue };
        // A recursion's second level is told as `name'2`.
        let name = name.split_once('\'').map_or(name, |(name, _)| name);
        let is_symbol = !name.starts_with("0x")
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.$".contains(&byte));
        if is_symbol && known.insert(name.to_owned()) {
            order.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_once_and_in_order() {
        let report = "events: Ir\nfn=(1) _ZN2a64main17h01E\n16 3\ncfn=(2) read'2\ncalls=1 5\nfn=(2)\nfn=(3) (below main)\n\
                      fn=(4) 0x000000000001f0c0\ncfn=(5) a.llvm.12\n";
        let (mut known, mut order) = (HashSet::from(["known".to_owned()]), Vec::new());
        functions(report, &mut known, &mut order);
        functions("fn=(1) known\nfn=(2) new\n", &mut known, &mut order);
        assert_eq!(order, ["_ZN2a64main17h01E", "read", "a.llvm.12", "new"]);
    }
}
