//! The schema of a credential: one auth plugin at most.

use serde_json::{Value, json};

use super::shared;

/// The document.
pub(super) fn document() -> Value {
    let with_consumer = json!({
        "type": "string",
        "minLength": 15,
        "maxLength": 128,
        "pattern": "^[a-zA-Z0-9-_]+/credentials/[a-zA-Z0-9-_.]+$",
    });
    let own = json!({
        "id": {"oneOf": [shared::id(), with_consumer]},
        "plugins": {"type": "object", "maxProperties": 1},
    });
    json!({"type": "object", "properties": shared::properties(own), "additionalProperties": false})
}
