//! What the replaying test is made of.
//!
//! - `case.rs`: the recorded cases and their placeholders.
//! - `upstream.rs`: the upstream of a case, which answers with what was recorded; `mock.rs`: what it says where nothing was.
//! - `send.rs`: a step's request and its answer.
//! - `run.rs`: one case on one gateway.
//! - `compare.rs`: what happened against what was recorded, and the differences that a6 decided on; `value.rs`: JSON and
//!   text by value.
//! - `report.rs`: the outcomes of a file, held against `deviations.json` and `thresholds.json`.

mod case;
mod compare;
mod mock;
mod report;
mod run;
mod send;
mod upstream;
mod value;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::case::Case;
use self::report::Report;
use self::run::Outcome;
use crate::support::{Gateway, Setup};

/// How many gateways serve the cases of one file. A case waits more than it computes.
const GATEWAYS: usize = 3;

/// Replays a file of recordings.
pub(crate) fn replay(file: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    if !folder.is_dir() {
        println!("skipped: ../shared/golden not found");
        return;
    }
    let mut cases = case::load(&folder.join(file));
    let asked = std::env::var("REPLAY").ok();
    if let Some(asked) = &asked {
        cases.retain(|case| asked.split(',').any(|id| id.trim() == case.id));
    }
    let report = Report::of(file, &cases, play(&cases));
    print!("{}", report.text(asked.is_some() || std::env::var_os("REPLAY_SHOW").is_some()));
    let faults = match asked {
        // Its output is only shown for a test that fails.
        Some(_) => report.unequal(),
        None => report.faults(),
    };
    assert!(faults.is_empty(), "{file}:\n{}", faults.join("\n"));
}

fn play(cases: &[Case]) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<(usize, Outcome)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..GATEWAYS.min(cases.len()) {
            scope.spawn(|| {
                let mut gateway = as_recorded();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { break };
                    let (outcome, is_clean) = run::run(case, &gateway);
                    outcomes.lock().expect("no panic under the lock").push((index, outcome));
                    if !is_clean {
                        gateway = as_recorded();
                    }
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().expect("no panic under the lock");
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// A gateway with the settings under which the recordings were made, where they are not a6's defaults.
fn as_recorded() -> Gateway {
    Setup::new().variable("A6_CONF_DEPLOYMENT__ADMIN__ENABLE_ADMIN_CORS", "true").start()
}
