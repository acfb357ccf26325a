//! A credential: one auth plugin, and a key that no other consumer has.

use serde_json::Value;

use super::{References, duplicates, plugins};
use crate::{Catalogue, ConfKind, split_credential_id};

/// Checks a credential that conforms to its schema; `id` names its consumer.
pub(super) fn check(
    id: Option<&str>,
    value: &Value,
    references: &dyn References,
    catalogue: &dyn Catalogue,
) -> Result<(), String> {
    plugins::check(value, ConfKind::Consumer, catalogue)
        .map_err(|why| format!("invalid plugins configuration: {why}"))?;
    for name in value.get("plugins").and_then(Value::as_object).into_iter().flat_map(|plugins| plugins.keys())
    {
        if catalogue.spec(name).is_none_or(|spec| spec.kind != Some("auth")) {
            return Err("only supports auth type plugins in consumer credential".to_owned());
        }
    }
    let username = id.and_then(split_credential_id).map_or("", |(username, _)| username);
    duplicates::check(value, username, references, catalogue)
}
