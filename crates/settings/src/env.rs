//! Environment variables: look-up, and `A6_CONF_*` laid over the tree of the file.

use crate::error::{Origin, Report};
use crate::tree::{Entry, Node, Value, parse, report_duplicates};

/// `A6_CONF_APISIX__NODE_LISTEN` sets `apisix.node_listen`.
const PREFIX: &str = "A6_CONF_";
/// No key lies deeper; it bounds the tree that a variable's name can make.
const MAX_PARTS: usize = 16;

/// The value of a variable.
pub(crate) fn lookup<'e>(env: &'e [(String, String)], name: &str) -> Option<&'e str> {
    env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Sets every `A6_CONF_*` variable in the tree. Values are YAML; an empty value brings the default back.
pub(crate) fn overlay(root: &mut Node, env: &[(String, String)], report: &mut Report) {
    let mut variables: Vec<(&str, &str, &str)> = env
        .iter()
        .filter_map(|(name, value)| {
            let (prefix, rest) = name.split_at_checked(PREFIX.len())?;
            prefix.eq_ignore_ascii_case(PREFIX).then_some((name.as_str(), rest, value.as_str()))
        })
        .collect();
    // A section before the keys inside it, whatever order the environment has.
    variables.sort_unstable();
    for (name, rest, value) in variables {
        let origin = Origin::Named(name.to_owned());
        let parts: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        if parts.iter().any(String::is_empty) || parts.len() > MAX_PARTS {
            let message =
                format!("names no key, ignored; write {PREFIX}SECTION__KEY, for example A6_CONF_A6__WORKERS");
            report.warn(&origin, "", message);
            continue;
        }
        let Some(node) = parse(value, |_, _| origin.clone(), report) else { continue };
        let path = parts.join(".");
        report_duplicates(&node, &path, report);
        if let Err(blocked) = set(root, &parts, node) {
            let section = parts.get(..blocked).unwrap_or_default().join(".");
            let message =
                format!("{section} is no mapping, so a key inside it cannot be set; set the whole of it");
            report.error(&origin, &path, message);
        }
    }
}

/// Puts `value` at `path`, making sections on the way. The error is how many parts lead to what is no mapping.
fn set(root: &mut Node, path: &[String], value: Node) -> Result<(), usize> {
    let mut node = root;
    for (depth, part) in path.iter().enumerate() {
        if node.is_null() {
            node.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut node.value else { return Err(depth) };
        let found = entries.iter().position(|entry| entry.key.eq_ignore_ascii_case(part));
        let index = found.unwrap_or_else(|| {
            let origin = value.origin.clone();
            entries.push(Entry { key: part.clone(), origin: origin.clone(), node: Node::null(origin) });
            entries.len() - 1
        });
        let Some(entry) = entries.get_mut(index) else { return Err(depth) };
        if depth + 1 == path.len() {
            // Remarks about the key name the variable that set it, not the line that it replaced.
            entry.origin = value.origin.clone();
        }
        node = &mut entry.node;
    }
    *node = value;
    Ok(())
}
