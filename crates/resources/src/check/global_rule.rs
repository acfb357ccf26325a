//! A global rule: with the same plugin in two rules, nobody could say which of them counts.

use serde_json::Value;

use super::{References, plugins};
use crate::{Catalogue, ConfKind, Kind};

/// Checks a global rule that conforms to its schema.
pub(super) fn check(
    id: Option<&str>,
    value: &Value,
    references: &dyn References,
    catalogue: &dyn Catalogue,
) -> Result<(), String> {
    plugins::check(value, ConfKind::Route, catalogue)?;
    for name in value.get("plugins").and_then(Value::as_object).into_iter().flat_map(|plugins| plugins.keys())
    {
        let mut others = references.entries(Kind::GlobalRule).filter(|rule| Some(rule.id.as_str()) != id);
        let other = others.find(|rule| rule.value.get("plugins").is_some_and(|own| own.get(name).is_some()));
        if let Some(other) = other {
            return Err(format!("plugin '{name}' already exists in global rule with id '{}'", other.id));
        }
    }
    Ok(())
}
