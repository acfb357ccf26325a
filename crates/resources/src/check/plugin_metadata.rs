//! Plugin metadata: any object, unless the plugin has a schema for it.

use serde_json::Value;

use crate::{Catalogue, ConfKind};

/// Checks the metadata of the plugin that `id` names.
pub(super) fn check(id: Option<&str>, value: &Value, catalogue: &dyn Catalogue) -> Result<(), String> {
    let name = id.ok_or_else(|| "missing plugin name".to_owned())?;
    let spec = catalogue.spec(name).ok_or_else(|| "invalid plugin name".to_owned())?;
    if spec.metadata_schema.is_none() {
        return Ok(());
    }
    catalogue.check(name, value, ConfKind::Metadata).map_err(|why| format!("invalid configuration: {why}"))
}
