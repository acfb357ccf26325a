//! The tree against the table of keys: wrong types are errors; unknown keys and keys not served yet are warnings.

use crate::convert::{Typed, convert};
use crate::error::Report;
use crate::keys::{self, Kind, Row};
use crate::tree::{Entry, Node, Value, join};
use std::collections::BTreeMap;

const OTHER_STORE: &str = "not supported yet; remove it to use the embedded store";
const NOT_YET: &str = "known to APISIX, not served by a6 yet; ignored";

/// What was set, by path and checked against its kind.
#[derive(Default)]
pub(crate) struct Values(BTreeMap<&'static str, Typed>);

impl Values {
    /// The value of a key; None when it is absent or null.
    pub(crate) fn get(&self, path: &str) -> Option<&Typed> {
        self.0.get(path)
    }
}

/// Checks a whole tree.
pub(crate) fn check(root: &Node, report: &mut Report) -> Values {
    let mut values = Values::default();
    section(root, "", &mut values, report);
    values
}

fn section(node: &Node, path: &str, values: &mut Values, report: &mut Report) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                key(entry, path, values, report);
            }
        }
        _ if node.is_null() => {}
        // A section's value is not shown: who writes a value there may have written a secret.
        _ => report.error(
            &node.origin,
            path,
            format!("expected a mapping of keys, found {}", node.describe(false)),
        ),
    }
}

fn key(entry: &Entry, section_path: &str, values: &mut Values, report: &mut Report) {
    let path = join(section_path, &entry.key);
    // A dot in a key would otherwise pass for nesting.
    let flat = entry.key.contains('.');
    match keys::find(&path) {
        Some(row) if !flat => known(row, entry, values, report),
        _ if !flat && keys::is_section(&path) => section(&entry.node, &path, values, report),
        _ => {
            let meant = keys::suggest(section_path, &entry.key);
            report.unknown(&entry.origin, &path, meant.as_deref());
        }
    }
}

fn known(row: &'static Row, entry: &Entry, values: &mut Values, report: &mut Report) {
    if entry.node.is_null() {
        return;
    }
    match row.kind {
        Kind::Known => {
            report.warn(&entry.origin, row.path, NOT_YET);
        }
        Kind::Later(kind) => {
            if convert(*kind, row.path, &entry.node, report).is_some() {
                report.warn(&entry.origin, row.path, NOT_YET);
            }
        }
        Kind::Always(kind, ours) => {
            let is_given = convert(*kind, row.path, &entry.node, report).is_some();
            // Only a boolean has more than one spelling.
            let other = entry.node.text().filter(|text| is_given && !text.eq_ignore_ascii_case(ours));
            if let Some(other) = other {
                let message = format!("{other} is {NOT_YET}, {ours} stays in force");
                report.warn(&entry.origin, row.path, message);
            }
        }
        Kind::Never(lacking) => {
            report.warn(&entry.origin, row.path, format!("known to APISIX, ignored: {lacking}"));
        }
        Kind::Only(kind, ours, lacking) => {
            let is_given = convert(*kind, row.path, &entry.node, report).is_some();
            if let Some(other) = entry.node.text().filter(|text| is_given && *text != ours) {
                let message = format!("{other} is known to APISIX, ignored: {lacking}");
                report.warn(&entry.origin, row.path, message);
            }
        }
        Kind::Instead(ours) => {
            let message = format!("known to APISIX, not served by a6; ignored, use {ours} instead");
            report.warn(&entry.origin, row.path, message);
        }
        Kind::OtherStore => report.error(&entry.origin, row.path, OTHER_STORE),
        Kind::Provider(_) if matches!(entry.node.text(), Some("etcd" | "xds")) => {
            report.error(&entry.origin, row.path, OTHER_STORE);
        }
        _ => {
            if let Some(value) = convert(row.kind, row.path, &entry.node, report) {
                values.0.insert(row.path, value);
            }
        }
    }
}
