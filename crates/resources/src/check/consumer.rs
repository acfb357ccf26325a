//! A consumer: its name, how it is known, its group.

use serde_json::Value;

use super::{References, duplicates, missing, plugins};
use crate::schema::{USERNAME, quoted};
use crate::{Catalogue, ConfKind, Kind, id_text, is_reference};

/// Checks a consumer that conforms to its schema; `id` is the username of the URL, if it names one.
pub(super) fn check(
    id: Option<&str>,
    value: &Value,
    references: &dyn References,
    catalogue: &dyn Catalogue,
) -> Result<(), String> {
    let username = value.get("username").and_then(Value::as_str).unwrap_or_default();
    // A secret reference passes any string's schema, but a username is a name in a path and nothing resolves it.
    if is_reference(username) {
        return Err(format!(
            "invalid configuration: property \"username\" validation failed: failed to match pattern {} with {}",
            quoted(USERNAME),
            quoted(username)
        ));
    }
    if id.is_some_and(|id| id != username) {
        return Err("wrong username".to_owned());
    }
    plugins::check(value, ConfKind::Consumer, catalogue)
        .map_err(|why| format!("invalid plugins configuration: {why}"))?;
    duplicates::check(value, username, references, catalogue)?;
    match value.get("group_id").and_then(id_text) {
        Some(id) if !references.exists(Kind::ConsumerGroup, &id) => Err(missing("consumer group", &id)),
        _ => Ok(()),
    }
}
