//! The schema of a plugin config. Unlike elsewhere, any text is a name.

use serde_json::{Value, json};

use super::shared;

/// The document.
pub(super) fn document() -> Value {
    let own = json!({"name": {"type": "string"}, "plugins": shared::plugins()});
    json!({
        "type": "object",
        "properties": shared::properties(own),
        "required": ["id", "plugins"],
        "additionalProperties": false,
    })
}
