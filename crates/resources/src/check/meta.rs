//! `_meta` of a plugin's configuration, which steers how the plugin runs there.

use serde_json::Value;

use crate::expr::Expr;
use crate::schema;

/// Whether the plugin does not run, so that nothing of its own has to be right.
pub(super) fn is_disabled(meta: &Value) -> bool {
    meta.get("disable") == Some(&Value::Bool(true))
}

/// Checks the `_meta` of a plugin. The error is the whole message.
pub(super) fn check(plugin: &str, meta: &Value) -> Result<(), String> {
    let failed =
        |why: String| Err(format!("failed to check the configuration of plugin {plugin} err: {why}"));
    if let Err(why) = schema::of_meta().check(meta) {
        return failed(format!("property \"_meta\" validation failed: {why}"));
    }
    if meta.get("pre_function").is_some() {
        return failed("_meta.pre_function is Lua, which a6 does not run; use a plugin".to_owned());
    }
    if let Some(priority) = meta.get("priority")
        && priority.as_i64().and_then(|priority| i32::try_from(priority).ok()).is_none()
    {
        return failed(format!(
            "property \"_meta\" validation failed: property \"priority\" validation failed: \
            expected an integer from {} to {}, got {priority}",
            i32::MIN,
            i32::MAX
        ));
    }
    match meta.get("filter").map(Expr::parse) {
        Some(Err(why)) => Err(format!("failed to validate the 'vars' expression: {why}")),
        _ => Ok(()),
    }
}
