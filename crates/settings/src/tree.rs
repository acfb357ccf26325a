//! The file as a tree of values with their places, and what is wrong with it in the report.

use crate::env::lookup;
use crate::error::{Origin, Report};
use a6_codec::yaml::{self, Variables};

pub(crate) use a6_codec::yaml::{Entry, Node, Value, join, mask};

/// Rough bytes of a tree, aliases expanded, so that a small file cannot fill the memory.
const MAX_WEIGHT: usize = 32 << 20;

/// Reads one document. None, with the reason in the report, when it is no YAML or more than one document.
pub(crate) fn parse(text: &str, at: impl Fn(usize, usize) -> Origin, report: &mut Report) -> Option<Node> {
    yaml::parse(text, MAX_WEIGHT, at).map_err(|problem| report.problem(problem)).ok()
}

/// Reports every key that a mapping has twice. `path` is the path of `node`.
pub(crate) fn report_duplicates(node: &Node, path: &str, report: &mut Report) {
    yaml::duplicates(node, path, &mut |problem| report.problem(problem));
}

/// Replaces the references in a tree whose text was masked. Quoted or not, what came from a variable may be a number or
/// a boolean, as in APISIX.
pub(crate) fn expand(root: &mut Node, env: &[(String, String)], report: &mut Report) {
    let lookup = |name: &str| lookup(env, name).map(str::to_owned);
    let variables = Variables { lookup: &lookup, retype_quoted: true };
    yaml::expand(root, "", &variables, &mut |problem| report.problem(problem));
}
