//! The schema of a global rule. It has neither name nor labels.

use serde_json::{Value, json};

use super::shared;

/// The document.
pub(super) fn document() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": shared::id(),
            "plugins": shared::plugins(),
            "create_time": shared::time(),
            "update_time": shared::time(),
        },
        "required": ["id", "plugins"],
        "additionalProperties": false,
    })
}
