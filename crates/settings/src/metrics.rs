//! The kinds of `plugin_attr.prometheus`: buckets, and what is said of single metrics.

use crate::convert::{filled, mismatch};
use crate::error::Report;
use crate::lists::fields;
use crate::settings::MetricSettings;
use crate::tree::{Node, Value, join};
use crate::units;

/// More buckets than this make every scrape slow, and show nothing more.
const MAX_BUCKETS: usize = 100;
/// No value that is counted is larger.
const LARGEST: f64 = 1e12;

/// Upper bounds of a histogram's buckets, in thousandths.
pub(crate) fn buckets(node: &Node, key: &str, report: &mut Report) -> Option<Vec<u64>> {
    let expected = "a list of 1 to 100 numbers, each larger than the one before";
    let bounds = match &node.value {
        Value::List(items) if (1..=MAX_BUCKETS).contains(&items.len()) => {
            items.iter().map(|item| thousandths(item.text()?)).collect::<Option<Vec<u64>>>()
        }
        _ => None,
    };
    let bounds = bounds.filter(|bounds| bounds.is_sorted_by(|before, after| before < after));
    if bounds.is_none() {
        mismatch(node, key, expected, true, report);
    }
    bounds
}

fn thousandths(text: &str) -> Option<u64> {
    let number: f64 = text.parse().ok()?;
    (0.0..=LARGEST).contains(&number).then(|| (number * 1_000.0).round() as u64)
}

/// A mapping from a metric's name to `{expire, extra_labels}`.
pub(crate) fn metrics(node: &Node, key: &str, report: &mut Report) -> Option<Vec<MetricSettings>> {
    let Value::Map(entries) = &node.value else {
        mismatch(node, key, "a mapping from a metric's name to {expire, extra_labels}", true, report);
        return None;
    };
    let read = entries.iter().filter_map(|entry| {
        let key = join(key, &entry.key);
        metric(&entry.key, &entry.node, &key, report)
    });
    let read: Vec<_> = read.collect();
    (read.len() == entries.len()).then_some(read)
}

fn metric(name: &str, node: &Node, key: &str, report: &mut Report) -> Option<MetricSettings> {
    if !matches!(node.value, Value::Map(_)) && !node.is_null() {
        mismatch(node, key, "{expire, extra_labels}", true, report);
        return None;
    }
    let [expire, labels] = fields(node, key, ["expire", "extra_labels"], report);
    let expire = match expire {
        None => Some(std::time::Duration::ZERO),
        Some(node) => {
            let span = node.text().and_then(units::duration);
            if span.is_none() {
                mismatch(node, &join(key, "expire"), "a number of seconds; 0 is never", true, report);
            }
            span
        }
    };
    let labels =
        labels.map_or(Some(Vec::new()), |node| extra_labels(node, &join(key, "extra_labels"), report));
    Some(MetricSettings { name: name.to_owned(), expire: expire?, extra_labels: labels? })
}

/// A list of mappings, each from one label to one variable.
fn extra_labels(node: &Node, key: &str, report: &mut Report) -> Option<Vec<(String, String)>> {
    let expected = "a list of {label: $variable}, each label of letters, digits and _";
    let one = |item: &Node| {
        let Value::Map(entries) = &item.value else { return None };
        let [entry] = &entries[..] else { return None };
        let variable = filled(&entry.node).filter(|text| text.len() > 1 && text.starts_with('$'))?;
        is_label(&entry.key).then(|| (entry.key.clone(), variable.to_owned()))
    };
    let labels = match &node.value {
        Value::List(items) => items.iter().map(one).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    if labels.is_none() {
        mismatch(node, key, expected, true, report);
    }
    labels
}

/// Whether Prometheus takes a name for a label. `le` is a histogram's own.
fn is_label(name: &str) -> bool {
    let rest = name.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '_');
    rest.len() < name.len()
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name != "le"
}
