//! Medians, ratios and verdicts, as a table for people and as JSON for programs.

use serde::Serialize;

use crate::gateways::Kind;
use crate::lanes::{Lane, Limit};

/// The samples of one lane, one per run and gateway.
#[derive(Debug)]
pub(crate) struct Samples {
    /// The lane.
    pub(crate) lane: &'static Lane,
    nginx: Vec<f64>,
    a6: Vec<f64>,
}

/// A lane's outcome.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    lane: &'static str,
    unit: &'static str,
    nginx: Option<f64>,
    a6: Option<f64>,
    ratio: Option<f64>,
    limit: Option<String>,
    verdict: Verdict,
    nginx_samples: Vec<f64>,
    a6_samples: Vec<f64>,
}

/// Whether a6 holds the lane's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It does.
    Ok,
    /// It does not.
    Over,
    /// There is no limit.
    Free,
    /// There is a limit, and nothing to compare with.
    Unknown,
}

impl Samples {
    /// No samples yet.
    pub(crate) fn new(lane: &'static Lane) -> Samples {
        Samples { lane, nginx: Vec::new(), a6: Vec::new() }
    }

    /// Adds one.
    pub(crate) fn add(&mut self, kind: Kind, value: f64) {
        match kind {
            Kind::Nginx => self.nginx.push(value),
            Kind::A6 => self.a6.push(value),
        }
    }

    /// The outcome: the ratio is the median of the runs' ratios, since the two samples of a run are neighbours
    /// in time and share its noise.
    pub(crate) fn row(&self) -> Row {
        let ratios: Vec<f64> = self.nginx.iter().zip(&self.a6).map(|(nginx, a6)| a6 / nginx).collect();
        let (a6, ratio) = (median(&self.a6), median(&ratios));
        let (verdict, limit) = match self.lane.limit {
            None => (Verdict::Free, None),
            Some(Limit::Ratio(most)) => (judge(ratio, most), Some(format!("{most:.2} x"))),
            Some(Limit::Value(most)) => (judge(a6, most), Some(format!("{most:.0}"))),
        };
        Row {
            lane: self.lane.name,
            unit: self.lane.unit,
            nginx: median(&self.nginx),
            a6,
            ratio,
            limit,
            verdict,
            nginx_samples: self.nginx.clone(),
            a6_samples: self.a6.clone(),
        }
    }
}

impl Row {
    /// True when the lane's limit is kept or there is none.
    pub(crate) fn holds(&self) -> bool {
        matches!(self.verdict, Verdict::Ok | Verdict::Free)
    }
}

fn judge(value: Option<f64>, most: f64) -> Verdict {
    match value.filter(|value| value.is_finite()) {
        None => Verdict::Unknown,
        Some(value) if value <= most => Verdict::Ok,
        Some(_) => Verdict::Over,
    }
}

/// The middle sample, the mean of the two middle ones of an even number, `None` of none.
fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

/// The aligned table, a line per row, with a head.
pub(crate) fn render(rows: &[Row]) -> String {
    let head = ["lane", "unit", "nginx", "a6", "ratio", "limit", "verdict"].map(str::to_owned);
    let mut lines = vec![head];
    lines.extend(rows.iter().map(|row| {
        let verdict = match row.verdict {
            Verdict::Ok => "ok",
            Verdict::Over => "OVER",
            Verdict::Free => "-",
            Verdict::Unknown => "?",
        };
        let ratio = row.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let limit = row.limit.clone().unwrap_or_else(|| "-".to_owned());
        let (nginx, a6) = (figure(row.nginx), figure(row.a6));
        [row.lane.to_owned(), row.unit.to_owned(), nginx, a6, ratio, limit, verdict.to_owned()]
    }));
    let mut widths = [0; 7];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 1 | 6 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn figure(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 10.0 => format!("{value:.2}"),
        Some(value) if value < 100.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::LANES;

    fn samples(name: &str, nginx: &[f64], a6: &[f64]) -> Samples {
        let lane = LANES.iter().find(|lane| lane.name == name).unwrap();
        Samples { lane, nginx: nginx.to_vec(), a6: a6.to_vec() }
    }

    #[test]
    fn medians() {
        let cases: [(&[f64], Option<f64>); 4] = [
            (&[], None),
            (&[3.0], Some(3.0)),
            (&[9.0, 1.0, 5.0], Some(5.0)),
            (&[4.0, 1.0, 2.0, 9.0], Some(3.0)),
        ];
        for (samples, expected) in cases {
            assert_eq!(median(samples), expected, "{samples:?}");
        }
    }

    #[test]
    fn verdicts() {
        // lane, nginx, a6, verdict
        let cases: [(&str, &[f64], &[f64], Verdict); 8] = [
            ("plain", &[10.0, 20.0, 10.0], &[14.0, 30.0, 90.0], Verdict::Ok),
            ("plain", &[10.0], &[15.1], Verdict::Over),
            ("plain", &[], &[15.1], Verdict::Unknown),
            ("plain", &[0.0], &[15.1], Verdict::Unknown),
            ("stream-64-2ms", &[10.0], &[99.0], Verdict::Free),
            ("idle", &[], &[12.0], Verdict::Ok),
            ("idle", &[50.0], &[12.1], Verdict::Over),
            ("idle", &[50.0], &[], Verdict::Unknown),
        ];
        for (name, nginx, a6, verdict) in cases {
            let row = samples(name, nginx, a6).row();
            assert_eq!(row.verdict, verdict, "{name} {nginx:?} {a6:?}");
            assert_eq!(row.holds(), matches!(verdict, Verdict::Ok | Verdict::Free));
        }
    }

    #[test]
    fn the_table_is_aligned() {
        let rows = [samples("plain", &[28.0], &[29.4]).row(), samples("idle", &[], &[112.2]).row()];
        let expected = "\
lane   unit            nginx    a6  ratio   limit  verdict
plain  us CPU/request   28.0  29.4   1.05  1.50 x  ok
idle   MiB PSS             -   112      -      12  OVER
";
        assert_eq!(render(&rows), expected);
    }
}
