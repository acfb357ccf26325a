use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::client::Connection;
use crate::figures::{self, Figures, WRITE};
use crate::gateway::Gateway;
use crate::lanes::{Bound, LANES, Lane};
use crate::scaling;
use crate::tool::Tool;

/// The share by which a figure may rise before it is a failure.
const TOLERANCE: f64 = 0.03;

const COUNTED: [(&str, Tool); 2] = [("instructions", Tool::Callgrind), ("system_calls", Tool::Strace)];

/// Flags of `cargo xtask instructions`.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Write what was counted into bench/instructions.toml instead of comparing with it.
    #[arg(long)]
    write: bool,
    /// The binary to count, a release build; without it, one is built.
    #[arg(long, value_name = "PATH")]
    a6: Option<PathBuf>,
}

/// Counts all lanes, prints a table, and compares or writes the kept figures.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let kept = root.join("bench/instructions.toml");
    // A file that cannot be read is told of now, not after a minute of counting.
    let limits = if arguments.write { Figures::new() } else { figures::read(&kept)? };
    let a6 = match &arguments.a6 {
        Some(path) => path.clone(),
        None => build(&root)?,
    };
    let counted = count(&a6)?;
    if arguments.write {
        figures::write(&kept, &counted)?;
        println!("written to {}", kept.display());
        return Ok(ExitCode::SUCCESS);
    }
    let risen = compare(&limits, &counted);
    let dear = dear(&LANES, &counted);
    let grown = scaling::check(&a6)?;
    if risen.is_empty() && dear.is_empty() && grown.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if !risen.is_empty() {
        println!("\nrisen by more than 3 %: {}", risen.join(", "));
        println!("If that is the price of something worth it, {WRITE}, saying why.");
    }
    if !dear.is_empty() {
        println!("\ncosts too much more than its like: {}", dear.join(", "));
    }
    if !grown.is_empty() {
        println!("\ncosts too much more than at few routes: {}", grown.join(", "));
    }
    Ok(ExitCode::FAILURE)
}

/// Builds as `./test` does, since another selection of packages has other features and so another binary.
fn build(root: &Path) -> Result<PathBuf> {
    let status = Command::new("cargo")
        .args(["build", "--locked", "--release", "-p", "a6", "-p", "a6-bench", "-p", "xtask"])
        .current_dir(root)
        .status()
        .context("starting cargo")?;
    ensure!(status.success(), "cargo build ended with {status}");
    Ok(root.join("target/release/a6"))
}

fn count(a6: &Path) -> Result<Figures> {
    let mut figures = Figures::new();
    for lane in &LANES {
        for (name, tool) in COUNTED {
            let figure =
                per_request(a6, tool, lane).with_context(|| format!("counting {name} of {}", lane.name))?;
            println!("{:<8} {name:<14} {figure:>12.1}", lane.name);
            figures.entry(lane.name.to_owned()).or_default().insert(name.to_owned(), figure);
        }
    }
    Ok(figures)
}

fn per_request(a6: &Path, tool: Tool, lane: &Lane) -> Result<f64> {
    let few = total(a6, tool, lane, lane.few)?;
    let many = total(a6, tool, lane, lane.many)?;
    let difference = many.checked_sub(few).with_context(|| {
        format!("{} requests cost {many} and {} requests {few}, which cannot be", lane.many, lane.few)
    })?;
    Ok(difference as f64 / f64::from(lane.many - lane.few))
}

/// What the tool counts over a whole life of the gateway with that many requests.
fn total(a6: &Path, tool: Tool, lane: &Lane, requests: u32) -> Result<u64> {
    let gateway = Gateway::start(a6, tool, lane.setup)?;
    let request = lane.request();
    let mut connection = Connection::open(gateway.port).context("connecting to the data plane")?;
    for _ in 0..requests {
        lane.check(&connection.exchange(&request)?)?;
    }
    drop(connection);
    gateway.stop()
}

/// The figures that rose too far, or that the file does not have.
fn compare(limits: &Figures, counted: &Figures) -> Vec<String> {
    let mut risen = Vec::new();
    println!("\n{:<8} {:<14} {:>12} {:>12} {:>8}", "lane", "figure", "kept", "now", "change");
    for (lane, named) in counted {
        for (name, now) in named {
            let Some(kept) = limits.get(lane).and_then(|limits| limits.get(name)) else {
                println!("{lane:<8} {name:<14} {:>12} {now:>12.1}", "none");
                risen.push(format!("{lane}.{name} (not in the file)"));
                continue;
            };
            let change = now / kept - 1.0;
            println!("{lane:<8} {name:<14} {kept:>12.1} {now:>12.1} {:>+7.1}%", change * 100.0);
            if change > TOLERANCE {
                risen.push(format!("{lane}.{name}"));
            } else if change < -TOLERANCE {
                println!(
                    "         a gain: write it down with `cargo xtask instructions --write`, so that it stays"
                );
            }
        }
    }
    risen
}

/// The lanes that cost more than they may beside their like, in instructions.
fn dear(lanes: &[Lane], counted: &Figures) -> Vec<String> {
    let figure = |lane: &str| counted.get(lane).and_then(|figures| figures.get("instructions")).copied();
    let mut dear = Vec::new();
    for lane in lanes {
        let (Some(bound), Some(own)) = (lane.at_most, figure(lane.name)) else { continue };
        let (Bound::Times(most, like) | Bound::More(most, like)) = bound;
        let Some(other) = figure(like) else { continue };
        let (cost, words) = match bound {
            Bound::Times(..) => (own / other, format!("{:.2} x {like}", own / other)),
            Bound::More(..) => (own - other, format!("{:.0} more than {like}", own - other)),
        };
        println!("{} costs {words} (at most {most})", lane.name);
        if cost > most {
            dear.push(format!("{} ({words})", lane.name));
        }
    }
    dear
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_lane_that_costs_more_than_it_may_beside_another_is_named() {
        let lane =
            |name: &str, value: f64| (name.to_owned(), BTreeMap::from([("instructions".to_owned(), value)]));
        let counted = |own, other| Figures::from([lane("plain", 100.0), own, other]);
        let of = |converted, sixteen| {
            dear(&LANES, &counted(lane("converted", converted), lane("sixteen", sixteen)))
        };
        assert_eq!(of(150.0, 0.0), Vec::<String>::new());
        assert_eq!(of(151.0, 0.0), ["converted (1.51 x plain)"]);
        let counted = |own| Figures::from([lane("one", 60_000.0), lane("sixteen", own)]);
        assert_eq!(dear(&LANES, &counted(61_500.0)), Vec::<String>::new());
        assert_eq!(dear(&LANES, &counted(61_501.0)), ["sixteen (1501 more than one)"]);
    }

    #[test]
    fn a_rise_over_the_tolerance_or_a_missing_figure_is_named() {
        let figures = |value: f64| {
            Figures::from([("plain".to_owned(), BTreeMap::from([("instructions".to_owned(), value)]))])
        };
        let cases = [
            (figures(100.0), 102.9, vec![]),
            (figures(100.0), 50.0, vec![]),
            (figures(100.0), 103.1, vec!["plain.instructions"]),
            (Figures::new(), 1.0, vec!["plain.instructions (not in the file)"]),
        ];
        for (limits, now, risen) in cases {
            assert_eq!(compare(&limits, &figures(now)), risen, "{now} against {limits:?}");
        }
    }
}
