//! The schema of a consumer group.

use serde_json::{Value, json};

use super::shared;

/// The document.
pub(super) fn document() -> Value {
    let own = json!({"plugins": shared::plugins()});
    json!({
        "type": "object",
        "properties": shared::properties(own),
        "required": ["id", "plugins"],
        "additionalProperties": false,
    })
}
