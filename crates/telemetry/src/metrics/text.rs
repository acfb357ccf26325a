use std::sync::atomic::Ordering;

use super::family::{Family, Series};
use super::spec::Kind;
use super::traffic::Total;
use super::{Metrics, locked};

/// What names begin with unless the settings say otherwise.
const PREFIX: &str = "apisix_";

/// A family whose values somebody else knows at the time of a scrape.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its name, without prefix.
    pub name: &'static str,
    /// What it tells.
    pub help: &'static str,
    /// Whether it only grows.
    pub is_counter: bool,
    /// Each value with its labels.
    pub samples: Vec<(Vec<(&'static str, String)>, u64)>,
}

impl Reading {
    /// A gauge.
    pub fn gauge(
        name: &'static str,
        help: &'static str,
        samples: Vec<(Vec<(&'static str, String)>, u64)>,
    ) -> Self {
        Self { name, help, is_counter: false, samples }
    }
}

/// Everything, families by name.
pub(super) fn all(metrics: &Metrics) -> String {
    let prefix = metrics.options.prefix.as_deref().unwrap_or(PREFIX);
    let mut parts: Vec<(&str, String)> = Vec::new();
    for family in &metrics.families {
        parts.push((family.spec.name, counted(prefix, family)));
    }
    let mut readings = own(metrics);
    readings.extend(locked(&metrics.sources).iter().flat_map(|source| source()));
    for reading in &readings {
        parts.push((reading.name, told(prefix, reading)));
    }
    parts.sort_by_key(|(name, _)| *name);
    parts.into_iter().map(|(_, text)| text).collect()
}

/// What is counted of connections, and of this itself.
fn own(metrics: &Metrics) -> Vec<Reading> {
    let mut total = Total::default();
    for thread in locked(&metrics.threads).iter() {
        thread.add_to(&mut total);
    }
    let waiting = total.open.saturating_sub(total.in_flight);
    let states = [
        ("accepted", total.accepted),
        ("active", total.open),
        ("handled", total.accepted),
        // A head on its way is not told from a connection that waits.
        ("reading", 0),
        ("waiting", waiting),
        ("writing", total.in_flight),
    ];
    let states = states.map(|(state, value)| (vec![("state", state.to_string())], value));
    let requests = vec![(Vec::new(), total.requests)];
    vec![
        Reading::gauge(
            "http_requests_total",
            "The total number of client requests since APISIX started",
            requests,
        ),
        Reading::gauge("nginx_http_current_connections", "Number of HTTP connections", states.to_vec()),
        Reading {
            name: "nginx_metric_errors_total",
            help: "Number of nginx-lua-prometheus errors",
            is_counter: true,
            samples: vec![(Vec::new(), metrics.folded.load(Ordering::Relaxed))],
        },
    ]
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
}

fn told(prefix: &str, reading: &Reading) -> String {
    let mut out = String::new();
    if reading.samples.is_empty() {
        return out;
    }
    let name = format!("{prefix}{}", reading.name);
    head(&mut out, &name, reading.help, if reading.is_counter { "counter" } else { "gauge" });
    for (labels, value) in &reading.samples {
        let mut text = String::new();
        for (label, value) in labels {
            write_label(&mut text, label, value);
        }
        sample(&mut out, &name, &text, &value.to_string());
    }
    out
}

fn counted(prefix: &str, family: &Family) -> String {
    let mut out = String::new();
    let name = format!("{prefix}{}", family.spec.name);
    let all = family.all();
    let variants = match family.spec.leading {
        None => vec![String::new()],
        Some((label, values)) => values.iter().map(|value| format!("{label}=\"{value}\",")).collect(),
    };
    for (variant, leading) in variants.iter().enumerate() {
        for (labels, series) in &all {
            one(&mut out, &name, family, &format!("{leading}{labels}"), (&**series, variant));
        }
    }
    if out.is_empty() {
        return out;
    }
    let mut whole = String::with_capacity(out.len() + 200);
    head(&mut whole, &name, family.spec.help, family.spec.kind.word());
    whole.push_str(&out);
    whole
}

/// One series. What has a leading label is told only where something was added to it.
fn one(out: &mut String, name: &str, family: &Family, labels: &str, (series, variant): (&Series, usize)) {
    let cells = family.cells(series, variant);
    if let Some(bounds) = &family.bounds {
        let buckets = bounds.cumulated(cells);
        let Some((_, count)) = buckets.last() else { return };
        for (bound, sum) in &buckets {
            sample(out, &format!("{name}_bucket"), &format!("{labels},le=\"{bound}\""), &sum.to_string());
        }
        sample(out, &format!("{name}_count"), labels, &count.to_string());
        sample(out, &format!("{name}_sum"), labels, &bounds.sum(cells));
        return;
    }
    let value = cells[0].load(Ordering::Relaxed);
    if value == 0 && family.spec.leading.is_some() {
        return;
    }
    // A gauge may for a moment have been left before it was entered, as other threads see it.
    let value =
        if family.spec.kind == Kind::Gauge { value.cast_signed().max(0).unsigned_abs() } else { value };
    sample(out, name, labels, &value.to_string());
}

fn sample(out: &mut String, name: &str, labels: &str, value: &str) {
    out.push_str(name);
    if !labels.is_empty() {
        out.push('{');
        out.push_str(labels);
        out.push('}');
    }
    out.push(' ');
    out.push_str(value);
    out.push('\n');
}

/// Appends a label and its value, a comma in front where it is not the first.
pub(super) fn write_label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    out.push_str(name);
    out.push_str("=\"");
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out.push('"');
}
