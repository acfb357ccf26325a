//! How a secret manager is reached. Which manager it is, its id says.

use serde_json::Value;

use crate::{schema, split_secret_id};

/// Checks a secret; `id` is of the form `vault/1`.
pub(super) fn check(id: Option<&str>, value: &Value) -> Result<(), String> {
    let missing = || "missing secret id".to_owned();
    let id = id.ok_or_else(missing)?;
    let (manager, own) = split_secret_id(id).map_or((id, None), |(manager, own)| (manager, Some(own)));
    let schema =
        schema::of_secret_manager(manager).ok_or_else(|| format!("invalid secret manager: {manager}"))?;
    schema.check(value).map_err(|why| format!("invalid configuration: {why}"))?;
    let own = Value::from(own.ok_or_else(missing)?);
    schema::of_id()
        .check(&own)
        .map_err(|why| format!("invalid configuration: property \"id\" validation failed: {why}"))
}
