//! The outcomes of a file, held against what is listed and asked for.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::case::Case;
use super::run::Outcome;

/// File -> case id -> the reason why a6 differs there, one line.
const DEVIATIONS: &str = include_str!("deviations.json");

/// File -> ids of cases that need what a6 does not do yet.
const NOT_BUILT_YET: &str = include_str!("not_built_yet.json");

/// File -> the least share of equal cases among the served ones.
const THRESHOLDS: &str = include_str!("thresholds.json");

/// What became of the cases of a file.
pub(crate) struct Report {
    file: String,
    threshold: f64,
    /// Every listed deviation of the file, with its reason.
    listed: BTreeMap<String, String>,
    outcomes: Vec<(String, Outcome)>,
}

/// How many cases went which way.
struct Tally {
    equal: usize,
    listed: usize,
    unequal: usize,
    not_served: usize,
}

impl Tally {
    fn served(&self) -> usize {
        self.equal + self.listed + self.unequal
    }

    /// The share of equal cases among the served ones; 1 where none is served.
    fn share(&self) -> f64 {
        match self.served() {
            0 => 1.0,
            served => self.equal as f64 / served as f64,
        }
    }
}

fn table(name: &str, text: &str, file: &str) -> Value {
    let table: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("a6/tests/replay/{name}: {e}"));
    table[file].clone()
}

/// How the reason of a case begins that may also come out equal.
const EITHER_WAY: &str = "either way: ";

impl Report {
    pub(crate) fn of(file: &str, cases: &[Case], outcomes: Vec<Outcome>) -> Self {
        let listed = table("deviations.json", DEVIATIONS, file);
        let mut listed = listed.as_object().cloned().unwrap_or_default();
        let later = table("not_built_yet.json", NOT_BUILT_YET, file);
        let later = later.as_array().into_iter().flatten().filter_map(Value::as_str);
        listed.extend(later.map(|id| (id.to_string(), Value::from("not built yet"))));
        let threshold = table("thresholds.json", THRESHOLDS, file).as_f64();
        Self {
            file: file.to_string(),
            threshold: threshold.unwrap_or_else(|| panic!("thresholds.json has no number for {file}")),
            listed: listed
                .into_iter()
                .map(|(id, reason)| (id, reason.as_str().unwrap_or_default().to_string()))
                .collect(),
            outcomes: cases.iter().map(|case| case.id.clone()).zip(outcomes).collect(),
        }
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally { equal: 0, listed: 0, unequal: 0, not_served: 0 };
        for (id, outcome) in &self.outcomes {
            match outcome {
                Outcome::Equal => tally.equal += 1,
                Outcome::Unequal(_) if self.listed.contains_key(id) => tally.listed += 1,
                Outcome::Unequal(_) => tally.unequal += 1,
                Outcome::NotServed(_) => tally.not_served += 1,
            }
        }
        tally
    }

    /// The cases that differ and are not listed, with their first difference.
    pub(crate) fn unequal(&self) -> Vec<String> {
        let unlisted = self.outcomes.iter().filter(|(id, _)| !self.listed.contains_key(id));
        let line = |(id, outcome): &(String, Outcome)| match outcome {
            Outcome::Unequal(differences) => {
                Some(format!("{id}: {}", differences.first().map_or("", String::as_str)))
            }
            _ => None,
        };
        unlisted.filter_map(line).collect()
    }

    /// Why the test fails; empty where it passes.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let tally = self.tally();
        if tally.share() < self.threshold {
            faults.push(format!(
                "{} of {} served cases are equal: {:.4} is below the threshold {} of thresholds.json; \
                 REPLAY=«id» shows a case",
                tally.equal,
                tally.served(),
                tally.share(),
                self.threshold
            ));
        }
        for line in self.unequal() {
            faults.push(format!("differs and is not listed: {line}"));
        }
        for (id, reason) in &self.listed {
            match self.outcomes.iter().find(|(known, _)| known == id) {
                None => faults.push(format!("the lists name {id}, which is no case of this file")),
                // How much had come when a limit was crossed is the network's choice.
                Some((_, Outcome::Equal)) if reason.starts_with(EITHER_WAY) => {}
                Some((_, Outcome::Equal)) => {
                    faults.push(format!(
                        "{id} is listed ({reason}) and equal now: remove it from deviations.json or not_built_yet.json"
                    ));
                }
                Some(_) if reason.is_empty() => {
                    faults.push(format!("deviations.json gives no reason for {id}"));
                }
                Some(_) => {}
            }
        }
        faults
    }

    /// The result for a person. `shows_all` prints every difference, and the answers, in place of the first difference.
    pub(crate) fn text(&self, shows_all: bool) -> String {
        let tally = self.tally();
        let mut text = String::new();
        for (id, outcome) in &self.outcomes {
            let Outcome::Unequal(differences) = outcome else { continue };
            let reason = self.listed.get(id).map(|reason| format!(" (listed: {reason})")).unwrap_or_default();
            let shown = if shows_all { differences.len() } else { 1 };
            let _ = writeln!(text, "unequal {id}{reason}");
            for difference in differences.iter().take(shown) {
                let _ = writeln!(text, "  {difference}");
            }
        }
        for (reason, count) in self.reasons() {
            let _ = writeln!(text, "not served yet: {count} cases: {reason}");
        }
        let Tally { equal, listed, unequal, not_served } = tally;
        let _ = writeln!(
            text,
            "{}: {} cases: {equal} equal, {listed} listed deviations, {unequal} unequal, {not_served} not served yet; \
             {:.4} of the served are equal, at least {} are asked for",
            self.file,
            self.outcomes.len(),
            tally.share(),
            self.threshold
        );
        text
    }

    fn reasons(&self) -> BTreeMap<&str, usize> {
        let mut reasons = BTreeMap::new();
        for (_, outcome) in &self.outcomes {
            if let Outcome::NotServed(reason) = outcome {
                *reasons.entry(reason.as_str()).or_default() += 1;
            }
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(listed: &[&str], outcomes: Vec<(&str, Outcome)>) -> Report {
        Report {
            file: "x.jsonl".to_string(),
            threshold: 0.5,
            listed: listed.iter().map(|id| ((*id).to_string(), "decided".to_string())).collect(),
            outcomes: outcomes.into_iter().map(|(id, outcome)| (id.to_string(), outcome)).collect(),
        }
    }

    fn unequal() -> Outcome {
        Outcome::Unequal(vec!["status: expected 200, got 404".to_string()])
    }

    fn not_served() -> Outcome {
        Outcome::NotServed("unknown plugin [x]".to_string())
    }

    #[test]
    fn the_share_counts_served_cases_and_the_list_has_to_be_true() {
        for (listed, outcomes, faults) in [
            (vec![], vec![("a", Outcome::Equal), ("b", unequal()), ("c", not_served())], 1),
            (vec![], vec![("a", Outcome::Equal), ("b", unequal()), ("c", unequal())], 3),
            (vec!["b"], vec![("a", Outcome::Equal), ("b", unequal())], 0),
            (vec!["a"], vec![("a", Outcome::Equal)], 1),
            (vec!["z"], vec![("a", Outcome::Equal)], 1),
            (vec!["a"], vec![("a", not_served())], 0),
        ] {
            let found = report(&listed, outcomes).faults();
            assert_eq!(found.len(), faults, "{found:?}");
        }
    }
}
